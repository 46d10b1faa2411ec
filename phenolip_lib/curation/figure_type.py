"""Tell medical images from charts, diagrams and pages of text, by a few measures of a picture.

A logistic regression over `measures`, a stand-in without weights to download for the published filter
(ResNeXt-101, 28 classes). Its coefficients lie in ``figure_type.json`` with what they were made from;
`fit` makes them anew, from drawn charts (`phenolip_lib.curation.charts`) and the phantom's pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from phenolip_lib.core.storage import read_json, write_json

COEFFICIENTS = Path(__file__).parent / "figure_type.json"
SIDE = 192
"""Pictures are measured at this length of their longer side."""
PENALTY = 0.1
"""Inverse strength of the regression's penalty: weak trust in any one measure carries over to unseen images."""
MEASURES = (
    "bright_ground_share", "ground_is_white", "bright_ground_at_border", "exact_ground_share", "colours", "entropy",
    "saturation", "mid_grey_share", "smoothness", "edge_share", "straight_edges", "long_lines", "text_components",
    "flat_share",
)  # fmt: skip


def figure_type(image: Image.Image) -> tuple[Literal["medical", "chart"], float]:
    """What a picture is, and the probability that it is a medical image.

    The label is ``medical`` from a probability of 0.5; the intercept is set so that this threshold
    hardly ever refuses a medical image, see `fit`.
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


def fit(
    medical: Iterable[Image.Image], charts: Iterable[Image.Image], provenance: dict, max_refused: float = 0.002
) -> dict:
    """Coefficients that tell the two apart.

    Args:
        medical: medical images.
        charts: pictures that are none.
        provenance: what the pictures are, kept beside the coefficients.
        max_refused: share of the medical images below a probability of 0.5 when each is predicted by a
            model that did not see it; the intercept is raised until it holds.

    Returns:
        what ``figure_type.json`` holds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = [[measures(image) for image in group] for group in (charts, medical)]
    x, y = np.array(rows[0] + rows[1]), np.repeat([0, 1], [len(rows[0]), len(rows[1])])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = (x - mean) / scale
    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=5000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, z, y, cv=folds, method="decision_function")
    model.fit(z, y)
    shift = max(0.0, -float(np.quantile(held_out[y == 1], max_refused)))
    return {
        "measures": list(MEASURES),
        "mean": mean.round(6).tolist(),
        "scale": scale.round(6).tolist(),
        "weights": model.coef_[0].round(6).tolist(),
        "intercept": round(float(model.intercept_[0]) + shift, 6),
        "made_from": {**provenance, "medical": len(rows[1]), "charts": len(rows[0]), "max_refused": max_refused},
    }


def refit(path: Path = COEFFICIENTS, per_finding: int = 6, per_kind: int = 60, seed: int = 0) -> dict:
    """Make the coefficients anew from drawn charts and phantom pictures, and write them.

    Args:
        per_finding: phantom pictures of each finding, some of them stored with loss.
        per_kind: charts of each kind.
    """
    from phenolip_lib.curation.charts import KINDS, draw_chart

    model = fit(
        phantom_pictures(per_finding, seed),
        (draw_chart(kind, seed + k) for kind in KINDS for k in range(per_kind)),
        {"drawn": "phenolip_lib.curation.charts, phenolip_lib.phantom", "kinds": list(KINDS), "seed": seed},
    )
    write_json(path, model)
    return model


def phantom_pictures(per_finding: int, seed: int) -> Iterator[Image.Image]:
    """Pictures of every finding of the phantom, sides of 96 to 320 pixels, every other stored with loss."""
    from phenolip_lib.phantom.atlas import DOMAINS
    from phenolip_lib.phantom.compound import jpeg

    for m, (_, domain) in enumerate(sorted(DOMAINS.items())):
        for f, hpo_id in enumerate(sorted(domain.findings)):
            for k in range(per_finding):
                rng = np.random.default_rng([seed, m, f, k])
                rgb = domain.render({hpo_id: float(rng.uniform(0.1, 1))}, rng, int(rng.integers(96, 320))).to_uint8()
                if k % 3 == 0:
                    rgb = _like_a_scan(rgb, rng)
                yield Image.fromarray(jpeg(rgb, int(rng.integers(60, 95))) if k % 2 else rgb)


def _like_a_scan(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey, of high contrast, in a black frame: the phantom has no cross-sectional images."""
    grey = np.asarray(Image.fromarray(rgb).convert("L"), dtype=np.float64)
    low, high = np.quantile(grey, [rng.uniform(0.1, 0.5), rng.uniform(0.9, 0.999)])
    grey = np.clip((grey - low) / max(high - low, 1.0), 0, 1) ** rng.uniform(0.7, 1.4) * 255
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    grey[(np.abs(x) ** 3 + np.abs(y) ** 3) > rng.uniform(0.5, 1.5)] = 0
    frame = np.pad(grey, [tuple(rng.integers(0, 1 + side // 3, 2)) for side in grey.shape])
    return np.repeat(frame.astype(np.uint8)[:, :, None], 3, axis=2)
