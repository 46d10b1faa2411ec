"""MedMNIST: the twelve sets of small pictures, of any of their sizes, read from within their arrays.

Layout (https://medmnist.com, https://doi.org/10.5281/zenodo.10519652)::

    medmnist/pathmnist.npz, pathmnist_64.npz, ...        {train,val,test}_{images,labels}

Licence CC BY 4.0, DermaMNIST CC BY-NC 4.0 (Yang et al. 2023). Patients and scans are not published, so each
picture is its own group, the same one in all sizes. DermaMNIST is HAM10000 anew, and the organ sets show the
same scans along three axes. Three-dimensional sets are no pictures.
"""

from __future__ import annotations

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import array_shape
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import place

NAME = "medmnist"
URL = "https://medmnist.com"
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises on damaged files, or on a file that is a bare array."""


@dataclass(frozen=True)
class Set:
    """What one of the sets shows; its `classes` in the order of their numbers."""

    modality: str
    classes: tuple[str, ...]
    licence: str = "CC-BY-4.0"


ORGANS = Set(
    "radiology",
    (
        "bladder",
        "femur-left",
        "femur-right",
        "heart",
        "kidney-left",
        "kidney-right",
        "liver",
        "lung-left",
        "lung-right",
        "pancreas",
        "spleen",
    ),
)
SETS = {
    "pathmnist": Set(
        "pathology",
        (
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
    ),
    "chestmnist": Set(
        "radiology",
        (
            "atelectasis",
            "cardiomegaly",
            "effusion",
            "infiltration",
            "mass",
            "nodule",
            "pneumonia",
            "pneumothorax",
            "consolidation",
            "edema",
            "emphysema",
            "fibrosis",
            "pleural",
            "hernia",
        ),
    ),
    "dermamnist": Set(
        "dermatology",
        (
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
        "CC-BY-NC-4.0",
    ),
    "octmnist": Set("ophthalmology", ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal")),
    "pneumoniamnist": Set("radiology", ("normal", "pneumonia")),
    "retinamnist": Set("ophthalmology", tuple(f"DR grade {grade}" for grade in range(5))),
    "breastmnist": Set("radiology", ("malignant", "normal, benign")),
    "bloodmnist": Set(
        "hematology",
        (
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
    ),
    "tissuemnist": Set(
        "histology",
        (
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Glomerular endothelial cells",
            "Interstitial endothelial cells",
            "Leukocytes",
            "Podocytes",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        ),
    ),
    "organamnist": ORGANS,
    "organcmnist": ORGANS,
    "organsmnist": ORGANS,
}
_RETINOPATHY = ("HP:0000488", "Retinopathy")
LABELS = {
    "colorectal adenocarcinoma epithelium": ("HP:0040275", "Adenocarcinoma of the large intestine"),
    "atelectasis": ("HP:0100750", "Atelectasis"),
    "cardiomegaly": ("HP:0001640", "Cardiomegaly"),
    "effusion": ("HP:0002202", "Pleural effusion"),
    "infiltration": ("HP:0002113", "Pulmonary infiltrates"),
    "mass": ("HP:0033821", "Pulmonary mass"),
    "nodule": ("HP:0033608", "Pulmonary nodule"),
    "pneumonia": ("HP:0002090", "Pneumonia"),
    "pneumothorax": ("HP:0002107", "Pneumothorax"),
    "consolidation": ("HP:0032177", "Parenchymal consolidation"),
    "edema": ("HP:0100598", "Pulmonary edema"),
    "emphysema": ("HP:0002097", "Emphysema"),
    "fibrosis": ("HP:0002206", "Pulmonary fibrosis"),
    "pleural": ("HP:0031944", "Pleural thickening"),
    "hernia": ("HP:0100790", "Hernia"),
    "actinic keratoses and intraepithelial carcinoma": ("HP:0025127", "Actinic keratosis"),
    "basal cell carcinoma": ("HP:0002671", "Basal cell carcinoma"),
    "benign keratosis-like lesions": ("HP:0031287", "Seborrheic keratosis"),
    "melanoma": ("HP:0012056", "Cutaneous melanoma"),
    "melanocytic nevi": ("HP:0000995", "Melanocytic nevus"),
    "vascular lesions": ("HP:0001028", "Hemangioma"),
    "choroidal neovascularization": ("HP:0011506", "Choroidal neovascularization"),
    "diabetic macular edema": ("HP:0040049", "Macular edema"),
    "drusen": ("HP:0011510", "Drusen"),
    "malignant": ("HP:0003002", "Breast carcinoma"),
    **{f"DR grade {grade}": _RETINOPATHY for grade in range(1, 5)},
}
"""Class -> HPO term. Tissues, healthy cells and organs are no phenotypes; dermatofibroma has no term."""
APPROXIMATE = {
    "actinic keratoses and intraepithelial carcinoma",
    "benign keratosis-like lesions",
    "vascular lesions",
    "malignant",
}
"""The first three as in HAM10000; a malignant breast lesion on ultrasound is nearly always a carcinoma. The labels
of the chest set were mined from reports."""


def records(root: Path) -> Iterator[Record | Reject]:
    """Pictures of every file, by file, split and number; `root` is the folder that holds ``medmnist``.

    `class_name` is the class; of several findings in one radiograph there is none.

    Raises:
        PhenoLIPError: the folder is not there.
    """
    for path in sorted(place(root, NAME, "MedMNIST's npz files").glob("*.npz")):
        name = re.fullmatch(r"(\w+?)(?:_\d+)?", path.stem)
        if not name or name[1] not in SETS:
            yield Reject(
                f"{NAME}/{path.stem}", "source", f"no two-dimensional set of MedMNIST; there are {', '.join(SETS)}"
            )
            continue
        for split in ("train", "val", "test"):
            try:
                labels = _labels(path, split)
            except PhenoLIPError as error:
                yield Reject(f"{NAME}/{path.stem}/{split}", "source", str(error))
                continue
            for number, row in enumerate(labels):
                yield _item(path.stem, name[1], split, number, row)


def _labels(path: Path, split: str) -> np.ndarray:
    """Labels ``(n, 1)``, or ``(n, 14)`` of the chest set, with as many pictures beside them."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            labels = archive[f"{split}_labels"]
        shape = array_shape(path, f"{split}_images")
    except _DAMAGED as error:
        raise PhenoLIPError(f"labels cannot be read: {type(error).__name__}") from None
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or len(labels) != shape[0]:
        raise PhenoLIPError(f"labels {labels.dtype} {labels.shape} do not belong to pictures {shape}")
    return labels


def _item(stem: str, name: str, split: str, number: int, row: np.ndarray) -> Record | Reject:
    facts, key = SETS[name], f"{split}/{number:06d}"
    if name == "chestmnist":
        valid = len(row) == len(facts.classes) and set(row.tolist()) <= {0, 1}
        found = [facts.classes[i] for i in np.flatnonzero(row)] if valid else []
        class_name = found[0] if len(found) == 1 else "" if found else "normal"
    else:
        valid = len(row) == 1 and 0 <= row[0] < len(facts.classes)
        found = [facts.classes[row[0]]] if valid else []
        class_name = "".join(found)
    if not valid:
        return Reject(f"{NAME}/{stem}/{key}", "source", f"label {row.tolist()} is none of {name}")
    return Record(
        record_id=f"{NAME}/{stem}/{key}",
        dataset=NAME,
        image=f"{NAME}/{stem}.npz::{split}_images/{number}",
        modality=facts.modality,
        group=f"{NAME}/{name}/{key}",
        licence=facts.licence,
        url=URL,
        labels=tuple(sorted({LABELS[c][0] for c in found if c in LABELS})),
        class_name=class_name,
        official_split=split,
    )
