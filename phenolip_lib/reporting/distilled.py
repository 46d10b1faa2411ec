"""What distillation brought by the validation split of a run, as a table and in words that follow from it."""

from __future__ import annotations

import pandas as pd

from phenolip_lib.core.names import SOURCES
from phenolip_lib.core.params import Params
from phenolip_lib.reporting import tables
from phenolip_lib.reporting.evaluation_reports import HEADLINE, distilled_pairs


def validation_gain(history: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Each method with distillation minus the same without it, in the last epoch, seed by seed.

    Args:
        history: of all methods and seeds, as stage 2 writes it.

    Returns:
        table (method, without, metric, difference, lowest, highest, seeds): mean and range over seeds, percentage
        points of validation recall. Pairs of methods of which one was not trained are left out.
    """
    last = history[history["epoch"] == history.groupby("method")["epoch"].transform("max")]
    scores = last.set_index(["method", "seed"])
    rows = []
    for method, without in distilled_pairs(params):
        for metric in HEADLINE:
            if f"val_{metric}" in scores and {method, without} <= set(last["method"]):
                own = 100 * (scores.loc[method, f"val_{metric}"] - scores.loc[without, f"val_{metric}"])
                rows.append((method, without, metric, own.mean(), own.min(), own.max(), len(own)))
    columns = ["method", "without", "metric", "difference", "lowest", "highest", "seeds"]
    return pd.DataFrame(rows, columns=columns).round(1)


def in_words(gain: pd.DataFrame, source: str) -> str:
    """Markdown: what `validation_gain` says, whichever way it points."""
    lines = []
    for (method, without), own in gain.groupby(["method", "without"], sort=False):
        told = []
        for row in own.itertuples(index=False):
            agree = (
                "every seed gains" if row.lowest > 0 else "every seed loses" if row.highest < 0 else "not every seed"
            )
            told.append(f"{tables.metric_name(row.metric)} {row.difference:+.1f} points ({agree})")
        up, down = int((own["lowest"] > 0).sum()), int((own["highest"] < 0).sum())
        lines.append(
            f"- **{tables.METHOD_NAMES.get(method, method)}** over {tables.in_text(without)}: {'; '.join(told)}. "
            f"Of {len(own)} directions {up} went up with every seed, and {down} went down with every seed."
        )
    head = f"What the teacher brought on the validation split of the {SOURCES[source]}, by the table above:"
    return "\n".join([head, "", *lines]) if lines else "No method was trained both with the teacher and without it."
