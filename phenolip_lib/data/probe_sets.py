"""Images that are no pairs and can be probed: single red cells of Chula RBC-12, radiographs of RSNA's challenge.

Both give rows that `features.image_features` reads (image and box) with the class, group and split that
`tasks.linear_probe.probe_arrays` needs. Layouts::

    chula-rbc-12/...                                  see `sources.chula`
    rsna/stage_2_train_labels.csv                     patientId, x, y, width, height, Target; a row a box
    rsna/stage_2_detailed_class_info.csv              patientId, class
    rsna/stage_2_train_images/<patientId>.png         upstream ships DICOM: convert first

RSNA Pneumonia Detection Challenge 2018 (https://www.kaggle.com/c/rsna-pneumonia-detection-challenge), from
NIH's ChestX-ray8; each image is the only one of its patient id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.core.sections import Splits
from phenolip_lib.data.images import read_image
from phenolip_lib.data.sources import chula
from phenolip_lib.data.sources.files import need, read_table, stems
from phenolip_lib.data.splits import assign_splits

CELL_SIDE = 80
RSNA = "rsna"
COLUMNS = ["pair_id", "image", "left", "top", "right", "bottom", "class_name", "group", "split"]
SHARES = Splits(train=0.7, val=0.1, test=0.2)


def present(root: Path, pairs: pd.DataFrame, per_class: int) -> dict[str, pd.DataFrame]:
    """Every set whose files lie under `root`, by name; sorted, empty if there is none.

    Args:
        pairs: of the source, whose splits its own images keep.
        per_class: cells of a class at most.
    """
    found = {}
    if (root / chula.FOLDER / "Dataset").is_dir():
        own = pairs[pairs["dataset"] == chula.NAME]
        found["chula-cells"] = cell_crops(root, dict(zip(own["record_id"], own["split"], strict=True)), per_class)
    if (root / RSNA).is_dir():
        found[RSNA] = rsna(root)
    return found


def cell_crops(
    root: Path, splits: Mapping[str, str], per_class: int = 500, seed: int = 0, side: int = CELL_SIDE
) -> pd.DataFrame:
    """Single cells with their class, a sample of each class; the cells of a smear stay in one split.

    The square around a cell near the edge is moved into the smear and not cut.

    Args:
        root: the folder that holds ``chula-rbc-12``.
        splits: split of each smear by its record_id, as in the pairs table, so that no test cell is of a
            smear the model was trained on; other smears (curation sets duplicates aside) are left out.
        per_class: cells of a class at most, drawn by hash.
        seed: of the draw.
        side: of the square, pixels.

    Returns:
        table (pair_id, image, left, top, right, bottom, class_name, group, split), sorted by pair_id;
        ``uncategorised`` cells are left out.

    Raises:
        PhenoLIPError: the layout is not there, or no smear has a cell.
    """
    table = chula.cells(root)
    images = stems(need(root, f"{chula.FOLDER}/Dataset", chula.NAME))
    stem = table["record_id"].str.rsplit("/", n=1).str[-1]
    keep = stem.isin(images) & table["record_id"].isin(splits) & (table["class_name"] != "uncategorised")
    table, stem = table[keep], stem[keep]
    if not len(table):
        raise PhenoLIPError(f"{root}/{chula.FOLDER}: no smear of the pairs has a labelled cell")
    places = table["x"].astype(str) + "-" + table["y"].astype(str)
    table = table.assign(
        pair_id=table["record_id"].str.replace("/smear/", "/cell/") + "/" + places,
        image=f"{chula.FOLDER}/Dataset/" + stem.map(images),
        group=table["record_id"],
        split=table["record_id"].map(dict(splits)),
    ).drop_duplicates("pair_id")
    draw = table["pair_id"].map(lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    table = table.assign(draw=draw).sort_values("draw").groupby("class_name").head(per_class).sort_values("pair_id")
    sizes = {image: read_image(root, image).size for image in sorted(table["image"].unique())}
    width, height = (table["image"].map(lambda image, i=i: sizes[image][i]) for i in (0, 1))
    if small := [image for image, size in sizes.items() if min(size) < side]:
        raise PhenoLIPError(f"{root}/{small[0]}: smaller than a cell's square of {side} pixels")
    x = (table["x"] - side // 2).clip(0, width - side)
    y = (table["y"] - side // 2).clip(0, height - side)
    table = table.assign(left=x / width, top=y / height, right=(x + side) / width, bottom=(y + side) / height)
    return table.reset_index(drop=True)[COLUMNS]


def rsna(root: Path, seed: int = 0) -> pd.DataFrame:
    """Radiographs with the challenge's class of each: lung opacity, normal, or not normal without opacity.

    Args:
        root: the folder that holds ``rsna``.
        seed: of the split.

    Returns:
        table (pair_id, image, left, top, right, bottom, class_name, group, split), sorted by pair_id;
        radiographs without a file are left out, says the log.

    Raises:
        PhenoLIPError: a file is not there or lacks a column, the two tables disagree, or no radiograph is there.
    """
    folder = need(root, RSNA, RSNA)
    boxes = read_table(folder / "stage_2_train_labels.csv", ["patientId", "x", "y", "width", "height", "Target"])
    classes = read_table(folder / "stage_2_detailed_class_info.csv", ["patientId", "class"]).drop_duplicates()
    if (twice := classes["patientId"].duplicated()).any():
        raise PhenoLIPError(f"{folder}: patient {classes['patientId'][twice].iat[0]} has two classes")
    table = boxes[["patientId", "Target"]].drop_duplicates().merge(classes, on="patientId", how="left")
    if (wrong := (table["Target"] == "1") != (table["class"] == "Lung Opacity")).any():
        raise PhenoLIPError(f"{folder}: Target and class of patient {table['patientId'][wrong].iat[0]} disagree")
    files = stems(need(root, f"{RSNA}/stage_2_train_images", RSNA))
    there = table["patientId"].isin(files)
    if not there.any():
        raise PhenoLIPError(
            f"{folder}/stage_2_train_images: no labelled radiograph as PNG or JPEG; convert the DICOM files"
        )
    if not there.all():
        log.warning("rsna: %d of %d radiographs are absent", (~there).sum(), len(there))
    table = table[there].sort_values("patientId")
    table = table.assign(
        pair_id=RSNA + "/" + table["patientId"],
        image=f"{RSNA}/stage_2_train_images/" + table["patientId"].map(files),
        left=0.0,
        top=0.0,
        right=1.0,
        bottom=1.0,
        class_name=table["class"],
        group=RSNA + "/" + table["patientId"],
    ).reset_index(drop=True)
    split = assign_splits(table["group"], pd.Series("", index=table.index), SHARES, seed)
    return table.assign(split=split)[COLUMNS]
