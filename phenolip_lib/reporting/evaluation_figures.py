"""Figures of the evaluation tasks beyond retrieval: differences, calibration, prompts, candidates, and the audit of the
published tables; `share_figures` has probes and scaling.

Each takes a table that the tables are made of too and says in its place if the source has nothing to draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phenolip_lib.reporting.figures import COLORS, WIDTH, color
from phenolip_lib.reporting.panels import (
    PANELS,
    draw_line,
    grid,
    log_ticks,
    method_legend,
    method_name,
    name_ends,
    nothing,
    packed,
    problems_of,
)
from phenolip_lib.reporting.tables import method_order, metric_name
from phenolip_lib.reporting.task_tables import PROBLEM_NAMES, QUARTILES

TICKS = (0, 25, 50, 75, 100)
FEW = 10
"""A bin of fewer answers is left out of a reliability diagram."""
MARKERS = "osD^"


# --- zero-shot classification -------------------------------------------------------------------


def reliability(found: pd.DataFrame, methods: Sequence[str], problems: Sequence[str] | None = None) -> Figure:
    """Share of right answers by confidence, before (above) and after temperature scaling, a column a problem.

    Answers are those of all training seeds, bins a fifth wide. A dot's area is its bin's share of the answers; bins of
    fewer than ten answers are left out.

    Args:
        found: of `tasks.calibration.reliability`, with a column method.
        methods: up to four, each with a line.
        problems: the four with the most images by default.
    """
    found = found[found["method"].isin(methods)]
    if not len(found):
        return nothing("no problem with enough images to calibrate on")
    if problems is None:
        counts = found.groupby("dataset")["count"].sum().sort_values(ascending=False, kind="stable")
        problems = problems_of(counts.index[:PANELS])
    figure, axes = plt.subplots(
        2, len(problems), figsize=(0.4 + 2.4 * len(problems), 5.4), sharex=True, sharey=True, squeeze=False
    )
    shapes = dict(zip(methods, MARKERS, strict=False))
    for row, scaled in zip(axes, (False, True), strict=True):
        for axis, problem in zip(row, problems, strict=True):
            axis.axline((0, 0), (100, 100), color="black", linewidth=0.8, linestyle="--")
            part = found[(found["dataset"] == problem) & (found["scaled"] == scaled)]
            for method in method_order(part["method"]):
                own = _fifths(part[part["method"] == method])
                area = 12 + 120 * own["count"] / own["count"].sum()
                axis.plot(own["confidence"], own["accuracy"], color=color(method), linewidth=1.2)
                axis.scatter(own["confidence"], own["accuracy"], s=area, marker=shapes[method], color=color(method))
            axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal", xticks=TICKS, yticks=TICKS)
        row[0].set_ylabel(("after temperature scaling" if scaled else "as trained") + "\nright answers (%)")
    for axis, problem in zip(axes[0], problems, strict=True):
        axis.set_title(PROBLEM_NAMES.get(problem, problem))
    figure.supxlabel("confidence of the answer (%); below the diagonal a model is too sure", fontsize=10)
    return method_legend(figure, method_order(found["method"]), shapes=shapes)


def _fifths(own: pd.DataFrame) -> pd.DataFrame:
    """Bins of one method and problem, those of a fifth of all confidences put together, in percent."""
    sums = own[["confidence", "accuracy"]].mul(100 * own["count"], axis=0).assign(count=own["count"])
    sums = sums.groupby(np.floor(5 * own["low"] + 1e-9)).sum()
    means = sums[["confidence", "accuracy"]].div(sums["count"], axis=0).assign(count=sums["count"])
    return means[means["count"] >= FEW]


def prompt_sensitivity(results: pd.DataFrame, own_classes: bool = False) -> Figure:
    """Accuracy of single prompts (range, quartiles, median) less that of their ensemble, a panel a problem.

    Mean over training seeds. The ensemble's own accuracy stands right of each row.

    Args:
        results: of `results.load_results`, one source.
        own_classes: the data sets' own classes in place of the modalities' phenotypes.
    """
    part = results[(results["task"] == "zero_shot") & (results["dataset"].isin(PROBLEM_NAMES) != own_classes)]
    part = part[part["method"] != "untrained"]  # of which no prompt is better than a guess
    if not len(part):
        return nothing("no zero-shot problem of this kind")
    problems, methods = problems_of(part["dataset"]), method_order(part["method"])[::-1]
    figure, axes = grid(len(problems), 0.22 * len(methods) + 0.7, sharey=True)
    means = part.groupby(["dataset", "method", "metric"])["value"].mean() * 100
    for axis, problem in zip(axes, problems, strict=True):
        own = means[problem].unstack().reindex(methods)
        low, q1, median, q3, high = (own[name] - own["acc1"] for name in QUARTILES)
        y, colors = np.arange(len(methods)), [color(method) for method in methods]
        axis.axvline(0, color="black", linewidth=0.8)
        axis.hlines(y, low, high, colors=colors, linewidth=1.5)
        axis.barh(y, q3 - q1, left=q1, height=0.55, color=colors)
        axis.vlines(median, y - 0.27, y + 0.27, color="white", linewidth=2)
        axis.set_yticks(y, [method_name(method) for method in methods])
        axis.set_ylim(-0.7, len(methods) - 0.3)
        for place, value in zip(y, own["acc1"], strict=True):
            axis.annotate(f"{value:.0f}%", (1, place), (3, 0), ("axes fraction", "data"), "offset points", va="center")
        axis.grid(axis="y", visible=False)
        axis.set_title(PROBLEM_NAMES.get(problem, problem))
    for text in figure.findobj(plt.Annotation):
        text.set_fontsize(8)
    figure.supxlabel(
        "accuracy of a single prompt less that of the ensemble (percentage points): range, quartiles, median (white); "
        "right: the ensemble",
        fontsize=9,
    )
    return figure


# --- all tasks ----------------------------------------------------------------------------------


def effects(differences: pd.DataFrame, baseline: str) -> Figure:
    """Differences to the baseline with their 95% interval, a panel a task and metric; hollow ones are within chance.

    Args:
        differences: of `evaluation_reports.across_tasks`, percentage points.
    """
    if not len(differences):
        return nothing("no task beside retrieval")
    methods = method_order(differences["method"])
    panels = list(differences.groupby(["task", "metric"], sort=False))
    rows = [own["dataset"].nunique() for _, own in panels]
    columns = packed([n + 1.5 for n in rows], 3)
    most = max(sum(rows[i] + 1.5 for i in column) for column in columns)
    figure = plt.figure(figsize=(WIDTH * 1.25, (0.08 * len(methods) + 0.06) * most + 0.8))
    outer = figure.add_gridspec(1, len(columns))
    for place, column in zip(outer, columns, strict=True):
        inner = place.subgridspec(len(column), 1, height_ratios=[rows[i] for i in column])
        for spot, i in zip(inner, column, strict=True):
            _effect_panel(figure.add_subplot(spot), *panels[i], methods)
    label = f"difference to {method_name(baseline)} (points), 95% interval over groups; hollow: within chance"
    figure.supxlabel(label, fontsize=9)
    return method_legend(figure, methods)


def _effect_panel(axis: Axes, title: tuple[str, str], own: pd.DataFrame, methods: Sequence[str]) -> None:
    datasets = list(dict.fromkeys(own["dataset"]))[::-1]
    for place in range(0, len(datasets), 2):
        axis.axhspan(place - 0.5, place + 0.5, color="black", alpha=0.05, linewidth=0)
    axis.axvline(0, color="black", linewidth=0.8)
    for i, method in enumerate(methods):
        rows = own[own["method"] == method]
        y = np.array([datasets.index(d) for d in rows["dataset"]]) + 0.86 * (0.5 - (i + 0.5) / len(methods))
        bars = np.stack([rows["difference"] - rows["low"], rows["high"] - rows["difference"]])
        axis.errorbar(rows["difference"], y, xerr=bars.clip(0), fmt="none", color=color(method), elinewidth=1)
        faces = [color(method) if sure else "white" for sure in rows["beyond_chance"]]
        axis.scatter(rows["difference"], y, c=faces, edgecolors=color(method), s=14, zorder=3)
    axis.set_yticks(range(len(datasets)), [_short(name) for name in datasets])
    axis.set_ylim(-0.5, len(datasets) - 0.5)
    axis.grid(axis="y", visible=False)
    axis.set_title(f"{title[0].replace('_', ' ').capitalize()}, {title[1]}", fontsize=9)
    axis.tick_params(labelsize=8)


def _short(dataset: str) -> str:
    return PROBLEM_NAMES.get(dataset, dataset.removeprefix("phantom-"))


# --- curves -------------------------------------------------------------------------------------


def recall_by_candidates(intervals: pd.DataFrame, metric: str = "i2p_recall@10") -> Figure:
    """A recall by the number of phenotypes to choose from (logarithmic), with 95% intervals, a line a method.

    Args:
        intervals: of `statistics.intervals`, task ``candidates``: data sets are numbers of candidates.
    """
    own = intervals[intervals["metric"] == metric]
    if not len(own):
        return nothing("no image with a phenotype to rank candidates for")
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    own = own.assign(n=own["dataset"].astype(int)).sort_values("n")
    methods, sizes = method_order(own["method"]), sorted(own["n"].unique())
    for i, method in enumerate(methods):
        line = own[own["method"] == method]
        draw_line(axis, line["n"] * 1.025 ** (i - (len(methods) - 1) / 2), line, color(method), method_name(method))
    axis.set(xscale="log", xlabel="phenotypes to choose from", ylabel=f"{metric_name(metric)} (%)")
    axis.set_ylim(bottom=0)
    log_ticks(axis, sizes, [f"{n:,}" for n in sizes])
    name_ends(axis, [drawn.lines[0] for drawn in axis.containers])
    return figure


# --- the published tables -----------------------------------------------------------------------


def audit_checks(audit: pd.DataFrame) -> Figure:
    """A dot a statement of the published tables, by check: filled if it holds when recomputed, hollow if not.

    Args:
        audit: of `audit.run`.
    """
    checks = list(dict.fromkeys(audit["check"]))
    figure, axis = plt.subplots(figsize=(WIDTH * 1.25, 0.52 * len(checks) + 0.5))
    for y, name in enumerate(checks):
        holds = np.sort(audit["holds"][audit["check"] == name].to_numpy(dtype=bool))[::-1]
        x = np.arange(len(holds))
        axis.scatter(x[holds], np.full(holds.sum(), y), s=38, color=COLORS[0])
        axis.scatter(x[~holds], np.full((~holds).sum(), y), s=38, facecolor="white", edgecolor=COLORS[3], linewidth=1.5)
        said = f"{name}: {holds.sum()} of {len(holds)} hold"
        axis.text(-0.7, y - 0.33, said, va="center", color="black" if holds.all() else COLORS[3])
    axis.set(ylim=(len(checks) - 0.6, -0.8), xlim=(-1, None), yticks=[], xticks=[])
    axis.set_xlabel("a dot is a statement recomputed: filled if it holds, hollow if it does not")
    axis.spines[:].set_visible(False)
    return figure
