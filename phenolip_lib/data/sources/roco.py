"""ROCO: figures of PMC articles with captions, in either of its two layouts.

First release (https://github.com/razorx89/roco-dataset), also with ``data/`` above the splits::

    roco/{train,validation,test}/{radiology,non-radiology}/captions.txt    id, tab, caption
    roco/{train,validation,test}/{radiology,non-radiology}/licences.txt    ROCO_ID,PMC_ID,CC
    roco/{train,validation,test}/{radiology,non-radiology}/dlinks.txt      id, tab, address of the PMC package
    roco/{train,validation,test}/{radiology,non-radiology}/images/<id>.jpg

Second release (https://doi.org/10.5281/zenodo.10821435)::

    roco/{train,valid,test}_captions.csv        ID,Caption
    roco/{train,valid,test}/<ID>.jpg
    roco/license_information.csv                ID, and licence, PMCID and address in words

The folder may also be called ``rocov2``, and a part of the second release may say so before the names of its tables,
as in ``sample_train_captions.csv``.

Licences are the articles' own; what is not stated is not asserted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.licences import UNKNOWN, spdx
from phenolip_lib.data.panel_captions import split_caption
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import place, read_table, stems

NAME, NAME_2 = "roco", "rocov2"
URL = "https://github.com/razorx89/roco-dataset"
FIRST, SECOND = ("train", "validation", "test"), ("train", "valid", "test")
KINDS = {"radiology": "radiology", "non-radiology": "other"}
"""Folder of the first release -> modality; the second one is radiology alone."""


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a caption, by split and as in its file; `root` is the folder that holds ``roco`` or ``rocov2``.

    The group is the article's PMCID, as in other sources that know it, or the picture where it is not known.

    Raises:
        PhenoLIPError: neither layout is there, or a table of it is damaged.
    """
    name = NAME if (Path(root) / NAME).is_dir() or not (Path(root) / NAME_2).is_dir() else NAME_2
    base = place(root, name, "a copy of ROCO or ROCOv2")
    first = base / "data" if (base / "data").is_dir() else base
    folders = [(split, kind, first / split / kind) for split in FIRST for kind in KINDS]
    folders = [(split, kind, folder) for split, kind, folder in folders if (folder / "captions.txt").is_file()]
    tables = [(split, path) for split in SECOND for path in sorted(base.glob(f"*{split}_captions.csv"))]
    if not folders and not tables:
        raise PhenoLIPError(f"{base}: holds neither train/radiology/captions.txt nor train_captions.csv")
    for split, kind, folder in folders:
        facts = _facts(folder / "dlinks.txt") | _facts(folder / "licences.txt")
        rows = [line.split("\t", 1) for line in _lines(folder / "captions.txt")]
        yield from _records(root, folder / "images", rows, facts, split, kind)
    facts = _facts(base / "license_information.csv") if tables else {}
    for split, path in tables:
        bad: list[Reject] = []
        table = read_table(path, ["ID", "Caption"], bad)
        yield from bad
        yield from _records(root, base / split, table[["ID", "Caption"]].values.tolist(), facts, split, "radiology")


def is_there(root: Path) -> bool:
    """Whether either folder lies below `root`."""
    return any((Path(root) / name).is_dir() for name in (NAME, NAME_2))


def _records(
    root: Path, folder: Path, rows: list[list[str]], facts: dict[str, str], split: str, kind: str
) -> Iterator[Record | Reject]:
    files = stems(folder) if folder.is_dir() else {}
    seen = set()
    for number, row in enumerate(rows, start=1):
        name = row[0].strip()
        reason = (
            "line is not an id and a caption"
            if len(row) < 2 or not name
            else "id occurs twice"
            if name in seen
            else f"picture is not in {folder.relative_to(root).as_posix()}"
            if name not in files
            else ""
        )
        seen.add(name)
        if reason:
            yield Reject(f"{NAME}/{split}/{kind}/{name or f'line {number}'}", "source", reason)
            continue
        about, caption = facts.get(name, ""), " ".join(row[1].split())
        pmcid = re.search(r"PMC\d+", about)
        article = pmcid[0] if pmcid else ""
        yield Record(
            record_id=f"{NAME}/{split}/{kind}/{name}",
            dataset=NAME,
            image=f"{folder.relative_to(root).as_posix()}/{files[name]}",
            modality=KINDS[kind],
            group=article or f"{NAME}/{name}",
            licence=spdx(about) if about else UNKNOWN,
            url=f"https://pmc.ncbi.nlm.nih.gov/articles/{article}/" if article else URL,
            caption=caption,
            class_name=kind,
            compound=bool(split_caption(caption)),
            official_split=split,
            article=article,
        )


def _lines(path: Path) -> list[str]:
    """Lines that are not empty; not `str.splitlines`, as captions hold separators of their own."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [line for line in re.split(r"\r?\n", text) if line.strip()]


def _facts(path: Path) -> dict[str, str]:
    """All that a file of licences or links says of each picture, in one text; empty without the file."""
    if not path.is_file():
        return {}
    # The text files of the first release know no quotes; a stray one would swallow the lines below it.
    quoting = csv.QUOTE_NONE if path.suffix == ".txt" else csv.QUOTE_MINIMAL
    rows = csv.reader(_lines(path), delimiter="\t" if path.name == "dlinks.txt" else ",", quoting=quoting)
    try:
        return {row[0].strip(): " ".join(row[1:]) for row in rows if row}
    except csv.Error as error:
        raise PhenoLIPError(f"{path}: not a table ({error})") from None
