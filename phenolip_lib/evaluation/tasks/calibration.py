"""Calibration of zero-shot classification: does a probability of 0.8 mean right in 80% of the cases?

The probabilities of an image are ``softmax(scale * cosine)`` over a problem's classes (`zero_shot.problems`). A
softmax says that one class holds, so images with several of the classes are left out. The scale is the
model's own, and again after temperature scaling (Guo et al. 2017): the scale of least negative
log-likelihood on the validation images of the same problem.

Outcomes, one a test image; names with ``_scaled`` are after temperature scaling:

* ``confidence``: largest probability; ``correct``: whether that class is right (ties count against the model);
* ``brier``: sum over classes of the squared difference of probability and truth, 0 to 2 (Brier 1950);
* ``nll``: minus the natural logarithm of the right class's probability.

Numbers: ``ece``, mean absolute difference of confidence and accuracy over 15 bins of equal width, weighted by
their images (Guo et al. 2017); ``adaptive_ece``, the same over bins of equal count (Nguyen and O'Connor 2015).
Both follow from the outcomes, so intervals and the reliability diagram need no embeddings.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import TIE
from phenolip_lib.evaluation.results import Result, outcomes
from phenolip_lib.evaluation.tasks.zero_shot import Problem, problems
from phenolip_lib.models.embedded import Embedded

BINS = 15
MIN_IMAGES = 10
SCALES = (1e-2, 100.0)
"""Bounds of the fitted scale. A few validation images that are all right would drive it to infinity; the upper
bound is the one that CLIP has in training (Radford et al. 2021)."""


def calibration(bench: Benchmark, embedded: Embedded, scale: float) -> Result:
    """Outcomes and numbers of every zero-shot problem with enough validation and test images.

    Args:
        scale: the model's own factor of the cosines, such as ``student.logit_scale.exp()``; a bias
            changes nothing.

    Raises:
        PhenoLIPError: a scale that is not a positive number; what `zero_shot` refuses.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise PhenoLIPError(f"the logit scale is {scale}: it must be a positive number (exponentiate a learned one)")
    held = {problem.dataset: problem for problem in problems(bench, "val")}
    parts, numbers = [], {}
    for problem in problems(bench):
        rows, cosines, truth = _single(problem, bench, embedded)
        n_val = 0
        if problem.dataset in held:
            _, val_cosines, val_truth = _single(held[problem.dataset], bench, embedded)
            n_val = len(val_truth)
        if min(n_val, len(truth)) < MIN_IMAGES:
            log.info(
                "calibration on %s is left out: %d validation and %d test images with one class",
                problem.dataset,
                n_val,
                len(truth),
            )
            continue
        fitted = fit_scale(val_cosines, val_truth)
        table = bench.pairs.iloc[rows]
        own = {"scale": float(scale), "fitted_scale": fitted, "n_images": len(truth), "n_val": n_val}
        for suffix, factor in (("", scale), ("_scaled", fitted)):
            values = per_image(cosines, truth, factor)
            for metric, value in values.items():
                parts.append(
                    outcomes(metric + suffix, table["pair_id"], table["group"], value, "calibration", problem.dataset)
                )
            own["ece" + suffix] = ece(values["confidence"], values["correct"])
            own["adaptive_ece" + suffix] = adaptive_ece(values["confidence"], values["correct"])
        numbers[problem.dataset] = own
    return Result.of(parts, numbers)


def _single(problem: Problem, bench: Benchmark, embedded: Embedded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, cosines and classes of the images with exactly one class."""
    alone = np.diff(problem.truth.indptr) == 1
    cosines = problem.scores(bench, embedded)[alone]
    return problem.rows[alone], cosines.astype(np.float64), problem.truth[alone].indices


def per_image(cosines: np.ndarray, truth: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """``confidence``, ``correct``, ``brier`` and ``nll`` of each image, each ``(n,)``.

    Args:
        cosines: ``(n, n_classes)``.
        truth: position of each image's class ``(n,)``.
    """
    rows = np.arange(len(truth))
    logp = log_softmax(scale * cosines, axis=1)
    p = np.exp(logp)
    others = cosines.copy()
    others[rows, truth] = -np.inf
    one_hot = np.zeros_like(p)
    one_hot[rows, truth] = 1
    return {
        "confidence": p.max(axis=1),
        "correct": (cosines[rows, truth] > others.max(axis=1) + TIE).astype(float),
        "brier": ((p - one_hot) ** 2).sum(axis=1),
        "nll": -logp[rows, truth],
    }


def fit_scale(cosines: np.ndarray, truth: np.ndarray) -> float:
    """The scale within `SCALES` of least negative log-likelihood; it is convex in the scale, so there is one.

    Args:
        cosines: ``(n, n_classes)``.
        truth: ``(n,)``.
    """
    rows = np.arange(len(truth))

    def nll(log_scale: float) -> float:
        return -log_softmax(np.exp(log_scale) * cosines, axis=1)[rows, truth].mean()

    found = minimize_scalar(nll, bounds=tuple(np.log(SCALES)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


# --- calibration errors ---------------------------------------------------------------------------


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal width ``(low, high]``.

    Args:
        confidence, correct: ``(n,)``.

    Raises:
        PhenoLIPError: no image, or values outside of [0, 1].
    """
    _check(confidence, correct)
    return _gap(_bin(confidence, bins), confidence, correct)


def adaptive_ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error over bins whose counts differ by one at most, or of one image each.

    Images of equal confidence count with their mean, so that their order does not matter.
    """
    _check(confidence, correct)
    confidence, place = np.unique(confidence, return_inverse=True)
    share = np.bincount(place, correct) / np.bincount(place)
    order = np.sort(place)
    bins = min(bins, len(order))
    of = np.concatenate([np.full(len(part), i) for i, part in enumerate(np.array_split(order, bins))])
    return _gap(of, confidence[order], share[order])


def _check(confidence: np.ndarray, correct: np.ndarray) -> None:
    if not len(confidence) or not all(((x >= 0) & (x <= 1)).all() for x in (confidence, correct)):
        raise PhenoLIPError("a calibration error needs images, and confidences and outcomes between 0 and 1")


def _bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)


def _gap(of: np.ndarray, confidence: np.ndarray, correct: np.ndarray) -> float:
    return float(np.abs(np.bincount(of, np.asarray(correct, dtype=float) - confidence)).sum() / len(of))


def reliability(found: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """The reliability diagram of each problem, before and after temperature scaling.

    Args:
        found: outcomes of `calibration`, or those of several models with a column method; the seeds of a
            method count together.

    Returns:
        table (method, dataset, scaled, bin, low, high, confidence, accuracy, count), bins without an
        image left out.
    """
    keys = [key for key in ("method", "seed", "dataset", "query") if key in found]
    rows = []
    for scaled, suffix in ((False, ""), (True, "_scaled")):
        names = {"confidence" + suffix: "confidence", "correct" + suffix: "accuracy"}
        part = found[found["metric"].isin(names)].pivot(index=keys, columns="metric", values="value")
        part = part.rename(columns=names).reset_index().assign(scaled=scaled)
        rows.append(part.assign(bin=_bin(part["confidence"].to_numpy(), bins)))
    table = pd.concat(rows, ignore_index=True)
    by = [*(key for key in ("method", "dataset") if key in keys), "scaled", "bin"]
    table = (
        table.groupby(by, sort=True)
        .agg(confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("accuracy", "size"))
        .reset_index()
    )
    table = table.assign(low=table["bin"] / bins, high=(table["bin"] + 1) / bins)
    return table[[*by, "low", "high", "confidence", "accuracy", "count"]]
