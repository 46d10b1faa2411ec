"""Compound figures: several pictures in a grid, lettered, under one shared caption.

Most figures of the literature are of this kind, and cutting them (`phenolip_lib.curation.panels.classical`) is the
first step of making image-text pairs of them. Panels are lettered in reading order.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from phenolip_lib.phantom.captions import Mention, Names, Piece, capitalised, compose, phrase
from phenolip_lib.phantom.domain import Domain

Findings = Mapping[str, float]
Cell = tuple[int, int, int, int]  # row, column, rows and columns it spans
MAX_FINDINGS = 8
"""Findings of a figure that its bitfield mask has room for."""

LAYOUTS: dict[int, tuple[tuple[Cell, ...], ...]] = {
    2: (((0, 0, 1, 1), (0, 1, 1, 1)), ((0, 0, 1, 1), (1, 0, 1, 1))),
    3: (
        ((0, 0, 1, 1), (0, 1, 1, 1), (0, 2, 1, 1)),
        ((0, 0, 2, 2), (0, 2, 1, 1), (1, 2, 1, 1)),
        ((0, 0, 1, 1), (1, 0, 1, 1), (0, 1, 2, 2)),
        ((0, 0, 2, 2), (2, 0, 1, 1), (2, 1, 1, 1)),
    ),
    4: (tuple((r, c, 1, 1) for r in range(2) for c in range(2)),),
    5: (tuple((r, c, 1, 1) for r in range(2) for c in range(3))[:5],),
    6: (
        tuple((r, c, 1, 1) for r in range(2) for c in range(3)),
        tuple((r, c, 1, 1) for r in range(3) for c in range(2)),
    ),
}
"""Cells of the layouts by number of panels, in reading order: grids, and one large beside two small."""

PREAMBLES = (
    "Representative images.",
    "{view} images of {n} subjects.",
    "Imaging findings in the family.",
    "Comparison of {n} pictures.",
    "Spectrum of findings in our cohort ({view}).",
    "Selected images from the case series, all at the same scale.",
)
LABEL_STYLES = ("{upper}", "{lower}", "({lower})", "{number}")


@dataclass(frozen=True)
class Panel:
    """One picture of a figure."""

    label: str
    """``a``, ``b``, ... in reading order, however it is drawn and cited."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels; right and bottom are exclusive."""
    chunk: str
    """What the caption says about this panel, without the shared preamble."""
    findings: dict[str, float]


@dataclass(frozen=True)
class Figure:
    """A compound figure with its truth."""

    rgb: np.ndarray
    """uint8 ``(height, width, 3)``."""
    mask: np.ndarray
    """uint8 ``(height, width)``: bit k is set where finding k of `findings` can be seen."""
    findings: list[str]
    """All findings of the figure, sorted; `MAX_FINDINGS` at most."""
    panels: list[Panel]
    caption: str
    mentions: list[Mention] = field(default_factory=list)


def bitfield(masks: Mapping[str, np.ndarray], findings: Sequence[str]) -> np.ndarray:
    """One uint8 picture of many boolean masks ``(h, w)``: bit k for finding k of `findings`."""
    shape = next(iter(masks.values())).shape
    bits = np.zeros(shape, dtype=np.uint8)
    for k, hpo_id in enumerate(findings):
        if hpo_id in masks:
            bits |= masks[hpo_id].astype(np.uint8) << k
    return bits


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """The picture after lossy storage, as most figures reach a reader."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def draw_compound(
    rng: np.random.Generator,
    domain: Domain,
    subjects: Sequence[Findings],
    repeats: Sequence[int],
    names: Names,
    size: int,
) -> Figure:
    """Draw a figure of one modality.

    Args:
        subjects: HPO id -> severity of each subject, in order; empty for a healthy one.
        repeats: number of pictures of each subject, 2 to 6 in all. Pictures of one subject share
            a piece of the caption: ``(a-c) ...``.
        size: side in pixels of a picture on its own; panels are somewhat smaller.

    Raises:
        ValueError: no layout has that many panels, or there are more than `MAX_FINDINGS` findings.
    """
    owners = [s for s, n in enumerate(repeats) for _ in range(n)]
    findings = sorted({hpo_id for subject in subjects for hpo_id in subject})
    if len(owners) not in LAYOUTS or len(findings) > MAX_FINDINGS:
        raise ValueError(f"no figure of {len(owners)} panels and {len(findings)} findings")
    layouts = LAYOUTS[len(owners)]
    cells = layouts[int(rng.integers(len(layouts)))]
    style = LABEL_STYLES[int(rng.integers(len(LABEL_STYLES)))]

    side = int(size * rng.uniform(0.6, 0.95))
    gutter = int(max(3, round(side * rng.uniform(0.015, 0.10))))
    margin = int(rng.choice((0, gutter // 2, gutter)))
    font_size = int(max(9, round(side * rng.uniform(0.07, 0.12))))
    above = rng.random() < 0.3
    strip = font_size + 4 if above else 0
    ground = 255 if rng.random() < 0.85 else 0

    boxes = [_box(cell, side, gutter, strip, margin) for cell in cells]
    width, height = (max(box[k] for box in boxes) + margin for k in (2, 3))
    rgb = np.full((height, width, 3), ground, dtype=np.uint8)
    mask = np.zeros((height, width), dtype=np.uint8)
    for box, owner in zip(boxes, owners, strict=True):
        canvas = domain.render(subjects[owner], rng, box[2] - box[0])
        window = slice(box[1], box[3]), slice(box[0], box[2])
        rgb[window] = canvas.to_uint8()
        if canvas.masks:
            mask[window] = bitfield(canvas.masks, findings)
    labels = [_label(style, k) for k in range(len(boxes))]
    rgb = _letter(rng, rgb, boxes, labels, font_size, 255 - ground if above else None)

    if rng.random() < 0.3:
        rgb = jpeg(rgb, int(rng.integers(60, 93)))

    phrases = [phrase(rng, domain, subject, names) for subject in subjects]
    caption, mentions = _caption(rng, domain, phrases, repeats, style)
    panels = [
        Panel("abcdef"[k], box, compose(phrases[owner])[0], dict(subjects[owner]))
        for k, (box, owner) in enumerate(zip(boxes, owners, strict=True))
    ]
    return Figure(rgb, mask, findings, panels, caption, mentions)


def _box(cell: Cell, side: int, gutter: int, strip: int, margin: int) -> tuple[int, int, int, int]:
    """Pixels of a cell's picture; a picture over several cells covers the gutters between them."""
    row, column, _, span = cell
    x, y = margin + column * (side + gutter), margin + row * (side + gutter + strip) + strip
    length = span * side + (span - 1) * gutter
    return x, y, x + length, y + length


def _label(style: str, k: int) -> str:
    return style.format(upper="ABCDEF"[k], lower="abcdef"[k], number=k + 1)


def _letter(
    rng: np.random.Generator,
    rgb: np.ndarray,
    boxes: Sequence[tuple],
    labels: Sequence[str],
    font_size: int,
    ink: int | None,
) -> np.ndarray:
    """Write the labels: with `ink` above the panels, without it inside a corner of them."""
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=font_size)
    right, low = rng.random() < 0.2, rng.random() < 0.2
    framed, white = rng.random() < 0.4, bool(rng.random() < 0.5)
    for (x0, y0, x1, y1), label in zip(boxes, labels, strict=True):
        if ink is not None:
            draw.text((x0 + 1, y0 - 2), label, fill=(ink,) * 3, font=font, anchor="ls")
            continue
        pad = max(2, font_size // 4)
        at = (x1 - pad if right else x0 + pad, y1 - pad if low else y0 + pad)
        anchor = ("r" if right else "l") + ("b" if low else "t")
        if framed:
            left, top, far, bottom = draw.textbbox(at, label, font=font, anchor=anchor)
            draw.rectangle((left - 2, top - 2, far + 2, bottom + 2), fill=(0 if white else 255,) * 3)
        edge = {} if framed else {"stroke_width": 1, "stroke_fill": (0 if white else 255,) * 3}
        draw.text(at, label, fill=(255 if white else 0,) * 3, font=font, anchor=anchor, **edge)
    return np.asarray(image)


def _caption(
    rng: np.random.Generator, domain: Domain, phrases: Sequence[list[Piece]], repeats: Sequence[int], style: str
) -> tuple[str, list[Mention]]:
    """Join the phrases of the subjects in one of the conventions journals have."""
    # Caption and picture mostly, not always, write the letters the same way.
    style = style if rng.random() < 0.8 else LABEL_STYLES[int(rng.integers(len(LABEL_STYLES)))]
    bare = style.strip("()")
    kinds = ("{}, ", "{}: ", "({}) ") if bare != "{number}" else ("({}) ", "{}: ")
    marker = "({}) " if style.startswith("(") else kinds[int(rng.integers(len(kinds)))]
    end = ". " if rng.random() < 0.5 else "; "
    upper = end == ". " or rng.random() < 0.5
    dash = "-" if rng.random() < 0.6 else "–"

    pieces: list[Piece] = []
    if rng.random() < 0.5:
        view = domain.views[int(rng.integers(len(domain.views)))]
        preamble = PREAMBLES[int(rng.integers(len(PREAMBLES)))].format(view=view, n=sum(repeats))
        pieces += [*capitalised([preamble]), " "]
    first = 0
    for k, (words, n) in enumerate(zip(phrases, repeats, strict=True)):
        letters = [_label(bare, first + i) for i in range(n)]
        first += n
        if n == 1:
            label = letters[0]
        elif n > 2 or rng.random() < 0.4:
            label = f"{letters[0]}{dash}{letters[-1]}"
        else:
            label = f"{letters[0]}, {letters[1]}"
        pieces += [marker.format(label), *(capitalised(words) if upper else words)]
        pieces.append("." if k == len(phrases) - 1 else end)
    return compose(pieces)
