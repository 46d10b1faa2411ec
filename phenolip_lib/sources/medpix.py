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

from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.records import Record
from phenolip_lib.sources.files import need, read_json, stems

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


def records(root: Path, discussion: bool = False) -> Iterator[Record]:
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
    cases = {case["U_id"]: case for case in _entries(need(root, f"{BASE}/Case_topic.json", NAME), "U_id")}
    items = _entries(need(root, f"{BASE}/Descriptions.json", NAME), "image", "U_id")
    splits = _splits(folder)
    for item in sorted(items, key=lambda item: item["image"]):
        stem, whole = item["image"], cases.get(item["U_id"], {})
        case, topic = whole.get("Case") or {}, whole.get("Topic") or {}
        context = [case.get(part) for part in ("Title", "Findings", "Case Diagnosis")]
        context += [topic.get("Disease Discussion")] * discussion
        yield Record(
            record_id=f"{NAME}/{stem}",
            dataset=NAME,
            image=f"{BASE}/images/{files.get(stem, stem + '.png')}",
            modality="radiology",
            group=f"{NAME}/{item['U_id']}",
            licence=LICENCE,
            url=URL,
            caption=_clean((item.get("Description") or {}).get("Caption")),
            context="\n".join(text for part in context if (text := _clean(part))),
            class_name=_clean(item.get("Location Category")),
            box=PICTURE_BOX,
            official_split=splits.get(stem, ""),
        )


def _clean(text: str | None) -> str:
    """Text in one line; what upstream writes for "nothing" becomes empty."""
    text = " ".join((text or "").split())
    return "" if text.lower() in {"n/a", "none", "null", "."} else text


def _entries(path: Path, *keys: str) -> list[dict[str, Any]]:
    """The entries of a JSON list, each of which has the `keys`."""
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.keys() >= set(keys) for e in entries):
        raise PhenoLIPError(f"{path}: is not a list of entries with {' and '.join(keys)}")
    return entries


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
