"""Figures of what more data bring: linear probes by labels, the full model by training cases.

A row each, a dot a share of the data, light for the least and dark for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phenolip_lib.core.params import Params
from phenolip_lib.reporting.figures import WIDTH
from phenolip_lib.reporting.panels import grid, method_name, nothing
from phenolip_lib.reporting.tables import method_order, metric_name

MARKERS = "osD^v"


def probes(results: pd.DataFrame, shares: Sequence[float], metric: str = "acc") -> Figure:
    """Linear-probe accuracy by share of the training labels, a panel a target, a row a method.

    Whiskers are ± one standard deviation over training seeds. The title gives the numbers of labels; a share that has
    as many labels as a smaller one, for each class keeps one, is drawn once.

    Args:
        results: of `results.load_results`, one source.
        metric: ``acc``, with that of the majority class in the title, or ``mean_per_class_recall``.
    """
    part = results[results["task"] == "linear_probe"]
    if not len(part):
        return nothing("no target of a linear probe")
    targets, methods = sorted(part["dataset"].unique()), method_order(part["method"])[::-1]
    figure, axes = grid(len(targets), 0.22 * len(methods) + 1, sharey=True)
    drawn: set[float] = set()
    for axis, target in zip(axes, targets, strict=True):
        own = part[part["dataset"] == target]
        stats = 100 * own.groupby(["metric", "method"])["value"].agg(["mean", "std"])
        labels = {share: stats.loc[f"n_labels@{share:g}", "mean"].mean() / 100 for share in shares}
        first = [share for i, share in enumerate(shares) if labels[share] not in [labels[s] for s in shares[:i]]]
        series = []
        for share in first:
            rows = stats.loc[f"{metric}@{share:g}"].reindex(methods).fillna({"std": 0.0})
            series.append((rows["mean"], rows["std"], rows["std"]))
        _rows(axis, series, _shades(shares, first))
        drawn |= set(first)
        axis.set_yticks(range(len(methods)), [method_name(method) for method in methods])
        axis.set_ylim(-0.7, len(methods) - 0.3)
        numbers = " / ".join(f"{labels[share]:,.0f}" for share in first) + " labels"
        if metric == "acc":
            numbers += f"; majority class {stats.loc['majority', 'mean'].mean():.0f}%"
        axis.set_title(target.removeprefix("phantom-"), fontsize=10, pad=16)
        axis.text(0.5, 1.02, numbers, transform=axis.transAxes, ha="center", fontsize=8)
    figure.supxlabel("accuracy (%)" if metric == "acc" else "mean recall by class (%)", fontsize=10)
    names = [f"{100 * share:g}% of the labels" for share in sorted(drawn)]
    handles = _handles(names, _shades(shares, sorted(drawn)))
    figure.legend(handles.values(), handles.keys(), fontsize=8, ncols=len(handles), loc="outside upper left")
    return figure


def training_shares(params: Params) -> dict[str, float]:
    """Share of the training cases by method, for `scaling`: ablations that change nothing else, and the full model."""
    full = params.evaluation.headline
    found = {
        name: own["stage2.train_share"]
        for name, own in params.ablations.overrides.items()
        if set(own) == {"stage2.train_share"}
    }
    return dict(sorted((found | {full: params.method(full).stage2.train_share}).items(), key=lambda item: item[1]))


def scaling(intervals: pd.DataFrame, shares: Mapping[str, float]) -> Figure:
    """Scores by share of the training cases with 95% intervals, a row a metric; right: the gain from least to most.

    Args:
        intervals: of `statistics.intervals`, one task and data set.
        shares: method -> share, such as `training_shares`; methods without results are left out.
    """
    own = intervals[intervals["method"].isin(shares)]
    if own["method"].nunique() < 2:
        return nothing("no model trained on a share of the cases: put share_10 and others into ablations.run")
    metrics = list(dict.fromkeys(own["metric"]))[::-1]
    present = sorted(set(own["method"]), key=shares.__getitem__)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 * len(metrics) + 1.1))
    series = []
    for method in present:
        rows = 100 * own[own["method"] == method].set_index("metric")[["mean", "low", "high"]].reindex(metrics)
        series.append((rows["mean"], rows["mean"] - rows["low"], rows["high"] - rows["mean"]))
    found = [shares[method] for method in present]
    _rows(axis, series, _shades(found, found), apart=0.16)
    gains = series[-1][0] - series[0][0]
    for y, gain in enumerate(gains):
        axis.annotate(f"{gain:+.1f}", (1.01, y), xycoords=("axes fraction", "data"), va="center")
    axis.set_yticks(range(len(metrics)), [metric_name(metric) for metric in metrics])
    axis.set(xlabel="score (%), 95% interval over groups; right: gain in points", ylim=(-0.6, len(metrics) - 0.4))
    handles = _handles([f"{100 * share:g}% of the training cases" for share in found], _shades(found, found))
    figure.legend(handles.values(), handles.keys(), fontsize=8, ncols=len(handles), loc="outside upper left")
    return figure


def _rows(
    axis: Axes, series: Sequence[tuple[pd.Series, pd.Series, pd.Series]], looks: Sequence[tuple], apart: float = 0.0
) -> None:
    """A dot a row of each series (values, whiskers to the left and right), joined along the row."""
    values = np.stack([mean.to_numpy(float) for mean, _, _ in series])
    y = np.arange(values.shape[1])
    steps = [apart * ((len(series) - 1) / 2 - i) for i in range(len(series))]
    for row in y:
        axis.plot(values[:, row], row + np.array(steps), color="#BBBBBB", linewidth=1.2, zorder=1)
    for (mean, low, high), (shade, marker), step in zip(series, looks, steps, strict=True):
        bars = np.stack([low, high]).clip(0)
        axis.errorbar(mean, y + step, xerr=bars, fmt=marker, color=shade, markersize=5, elinewidth=1, capsize=2)
    axis.grid(axis="y", visible=False)


def _shades(shares: Sequence[float], chosen: Sequence[float]) -> list[tuple]:
    """Colour and marker of the chosen shares among all."""
    depths = np.linspace(0.35, 1, len(shares)) if len(shares) > 1 else [1.0]
    looks = dict(zip(shares, zip(map(colormaps["Blues"], depths), MARKERS, strict=False), strict=True))
    return [looks[share] for share in chosen]


def _handles(names: Sequence[str], looks: Sequence[tuple]) -> dict[str, plt.Line2D]:
    return {
        name: plt.Line2D([], [], color=shade, marker=marker, linestyle="")
        for name, (shade, marker) in zip(names, looks, strict=True)
    }
