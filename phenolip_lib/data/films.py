"""Chest films with labels, for evaluation: every film with the findings that its data set names, as categories.

Layouts, each below the folder of the source's data::

    nih-chestxray14/Data_Entry_2017_v2020.csv     Image Index, Finding Labels (a|b), Patient ID, View Position, ...
    nih-chestxray14/images*/[images/]<Image Index>
    vinbigdata/train.csv                          image_id, class_name, rad_id, ...; a row a box of one of three readers
    vinbigdata/train/<image_id>.png               upstream ships DICOM: convert first
    rsna/...                                      see `probe_sets.rsna`
    covid-chestxray/...                           see `sources.covid`

ChestX-ray14: Wang et al. 2017; labels were read by a program in reports, and films of one patient are many. VinDr-CXR:
Nguyen et al. 2022, a finding counts where two of the three readers name it. RSNA Pneumonia Detection Challenge 2018:
an opacity that two readers call pneumonia. Of the COVID collection (Cohen et al. 2020) frontal films count.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data import probe_sets
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources import covid
from phenolip_lib.data.sources.files import place, read_table, stems

COLUMNS = ["pair_id", "image", "left", "top", "right", "bottom", "labels", "group", "view"]
NONE = "No Finding"
NIH = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "Edema": "pulmonary edema",
    "Effusion": "pleural effusion",
    "Emphysema": "emphysema",
    "Fibrosis": "pulmonary fibrosis",
    "Hernia": "hiatal hernia",
    "Infiltration": "infiltrate",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pleural_Thickening": "pleural thickening",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
}
"""Label -> category of `recognition.findings`; a hernia on a chest film is nearly always hiatal."""
VINDR = {
    "Atelectasis": "atelectasis",
    "Calcification": "calcification",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "ILD": "interstitial lung disease",
    "Infiltration": "infiltrate",
    "Lung Opacity": "opacity",
    "Nodule/Mass": "nodule",
    "Pleural effusion": "pleural effusion",
    "Pleural thickening": "pleural thickening",
    "Pneumothorax": "pneumothorax",
    "Pulmonary fibrosis": "pulmonary fibrosis",
}
"""The same; `Aortic enlargement` and `Other lesion` have no category of their own."""
READERS = 2
"""Of VinDr-CXR's three, who must agree."""


def nih(root: Path) -> pd.DataFrame:
    """Films of ChestX-ray14; `root` is the folder that holds ``nih-chestxray14``.

    Returns:
        table with `COLUMNS`, sorted by pair_id: `labels` is a sorted tuple of categories, `group` the patient. Films
        without a file are left out, says the log.

    Raises:
        PhenoLIPError: the layout is not there, a label is unknown, or no film is there.
    """
    name = "nih-chestxray14"
    base = place(root, name, "a copy of ChestX-ray14")
    tables = sorted(base.glob("Data_Entry_2017*.csv"))
    if not tables:
        raise PhenoLIPError(f"{base}: no Data_Entry_2017*.csv; it lists the films and their labels")
    table = read_table(tables[-1], ["Image Index", "Finding Labels", "Patient ID", "View Position"])
    return _films(
        root,
        name,
        table["Image Index"].str.rpartition(".")[0],
        table["Finding Labels"].str.split("|"),
        NIH,
        table["Patient ID"],
        table["View Position"],
        [folder for folder in sorted(base.glob("images*")) for folder in (folder / "images", folder)],
    )


def vindr(root: Path) -> pd.DataFrame:
    """The same of VinDr-CXR as VinBigData released it; patients are not published, so each film is a group."""
    name = "vinbigdata"
    base = place(root, name, "a copy of VinBigData Chest X-ray, films as PNG,")
    table = read_table(base / "train.csv", ["image_id", "class_name", "rad_id"])
    readers = table.drop_duplicates(["image_id", "class_name", "rad_id"]).groupby(["image_id", "class_name"]).size()
    agreed = readers[readers >= READERS].reset_index()
    labels = agreed[agreed["class_name"].isin(VINDR)].groupby("image_id")["class_name"].agg(list)
    films = pd.Series(sorted(table["image_id"].unique()))
    found = films.map(lambda film: labels.get(film, []))
    return _films(root, name, films, found, VINDR, films, pd.Series("PA", index=films.index), [base / "train"])


def rsna(root: Path) -> pd.DataFrame:
    """The same of RSNA's challenge: pneumonia where its readers boxed an opacity."""
    table = probe_sets.rsna(root)
    labels = table["class_name"].map(lambda name: ("pneumonia",) if name == "Lung Opacity" else ())
    return table.assign(labels=labels, view="")[COLUMNS]


def covid_films(root: Path) -> pd.DataFrame:
    """The same of frontal films of the COVID collection: pneumonia of any cause, or none."""
    rows = []
    for item in covid.records(root):
        if not isinstance(item, Record) or not item.class_name:
            continue
        view = next((word for word in ("PA", "AP Supine", "AP") if f"View: {word}." in item.context), "")
        if view and (item.class_name == NONE or item.class_name.startswith("Pneumonia")):
            labels = () if item.class_name == NONE else ("pneumonia",)
            rows.append((item.record_id, item.image, *item.box, labels, item.group, view))
    if not rows:
        raise PhenoLIPError(f"{root}/{covid.NAME}: no frontal film with a finding is there")
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("pair_id", ignore_index=True)


FILMS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "nih-chestxray14": nih,
    "vinbigdata": vindr,
    "rsna": rsna,
    "covid-chestxray": covid_films,
}
"""Sets of films by folder; adding one is a function and a line here."""


def present(root: Path) -> dict[str, pd.DataFrame]:
    """Every set whose folder lies under `root`, by name."""
    return {name: load(Path(root)) for name, load in FILMS.items() if (Path(root) / name).is_dir()}


def _films(
    root: Path,
    name: str,
    films: pd.Series,
    labels: pd.Series,
    categories: dict[str, str],
    patients: pd.Series,
    views: pd.Series,
    folders: list[Path],
) -> pd.DataFrame:
    files: dict[str, str] = {}
    for folder in filter(Path.is_dir, folders):
        files |= {stem: (folder / file).relative_to(root).as_posix() for stem, file in stems(folder).items()}
    if other := sorted({label for own in labels for label in own} - {*categories, NONE}):
        raise PhenoLIPError(f"{root}/{name}: unknown label {other[0]!r}; there are {', '.join(categories)}")
    table = pd.DataFrame(
        {
            "pair_id": f"{name}/" + films,
            "image": films.map(files),
            **dict.fromkeys(("left", "top"), 0.0),
            **dict.fromkeys(("right", "bottom"), 1.0),
            "labels": [tuple(sorted(categories[label] for label in own if label != NONE)) for own in labels],
            "group": f"{name}/" + patients,
            "view": views,
        }
    )
    there = table["image"].notna()
    if not there.any():
        raise PhenoLIPError(f"{root}/{name}: none of the {len(table)} films is there as PNG or JPEG")
    if not there.all():
        log.warning("%s: %d of %d films are absent", name, (~there).sum(), len(there))
    return table[there].sort_values("pair_id", ignore_index=True)[COLUMNS]
