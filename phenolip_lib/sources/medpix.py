"""MedPix 2.0: CT and MR images with captions, by clinical case.

Layout (https://github.com/CHILab1/MedPix-2.0)::

    medpix-2.0/MedPix-2-0/images/MPX1009_synpic46283.png
    medpix-2.0/MedPix-2-0/Descriptions.json    one entry an image, with its caption
    medpix-2.0/MedPix-2-0/Case_topic.json      one entry a case: title, findings, diagnosis
    medpix-2.0/MedPix-2-0/splitted_dataset/descriptions_{train,dev}.jsonl

No licence is stated upstream; the images come from the NLM's MedPix and are for research use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.records import Record
from phenolip_lib.sources.files import need, read_json, stems

NAME = "medpix-2.0"
FOLDER = "medpix-2.0/MedPix-2-0"
LICENCE = "LicenseRef-NLM-MedPix"
URL = "https://github.com/CHILab1/MedPix-2.0"
# A watermark is burned in at the top and case id and uploader at the bottom, which would tell a
# model the case: both bands lie outside this box.
PICTURE_BOX = (0.0, 0.09, 1.0, 0.90)


def _clean(text: str | None) -> str:
    text = " ".join((text or "").split())
    return "" if text in {"N/A", "None", "none", "null", "."} else text


def records(root: Path) -> Iterator[Record]:
    """One record an image, sorted; `root` is the folder that holds ``medpix-2.0``.

    The caption is the image's own; title, findings and diagnosis of the case are context, its
    discussion (of the disease, not of this patient) is left out.
    `class_name` is the body region.

    Raises:
        PhenoLIPError: the layout is not there.
    """
    folder = need(root, FOLDER, NAME)
    files = stems(need(root, f"{FOLDER}/images", NAME))
    cases = {case["U_id"]: case for case in read_json(need(root, f"{FOLDER}/Case_topic.json", NAME))}
    splits = _splits(folder)
    for item in sorted(read_json(need(root, f"{FOLDER}/Descriptions.json", NAME)), key=lambda item: item["image"]):
        stem, case = item["image"], cases.get(item["U_id"], {})
        context = [case.get("Case", {}).get(part) for part in ("Title", "Findings", "Case Diagnosis")]
        yield Record(
            record_id=f"{NAME}/{stem}",
            dataset=NAME,
            image=f"{FOLDER}/images/{files.get(stem, stem + '.png')}",
            modality="radiology",
            group=f"{NAME}/{item['U_id']}",
            licence=LICENCE,
            url=URL,
            caption=_clean(item.get("Description", {}).get("Caption")),
            context="\n".join(text for part in context if (text := _clean(part))),
            class_name=_clean(item.get("Location Category")),
            box=PICTURE_BOX,
            official_split=splits.get(stem, ""),
        )


def _splits(folder: Path) -> dict[str, str]:
    """The upstream split of each image stem; empty where the files are absent."""
    found = {}
    for split in ("train", "dev"):
        path = folder / "splitted_dataset" / f"descriptions_{split}.jsonl"
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    found[json.loads(line)["image"]] = split
    return found
