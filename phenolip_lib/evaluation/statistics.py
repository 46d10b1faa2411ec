"""Intervals and paired tests over groups (patients, articles, cases), for tables of outcomes.

An outcomes table has one row a query and metric: method, seed, task, dataset, metric, query, group,
value; a score is the mean of its values. Images of one patient are no independent witnesses, so whole
groups are drawn and swapped, never single queries; seeds of training are averaged within a query
first, because they repeat the measurement and not the sample. The methods are in `resampling`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.resampling import LEVEL, RESAMPLES, group_bootstrap, holm, sign_flip_p

SCORE = ["task", "dataset", "metric"]


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
        group=("group", "first"),
        last=("group", "last"),
        value=("value", "mean"),
        n=("seed", "size"),
        own=("seed", "nunique"),
    ).reset_index()
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
