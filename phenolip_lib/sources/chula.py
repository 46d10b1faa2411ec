"""Chula RBC-12: blood smears with the class of every red cell, and smears by disease.

Layout (https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset)::

    chula-rbc-12/Dataset/1.jpg
    chula-rbc-12/Label/1.txt                     x y class, one line a cell
    chula-rbc-12/RBC Diseases/<disease>/*.jpg

Licence MIT (Naruenatthanaset et al. 2021). Smears are not linked to patients, so each is its own
group. Class 12 comes from a batch of its own (images 707 to 738), whose look alone gives it away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from phenolip_lib.records import Record
from phenolip_lib.runtime import log
from phenolip_lib.sources.files import need, stems

NAME = FOLDER = "chula-rbc-12"
LICENCE = "MIT"
URL = "https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset"
CLASSES = (
    "normal", "macrocyte", "microcyte", "spherocyte", "target cell", "stomatocyte", "ovalocyte", "teardrop",
    "burr cell", "schistocyte", "uncategorised", "hypochromia", "elliptocyte",
)  # fmt: skip
LABELS = {
    "macrocyte": ("HP:0005518", "Increased mean corpuscular volume"),
    "microcyte": ("HP:0025066", "Decreased mean corpuscular volume"),
    "spherocyte": ("HP:0004444", "Spherocytosis"),
    "target cell": ("HP:0034280", "Target cells"),
    "stomatocyte": ("HP:0004446", "Stomatocytosis"),
    "ovalocyte": ("HP:0004445", "Elliptocytosis"),
    "teardrop": ("HP:0032563", "Dacryocytosis"),
    "burr cell": ("HP:0032519", "Increased Burr cell count"),
    "schistocyte": ("HP:0001981", "Schistocytosis"),
    "hypochromia": ("HP:0032231", "Hypochromia"),
    "elliptocyte": ("HP:0004445", "Elliptocytosis"),
}
"""Cell class -> HPO term; normal and uncategorised cells have none."""
DISEASES = {
    "HE": ("HP:0004445", "Elliptocytosis"),
    "HS": ("HP:0004444", "Spherocytosis"),
    "Iron deficiency anemia": ("HP:0001891", "Iron deficiency anemia"),
    "Megaloblastic anemia": ("HP:0001889", "Megaloblastic anemia"),
}
"""Disease folder -> HPO term. Thalassemia is a disease without a term of its own and gets none."""
APPROXIMATE = {"macrocyte", "microcyte"}
"""The HPO terms are about the mean volume of all cells, the classes about single cells."""
MIN_CELLS, MIN_SHARE = 3, 0.05


def read_cells(path: Path) -> pd.DataFrame:
    """Cells of one smear (x, y in pixels, cell class name); malformed lines are skipped and logged."""
    rows, bad = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split()
        if len(parts) == 3 and all(p.isdigit() for p in parts) and int(parts[2]) < len(CLASSES):
            rows.append((int(parts[0]), int(parts[1]), CLASSES[int(parts[2])]))
        elif parts:
            bad += 1
    if bad:
        log.info("%s: %d malformed lines skipped", path.name, bad)
    return pd.DataFrame(rows, columns=["x", "y", "cell"])


def records(root: Path, min_cells: int = MIN_CELLS, min_share: float = MIN_SHARE) -> Iterator[Record]:
    """One record a smear, sorted; `root` is the folder that holds ``chula-rbc-12``.

    Args:
        min_cells, min_share: a class is asserted for the smear if it has at least so many cells and
            so large a share of them; a single odd cell is found in healthy blood as well.

    Raises:
        PhenoLIPError: the layout is not there.
    """
    images, labels = need(root, f"{FOLDER}/Dataset", NAME), need(root, f"{FOLDER}/Label", NAME)
    for stem, name in sorted(stems(images).items(), key=lambda item: (len(item[0]), item[0])):
        file = labels / f"{stem}.txt"
        counts = Counter(read_cells(file)["cell"]) if file.is_file() else Counter()
        enough = max(min_cells, min_share * counts.total())
        found = sorted((cell for cell in LABELS if counts[cell] >= enough), key=lambda cell: (-counts[cell], cell))
        yield _record(f"smear/{stem}", f"{FOLDER}/Dataset/{name}", {LABELS[cell][0] for cell in found},
                      found[0] if found else "normal" if counts else "")  # fmt: skip
    folder = Path(root) / FOLDER / "RBC Diseases"
    for disease in sorted(p for p in folder.glob("*") if p.is_dir()):
        for stem, name in sorted(stems(disease).items()):
            own = {DISEASES[disease.name][0]} if disease.name in DISEASES else set()
            yield _record(f"disease/{disease.name}/{stem}", f"{FOLDER}/RBC Diseases/{disease.name}/{name}", own, "")


def _record(key: str, image: str, labels: set[str], class_name: str) -> Record:
    return Record(
        record_id=f"{NAME}/{key}",
        dataset=NAME,
        image=image,
        modality="hematology",
        group=f"{NAME}/{key}",
        licence=LICENCE,
        url=URL,
        labels=tuple(sorted(labels)),
        class_name=class_name,
    )
