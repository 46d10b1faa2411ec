"""What distillation brought by the validation split of a run, as a table and in words that follow from it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from phenolip_lib.core.names import SOURCES
from phenolip_lib.core.params import Params
from phenolip_lib.reporting import tables


def distilled_pairs(params: Params) -> Iterator[tuple[str, str]]:
    """Methods with distillation, each with the one that differs from it in `stage2.lambda_kd` alone, which is 0."""
    settings = {name: params.method(name) for name in params.methods}
    for method, own in settings.items():
        if own.stage2.lambda_kd > 0:
            wanted = own.with_overrides({"stage2.lambda_kd": 0.0})
            yield from ((method, name) for name, other in settings.items() if other == wanted)


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
        for name in [name for name in history if name.startswith("val_") and "recall" in name]:
            if {method, without} <= set(last["method"]):
                own = 100 * (scores.loc[method, name] - scores.loc[without, name])
                rows.append((method, without, name.removeprefix("val_"), own.mean(), own.min(), own.max(), len(own)))
    columns = ["method", "without", "metric", "difference", "lowest", "highest", "seeds"]
    return pd.DataFrame(rows, columns=columns).round(1)


def in_words(gain: pd.DataFrame, source: str) -> str:
    """Markdown: what `validation_gain` says, whichever way it points."""
    lines = []
    for (method, without), own in gain.groupby(["method", "without"], sort=False):
        told = []
        for row in own.itertuples(index=False):
            seeds = "every seed up" if row.lowest > 0 else "every seed down" if row.highest < 0 else "undecided"
            told.append(f"{tables.metric_name(row.metric)} {row.difference:+.1f} points ({seeds})")
        up, down = int((own["lowest"] > 0).sum()), int((own["highest"] < 0).sum())
        lines.append(
            f"- **{tables.METHOD_NAMES.get(method, method)}** over {tables.in_text(without)}: {'; '.join(told)}. "
            f"Of {len(own)} directions {up} went up with every seed, {down} went down with every seed."
        )
    head = f"What the teacher brought on the validation split of the {SOURCES[source]}, by the table above"
    head += " (undecided: the seeds do not all go the same way):"
    return "\n".join([head, "", *lines]) if lines else "No method was trained both with the teacher and without it."
