"""What a table of differences says, in sentences that follow from it, whichever way it points.

Chapters quote their own run with these, so that no sentence outlives the numbers it was written for.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from phenolip_lib.core.names import SOURCES
from phenolip_lib.reporting import tables


def over_baseline(differences: pd.DataFrame, source: str, baseline: str) -> str:
    """Markdown: of each method, how many differences to the baseline are beyond chance, and the largest ones.

    Args:
        differences: of `tables.difference_table` or `evaluation_reports.across_tasks`, percentage points of scores
            of which more is better.
    """
    plain = tables.in_text(baseline)
    if not len(differences):
        return f"Nothing was compared with {plain} on the {SOURCES[source]}."
    sure = differences[differences["beyond_chance"]]
    head = f"On the {SOURCES[source]}, {len(sure)} of {len(differences)} differences to {plain} are beyond chance: "
    head += f"{_number((sure['difference'] > 0).sum(), 'gain')} and {_number((sure['difference'] < 0).sum(), 'loss')}."
    named = {tables.METHOD_NAMES.get(name, name): own for name, own in differences.groupby("method", sort=False)}
    return f"{head}\n\n{_lines(named)}"


def of_the_teacher(worth: pd.DataFrame, source: str) -> str:
    """Markdown: the same of each method with distillation beside the one without it.

    Args:
        worth: of `evaluation_reports.teachers_worth`.
    """
    if not len(worth):
        return f"No method was evaluated both with the teacher and without it on the {SOURCES[source]}."
    named = {
        f"{tables.METHOD_NAMES.get(method, method)} over {tables.in_text(without)}, {queries}": own
        for (method, without, queries), own in worth.groupby(["method", "without", "queries of"], sort=False)
    }
    return f"What the teacher adds, by the phenotypes that are asked for:\n\n{_lines(named)}"


def widths(intervals: pd.DataFrame, differences: pd.DataFrame) -> str:
    """A sentence: how wide the intervals of scores are, and how wide those of differences paired by query.

    Args:
        intervals: of `statistics.intervals`, shares of 1.
        differences: of `tables.difference_table`, percentage points, of the same metrics.
    """
    alone = 100 * (intervals["high"] - intervals["low"]).median()
    said = f"The 95% interval of a score is {alone:.1f} points wide"
    if len(differences):
        said += f", that of a difference paired by query {(differences['high'] - differences['low']).median():.1f}"
    return f"{said} (medians over methods and metrics)."


def _lines(named: Mapping[str, pd.DataFrame]) -> str:
    """A list: gains and losses beyond chance of each, at the end those without any."""
    lines, none = [], []
    for name, own in named.items():
        sure = own[own["beyond_chance"]].sort_values("difference", kind="stable")
        told = []
        for what, part in (("gain", sure[sure["difference"] > 0].iloc[::-1]), ("loss", sure[sure["difference"] < 0])):
            if len(part):
                row = next(part.itertuples(index=False))
                told.append(f"{_number(len(part), what)}, the largest {_place(row)} {row.difference:+.1f} ")
                told[-1] += f"[{row.low:.1f}, {row.high:.1f}]"
        if told:
            lines.append(f"- **{name}**: {'; '.join(told)} (of {len(own)} differences).")
        else:
            none.append(name)
    return "\n".join(lines + ([f"- No difference that these images can tell: {'; '.join(none)}."] if none else []))


def _place(row: tuple) -> str:
    parts = (getattr(row, "task", "").replace("_", " "), getattr(row, "dataset", ""), tables.metric_name(row.metric))
    return ", ".join(part for part in parts if part)


def _number(n: int, what: str) -> str:
    plural = {"gain": "gains", "loss": "losses"}[what]
    return f"{n} {what if n == 1 else plural}"
