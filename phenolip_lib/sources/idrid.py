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
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.records import Record
from phenolip_lib.sources.files import need, stems

NAME = FOLDER = "idrid"
LICENCE = "CC-BY-4.0"
URL = "https://idrid.grand-challenge.org"
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


def records(root: Path) -> Iterator[Record]:
    """Graded images, then images with lesion masks, sorted; `root` holds ``idrid``.

    Grade 1 or more asserts retinopathy. Risk 2 (exudates within a disc diameter of the fovea) asserts
    macular edema; risk 1 does not. `class_name` is the grade.

    Raises:
        PhenoLIPError: the layout is not there.
    """
    need(root, FOLDER, NAME)
    for split, place in SETS.items():
        files = stems(need(root, f"{GRADING}/1. Original Images/{place}", NAME))
        for stem, (grade, risk) in sorted(_grades(root, split).items()):
            labels = [RETINOPATHY[0]] * (grade >= 1) + [MACULAR_EDEMA[0]] * (risk >= 2)
            image = f"{GRADING}/1. Original Images/{place}/{files.get(stem, stem + '.jpg')}"
            yield _record(f"grading/{split}/{stem}", image, split, labels, f"DR grade {grade}")
    if not (Path(root) / SEGMENTATION).is_dir():
        return
    for split, place in SETS.items():
        for stem, name in stems(need(root, f"{SEGMENTATION}/1. Original Images/{place}", NAME)).items():
            key = f"segmentation/{split}/{stem}"
            labels = sorted(masks(root, f"{NAME}/{key}"))
            yield _record(key, f"{SEGMENTATION}/1. Original Images/{place}/{name}", split, labels, "")


def _record(key: str, image: str, split: str, labels: list[str], class_name: str) -> Record:
    return Record(
        record_id=f"{NAME}/{key}",
        dataset=NAME,
        image=image,
        modality="ophthalmology",
        group=f"{NAME}/{key}",
        licence=LICENCE,
        url=URL,
        labels=tuple(sorted(labels)),
        class_name=class_name,
        official_split=split,
    )


def _grades(root: Path, split: str) -> dict[str, tuple[int, int]]:
    """Retinopathy grade (0-4) and macular edema risk (0-2) by image stem; rows that say neither are left out."""
    folder = need(root, f"{GRADING}/2. Groundtruths", NAME)
    word = "Training" if split == "train" else "Testing"
    found = sorted(folder.glob(f"*{word} Labels.csv"))
    if not found:
        raise PhenoLIPError(f"{folder}: there is no '*{word} Labels.csv'")
    table = pd.read_csv(found[0], dtype=str, keep_default_na=False)
    table.columns = [column.strip() for column in table.columns]
    names, grades, risks = (table[c].str.strip() for c in ("Image name", "Retinopathy grade", "Risk of macular edema"))
    return {n: (int(g), int(r)) for n, g, r in zip(names, grades, risks, strict=True) if g.isdigit() and r.isdigit()}


def masks(root: Path, record_id: str) -> dict[str, Path]:
    """Lesion masks of a record by HPO id, only those with a lesion in them; empty for graded images."""
    parts = record_id.split("/")
    if len(parts) != 4 or parts[1] != "segmentation":
        return {}
    folder = Path(root) / SEGMENTATION / "2. All Segmentation Groundtruths" / SETS[parts[2]]
    found = {}
    for suffix, (hpo_id, _) in LESIONS.items():
        for path in sorted(folder.glob(f"*/{parts[3]}_{suffix}.*")):
            with Image.open(path) as image:
                if np.asarray(image.convert("L")).any():
                    found[hpo_id] = path
    return found
