"""Tables of the evaluation: scores with their interval, and differences with interval and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.evaluation import statistics
from phenolip_lib.evaluation.results import load_outcomes
from phenolip_lib.experiments import crossval
from phenolip_lib.reporting import tables
from phenolip_lib.reporting.distilled import distilled_pairs
from phenolip_lib.reporting.tables import RETRIEVAL

HEADLINE = [metric for metric in RETRIEVAL if metric.endswith("@10")]
WAYS = ["i2p_known_recall@10", "i2p_calibrated_recall@10"]
"""I2P without the prior of which names occur, see `evaluation.tasks.retrieval`."""
ONTOLOGY = [
    "i2p_ndcg@10",
    "i2p_ndcg@50",
    "i2p_lin@1",
    "i2p_hierarchical_precision@1",
    "i2p_hierarchical_recall@1",
    "i2p_steps@1",
]
PHENOTYPES = [metric for metric in RETRIEVAL if metric.startswith(("i2p", "p2i"))] + WAYS[1:]
NO_DIFFERENCES = pd.DataFrame(
    {
        **dict.fromkeys(("method", "task", "dataset", "metric"), pd.Series(dtype=str)),
        **dict.fromkeys(("difference", "low", "high", "p", "p_holm", "seed_sd"), pd.Series(dtype=float)),
        **dict.fromkeys(("seeds", "queries", "groups"), pd.Series(dtype=int)),
        "beyond_chance": pd.Series(dtype=bool),
    }
)
"""`compared` of no outcomes."""
BETWEEN = ["queries of", "metric", "difference", "low", "high", "p_holm", "beyond_chance", "queries", "groups"]
"""Columns of `between`."""
POOLED = ("linear_probe", "localisation")
"""Tasks whose data sets share no query, so that all of them together are one more."""


def scores(outcomes: pd.DataFrame, metrics: Sequence[str], params: Params) -> pd.DataFrame:
    """A row a method: mean over queries with its 95% interval, groups drawn; no row without outcomes."""
    if not len(outcomes):  # a source need not hold phenotypes out
        return pd.DataFrame(columns=["method", *map(tables.metric_name, metrics)])
    found = statistics.intervals(outcomes[outcomes["metric"].isin(metrics)], params.evaluation.resamples)
    return tables.interval_table(found, metrics)


def by_dataset(
    outcomes: pd.DataFrame, metric: str, label: str, params: Params, transposed: bool = False
) -> pd.DataFrame:
    """`scores` of one metric over the data sets of a task, see `tables.dataset_table`."""
    found = statistics.intervals(outcomes[outcomes["metric"] == metric], params.evaluation.resamples)
    return tables.dataset_table(found, metric, label, transposed)


def compared(
    outcomes: pd.DataFrame, metrics: Sequence[str], params: Params, baseline: str | None = None
) -> pd.DataFrame:
    """Differences to the baseline, paired by query, as `statistics.differences` gives them, and `beyond_chance`.

    The one place that decides what is beyond chance (`tables.beyond_chance`): tables, texts and figures hand it on.
    """
    baseline = baseline or params.evaluation.baseline
    if not len(outcomes):
        return NO_DIFFERENCES
    wanted = (outcomes["method"] != "untrained") | (outcomes["method"] == baseline)
    own = outcomes[outcomes["metric"].isin(metrics) & wanted]
    found = statistics.differences(own, baseline, params.evaluation.resamples)
    return found.assign(beyond_chance=tables.beyond_chance(found, params.evaluation.drift))


def _tasks(params: Params) -> dict[tuple[str, str], str]:
    """Task and metric of what `across_tasks` compares, and what it is called there."""
    shares = params.evaluation.probe_shares
    return {
        ("zero_shot", "acc1"): "accuracy",
        **{("linear_probe", f"acc@{share:g}"): f"{100 * share:g}% labels" for share in shares},
        ("matching", "recall@10"): "R@10",
        ("matching", "f1"): "F1",
        ("localisation", "pixel_ap_similarity"): "pixel AP",
        ("localisation", "pointing_tolerant_similarity"): "pointing",
    }


def across_tasks(outcomes: pd.DataFrame, params: Params) -> pd.DataFrame:
    """`compared` for the tasks beside retrieval, of the methods that are cross-validated.

    Args:
        outcomes: of the test split, any tasks; zero-shot, probes, matching and localisation are read.

    Returns:
        the table of `tables.difference_table` with the task, and the metric in words; the data set ``all`` pools
        those of a task. A column `baseline` has the baseline's own score with its interval, in percent.
    """
    baseline = params.evaluation.baseline
    names, keys = _tasks(params), pd.MultiIndex.from_frame(outcomes[["task", "metric"]])
    own = outcomes[keys.isin(list(names)) & outcomes["method"].isin([baseline, *params.evaluation.cross_validated])]
    pooled = own[own["task"].isin(POOLED)]
    several = pooled.groupby("task")["dataset"].transform("nunique") > 1
    pooled = pooled[several].assign(query=pooled["dataset"] + "/" + pooled["query"], dataset="all")
    parts = []
    for (task, metric), found in pd.concat([own, pooled]).groupby(["task", "metric"], sort=False):
        table = tables.difference_table(compared(found, [metric], params, baseline), [metric])
        if "dataset" not in table:
            table.insert(1, "dataset", "")
        base = statistics.intervals(found[found["method"] == baseline], params.evaluation.resamples)
        cells = {row.dataset: tables.interval_cell(row) for row in base.itertuples(index=False)}
        table["baseline"] = table["dataset"].map(cells)
        parts.append(table.assign(task=task, metric=names[task, metric], order=list(names).index((task, metric))))
    if not parts:
        return pd.DataFrame(columns=["task", "dataset", "metric", "method", "baseline"])
    table = pd.concat(parts).assign(last=lambda t: t["dataset"].eq("all"))
    table = table.sort_values(["order", "last", "dataset"], kind="stable").drop(columns=["order", "last"])
    return table[["task", *(c for c in table.columns if c != "task")]].reset_index(drop=True)


def distilled(outcomes: pd.DataFrame, metrics: Sequence[str], params: Params) -> pd.DataFrame:
    """What distillation does under each pair of towers: a variant minus its sibling ``<variant>_plain`` without it.

    The full model's sibling is the baseline. Variants whose sibling was not run are left out.
    """
    plain = "_plain"
    present = set(outcomes["method"])
    pairs = {params.evaluation.headline: params.evaluation.baseline} | {
        m: m + plain for m in sorted(present) if m + plain in present
    }
    parts = []
    for method, sibling in pairs.items():
        table = between({method: outcomes}, method, sibling, metrics, params)
        parts.append(table.rename(columns={"queries of": "towers"}).assign(without=sibling))
    table = pd.concat(parts, ignore_index=True)
    return table[["towers", "without", *(c for c in table.columns if c not in ("towers", "without"))]]


def between(
    outcomes: Mapping[str, pd.DataFrame], method: str, baseline: str, metrics: Sequence[str], params: Params
) -> pd.DataFrame:
    """One method minus another on several sets of queries, paired by query; empty if either was not evaluated.

    Args:
        outcomes: by what the queries are called.
    """
    parts = []
    for name, found in outcomes.items():
        own = found[found["method"].isin([method, baseline])] if len(found) else found
        if len(own) and own["method"].nunique() == 2:
            table = tables.difference_table(compared(own, metrics, params, baseline), metrics)
            parts.append(table.assign(**{"queries of": name})[BETWEEN])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=BETWEEN)


def teachers_worth(outcomes: Mapping[str, pd.DataFrame], metrics: Sequence[str], params: Params) -> pd.DataFrame:
    """Each method with distillation minus the one that differs from it in `stage2.lambda_kd` alone, which is 0 there.

    Args:
        outcomes: by what the queries are called.

    Returns:
        `between` of each such pair of methods, with columns `method` and `without`.
    """
    parts = [
        between(outcomes, method, without, metrics, params).assign(method=method, without=without)
        for method, without in distilled_pairs(params)
    ]
    columns = ["method", "without", *BETWEEN]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def evidence(paths: Paths, source: str, params: Params, task: str) -> pd.DataFrame:
    """Outcomes of one task over the folds of cross-validation if the source has some, else on its test split."""
    if params.evaluation.folds.get(source):
        return crossval.outcomes(paths.crossval(source), task)
    return load_outcomes(paths.evaluation(source) / "results", [task])


def reading(differences: pd.DataFrame) -> pd.DataFrame:
    """What the differences of the variants to the full model say, whichever way they point.

    Args:
        differences: of `tables.difference_table`, baseline the full model.

    Returns:
        table (method, worse, better, reading): metrics that are beyond chance on either side, in points.
    """
    rows = []
    for method, own in differences.groupby("method", sort=False):
        sides = {}
        for side, part in (("worse", own["difference"] < 0), ("better", own["difference"] > 0)):
            sure = own[part & own["beyond_chance"]]
            sides[side] = ", ".join(
                f"{tables.metric_name(row.metric)} {row.difference:+.1f}" for row in sure.itertuples()
            )
        words = {
            (True, True): "a trade",
            (True, False): "what it changes carries the result",
            (False, True): "better than the full model",
            (False, False): "no difference that these images can tell",
        }
        said = words[bool(sides["worse"]), bool(sides["better"])]
        if not own[["difference", "low", "high"]].any(axis=None):  # the very same model
            said = "changes nothing on this source"
        rows.append((method, sides["worse"], sides["better"], said))
    return pd.DataFrame(rows, columns=["method", "worse", "better", "reading"])
