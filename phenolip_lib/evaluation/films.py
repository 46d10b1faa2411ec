"""Chest films: how well scores tell films that have a finding from films that have not, with intervals by patient.

Area under the ROC curve and average precision of each finding, and their means over findings (macro). Patients are
drawn with replacement; a film counts as often as its patient is drawn. Neither number depends on a threshold; average
precision depends on how frequent a finding is in the set, which need not be nature's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from phenolip_lib.data.folds import group_folds
from phenolip_lib.evaluation.resampling import LEVEL, RESAMPLES, statistic_bootstrap

LEAST = 20
"""Films that show a finding, and that do not, for it to be scored."""
METRICS = ("auroc", "average_precision")
MACRO = "macro"
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths, as scikit-learn has them."""


def scored(labels: pd.Series, least: int = LEAST) -> list[str]:
    """Findings with enough films on both sides, sorted."""
    counts = labels.explode().dropna().value_counts()
    return sorted(name for name, n in counts.items() if least <= n <= len(labels) - least)


def weighted_auroc(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for each row of weights; a tie counts half.

    Args:
        scores, truth: of each film ``(n,)``; `truth` is boolean.
        weights: ``(n_draws, n)``, how often each film counts.

    Returns:
        ``(n_draws,)``; NaN where one side has no weight.
    """
    yes, no = _by_score(scores, truth, weights)
    below = np.cumsum(no, axis=1)
    total = yes.sum(axis=1) * below[:, -1]
    won = (yes * (below - no / 2)).sum(axis=1)
    return np.divide(won, total, out=np.full(len(weights), np.nan), where=total > 0)


def weighted_precision(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision for each row of weights: the mean precision at each positive, equal scores as one step.

    Arguments and results are those of `weighted_auroc`.
    """
    yes, no = _by_score(-scores, truth, weights)
    hits, seen = np.cumsum(yes, axis=1), np.cumsum(yes + no, axis=1)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    total = hits[:, -1]
    return np.divide((yes * precision).sum(axis=1), total, out=np.full(len(weights), np.nan), where=total > 0)


def _by_score(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of films that have the finding and of those that have not, by rising score, equal scores together."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    own, there = weights[:, order].astype(float), truth[order]
    return np.add.reduceat(own * there, starts, axis=1), np.add.reduceat(own * ~there, starts, axis=1)


def probe(
    features: np.ndarray, films: pd.DataFrame, findings: Sequence[str], folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Scores of a supervised probe on films it was not fitted on: what labels of such films are worth.

    Logistic regression on standardised features for each finding, by folds of patients. The penalty is the one of
    `PENALTIES` with the best area under the ROC curve on a fold within the rest.

    Args:
        features: of a frozen image tower ``(n_films, width)``.

    Returns:
        ``(n_films, n_findings)``.
    """
    truth = np.array([[name in own for name in findings] for own in films["labels"]])
    number = group_folds(films["group"], folds, seed)
    scores = np.zeros(truth.shape)
    for k in range(folds):
        test, inner = number == k, number == (k + 1) % folds
        for i in range(len(findings)):

            def fitted(rows: np.ndarray, c: float, y: np.ndarray = truth[:, i]) -> np.ndarray:
                model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
                return model.fit(features[rows], y[rows]).decision_function(features)

            judged = {c: fitted(~test & ~inner, c)[inner] for c in PENALTIES}
            ones = np.ones((1, inner.sum()))
            best = max(PENALTIES, key=lambda c: np.nan_to_num(weighted_auroc(judged[c], truth[inner, i], ones)[0]))
            scores[test, i] = fitted(~test, best)[test]
    return scores


def table(
    scores: Mapping[str, Sequence[np.ndarray]],
    films: pd.DataFrame,
    findings: Sequence[str],
    baseline: str | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of each method with intervals, and differences to a baseline on the same draws of patients.

    Args:
        scores: of each method, for each of its seeds, ``(n_films, n_findings)``; numbers are means over seeds.
        films: of `data.films`.
        findings: of the columns, see `scored`.
        baseline: the method that the others are compared with; none gives no differences.

    Returns:
        table (method, finding, metric, mean, low, high, difference, difference_low, difference_high, films, patients);
        the finding `MACRO` is the mean over findings.
    """
    patients, group = np.unique(films["group"].to_numpy(dtype=str), return_inverse=True)
    truth = np.array([[name in own for name in findings] for own in films["labels"]])
    names = [(name, metric) for metric in METRICS for name in (*findings, MACRO)]

    def numbers(weights: np.ndarray) -> np.ndarray:
        """``(n_draws, n_methods * n_numbers)``."""
        own, found = weights[:, group], []
        for by_seed in scores.values():
            seeds = []
            for values in by_seed:
                parts = []
                for measure in (weighted_auroc, weighted_precision):
                    each = [measure(values[:, i], truth[:, i], own) for i in range(len(findings))]
                    parts += [*each, np.nanmean(each, axis=0)]
                seeds.append(np.stack(parts, axis=1))
            found.append(np.mean(seeds, axis=0))
        if baseline is not None:
            base = found[list(scores).index(baseline)]
            found += [one - base for one in found]
        return np.hstack(found)

    mean, low, high = statistic_bootstrap(numbers, len(patients), resamples, level, seed)
    shape = (-1, len(scores), len(names))
    mean, low, high = (values.reshape(shape) for values in (mean, low, high))
    rows = []
    for i, method in enumerate(scores):
        for j, (name, metric) in enumerate(names):
            row = {"method": method, "finding": name, "metric": metric}
            row |= {"mean": mean[0, i, j], "low": low[0, i, j], "high": high[0, i, j]}
            if baseline is not None and method != baseline:
                row |= {"difference": mean[1, i, j], "difference_low": low[1, i, j], "difference_high": high[1, i, j]}
            shown = truth[:, findings.index(name)].sum() if name != MACRO else truth.any(axis=1).sum()
            rows.append(row | {"films": int(shown), "patients": len(patients)})
    return pd.DataFrame(rows)
