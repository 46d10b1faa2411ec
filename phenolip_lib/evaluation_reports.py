"""Tables of the evaluation: scores with their interval, and differences with interval and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from phenolip_lib import crossval, statistics, tables
from phenolip_lib.params import Params
from phenolip_lib.paths import Paths
from phenolip_lib.results import load_outcomes
from phenolip_lib.tables import RETRIEVAL

HEADLINE = [metric for metric in RETRIEVAL if metric.endswith("@10")]
ONTOLOGY = ["i2p_ndcg@10", "i2p_ndcg@50", "i2p_lin@1", "i2p_hierarchical_precision@1", "i2p_hierarchical_recall@1",
            "i2p_steps@1"]  # fmt: skip
PHENOTYPES = [metric for metric in RETRIEVAL if metric.startswith(("i2p", "p2i"))]
BASELINE = "clip"


def scores(outcomes: pd.DataFrame, metrics: Sequence[str], params: Params) -> pd.DataFrame:
    """A row a method: mean over queries with its 95% interval, groups drawn."""
    found = statistics.intervals(outcomes[outcomes["metric"].isin(metrics)], params.evaluation.resamples)
    return tables.interval_table(found, metrics)


def by_dataset(
    outcomes: pd.DataFrame, metric: str, label: str, params: Params, transposed: bool = False
) -> pd.DataFrame:
    """`scores` of one metric over the data sets of a task, see `tables.dataset_table`."""
    found = statistics.intervals(outcomes[outcomes["metric"] == metric], params.evaluation.resamples)
    return tables.dataset_table(found, metric, label, transposed)


def compared(outcomes: pd.DataFrame, metrics: Sequence[str], params: Params, baseline: str = BASELINE) -> pd.DataFrame:
    """Differences to the baseline, paired by query, as `statistics.differences` gives them."""
    own = outcomes[outcomes["metric"].isin(metrics) & (outcomes["method"] != "untrained")]
    return statistics.differences(own, baseline, params.evaluation.resamples)


def between(
    outcomes: Mapping[str, pd.DataFrame], method: str, baseline: str, metrics: Sequence[str], params: Params
) -> pd.DataFrame:
    """One method minus another on several sets of queries, paired by query; empty if either was not evaluated.

    Args:
        outcomes: by what the queries are called.
    """
    columns = ["queries of", "metric", "difference", "low", "high", "p_holm", "beyond_chance", "queries", "groups"]
    parts = []
    for name, found in outcomes.items():
        own = found[found["method"].isin([method, baseline])] if len(found) else found
        if len(own) and own["method"].nunique() == 2:
            table = tables.difference_table(compared(own, metrics, params, baseline), metrics)
            parts.append(table.assign(**{"queries of": name})[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


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


def verdict(differences: pd.DataFrame, method: str, source: str) -> str:
    """A sentence a metric that says what the differences say, in whichever direction."""
    lines, sure = [], 0
    own = tables.difference_table(differences[differences["method"] == method], list(differences["metric"].unique()))
    for row in own.itertuples(index=False):
        side = "above" if row.difference > 0 else "below" if row.difference < 0 else "equal to"
        word = "beyond chance" if row.beyond_chance else "within chance"
        sure += row.beyond_chance
        lines.append(
            f"{tables.metric_name(row.metric)}: {abs(row.difference):.2f} points {side} plain contrastive "
            f"[{row.low:.2f}, {row.high:.2f}], {word}"
        )
    print("\n".join([f"{tables.METHOD_NAMES.get(method, method)}, source {source}", *lines]))
    return f"{sure} of {len(own)} differences are beyond chance"
