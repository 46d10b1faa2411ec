"""Table and figure of a factorial design (`experiments.factors`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from phenolip_lib.core.params import Params
from phenolip_lib.reporting.evaluation_reports import between
from phenolip_lib.reporting.figures import COLORS, WIDTH
from phenolip_lib.reporting.tables import metric_name

METRICS = ("i2p_calibrated_recall@10", "p2i_recall@10")


def worth(outcomes: Mapping[str, pd.DataFrame], params: Params, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """The second level of the first axis minus its first, a row a combination of the others, in points.

    Args:
        outcomes: of `experiments.crossval.by_asked`.

    Returns:
        `evaluation_reports.between` of each combination, with a column an axis before it.
    """
    axes = params.factors.axes
    (_, (without, with_it)), *others = axes.items()
    parts = []
    for levels in itertools.product(*(own for _, own in others)):
        pair = ("-".join((level, *levels)) for level in (with_it, without))
        told = dict(zip((name for name, _ in others), levels, strict=True))
        parts.append(between(outcomes, *pair, metrics, params).assign(**told))
    table = pd.concat(parts, ignore_index=True)
    names = [name for name, _ in others]
    return table[[*names, *(column for column in table.columns if column not in names)]]


def figure(table: pd.DataFrame, params: Params) -> Figure:
    """`worth` along the last axis, a row of panels a metric and a column a combination of the axes between.

    Filled points are beyond chance; bars are 95% intervals.
    """
    axes = params.factors.axes
    change, *panels, along = axes
    columns = list(itertools.product(*(axes[name] for name in panels)))
    metrics, queries = list(dict.fromkeys(table["metric"])), list(dict.fromkeys(table["queries of"]))
    drawn, grid = plt.subplots(
        len(metrics),
        len(columns),
        figsize=(WIDTH * 1.25, 2.5 * len(metrics) + 0.6),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    x = np.arange(len(axes[along]))
    for (row, metric), (column, levels) in itertools.product(enumerate(metrics), enumerate(columns)):
        axis = grid[row, column]
        axis.axhline(0, color="black", linewidth=0.8)
        for i, asked in enumerate(queries):
            own = table[(table["metric"] == metric) & (table["queries of"] == asked)]
            for name, level in zip(panels, levels, strict=True):
                own = own[own[name] == level]
            own = own.set_index(along).reindex(list(axes[along]))
            place = x + (i - (len(queries) - 1) / 2) * 0.12
            bars = np.stack([own["difference"] - own["low"], own["high"] - own["difference"]]).astype(float)
            axis.errorbar(place, own["difference"], yerr=bars.clip(0), color=COLORS[i], capsize=2, label=asked)
            faces = [COLORS[i] if sure else "white" for sure in own["beyond_chance"].eq(True)]
            axis.scatter(place, own["difference"], c=faces, edgecolors=COLORS[i], zorder=3)
        if row == 0:
            axis.set_title(", ".join(f"{n} {level}" for n, level in zip(panels, levels, strict=True)), fontsize=9)
        axis.set_xticks(x, list(axes[along]))
    for axis, metric in zip(grid[:, 0], metrics, strict=True):
        axis.set_ylabel(f"{metric_name(metric)}\npercentage points", fontsize=9)
    drawn.supxlabel(f"{along}; {change} {' minus '.join(reversed(list(axes[change])))}, 95% interval", fontsize=9)
    grid[0, 0].legend(title="phenotypes", fontsize=8, title_fontsize=8)
    return drawn
