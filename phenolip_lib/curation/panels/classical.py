"""Cut compound figures into panels, without learned weights, and score whatever cuts them.

Figures are cut along gutters: bands of white or black that cross the whole figure, found again inside
every part (a recursive XY-cut); a figure is left whole rather than cut wrongly. Their captions are cut
by `phenolip_lib.data.panel_captions`; a learned detector is `phenolip_lib.curation.panels.detr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

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
    check_rgb(rgb)
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


def check_rgb(rgb: np.ndarray) -> None:
    """Raise `ValueError` unless `rgb` is uint8 ``(height, width, 3)``."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected uint8 (height, width, 3), got {rgb.dtype} {rgb.shape}")


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


# --- scores --------------------------------------------------------------------------------------


def panel_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (first, second))
    return shared / max(areas - shared, 1)


def average_precision(
    predicted: Sequence[Sequence[Box]],
    truth: Sequence[Sequence[Box]],
    confidences: Sequence[Sequence[float]] | None = None,
    threshold: float = 0.5,
) -> float:
    """Average precision of panel detection over figures (of one class, hence also its mAP).

    Panels are ranked by confidence over all figures; in its figure each takes, of the panels of the truth
    still free, the one it overlaps most with, and is right if their IoU is at least `threshold`. Equal
    confidences are one step of the curve, which is not smoothed: AP = sum over steps of (R_n - R_{n-1}) P_n.
    Without confidences all are equal, as for the classical cutter, and AP is precision times recall.
    """
    ranked: list[tuple[float, bool]] = []
    for f, (found, real) in enumerate(zip(predicted, truth, strict=True)):
        sure = confidences[f] if confidences is not None else [1.0] * len(found)
        free = set(range(len(real)))
        for confidence, box in sorted(zip(sure, found, strict=True), key=lambda item: -item[0]):
            best = max(sorted(free), key=lambda k: panel_iou(box, real[k]), default=None)
            hit = best is not None and panel_iou(box, real[best]) >= threshold
            if hit:
                free.remove(best)
            ranked.append((confidence, hit))
    hits, n, total, recall = 0, 0, 0.0, 0.0
    n_truth = max(sum(map(len, truth)), 1)
    for _, step in groupby(sorted(ranked, key=lambda item: -item[0]), key=lambda item: item[0]):
        flags = [hit for _, hit in step]
        hits, n = hits + sum(flags), n + len(flags)
        total += (hits / n_truth - recall) * hits / n
        recall = hits / n_truth
    return total


def score(
    predicted: Sequence[Sequence[Box]],
    truth: Sequence[Sequence[Box]],
    threshold: float = 0.5,
    confidences: Sequence[Sequence[float]] | None = None,
) -> dict[str, float]:
    """Panel detection over figures, boxes matched one to one for the largest total IoU.

    Returns:
        ``exact``: share of figures whose panels are all found and nothing else is; ``precision`` and
        ``recall`` of panels over all figures; a match needs an IoU of `threshold`. ``map``: see
        `average_precision`.
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
        "map": average_precision(predicted, truth, confidences, threshold),
    }
