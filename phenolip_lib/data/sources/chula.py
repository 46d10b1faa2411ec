"""Chula RBC-12: blood smears with the class of every red cell, and smears by disease.

Layout (https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset)::

    chula-rbc-12/Dataset/1.jpg
    chula-rbc-12/Label/1.txt                     x y class, one line a cell
    chula-rbc-12/RBC Diseases/<disease>/*.jpg

Licence MIT (Naruenatthanaset et al. 2021). Upstream does not link smears to patients, so each is its
own group, and smears of one patient may lie on both sides of a split. 115 of 738 smears have no label
file. Class 12 comes from a batch of its own (images 707 to 738) whose look alone gives it away: a good
score on elliptocytes may be a score on staining. There is no official split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from phenolip_lib.core.runtime import log
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources.files import lone_record, need, stems

NAME = FOLDER = "chula-rbc-12"
LICENCE = "MIT"
URL = "https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset"
_record = partial(lone_record, NAME, "hematology", LICENCE, URL)
CLASSES = (
    "normal",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target cell",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "burr cell",
    "schistocyte",
    "uncategorised",
    "hypochromia",
    "elliptocyte",
)
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
"""Cell class -> HPO term. HPO has ovalocytes as a synonym of elliptocytosis."""
UNLINKED = {"normal", "uncategorised"}
"""Cell classes that are no finding and map to nothing."""
DISEASES = {
    "HE": ("HP:0004445", "Elliptocytosis"),
    "HS": ("HP:0004444", "Spherocytosis"),
    "Iron deficiency anemia": ("HP:0001891", "Iron deficiency anemia"),
    "Megaloblastic anemia": ("HP:0001889", "Megaloblastic anemia"),
}
"""Disease folder -> HPO term. Thalassemia is a disease without a term of its own and gets none."""
APPROXIMATE = {"macrocyte", "microcyte", "HE", "HS"}
"""Macrocyte and microcyte are single cells, their terms the mean volume of all; HE and HS are hereditary
diseases (elliptocytosis, spherocytosis), linked to the cells they are named after."""
MIN_CELLS, MIN_SHARE = 3, 0.05


def records(root: Path, min_cells: int = MIN_CELLS, min_share: float = MIN_SHARE) -> Iterator[Record]:
    """One record a smear, sorted by id; `root` is the folder that holds ``chula-rbc-12``.

    `class_name` is the most frequent class that is asserted and has a term; ``normal`` if normal cells
    alone are asserted; empty where labels are missing or too few to say.

    Args:
        min_cells, min_share: a class is asserted for the smear if it has at least so many cells and
            so large a share of them; a single odd cell is found in healthy blood as well.

    Raises:
        PhenoLIPError: the layout is not there.
    """
    folder = need(root, FOLDER, NAME)
    images, labels = stems(need(root, f"{FOLDER}/Dataset", NAME)), _label_files(root)
    for disease in sorted(p for p in folder.glob("RBC Diseases/*") if p.is_dir()):
        own = {DISEASES[disease.name][0]} if disease.name in DISEASES else set()
        for stem, name in sorted(stems(disease).items()):
            yield _record(f"disease/{disease.name}/{stem}", f"{FOLDER}/RBC Diseases/{disease.name}/{name}", own)
    for stem in sorted(images.keys() | labels.keys()):
        counts = Counter(read_cells(labels[stem])["class_name"]) if stem in labels else Counter()
        enough = max(min_cells, min_share * counts.total())
        asserted = sorted((c for c in CLASSES if counts[c] >= enough), key=lambda c: (-counts[c], c))
        found = [c for c in asserted if c in LABELS]
        # Two target cells and nothing else reach no threshold, yet such a smear is not normal.
        class_name = found[0] if found else "normal" if asserted == ["normal"] else ""
        image = f"{FOLDER}/Dataset/{images.get(stem, stem + '.jpg')}"
        yield _record(f"smear/{stem}", image, {LABELS[c][0] for c in found}, class_name)


def cells(root: Path) -> pd.DataFrame:
    """Every labelled cell, for crops: ``record_id``, ``x`` and ``y`` of its centre in pixels, ``class_name``.

    Raises:
        PhenoLIPError: the layout is not there.
    """
    tables = [
        read_cells(path).assign(record_id=f"{NAME}/smear/{stem}") for stem, path in sorted(_label_files(root).items())
    ]
    columns = ["record_id", "x", "y", "class_name"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def read_cells(path: Path) -> pd.DataFrame:
    """Cells of one smear (``x``, ``y``, ``class_name``); malformed lines are skipped and counted in the log."""
    rows, bad = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split()
        if len(parts) == 3 and all(p.isdecimal() for p in parts) and int(parts[2]) < len(CLASSES):
            rows.append((int(parts[0]), int(parts[1]), CLASSES[int(parts[2])]))
        elif parts:
            bad += 1
    if bad:
        log.warning("%s: %d malformed lines skipped", path, bad)
    # Some files hold no cell; untyped, their empty columns would turn all of `cells` into objects.
    return pd.DataFrame(rows, columns=["x", "y", "class_name"]).astype({"x": int, "y": int, "class_name": str})


def _label_files(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in need(root, f"{FOLDER}/Label", NAME).glob("*.txt")}
