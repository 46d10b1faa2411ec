"""Cut compound figures into panels and their captions into chunks, without learned weights.

Pictures are cut along gutters: bands of white or black that cross the whole figure, found again
inside every part (a recursive XY-cut). Captions are cut at panel markers such as ``(a)`` or ``B:``.
Both prefer to leave a figure whole over cutting it wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""

MIN_SIDE_SHARE = 0.12
"""A panel spans at least this share of the figure's width and of its height."""
MAX_ASPECT = 5.0
MIN_CONTENT = 0.15
"""Share of a panel's pixels that must differ from the gutter; less is a caption strip or a blank cell."""
CORE, PURE, TOLERANT = 0.97, 0.5, 0.8
"""Share of a line's pixels that are near the gutter's colour in its core, that are of it almost exactly there
(a bright smear is not), and that are near it where letters stand in the gutter."""
NEAR, EXACT = 20, 10
"""Grey levels from white or black; lossy storage spreads the pictures into the gutter."""
MAX_PANELS = 26


# --- pictures ------------------------------------------------------------------------------------


def split_panels(rgb: np.ndarray) -> list[Box]:
    """Panels of a figure in reading order.

    Args:
        rgb: uint8 ``(height, width, 3)``.

    Returns:
        two or more boxes, or the whole figure alone if no gutter is found.

    Raises:
        ValueError: not an 8-bit RGB picture.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected uint8 (height, width, 3), got {rgb.dtype} {rgb.shape}")
    height, width = rgb.shape[:2]
    whole = (0, 0, width, height)
    # Brightness alone: where colour is stored at half the resolution it bleeds into the gutter.
    grey = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    for distance in (255.0 - grey, grey):
        ground = np.stack([distance <= NEAR, distance <= EXACT])
        boxes = [b for b in _cut(ground, whole, whole) if _is_panel(ground[0], b, whole)]
        if 1 < len(boxes) <= MAX_PANELS:
            return reading_order(boxes)
    return [whole]


def _cut(ground: np.ndarray, box: Box, whole: Box) -> list[Box]:
    """Leaves of the XY-cut of `box`; `ground` ``(2, h, w)``: which pixels are near the gutter's colour, and of it."""
    x0, y0, x1, y1 = box = _trim(ground[0], box)
    if x1 <= x0 or y1 <= y0:
        return []
    part = ground[:, y0:y1, x0:x1]
    for axis, least in ((2, whole[3]), (1, whole[2])):
        spans = _spans(part.mean(axis=axis), round(MIN_SIDE_SHARE * least))
        if len(spans) > 1:
            parts = [(x0, y0 + a, x1, y0 + b) if axis == 2 else (x0 + a, y0, x0 + b, y1) for a, b in spans]
            return [leaf for p in parts for leaf in _cut(ground, p, whole)]
    return [box]


def _spans(share: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Stretches between gutters, given each line's shares ``(2, n)`` of pixels near and of the gutter's colour.

    A gutter has a core without anything in it, at least two lines wide, and reaches as far as the
    lines about it hold little more than a letter. Stretches shorter than `least` belong to no panel.
    """
    near, exact = share
    core = (near >= CORE) & (exact >= PURE)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], near >= TOLERANT, [False])).astype(np.int8)))
    spans, start = [], 0
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if np.count_nonzero(core[a:b]) >= 2:
            spans.append((start, int(a)))
            start = int(b)
    spans.append((start, near.size))
    return [(a, b) for a, b in spans if b - a >= least]


def _trim(near: np.ndarray, box: Box) -> Box:
    """The box without lines of gutter (and letters in them) on its four sides; empty if nothing else is there."""
    x0, y0, x1, y1 = box
    rows = np.flatnonzero(near[y0:y1, x0:x1].mean(axis=1) < TOLERANT)
    if not rows.size:
        return x0, y0, x0, y0
    y0, y1 = y0 + int(rows[0]), y0 + int(rows[-1]) + 1
    columns = np.flatnonzero(near[y0:y1, x0:x1].mean(axis=0) < TOLERANT)
    if not columns.size:
        return x0, y0, x0, y0
    return x0 + int(columns[0]), y0, x0 + int(columns[-1]) + 1, y1


def _is_panel(ground: np.ndarray, box: Box, whole: Box) -> bool:
    width, height = box[2] - box[0], box[3] - box[1]
    return (
        width >= MIN_SIDE_SHARE * whole[2]
        and height >= MIN_SIDE_SHARE * whole[3]
        and max(width, height) <= MAX_ASPECT * min(width, height)
        and 1.0 - ground[box[1] : box[3], box[0] : box[2]].mean() >= MIN_CONTENT
    )


def reading_order(boxes: Sequence[Box]) -> list[Box]:
    """Boxes row by row, left to right; a stack beside a tall box counts as one column of the row."""
    if len(boxes) < 2:
        return list(boxes)
    for low, high in ((1, 3), (0, 2)):
        groups: list[list[Box]] = []
        reach = 0
        for box in sorted(boxes, key=lambda b: b[low]):
            # A little overlap is tolerated: panels are rarely cut to the pixel.
            if groups and box[low] < reach - 0.1 * (box[high] - box[low]):
                groups[-1].append(box)
            else:
                groups.append([box])
            reach = max(reach, box[high]) if len(groups[-1]) > 1 else box[high]
        if len(groups) > 1:
            return [box for group in groups for box in reading_order(group)]
    return sorted(boxes, key=lambda b: (b[1], b[0]))


def assign_labels(boxes: Sequence[Box]) -> dict[str, Box]:
    """Letters ``a``, ``b``, ... for boxes in reading order, which is how figures are mostly lettered."""
    return dict(zip("abcdefghijklmnopqrstuvwxyz", reading_order(boxes), strict=False))


# --- captions ------------------------------------------------------------------------------------

_LETTERS = r"[{0}](?:\s*(?:[-–,&]|,?\s*and)\s*[{0}])*"
_UPPER, _LOWER, _DIGIT = (_LETTERS.format(c) for c in ("A-Z", "a-z", "1-9"))
_START = r"(?:^|(?<=[.;:!?])\s+|\n)"
# One convention a caption, the least ambiguous first.
_CONVENTIONS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\(({_UPPER}|{_LOWER}|{_DIGIT})\)(?!\s*(?:[,;]|and\b))[:.]?",
        rf"{_START}(?:Panels? )?({_UPPER}|{_LOWER}|{_DIGIT})\s?[:)]",
        rf"{_START}({_UPPER}|{_LOWER}),\s",
        rf"{_START}({_UPPER})\.\s",
    )
)


def split_caption(caption: str) -> dict[str, str]:
    """What a caption says about each panel.

    Understands ``(a)``, ``(A, B)``, ``(a-c)``, ``A:``, ``a)``, ``a,`` and ``A.``; digits count as
    letters (``(1)`` is panel a).

    Returns:
        lower-case panel letter -> its chunk after the shared preamble, from ``a`` without a gap; empty
        if there are no such markers, or if they follow what they belong to.
    """
    for convention in _CONVENTIONS:
        chunks = _chunks(caption, convention)
        if len(chunks) > 1:
            return chunks
    return {}


def _chunks(caption: str, marker: re.Pattern) -> dict[str, str]:
    starts: list[tuple[list[str], int, int]] = []
    expected = ord("a")
    for match in marker.finditer(caption):
        letters = _expand(match.group(1))
        # Markers run on from a; anything else ("see (a)", "group (x)") is part of the text.
        if letters and ord(letters[0]) == expected:
            starts.append((letters, match.start(), match.end()))
            expected += len(letters)
    if not starts:
        return {}
    preamble = " ".join(caption[: starts[0][1]].split())
    chunks: dict[str, str] = {}
    for k, (letters, _, end) in enumerate(starts):
        after = starts[k + 1][1] if k + 1 < len(starts) else len(caption)
        chunk = re.sub(r"[\s;,]+(?:and)?[\s]*$", "", caption[end:after]).strip(" ,;:")
        if not re.search(r"[A-Za-z]{3}", chunk):
            return {}
        for letter in letters:
            chunks[letter] = f"{preamble} {chunk}" if preamble else chunk
    return chunks


def _expand(label: str) -> list[str]:
    """``A, C-E`` -> a, c, d, e; empty unless the letters follow each other."""
    label = "".join(chr(ord("a") + int(c) - 1) if c.isdigit() else c for c in label.replace("and", ","))
    letters: list[str] = []
    for part in re.split(r"[,&]", label.lower()):
        ends = [c.strip() for c in re.split(r"[-–]", part) if c.strip()]
        if ends:
            letters += [chr(c) for c in range(ord(ends[0]), ord(ends[-1]) + 1)]
    consecutive = all(ord(b) == ord(a) + 1 for a, b in zip(letters, letters[1:], strict=False))
    return letters if consecutive else []


# --- scores --------------------------------------------------------------------------------------


def panel_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (first, second))
    return shared / max(areas - shared, 1)


def score(
    predicted: Sequence[Sequence[Box]], truth: Sequence[Sequence[Box]], threshold: float = 0.5
) -> dict[str, float]:
    """Panel detection over figures, boxes matched one to one for the largest total IoU.

    Returns:
        ``exact``: share of figures whose panels are all found and nothing else is; ``precision`` and
        ``recall`` of panels over all figures; a match needs an IoU of `threshold`.
    """
    exact = hits = n_predicted = n_truth = 0
    for found, real in zip(predicted, truth, strict=True):
        overlap = np.array([[panel_iou(a, b) for b in real] for a in found]).reshape(len(found), len(real))
        matched = int((overlap[linear_sum_assignment(-overlap)] >= threshold).sum())
        exact += matched == len(found) == len(real)
        hits += matched
        n_predicted += len(found)
        n_truth += len(real)
    return {
        "exact": exact / max(len(truth), 1),
        "precision": hits / max(n_predicted, 1),
        "recall": hits / max(n_truth, 1),
    }
