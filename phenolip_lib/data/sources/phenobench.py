"""The published formats of PhenoBench (a table) and PhenoKG (JSON): a figure or panel, its text, its phenotypes.

Layout below ``phenobench``; pictures are named relative to it::

    testdata.csv            image_path,caption,full_matches: a list literal, the first item of each entry is a name
    *.json or *.jsonl       {pmc_id, figure_id, bbox_id, image_path, enhanced_description, modality, phenotypes}

Phenotypes are names, which curation looks up; HPO ids are taken as well. The articles' licences are not in the
files, so none is asserted.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import inside
from phenolip_lib.data.labels import split_labels
from phenolip_lib.data.licences import UNKNOWN
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import place, read_table

NAME = "phenobench"
TABLE = "testdata.csv"
MODALITIES = {
    "mri": "radiology",
    "ct": "radiology",
    "x-ray": "radiology",
    "ultrasound": "radiology",
    "pathology": "pathology",
    "microscopy": "other",
    "natural image": "other",
    "other": "other",
}
"""Kind of picture in PhenoKG -> modality; what a microscope or a camera shows may be of several."""
MAX_LITERAL = 100_000
"""Characters of one list of phenotypes."""


def records(root: Path) -> Iterator[Record | Reject]:
    """Rows of the table, then entries of the JSON files by name; `root` is the folder that holds ``phenobench``.

    The group is the article's PMCID, from ``pmc_id`` or the picture's name; a picture without one is its own.

    Raises:
        PhenoLIPError: neither the table nor a JSON file is there, or the table is damaged.
    """
    base = place(root, NAME, f"{TABLE} or PhenoKG's JSON files with their pictures")
    files = sorted(p for p in base.iterdir() if p.suffix.lower() in (".json", ".jsonl"))
    if (base / TABLE).is_file():
        bad: list[Reject] = []
        table = read_table(base / TABLE, ["image_path", "caption", "full_matches"], bad)
        yield from bad
        for number, row in zip(table.index, table.to_dict("records"), strict=True):
            names = _matches(row["full_matches"])
            entry = {"image_path": row["image_path"], "enhanced_description": row["caption"], "phenotypes": names}
            yield _item(base, f"{TABLE}:{number}", row["image_path"], entry, "test")
    elif not files:
        raise PhenoLIPError(f"{base}: holds neither {TABLE} nor a JSON file")
    for path in files:
        for number, entry in _entries(path):
            place_in_file = f"{path.name}:{number}"
            key = "/".join(_text(entry, k) for k in ("pmc_id", "figure_id", "bbox_id")) if entry else ""
            yield _item(base, place_in_file, key if key.replace("/", "") else "", entry, "")


def _item(base: Path, where: str, key: str, entry: dict[str, Any] | None, split: str) -> Record | Reject:
    record_id = f"{NAME}/{key.strip() or where}"
    image, names, caption = (entry or {}).get("image_path"), (entry or {}).get("phenotypes"), ""
    if entry is not None:
        caption = entry.get("enhanced_description") or ""
    if entry is None or not isinstance(image, str) or not image.strip() or not isinstance(caption, str):
        return Reject(record_id, "source", f"{where}: is not an entry with an image and a text")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return Reject(record_id, "source", f"{where}: phenotypes are not a list of names")
    image = image.strip()
    try:
        inside(base, image)
    except PhenoLIPError as error:
        return Reject(record_id, "source", f"{where}: {error}")
    pmcid = re.search(r"PMC\d+", f"{_text(entry, 'pmc_id')} {image}")
    article = pmcid[0] if pmcid else ""
    labels, label_names = split_labels(names)
    return Record(
        record_id=record_id,
        dataset=NAME,
        image=f"{NAME}/{image}",
        modality=MODALITIES.get(_text(entry, "modality").lower(), "other"),
        group=article or record_id,
        licence=UNKNOWN,
        url=f"https://pmc.ncbi.nlm.nih.gov/articles/{article}/" if article else "",
        caption=caption.strip(),
        labels=labels,
        label_names=label_names,
        official_split=split,
        article=article,
        figure=_text(entry, "figure_id"),
    )


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    return "" if value is None else str(value).strip()


def _matches(text: str) -> list[str] | None:
    """The first item of each entry of a list literal; None if it is none."""
    try:
        entries = ast.literal_eval(text) if len(text) <= MAX_LITERAL else None
        if not isinstance(entries, list | tuple):  # a text alone would come apart into letters
            return None
        return [entry if isinstance(entry, str) else entry[0] for entry in entries]
    except (ValueError, SyntaxError, TypeError, LookupError, MemoryError, RecursionError):
        return None


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Numbered entries of a JSON list or of JSON lines; None for one that is damaged or no object."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        yield 1, None
        return
    lines = path.suffix.lower() == ".jsonl"
    # Not `str.splitlines`: JSON texts may hold separators of their own.
    for number, part in enumerate(text.split("\n") if lines else [text], start=1):
        try:
            found = json.loads(part) if part.strip() or not lines else []
        except (ValueError, RecursionError):
            found = None
        found = found if isinstance(found, list) else [found]
        for k, entry in enumerate(found, start=1):
            yield number if lines else k, entry if isinstance(entry, dict) else None
