"""The per-record step over pictures: decode once, tell charts from medical images, cut panels, fingerprint.

Items and results are plain JSON values, as `parallel.map_batches` wants them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.curation.duplicates import fingerprint
from phenolip_lib.curation.figure_type import figure_type
from phenolip_lib.curation.panels import classical
from phenolip_lib.data.archives import split_container
from phenolip_lib.data.images import WHOLE, read_image
from phenolip_lib.data.panel_captions import split_caption
from phenolip_lib.data.records import Record


@dataclass(frozen=True)
class PictureStep:
    """What the step needs to know, made once a worker.

    Attributes:
        root: folder the images are relative to.
        split_compound: cut compound figures into panels.
        min_medical: least probability of being a medical image; 0 keeps charts.
        detector: checkpoint of a learned panel detector, or "" for the classical cutter.
    """

    root: str
    split_compound: bool
    min_medical: float
    detector: str


@dataclass(frozen=True)
class State:
    settings: PictureStep
    split: Callable[[np.ndarray], list[classical.Box]]


def start(settings: PictureStep) -> State:
    """The worker's state; a learned detector is loaded here, once."""
    if not settings.detector:
        return State(settings, classical.split_panels)
    from phenolip_lib.curation.panels.detr import DetrPanels

    return State(settings, DetrPanels(settings.detector))


def item(record: Record, root: Path) -> dict:
    """The JSON item of a record; size and time of its file, so that a changed file is read anew."""
    try:
        facts = (root / split_container(record.image)[0]).stat()
        stamp = [facts.st_size, facts.st_mtime_ns]
    except OSError:
        stamp = []
    return {
        "id": record.record_id,
        "image": record.image,
        "box": list(record.box),
        "caption": record.caption,
        "compound": record.compound,
        "stamp": stamp,
    }


def examine(batch: list[dict], state: State) -> list[dict]:
    """The step: for each record its parts (one, or one a panel), or why it is rejected."""
    return [_examine(one, state) for one in batch]


def _examine(one: dict, state: State) -> dict:
    settings = state.settings
    box = tuple(one["box"])
    try:
        image = read_image(Path(settings.root), one["image"], box)
    except PhenoLIPError as error:
        return {"step": "read", "reason": str(error)}
    cut = _cut(one, image, state) if one["compound"] and settings.split_compound else []
    parts, charts = [], []
    for letter, chunk, (left, top, right, bottom) in cut or [("", one["caption"], WHOLE)]:
        width, height = image.size
        panel = (
            image
            if not letter
            else image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
        )
        medical = figure_type(panel)[1] if settings.min_medical > 0 else 1.0
        if medical < settings.min_medical:
            charts.append(letter)
            continue
        bits, small = fingerprint(panel)
        parts.append(
            {
                "letter": letter,
                "caption": chunk,
                "box": list(_within(box, (left, top, right, bottom))),
                "bits": bits.tobytes().hex(),
                "small": small.astype(np.float16).tobytes().hex(),
            }
        )
    if not parts:
        return {"step": "figure type", "reason": "a chart, diagram or text, no medical image"}
    return {"parts": parts, "charts": charts}


def _within(outer: tuple, inner: tuple) -> tuple[float, float, float, float]:
    """The box `inner`, given in fractions of `outer`, in fractions of the file."""
    left, top, right, bottom = outer
    width, height = right - left, bottom - top
    return (left + inner[0] * width, top + inner[1] * height, left + inner[2] * width, top + inner[3] * height)


def _cut(one: dict, image: Image.Image, state: State) -> list[tuple[str, str, tuple]]:
    """Letter, caption chunk and box of each panel, if picture and caption agree on how many there are."""
    boxes = state.split(np.asarray(image))
    chunks = split_caption(one["caption"])
    if len(boxes) < 2 or len(boxes) != len(chunks):
        return []
    width, height = image.size
    return [
        (letter, chunk, (x0 / width, y0 / height, x1 / width, y1 / height))
        for (x0, y0, x1, y1), (letter, chunk) in zip(boxes, sorted(chunks.items()), strict=True)
    ]


def part_record(record: Record, part: dict) -> Record:
    """The record of one part; a panel has no labels of its own, the figure's are the figure's.

    Nor has it the figure's context: what an article says of the whole need not show in each part.
    """
    if not part["letter"]:
        return record
    return replace(
        record,
        record_id=f"{record.record_id}#{part['letter']}",
        caption=part["caption"],
        context="",
        box=tuple(part["box"]),
        labels=(),
        label_names=(),
        class_name="",
        compound=False,
    )


def bits_of(part: dict) -> np.ndarray:
    """Perceptual hash of a part, uint8 ``(32,)``."""
    return np.frombuffer(bytes.fromhex(part["bits"]), np.uint8)


def small_of(part: dict) -> np.ndarray:
    """Normalised thumbnail of a part, float32 ``(side, side)``."""
    flat = np.frombuffer(bytes.fromhex(part["small"]), np.float16).astype(np.float32)
    side = int(len(flat) ** 0.5)
    return flat.reshape(side, side)
