"""Tell medical images from charts, diagrams and pages of text, by a few measures of a picture.

A logistic regression over `measures`, a stand-in without weights to download for the published filter
(ResNeXt-101, 28 classes). Its coefficients lie in ``figure_type.json`` with what they were made from:
charts that ``benchmarks/refit_figure_type.py`` draws, and the phantom's pictures.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from phenolip_lib.core.storage import read_json

COEFFICIENTS = Path(__file__).parent / "figure_type.json"
SIDE = 192
"""Pictures are measured at this length of their longer side."""
MEASURES = (
    "bright_ground_share",
    "ground_is_white",
    "bright_ground_at_border",
    "exact_ground_share",
    "colours",
    "entropy",
    "saturation",
    "mid_grey_share",
    "smoothness",
    "edge_share",
    "straight_edges",
    "long_lines",
    "text_components",
    "flat_share",
)


def figure_type(image: Image.Image) -> tuple[Literal["medical", "chart"], float]:
    """What a picture is, and the probability that it is a medical image.

    The label is ``medical`` from a probability of 0.5; the intercept is set so that this threshold
    hardly ever refuses a medical image.
    """
    row = measures(image)
    if row[MEASURES.index("flat_share")] == 1.0:
        return "chart", 0.0  # a blank page
    probability = float(_probability(row[None], _coefficients())[0])
    return ("medical" if probability >= 0.5 else "chart"), probability


def measures(image: Image.Image) -> np.ndarray:
    """The picture in numbers, float64 ``(len(MEASURES),)``, each in about 0..1.

    The ground is the most frequent grey level; lines and letters are looked for against it.
    """
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    rgb = np.asarray(small, dtype=np.float64)
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    n = grey.size
    counts = np.bincount(grey.astype(np.uint8).ravel(), minlength=256) / n
    ground = int(np.argmax(np.convolve(counts, np.ones(9), mode="same")))
    near = np.abs(grey - ground) <= 8
    border = np.concatenate([near[0], near[-1], near[:, 0], near[:, -1]])
    inner = ~near
    inside = np.bincount(grey[inner].astype(np.uint8), minlength=256) / max(inner.sum(), 1)
    shares = inside[inside > 0]
    coarse = (rgb // 16).astype(np.int64) @ np.array([256, 16, 1])
    high, low = rgb.max(axis=2), rgb.min(axis=2)
    down, right = np.abs(np.diff(grey, axis=0))[:, :-1], np.abs(np.diff(grey, axis=1))[:-1]
    edges = np.maximum(down, right) > 40
    straight = edges & (np.minimum(down, right) < 0.2 * np.maximum(down, right))
    components, n_components = ndimage.label(~near)
    height, width = grey.shape
    letters = 0
    for rows, columns in ndimage.find_objects(components):
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        letters += 2 <= tall <= 0.08 * height + 3 and 1 <= wide <= 0.08 * width + 3
    flat = ndimage.maximum_filter(grey, 5) - ndimage.minimum_filter(grey, 5) <= 4
    return np.array(
        [
            near.mean() * (ground >= 128),
            ground >= 225,
            border.mean() * (ground >= 128),
            counts[ground - 1 if ground else 0 : ground + 2].sum(),
            min(len(np.unique(coarse)) / 400, 2.0),
            -(shares * np.log2(shares)).sum() / 8,
            ((high - low) / np.maximum(high, 1)).mean(),
            ((grey > 40) & (grey < 215))[inner].mean() if inner.any() else 0.0,
            np.log1p(np.abs(ndimage.laplace(grey))[inner].mean() if inner.any() else 0.0) / 5,
            edges[inner[:-1, :-1]].mean() if inner[:-1, :-1].any() else 0.0,
            straight.sum() / max(edges.sum(), 1),
            max(_longest(down > 25, 1) / width, _longest(right > 25, 0) / height),
            min(letters / 100, 2.0),
            flat[inner].mean() if inner.any() else 1.0,
        ],
        dtype=np.float64,
    )


def _longest(marked: np.ndarray, axis: int) -> int:
    """Length of the longest unbroken run of marks along an axis."""
    lines = marked if axis == 1 else marked.T
    run = np.zeros(lines.shape[0], dtype=np.int64)
    best = 0
    for column in lines.T:
        run = np.where(column, run + 1, 0)
        best = max(best, int(run.max(initial=0)))
    return best


@cache
def _coefficients() -> dict:
    return read_json(COEFFICIENTS)


def _probability(x: np.ndarray, model: dict) -> np.ndarray:
    z = (x - np.array(model["mean"])) / np.array(model["scale"])
    return 1 / (1 + np.exp(-np.clip(z @ np.array(model["weights"]) + model["intercept"], -60, 60)))
