"""IDRiD: fundus photographs with grades of diabetic retinopathy, and with lesion masks.

Layout (https://idrid.grand-challenge.org)::

    idrid/B. Disease Grading/1. Original Images/{a. Training Set,b. Testing Set}/IDRiD_001.jpg
    idrid/B. Disease Grading/2. Groundtruths/*Training Labels.csv, *Testing Labels.csv
    idrid/A. Segmentation/1. Original Images/{a. Training Set,b. Testing Set}/IDRiD_01.jpg
    idrid/A. Segmentation/2. All Segmentation Groundtruths/<set>/<lesion folder>/IDRiD_01_MA.tif

Licence CC BY 4.0 (Porwal et al. 2018). Patients are not published, so each image is its own group;
a few images occur twice, also across parts and splits, and are merged by duplicate search.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import lone_record, need, stems

NAME = FOLDER = "idrid"
LICENCE = "CC-BY-4.0"
URL = "https://idrid.grand-challenge.org"
_record = partial(lone_record, NAME, "ophthalmology", LICENCE, URL)
GRADING, SEGMENTATION = f"{FOLDER}/B. Disease Grading", f"{FOLDER}/A. Segmentation"
SETS = {"train": "a. Training Set", "test": "b. Testing Set"}
RETINOPATHY = ("HP:0000488", "Retinopathy")
MACULAR_EDEMA = ("HP:0040049", "Macular edema")
LESIONS = {
    "MA": ("HP:0032416", "Retinal microaneurysm"),
    "HE": ("HP:0000573", "Retinal hemorrhage"),
    "EX": ("HP:0001147", "Retinal exudate"),
    "SE": ("HP:0031606", "Retinal cotton wool spot"),
}
"""Suffix of the mask -> HPO term; the optic disc (OD) is anatomy and no finding."""
LABELS = {"DR grade >= 1": RETINOPATHY, "DME risk 2": MACULAR_EDEMA, **LESIONS}
"""What the data set asserts -> HPO term. HPO has no term for diabetic retinopathy; the broader one holds."""
APPROXIMATE = {"DME risk 2"}
"""The risk is graded by hard exudates alone: 0 none, 1 outside and 2 within one disc diameter of the
fovea. Risk 2 stands for macular edema in screening, but no thickness was measured; risk 1 does not."""


def records(root: Path) -> Iterator[Record | Reject]:
    """Graded images and images with lesion masks, sorted by id; `root` is the folder that holds ``idrid``.

    Grade 1 or more asserts retinopathy, risk 2 macular edema, a mask that is not empty its lesion.
    `class_name` is the grade. Without part A its records are left out and the log says so.

    Raises:
        PhenoLIPError: the layout is not there, or a table of it is damaged.
    """
    root = Path(root)
    need(root, FOLDER, NAME)
    for split, place in sorted(SETS.items()):
        folder = f"{GRADING}/1. Original Images/{place}"
        files = stems(need(root, folder, NAME))
        for stem, (grade, risk) in sorted(_grades(root, split).items()):
            labels = [RETINOPATHY[0]] * (grade >= 1) + [MACULAR_EDEMA[0]] * (risk >= 2)
            image = f"{folder}/{files.get(stem, stem + '.jpg')}"
            yield _record(f"grading/{split}/{stem}", image, labels, f"DR grade {grade}", split)
    if not (root / SEGMENTATION).is_dir():
        log.warning("%s is missing: only the graded images of IDRiD are read", root / SEGMENTATION)
        return
    for split, place in sorted(SETS.items()):
        folder = f"{SEGMENTATION}/1. Original Images/{place}"
        files = stems(need(root, folder, NAME))
        masked = {path.stem.rpartition("_")[0] for path in _mask_folder(root, split).glob("*/IDRiD_*_*.*")}
        for stem in sorted(files.keys() | masked):
            key = f"segmentation/{split}/{stem}"
            image = f"{folder}/{files.get(stem, stem + '.jpg')}"
            try:
                labels = list(masks(root, f"{NAME}/{key}"))
            except PhenoLIPError as error:
                yield Reject(f"{NAME}/{key}", "source", str(error).removeprefix(f"{root}/"))
                continue
            yield _record(key, image, labels, official_split=split)


def masks(root: Path, record_id: str) -> dict[str, Path]:
    """Lesion masks of a record by HPO id, only those with a lesion in them; empty for graded images.

    Raises:
        PhenoLIPError: a mask cannot be read.
    """
    parts = record_id.split("/")
    if len(parts) != 4 or parts[1] != "segmentation" or parts[2] not in SETS:
        return {}
    found = {}
    for suffix, (hpo_id, _) in LESIONS.items():
        for path in sorted(_mask_folder(root, parts[2]).glob(f"*/{parts[3]}_{suffix}.*")):
            try:
                with Image.open(path) as image:
                    # Masks are bilevel, grey or palette images; in grey only the background is 0.
                    if image.convert("L").getbbox():
                        found[hpo_id] = path
            except (OSError, SyntaxError, Image.DecompressionBombError) as error:
                raise PhenoLIPError(f"{path}: not a mask that can be read ({type(error).__name__})") from None
    return found


def _mask_folder(root: Path, split: str) -> Path:
    return Path(root) / SEGMENTATION / "2. All Segmentation Groundtruths" / SETS[split]


def _grades(root: Path, split: str) -> dict[str, tuple[int, int]]:
    """Retinopathy grade (0-4) and macular edema risk (0-2) by image stem; the tables end in empty rows and columns."""
    folder = need(root, f"{GRADING}/2. Groundtruths", NAME)
    word = "Training" if split == "train" else "Testing"
    found = sorted(folder.glob(f"*{word} Labels.csv"))
    if not found:
        raise PhenoLIPError(f"{folder}: there is no '*{word} Labels.csv'")
    try:
        table = pd.read_csv(found[0], dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' parser errors and wrong encodings are ValueErrors
        raise PhenoLIPError(f"{found[0]}: not a table ({error})") from None
    table.columns = [column.strip() for column in table.columns]
    columns = ["Image name", "Retinopathy grade", "Risk of macular edema"]
    if missing := [column for column in columns if column not in table.columns]:
        raise PhenoLIPError(f"{found[0]}: lacks the column {missing[0]!r}")
    grades = {}
    for row in table[columns].itertuples(index=False):
        name, grade, risk = (value.strip() for value in row)
        if name and not (grade in set("01234") and risk in set("012")):
            raise PhenoLIPError(f"{found[0]}: {name} has grade {grade!r} and risk {risk!r}")
        if name:
            grades[name] = (int(grade), int(risk))
    return grades
