"""Shards on disk: which there are, what samples they hold, and where the image of a pair lies in them.

The layout is that of `phenolip_lib.graph.exports.shards`, ``FOLDER/<split>/000000.tar`` with ``FOLDER/index.json``, or
any uncompressed tar files of samples::

    0001.jpg (or .jpeg, .png)   0001.json   0001.txt
"""

from __future__ import annotations

import glob
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import DamagedError, PhenoLIPError
from phenolip_lib.core.storage import read_json, sha256_file
from phenolip_lib.data.archives import members, read_member
from phenolip_lib.data.images import WHOLE

IMAGES = (".jpg", ".jpeg", ".png")
END = bytes(1024)
"""The end of any complete tar."""
THREADS = 4
"""Shards looked at a time, before the first epoch."""


@dataclass(frozen=True)
class Sample:
    """Names of a sample's members within its shard."""

    key: str
    picture: str
    facts: str | None
    text: str | None


def samples(path: Path) -> list[Sample]:
    """Samples of a shard, in their order; files without a picture beside them are no sample.

    Raises:
        PhenoLIPError: not a whole tar that can be read, or a sample with two pictures.
    """
    try:
        facts = path.stat()
        return _samples(path, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise PhenoLIPError(f"{path}: cannot be read ({type(error).__name__})") from None


@lru_cache(maxsize=64)
def _samples(path: Path, *_: int) -> list[Sample]:
    # tarfile takes a file that was cut off within a header for a shorter archive.
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - len(END)))
        if file.read() != END:
            raise PhenoLIPError(f"{path}: not a tar, or one that was cut off; copy or export it anew")
    found: dict[str, dict[str, str]] = {}
    for name in members(path):
        folder, slash, last = name.rpartition("/")
        key, _, suffix = last.partition(".")
        found.setdefault(f"{folder}{slash}{key}", {})[f".{suffix.lower()}"] = name
    result = []
    for key, parts in found.items():
        pictures = [parts[suffix] for suffix in IMAGES if suffix in parts]
        if len(pictures) > 1:
            raise PhenoLIPError(f"{path}: sample {key} has {len(pictures)} pictures")
        if pictures:
            result.append(Sample(key, pictures[0], parts.get(".json"), parts.get(".txt")))
    return result


def find_shards(where: str | Path, split: str | None) -> tuple[Path, list[str], list[dict] | None]:
    """The folder of the shards, their names below it, sorted, and their entries of ``index.json`` if there is one.

    Args:
        where: a folder, or a pattern as ``DATA/cc-train-*.tar``.
        split: the subfolder of a folder; None for the folder itself.

    Raises:
        PhenoLIPError: no shard, or others than the index lists.
    """
    if set("*?[") & set(str(where)):
        paths = [Path(name) for name in sorted(glob.glob(str(where)))]
        folder = paths[0].parent if paths else Path()
        while not all(path.is_relative_to(folder) for path in paths):
            folder = folder.parent
        names, entries = [path.relative_to(folder).as_posix() for path in paths], None
    else:
        folder = Path(where)
        prefix = f"{split}/" if split else ""
        names = sorted(f"{prefix}{path.name}" for path in (folder / prefix).glob("*.tar"))
        entries = _index(folder, prefix)
        if entries is not None and (other := set(names) ^ {entry["shard"] for entry in entries}):
            raise PhenoLIPError(f"{folder}: index.json and the shards differ: {min(other)}; copy or export them anew")
    if not names:
        raise PhenoLIPError(f"{where}: no shards (*.tar){f' of the split {split}' if split else ''}")
    return folder, names, entries


def _index(folder: Path, prefix: str) -> list[dict] | None:
    path = folder / "index.json"
    if not path.is_file():
        return None
    try:
        kinds = {"shard": str, "samples": int, "sha256": str}
        entries = [{key: kind(entry[key]) for key, kind in kinds.items()} for entry in read_json(path)]
    except (DamagedError, ValueError, KeyError, TypeError):
        raise PhenoLIPError(f"{path}: not an index that `phenolip export webdataset` writes; rename it") from None
    return [entry for entry in entries if entry["shard"].startswith(prefix)]


def hashes_of(where: str | Path, split: str = "train") -> list[str]:
    """The sha256 of each shard, of the index if there is one."""
    folder, names, entries = find_shards(where, split)
    return [sha256_file(folder / name) for name in names] if entries is None else [e["sha256"] for e in entries]


def shard_members(where: str | Path | None, pairs: pd.DataFrame) -> tuple[pd.DataFrame, Path]:
    """The pairs that lie in the shards of their split, with image and box as there, and the folder of the shards.

    Args:
        where: a folder of shards, or None for no shards.
    """
    if where is None or set("*?[") & set(str(where)):
        return pairs.iloc[:0], Path()
    folder = Path(where)
    places = {
        pair_id: member
        for split in sorted(set(pairs["split"]))
        if any((folder / split).glob("*.tar"))
        for pair_id, member in _members(folder, split).items()
    }
    found = pairs[pairs["pair_id"].isin(places.keys())]
    box = dict(zip(("left", "top", "right", "bottom"), WHOLE, strict=True))
    return found.assign(image=found["pair_id"].map(places), **box), folder


@lru_cache(maxsize=8)
def _members(folder: Path, split: str) -> dict[str, str]:
    """``shard::member`` of the image of each pair."""
    found = {}
    for name in find_shards(folder, split)[1]:
        path = folder / name
        found |= {facts_of(path, own).get("pair_id", ""): f"{name}::{own.picture}" for own in samples(path)}
    return found


def _text(path: Path, member: str) -> str:
    try:
        return read_member(path, member).decode("utf-8-sig")
    except (PhenoLIPError, EOFError, OSError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, PhenoLIPError) else f"unreadable ({type(error).__name__})"
        raise PhenoLIPError(f"{path}::{member}: {reason}") from None


def facts_of(path: Path, sample: Sample) -> dict:
    """What the sample's JSON says; nothing if it has none.

    Raises:
        PhenoLIPError: not a JSON object, or unreadable.
    """
    if sample.facts is None:
        return {}
    try:
        facts = json.loads(_text(path, sample.facts))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise PhenoLIPError(f"{path}::{sample.facts}: not a JSON object")
    return facts


def caption_of(path: Path, sample: Sample, facts: dict) -> str:
    """The text beside the image, or else the caption among the facts."""
    return str(facts.get("caption") or "") if sample.text is None else _text(path, sample.text)


def verify_shards(folder: Path, entries: list[dict]) -> None:
    """Raise `PhenoLIPError` for a shard whose sha256 is not that of its entry."""
    with ThreadPoolExecutor(THREADS) as pool:
        for entry, found in zip(entries, pool.map(lambda e: sha256_file(folder / e["shard"]), entries), strict=True):
            if found != entry["sha256"]:
                raise PhenoLIPError(f"{folder / entry['shard']}: is not what index.json lists; copy or export it anew")
