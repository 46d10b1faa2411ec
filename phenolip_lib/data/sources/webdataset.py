"""WebDataset shards: pictures, texts and facts as members of tar files, read without unpacking.

Layout, at any depth below ``webdataset`` (https://github.com/webdataset/webdataset)::

    webdataset/train-000000.tar        0001.jpg  0001.txt  0001.json
                                       0002.png  0002.json

Members of one sample share their key, the name up to the first dot after the last ``/``; the last suffix tells what a
member is, so ``0001.input.jpg`` is a picture too. Where that throws pictures together that have names of their own
(``1.2.840.1.jpg``, ``1.2.840.1.txt``, ``1.2.840.2.jpg``, ...), the key goes up to the last dot.

The text is the caption. The JSON may hold ``caption``, ``context``, ``labels`` or ``phenotypes`` (HPO ids or names),
``group``, ``licence`` or ``license``, ``modality``, ``class`` or ``class_name``, ``article``, ``patient``, ``figure``
and ``url``; other entries are not looked at. Shards that this project exports are read back with the labels that were
asserted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import members, read_member
from phenolip_lib.data.images import PICTURE_SUFFIXES
from phenolip_lib.data.labels import split_labels, stated
from phenolip_lib.data.licences import spdx
from phenolip_lib.data.records import MODALITIES, Record, Reject
from phenolip_lib.data.sources.files import files_below, place

NAME = "webdataset"
NUMBERS = ("group", "class", "article", "patient", "figure")
"""Entries that may be whole numbers as well."""
INDEX = "index.json"
"""Which shards an export of this project has."""
SYNONYMS = {"license": "licence", "class_name": "class"}
TEXTS = ("caption", "context", "group", "licence", "modality", "class", "article", "patient", "figure", "url")


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a sample, shards by path and samples in their order; `root` is the folder that holds ``webdataset``.

    Raises:
        PhenoLIPError: the folder is not there.
    """
    base = place(root, NAME, "shards (*.tar)")
    found, others = files_below(base, NAME)
    yield from others
    for shard in (name for name in found if name.rpartition("/")[2] != INDEX):
        path = base / shard
        if not path.name.lower().endswith((".tar", ".tar.gz", ".tgz")):
            yield Reject(f"{NAME}/{shard}", "source", "no shard (*.tar)")
            continue
        if path.suffix.lower() != ".tar":
            yield Reject(f"{NAME}/{shard}", "source", "a compressed shard has no random access; gunzip it")
            continue
        odd: list[str] = []
        try:
            names = list(members(path, odd))
        except PhenoLIPError as error:
            yield Reject(f"{NAME}/{shard}", "source", str(error).removeprefix(f"{path}: "))
            continue
        for name in odd:
            yield Reject(f"{NAME}/{shard}::{name}", "source", "a link or device, not a file")
        if not names and not odd:
            yield Reject(f"{NAME}/{shard}", "source", "the archive holds no file")
        unread: Counter[str] = Counter()
        for key, own in _samples(names):
            record_id = f"{NAME}/{shard[:-4]}/{key}"
            try:
                picture, text, described = (_only(kind, own) for kind in ("picture", "text", "facts"))
                yield _record(record_id, path, f"{NAME}/{shard}", picture, text, described)
            except PhenoLIPError as error:
                yield Reject(record_id, "source", str(error))
                continue
            for name in own:
                if _kind(name) and name not in (picture, text, described):
                    yield Reject(f"{NAME}/{shard}::{name}", "source", f"a further {_kind(name)} of {key}")
            unread.update(name.rpartition("/")[2].rpartition(".")[2].lower() for name in own if not _kind(name))
        for suffix, count in sorted(unread.items()):
            yield Reject(f"{NAME}/{shard}::*.{suffix}", "source", f"members of a kind that is not read ({count})")


def _samples(names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(key, members) of each sample, in the shard's order."""
    together: dict[str, list[str]] = {}
    for name in names:
        folder, slash, last = name.rpartition("/")
        together.setdefault(f"{folder}{slash}{last.partition('.')[0]}", []).append(name)
    for key, own in together.items():
        apart: dict[str, list[str]] = {}
        for name in own:
            apart.setdefault(name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name, []).append(name)
        kinds = [{_kind(name) for name in part} for part in apart.values()]
        pictured = [kind for kind in kinds if "picture" in kind]
        # Beside x.jpg and x.json, x.mask.png has no text of its own and belongs to x.
        own_names = key not in apart or all(kind & {"text", "facts"} for kind in pictured)
        yield from apart.items() if len(pictured) > 1 and own_names else [(key, own)]


def _kind(name: str) -> str:
    suffix = f".{name.rpartition('.')[2].lower()}"
    return "picture" if suffix in PICTURE_SUFFIXES else {".txt": "text", ".json": "facts"}.get(suffix, "")


def _only(kind: str, names: list[str]) -> str:
    """The member of a kind, of several the one with fewest suffixes; empty if there is none.

    Raises:
        PhenoLIPError: no picture, or several members that are equally near.
    """
    found = [name for name in names if _kind(name) == kind]
    least = min((name.count(".") for name in found), default=0)
    nearest = [name for name in found if name.count(".") == least]
    if len(nearest) > 1 or (kind == "picture" and not nearest):
        raise PhenoLIPError(f"sample has {len(nearest)} {kind}{'' if kind == 'facts' else 's'}")
    return nearest[0] if nearest else ""


def _record(record_id: str, path: Path, container: str, picture: str, text: str, described: str) -> Record:
    facts = _facts(path, described) if described else {}
    if text:
        try:
            facts["caption"] = read_member(path, text).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise PhenoLIPError("text is not UTF-8") from None
    texts = {name: " ".join(facts.get(name, "").split()) for name in TEXTS}
    texts |= {name: stated(texts[name]) for name in TEXTS if name != "class"}
    modality = texts["modality"].lower() or "other"
    if modality not in MODALITIES:
        raise PhenoLIPError(f"unknown modality {modality!r}; there are {', '.join(MODALITIES)}")
    labels, label_names = split_labels(facts.get("labels") or ())
    return Record(
        record_id=record_id,
        dataset=NAME,
        image=f"{container}::{picture}",
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
