"""HAM10000: dermatoscopic images of pigmented lesions in seven diagnostic classes.

Layout (doi:10.7910/DVN/DBW86T)::

    ham10000/HAM10000_metadata.csv             lesion_id, image_id, dx, dx_type, age, sex, localization
    ham10000/HAM10000_images*/ISIC_0027419.jpg  upstream ships two parts

Licence CC BY-NC 4.0 (Tschandl, Rosendahl and Kittler 2018). There is no official split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import need, stems

NAME = FOLDER = "ham10000"
LICENCE = "CC-BY-NC-4.0"
URL = "https://doi.org/10.7910/DVN/DBW86T"
LABELS = {
    "akiec": ("HP:0025127", "Actinic keratosis"),
    "bcc": ("HP:0002671", "Basal cell carcinoma"),
    "bkl": ("HP:0031287", "Seborrheic keratosis"),
    "mel": ("HP:0012056", "Cutaneous melanoma"),
    "nv": ("HP:0000995", "Melanocytic nevus"),
    "vasc": ("HP:0001028", "Hemangioma"),
}
"""Class -> HPO term."""
UNLINKED = {"df"}
"""Classes without a fitting term: HPO has none for dermatofibroma."""
APPROXIMATE = {"bkl", "vasc", "akiec"}
"""``bkl`` also holds solar lentigo and lichen planus-like keratosis, ``vasc`` angiokeratoma, pyogenic
granuloma and haemorrhage, ``akiec`` Bowen's disease beside actinic keratosis."""


def records(root: Path) -> Iterator[Record | Reject]:
    """One record an image, sorted by id; `root` is the folder that holds ``ham10000``.

    There is no caption; site, sex and age, where known, are context. Images of one lesion are one group.

    Raises:
        PhenoLIPError: the layout is not there, or the metadata are damaged.
    """
    path = need(root, f"{FOLDER}/HAM10000_metadata.csv", NAME)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' parser errors and wrong encodings are ValueErrors
        raise PhenoLIPError(f"{path}: not a table ({error})") from None
    if missing := {"lesion_id", "image_id", "dx"} - set(table.columns):
        raise PhenoLIPError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
    folders = sorted(p for p in path.parent.glob("HAM10000_images*") if p.is_dir())
    files = {stem: f"{FOLDER}/{folder.name}/{name}" for folder in folders for stem, name in stems(folder).items()}
    for row in table.sort_values("image_id").to_dict("records"):
        stem, dx = row["image_id"], row["dx"]
        if dx not in LABELS.keys() | UNLINKED:
            yield Reject(
                f"{NAME}/{stem}", "source", f"unknown class {dx!r} in dx; there are {', '.join(LABELS)} and df"
            )
            continue
        facts = (("Site", "localization"), ("Sex", "sex"), ("Age", "age"))
        known = [f"{word}: {value}." for word, key in facts if (value := row.get(key, "")) not in {"", "unknown"}]
        yield Record(
            record_id=f"{NAME}/{stem}",
            dataset=NAME,
            image=files.get(stem, f"{FOLDER}/HAM10000_images/{stem}.jpg"),
            modality="dermatology",
            group=f"{NAME}/{row['lesion_id']}",
            licence=LICENCE,
            url=URL,
            context=" ".join(known),
            labels=(LABELS[dx][0],) if dx in LABELS else (),
            class_name=dx,
        )
