"""MedPix 2.0: CT and MR images with captions, by clinical case.

Layout (https://github.com/CHILab1/MedPix-2.0)::

    medpix-2.0/MedPix-2-0/images/MPX1009_synpic46283.png
    medpix-2.0/MedPix-2-0/Descriptions.json    one entry an image, with its caption
    medpix-2.0/MedPix-2-0/Case_topic.json      one entry a case: title, findings, diagnosis, discussion
    medpix-2.0/MedPix-2-0/splitted_dataset/descriptions_{train,dev}.jsonl

No licence is stated upstream; the images come from the NLM's MedPix and are for research use. The
files do not hold the identifier of a case's page at the NLM, so `url` is the repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import need, read_json, stems

NAME = FOLDER = "medpix-2.0"
BASE = f"{FOLDER}/MedPix-2-0"
LICENCE = "LicenseRef-NLM-MedPix"
URL = "https://github.com/CHILab1/MedPix-2.0"
LABELS: dict[str, tuple[str, str]] = {}
"""MedPix has no classes that name a phenotype: its terms are recognised in its texts."""
APPROXIMATE: set[str] = set()
# A watermark is burned in at the top and case id and uploader at the bottom, which would tell a
# model the case: both bands lie outside this box.
PICTURE_BOX = (0.0, 0.09, 1.0, 0.90)


def records(root: Path, discussion: bool = False) -> Iterator[Record | Reject]:
    """One record an image, sorted by id; `root` is the folder that holds ``medpix-2.0``.

    The caption is the image's own; title, findings and diagnosis of the case are context.
    `class_name` is the body region.

    Args:
        discussion: add the case's discussion to the context. It is about the disease and its other
            forms, not about this patient: terms found in it are often not in the picture.

    Raises:
        PhenoLIPError: the layout is not there, or a file of it is damaged.
    """
    folder = need(root, BASE, NAME)
    files = stems(need(root, f"{BASE}/images", NAME))
    bad: list[Reject] = []
    cases = {case["U_id"]: case for case in _entries(need(root, f"{BASE}/Case_topic.json", NAME), bad, "U_id")}
    items = _entries(need(root, f"{BASE}/Descriptions.json", NAME), bad, "image", "U_id")
    yield from bad
    splits = _splits(folder)
    for item in sorted(items, key=lambda item: item["image"]):
        stem = item["image"]
        try:
            texts = _texts(item, cases.get(item["U_id"], {}), discussion)
        except TypeError as error:
            yield Reject(f"{NAME}/{stem}", "source", str(error))
            continue
        yield Record(
            record_id=f"{NAME}/{stem}",
            dataset=NAME,
            image=f"{BASE}/images/{files.get(stem, stem + '.png')}",
            modality="radiology",
            group=f"{NAME}/{item['U_id']}",
            licence=LICENCE,
            url=URL,
            **texts,
            box=PICTURE_BOX,
            official_split=splits.get(stem, ""),
        )


def _texts(item: dict, whole: dict, discussion: bool) -> dict[str, str]:
    """Caption, context and class of an image; TypeError where upstream's layout holds something else."""
    description, case, topic = (
        _object(owner, name) for owner, name in ((item, "Description"), (whole, "Case"), (whole, "Topic"))
    )
    context = [_clean(case, part) for part in ("Title", "Findings", "Case Diagnosis")]
    context += [_clean(topic, "Disease Discussion")] * discussion
    return {
        "caption": _clean(description, "Caption"),
        "context": "\n".join(filter(None, context)),
        "class_name": _clean(item, "Location Category"),
    }


def _object(owner: dict, name: str) -> dict:
    found = owner.get(name) or {}
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no object")
    return found


def _clean(owner: dict, name: str) -> str:
    """Text in one line; what upstream writes for "nothing" becomes empty."""
    text = owner.get(name) or ""
    if not isinstance(text, str):
        raise TypeError(f"{name} is no text")
    text = " ".join(text.split())
    return "" if text.lower() in {"n/a", "none", "null", "."} else text


def _entries(path: Path, bad: list[Reject], *keys: str) -> list[dict[str, Any]]:
    """The entries of a JSON list that have text under each of the `keys`; the others go to `bad`."""
    entries = read_json(path)
    if not isinstance(entries, list):
        raise PhenoLIPError(f"{path}: is not a list of entries with {' and '.join(keys)}")
    kept = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in keys):
            kept.append(entry)
        else:
            bad.append(Reject(f"{NAME}/{path.name}:{number}", "source", f"no entry with {' and '.join(keys)}"))
    return kept


def _splits(folder: Path) -> dict[str, str]:
    """The upstream split of each image stem; empty where the files are absent."""
    found = {}
    for split in ("train", "dev"):
        path = folder / "splitted_dataset" / f"descriptions_{split}.jsonl"
        for number, line in enumerate(path.read_text("utf-8").splitlines() if path.is_file() else [], start=1):
            try:
                if line.strip():
                    found[json.loads(line)["image"]] = split
            except (json.JSONDecodeError, KeyError, TypeError):
                raise PhenoLIPError(f"{path}: line {number} is not an entry with an image") from None
    return found
