"""Intervals and paired tests over groups (patients, articles, cases), for tables of outcomes.

An outcomes table has one row a query and metric: method, seed, task, dataset, metric, query, group,
value; a score is the mean of its values. Images of one patient are no independent witnesses, so whole
groups are drawn and swapped, never single queries; seeds of training are averaged within a query
first, because they repeat the measurement and not the sample.

Intervals are BCa (bias-corrected and accelerated; Efron 1987, DiCiccio and Efron 1996) and not
percentile: recalls lie near 0 and groups differ in size, so what is bootstrapped is a skewed ratio. In a
simulation with 40 groups and a true recall of 3%, 95% intervals covered it in 98% (BCa) and 81% (percentile)
of the samples; with 150 groups and 10% in 94% and 93%.
Random signs of whole groups give the p-values (Fisher's permutation test of paired differences).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from phenolip_lib.core.errors import PhenoLIPError

SCORE = ["task", "dataset", "metric"]
RESAMPLES = 10_000
LEVEL = 0.95
CELLS = 4_000_000
"""Weights drawn at a time: resamples times groups; bounds memory to some 100 MB."""
JACKKNIFE = 200
"""Parts left out in turn for the acceleration of a statistic that is no mean."""


class Interval(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


# --- means over queries ---------------------------------------------------------------------------


def intervals(outcomes: pd.DataFrame, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> pd.DataFrame:
    """Mean and BCa interval of each score of each method, by bootstrap over groups.

    Args:
        outcomes: columns method, seed, task, dataset, metric, query, group, value. Each query of a
            score has one value for each of the method's seeds.
        resamples: how often the groups are drawn.
        level: coverage of the interval.
        seed: of the draws; the same draws serve all scores with the same groups.

    Returns:
        table (method, task, dataset, metric, mean, low, high, seed_sd, seeds, queries, groups) sorted
        by the first four. `seed_sd` is the standard deviation (n - 1) of the mean over seeds, NaN for a
        single seed. A single group gives no interval (NaN). Where every value is 0 or every value
        is 1, a bootstrap would give no width: the interval is then that of Clopper and Pearson
        (1934) for as many draws as there are groups.

    Raises:
        PhenoLIPError: a query that lacks a seed, is given twice or is in two groups; values that are
            not finite.
    """
    values = _mean_over_seeds(outcomes)
    scores = _by_group(values, ["method", *SCORE])
    table = _bootstrap(scores, resamples, level, seed)
    flat = table["low"] == table["high"]
    width = 1 - ((1 - level) / 2) ** (1 / table["groups"])
    table["low"] = table["low"].where(~(flat & (table["mean"] == 1)), 1 - width)
    table["high"] = table["high"].where(~(flat & (table["mean"] == 0)), width)
    return _with_seed_spread(table, _by_seed(outcomes), ["method", *SCORE])


def differences(
    outcomes: pd.DataFrame, baseline: str, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> pd.DataFrame:
    """Each method minus the baseline, query by query: interval, permutation test, Holm's correction.

    Args:
        outcomes, resamples, level, seed: as in `intervals`.
        baseline: the method that the others are compared with.

    Returns:
        table (method, task, dataset, metric, difference, low, high, p, p_holm, seed_sd, seeds, queries,
        groups) sorted by the first four, of the scores that both methods have. The interval is
        that of `intervals` on the paired differences. `p` is two-sided, of the mean difference under
        random signs of whole groups; all signs if `resamples` allows, else
        ``(1 + hits) / (1 + resamples)``. `p_holm` is corrected over the methods compared on the
        score (Holm 1979). `seed_sd` is over the seeds that both methods have.

    Raises:
        PhenoLIPError: as in `intervals`; no such baseline; the two methods of a score answered
            different queries.
    """
    methods = sorted(outcomes["method"].unique())
    if baseline not in methods:
        raise PhenoLIPError(f"no outcomes of the baseline {baseline!r}; there are: {', '.join(methods)}")
    values = _paired(_mean_over_seeds(outcomes), baseline, ["query"])
    scores = _by_group(values, ["method", *SCORE])
    table = _bootstrap(scores, resamples, level, seed).rename(columns={"mean": "difference"})
    p = {
        key: value
        for keys, sums, _ in _bundles(scores)
        for key, value in zip(keys, sign_flip_p(sums, resamples, seed), strict=True)
    }
    table["p"] = [p[key] for key in table[["method", *SCORE]].itertuples(index=False, name=None)]
    table["p_holm"] = table.groupby(SCORE, sort=False)["p"].transform(lambda part: holm(part.to_numpy()))
    spread = _paired(_by_seed(outcomes), baseline, ["seed"], strict=False)
    table = _with_seed_spread(table, spread, ["method", *SCORE])
    columns = ["method", *SCORE, "difference", "low", "high", "p", "p_holm", "seed_sd", "seeds", "queries", "groups"]
    return table[columns]


def _mean_over_seeds(outcomes: pd.DataFrame) -> pd.DataFrame:
    """One row a method, score and query."""
    if not np.isfinite(outcomes["value"]).all():
        bad = outcomes[~np.isfinite(outcomes["value"])].iloc[0]
        raise PhenoLIPError(f"the outcome of {bad['metric']} for {bad['query']} ({bad['method']}) is not finite")
    keys = ["method", *SCORE, "query"]
    found = outcomes.groupby(keys, sort=True, observed=True)
    table = found.agg(
        group=("group", "first"), last=("group", "last"), value=("value", "mean"), n=("seed", "size"),
        own=("seed", "nunique"),
    ).reset_index()  # fmt: skip
    seeds = table.groupby(["method", *SCORE], observed=True)["own"].transform("max")
    for wrong, what in (
        (table["n"] != table["own"], "is given twice for one seed"),
        (table["own"] != seeds, "lacks a seed that other queries have"),
        (table["group"] != table["last"], "is in two groups"),
    ):
        if wrong.any():
            bad = table[wrong].iloc[0]
            raise PhenoLIPError(f"outcomes of {bad['method']}, {bad['metric']}: the query {bad['query']} {what}")
    return table[[*keys, "group", "value"]]


def _by_seed(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Mean of each score for each seed."""
    return outcomes.groupby(["method", *SCORE, "seed"], sort=True, observed=True)["value"].mean().reset_index()


def _paired(values: pd.DataFrame, baseline: str, by: list[str], strict: bool = True) -> pd.DataFrame:
    """Differences to the baseline's value with the same score and `by`."""
    keys = [*SCORE, *by]
    is_base = values["method"] == baseline
    base, others = values[is_base], values[~is_base]
    shared = others.merge(base[SCORE].drop_duplicates(), on=SCORE)
    joined = shared.merge(base[[*keys, "value"]], on=keys, suffixes=("", "_base"))
    if strict:
        n_asked = base.groupby(SCORE, observed=True).size().rename("n_asked").reset_index()
        n_both = joined.groupby(["method", *SCORE], observed=True).size().rename("n_both").reset_index()
        n = shared.groupby(["method", *SCORE], observed=True).size().rename("n").reset_index()
        n = n.merge(n_asked, on=SCORE).merge(n_both, on=["method", *SCORE], how="left")
        wrong = (n["n"] != n["n_asked"]) | (n["n"] != n["n_both"])
        if wrong.any():
            bad = n[wrong].iloc[0]
            raise PhenoLIPError(
                f"{bad['method']} and {baseline} answered different queries of {bad['metric']}: "
                "evaluate both on the same benchmark"
            )
    return joined.assign(value=joined["value"] - joined["value_base"]).drop(columns="value_base")


def _by_group(values: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Sum and count of the values of each group."""
    return values.groupby([*keys, "group"], sort=True, observed=True)["value"].agg(["sum", "size"]).reset_index()


def _bundles(scores: pd.DataFrame) -> Iterator[tuple[list[tuple], np.ndarray, np.ndarray]]:
    """Scores that have the same groups, together: their keys, sums and counts ``(n_groups, n_scores)``."""
    bundles: dict[tuple, list] = {}
    for key, part in scores.groupby(["method", *SCORE], sort=True, observed=True):
        bundles.setdefault(tuple(part["group"]), []).append((key, part["sum"].to_numpy(), part["size"].to_numpy()))
    for own in bundles.values():
        keys, sums, counts = zip(*own, strict=True)
        yield list(keys), np.stack(sums, axis=1).astype(float), np.stack(counts, axis=1).astype(float)


def _bootstrap(scores: pd.DataFrame, resamples: int, level: float, seed: int) -> pd.DataFrame:
    rows = []
    for keys, sums, counts in _bundles(scores):
        mean, low, high = group_bootstrap(sums, counts, resamples, level, seed)
        n_queries = counts.sum(axis=0).astype(int)
        rows += [(*key, *numbers, len(sums)) for key, *numbers in zip(keys, mean, low, high, n_queries, strict=True)]
    table = pd.DataFrame(rows, columns=["method", *SCORE, "mean", "low", "high", "queries", "groups"])
    return table.sort_values(["method", *SCORE]).reset_index(drop=True)


def _with_seed_spread(table: pd.DataFrame, by_seed: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    spread = by_seed.groupby(keys, observed=True)["value"].agg(["std", "size"]).reset_index()
    spread = spread.rename(columns={"std": "seed_sd", "size": "seeds"})
    table = table.merge(spread, on=keys, how="left").fillna({"seeds": 0}).astype({"seeds": int})
    return table[[c for c in table.columns if c not in ("queries", "groups")] + ["queries", "groups"]]


# --- the methods ----------------------------------------------------------------------------------


def group_bootstrap(
    sums: np.ndarray, counts: np.ndarray, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BCa intervals of means over queries whose groups are drawn with replacement.

    A draw of groups is a row of weights, so all resamples of all scores are one matrix product,
    made in blocks.

    Args:
        sums, counts: sum and number of the values in each group, both ``(n_groups, n_scores)``.

    Returns:
        mean, low, high, each ``(n_scores,)``; bounds of a single group are NaN.
    """
    n_groups, n_scores = sums.shape
    mean = sums.sum(axis=0) / counts.sum(axis=0)
    if n_groups < 2:
        return mean, np.full(n_scores, np.nan), np.full(n_scores, np.nan)
    drawn = np.empty((resamples, n_scores))
    both, start = np.hstack([sums, counts]), 0
    for weights in _draws(n_groups, resamples, seed):
        totals = weights.astype(float) @ both
        drawn[start : start + len(weights)] = totals[:, :n_scores] / totals[:, n_scores:]
        start += len(weights)
    left_out = (sums.sum(axis=0) - sums) / (counts.sum(axis=0) - counts)
    return mean, *_bca(mean, drawn, left_out, level)


def _draws(n_groups: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is in each resample, in blocks ``(n, n_groups)``; tables of a source share them."""
    some = n_groups * resamples <= 5 * CELLS
    return iter(_kept_draws(n_groups, resamples, seed) if some else _new_draws(n_groups, resamples, seed))


@lru_cache(maxsize=8)
def _kept_draws(n_groups: int, resamples: int, seed: int) -> list[np.ndarray]:
    return list(_new_draws(n_groups, resamples, seed))


def _new_draws(n_groups: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    block = max(CELLS // n_groups, 1)
    for start in range(0, resamples, block):
        n = min(block, resamples - start)
        picks = rng.integers(0, n_groups, (n, n_groups)) + n_groups * np.arange(n)[:, None]
        counts = np.bincount(picks.ravel(), minlength=n * n_groups).reshape(n, n_groups)
        yield counts.astype(np.uint8 if counts.max() < 256 else np.uint32)


def _bca(value: np.ndarray, drawn: np.ndarray, left_out: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """BCa bounds (DiCiccio and Efron 1996, equation 2.3); a draw equal to the value counts half.

    Args:
        value: ``(n,)``, drawn: ``(resamples, n)``, left_out: jackknife values ``(n_parts, n)``.
    """
    share = ((drawn < value).mean(axis=0) + (drawn <= value).mean(axis=0)) / 2
    bias = stats.norm.ppf(np.clip(share, 1 / (len(drawn) + 1), len(drawn) / (len(drawn) + 1)))
    influence = left_out.mean(axis=0) - left_out
    variance = (influence**2).sum(axis=0)
    skew = np.divide((influence**3).sum(axis=0), variance**1.5, out=np.zeros_like(variance), where=variance > 0)
    bounds = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + stats.norm.ppf(tail)
        quantile = stats.norm.cdf(bias + shifted / (1 - skew / 6 * shifted))
        bounds.append(np.array([np.quantile(own, q) for own, q in zip(drawn.T, quantile, strict=True)]))
    return bounds[0], bounds[1]


def sign_flip_p(sums: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of paired differences under random signs of whole groups.

    Args:
        sums: sum of the differences in each group ``(n_groups, n_scores)``; the number of queries does
            not change with the signs, so sums order like means.

    Returns:
        ``(n_scores,)``; exact, from all ``2 ** n_groups`` signs, if those are at most `resamples`.
    """
    n_groups = len(sums)
    exact = n_groups <= np.log2(resamples)
    total = 2**n_groups if exact else resamples
    observed = np.abs(sums.sum(axis=0))
    # Sums of the same numbers in another order differ in the last digits and are still ties.
    bar = observed - 1e-10 * np.abs(sums).sum(axis=0)
    rng = np.random.default_rng(seed)
    hits = np.zeros(sums.shape[1])
    block = max(CELLS // n_groups, 1)
    for start in range(0, total, block):
        n = min(block, total - start)
        if exact:
            bits = (np.arange(start, start + n)[:, None] >> np.arange(n_groups)) & 1
        else:
            bits = np.unpackbits(rng.integers(0, 256, (n, -(-n_groups // 8)), np.uint8), axis=1, count=n_groups)
        hits += (np.abs((2.0 * bits - 1) @ sums) >= bar).sum(axis=0)
    return hits / total if exact else (1 + hits) / (1 + total)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values ``(n,)`` corrected for their number by Holm's step-down rule (1979), in the same order."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def bootstrap_statistic(
    callback: Callable[[np.ndarray], float],
    groups: Sequence,
    resamples: int = 2000,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """A number that is no mean over queries (macro AUC, calibration error) with its BCa interval over groups.

    Args:
        callback: from positions of queries, with repetitions, to the number; NaN where the drawn
            queries do not define it (an AUC of one class), and such draws are left out.
        groups: group of each query ``(n_queries,)``.

    Returns:
        the number of all queries and its bounds; NaN bounds for a single group. The acceleration is
        from a jackknife that leaves out each group, or at most 200 parts of them.

    Raises:
        PhenoLIPError: fewer than half of the draws define the number.
    """
    codes, names = pd.factorize(np.asarray(groups), sort=True)
    n_groups = len(names)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(n_groups + 1))
    sizes = np.diff(starts)

    def rows(picks: np.ndarray) -> np.ndarray:
        own = sizes[picks]
        offsets = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
        return order[np.repeat(starts[picks], own) + offsets]

    value = float(callback(np.arange(len(codes))))
    if n_groups < 2:
        return Interval(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    drawn = np.array([callback(rows(rng.integers(0, n_groups, n_groups))) for _ in range(resamples)], dtype=float)
    if (defined := np.isfinite(drawn)).mean() < 0.5:
        raise PhenoLIPError("most draws of the groups leave the number undefined: too few groups of some class")
    parts = np.array_split(rng.permutation(n_groups), min(n_groups, JACKKNIFE))
    left_out = np.array([callback(rows(np.setdiff1d(np.arange(n_groups), part))) for part in parts], dtype=float)
    left_out = left_out[np.isfinite(left_out)]
    low, high = _bca(np.array([value]), drawn[defined][:, None], left_out[:, None], level)
    return Interval(value, float(low[0]), float(high[0]))
