"""WebDataset shards: pictures, texts and facts as members of tar files, read without unpacking.

Layout, at any depth below ``webdataset`` (https://github.com/webdataset/webdataset)::

    webdataset/train-000000.tar        0001.jpg  0001.txt  0001.json
                                       0002.png  0002.json

Members of one sample share their key, the name up to the first dot after the last ``/``. The text is
the caption. The JSON may hold ``caption``, ``context``, ``labels`` or ``phenotypes`` (HPO ids or names), ``group``,
``licence`` or ``license``, ``modality``, ``class`` or ``class_name``, ``article``, ``patient``, ``figure`` and
``url``; other entries are not looked at. Shards that this project exports are read back with the labels that were
asserted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import members, read_member
from phenolip_lib.data.images import PICTURE_SUFFIXES
from phenolip_lib.data.licences import spdx
from phenolip_lib.data.records import MODALITIES, Record, Reject
from phenolip_lib.data.sources.files import place, split_labels

NAME = "webdataset"
NUMBERS = ("group", "class", "article", "patient", "figure")
"""Entries that may be whole numbers as well."""
SYNONYMS = {"license": "licence", "class_name": "class"}
TEXTS = ("caption", "context", "group", "licence", "modality", "class", "article", "patient", "figure", "url")


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a sample, shards by path and samples in their order; `root` is the folder that holds ``webdataset``.

    Raises:
        PhenoLIPError: the folder is not there.
    """
    base = place(root, NAME, "shards (*.tar)")
    for path in sorted(p for p in base.rglob("*") if p.is_file() and p.name.endswith((".tar", ".tar.gz", ".tgz"))):
        shard = path.relative_to(base).as_posix()
        if path.suffix != ".tar":
            yield Reject(f"{NAME}/{shard}", "source", "a compressed shard has no random access; gunzip it")
            continue
        try:
            names = list(members(path))
        except PhenoLIPError as error:
            yield Reject(f"{NAME}/{shard}", "source", str(error).removeprefix(f"{path}: "))
            continue
        samples: dict[str, dict[str, str]] = {}
        for name in names:
            folder, slash, last = name.rpartition("/")
            key, _, suffix = last.partition(".")
            samples.setdefault(f"{folder}{slash}{key}", {})[f".{suffix.lower()}"] = name
        for key, parts in samples.items():
            record_id = f"{NAME}/{shard.removesuffix('.tar')}/{key}"
            try:
                yield _record(record_id, path, f"{NAME}/{shard}", parts)
            except PhenoLIPError as error:
                yield Reject(record_id, "source", str(error))


def _record(record_id: str, path: Path, container: str, parts: dict[str, str]) -> Record:
    pictures = [parts[suffix] for suffix in PICTURE_SUFFIXES if suffix in parts]
    if len(pictures) != 1:
        raise PhenoLIPError(f"sample has {len(pictures)} pictures")
    facts = _facts(path, parts[".json"]) if ".json" in parts else {}
    if ".txt" in parts:
        try:
            facts["caption"] = read_member(path, parts[".txt"]).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise PhenoLIPError("text is not UTF-8") from None
    texts = {name: " ".join(facts.get(name, "").split()) for name in TEXTS}
    modality = texts["modality"].lower() or "other"
    if modality not in MODALITIES:
        raise PhenoLIPError(f"unknown modality {modality!r}; there are {', '.join(MODALITIES)}")
    labels, label_names = split_labels(facts.get("labels") or ())
    return Record(
        record_id=record_id,
        dataset=NAME,
        image=f"{container}::{pictures[0]}",
        modality=modality,
        group=texts["group"] or texts["article"] or (f"{NAME}/{texts['patient']}" if texts["patient"] else record_id),
        licence=spdx(texts["licence"]),
        url=texts["url"],
        caption=texts["caption"],
        context=texts["context"],
        labels=labels,
        label_names=label_names,
        class_name=texts["class"],
        article=texts["article"],
        patient=texts["patient"],
        figure=texts["figure"],
    )


def _facts(path: Path, member: str) -> dict[str, Any]:
    try:
        facts = json.loads(read_member(path, member))
    except (ValueError, RecursionError):
        raise PhenoLIPError("facts are not valid JSON") from None
    if not isinstance(facts, dict):
        raise PhenoLIPError("facts are not an object of texts")
    for other, name in SYNONYMS.items():
        facts[name] = facts.get(other) if facts.get(name) is None else facts[name]
    for name in TEXTS:
        value = "" if facts.get(name) is None else facts[name]
        # Group 0 is a group: were it dropped, its pictures could come to lie on both sides of a split.
        if name in NUMBERS and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise PhenoLIPError("facts are not an object of texts")
        facts[name] = value
    # In exported shards the phenotypes of a pair are either asserted or recognised in its text, never both.
    labels = facts.setdefault("labels", facts.get("phenotypes") if facts.get("asserted", True) else []) or []
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise PhenoLIPError("labels are not a list of texts")
    return facts
