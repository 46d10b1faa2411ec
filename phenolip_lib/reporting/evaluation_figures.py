"""Figures of the evaluation tasks beyond retrieval: differences, calibration, prompts, candidates, probes, scaling,
and the audit of the published tables.

Each takes a table that the tables are made of too and says in its place if the source has nothing to draw.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from phenolip_lib.core.params import Params
from phenolip_lib.reporting.figures import COLORS, METHOD_COLORS, WIDTH, color
from phenolip_lib.reporting.panels import (
    PANELS,
    draw_line,
    grid,
    log_ticks,
    method_legend,
    method_name,
    name_ends,
    nothing,
    problems_of,
)
from phenolip_lib.reporting.tables import method_order, metric_name
from phenolip_lib.reporting.task_tables import PROBLEM_NAMES, QUARTILES

TICKS = (0, 25, 50, 75, 100)
FEW = 10
"""A bin of fewer answers has a dot in a reliability diagram, but no line leads to it."""


# --- zero-shot classification -------------------------------------------------------------------


def reliability(found: pd.DataFrame, problems: Sequence[str] | None = None) -> Figure:
    """Share of right answers by confidence, before (above) and after temperature scaling, a column a problem.

    A line a method; a dot's area is its bin's share of the answers, which are those of all training seeds. No
    line leads to bins of fewer than ten answers.

    Args:
        found: of `tasks.calibration.reliability`, with a column method.
        problems: the four with the most images by default.
    """
    if not len(found):
        return nothing("no problem with enough images to calibrate on")
    if problems is None:
        counts = found.groupby("dataset")["count"].sum().sort_values(ascending=False, kind="stable")
        problems = problems_of(counts.index[:PANELS])
    figure, axes = plt.subplots(
        2, len(problems), figsize=(0.4 + 2.4 * len(problems), 5.4), sharex=True, sharey=True, squeeze=False
    )
    for row, scaled in zip(axes, (False, True), strict=True):
        for axis, problem in zip(row, problems, strict=True):
            axis.axline((0, 0), (100, 100), color="black", linewidth=0.8, linestyle="--")
            part = found[(found["dataset"] == problem) & (found["scaled"] == scaled)]
            for method in method_order(part["method"]):
                own = part[part["method"] == method].sort_values("bin")
                shade, area = color(method), 8 + 120 * own["count"] / own["count"].sum()
                x, y = 100 * own["confidence"], 100 * own["accuracy"]
                many = own["count"] >= FEW
                axis.plot(x[many], y[many], color=shade, linewidth=1)
                axis.scatter(x, y, s=area, color=shade, alpha=0.85, linewidths=0)
            axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal", xticks=TICKS, yticks=TICKS)
        row[0].set_ylabel(("after temperature scaling" if scaled else "as trained") + "\nright answers (%)")
    for axis, problem in zip(axes[0], problems, strict=True):
        axis.set_title(PROBLEM_NAMES.get(problem, problem))
    figure.supxlabel("confidence of the answer (%); below the diagonal a model is too sure", fontsize=10)
    return method_legend(figure, method_order(found["method"]))


def prompt_sensitivity(results: pd.DataFrame, own_classes: bool = False) -> Figure:
    """Accuracy over single prompts (range, quartiles, median) and of their ensemble, a panel a problem.

    Mean over training seeds; lines mark the majority class and chance.

    Args:
        results: of `results.load_results`, one source.
        own_classes: the data sets' own classes in place of the modalities' phenotypes.
    """
    part = results[(results["task"] == "zero_shot") & (results["dataset"].isin(PROBLEM_NAMES) != own_classes)]
    if not len(part):
        return nothing("no zero-shot problem of this kind")
    problems, methods = problems_of(part["dataset"]), method_order(part["method"])[::-1]
    figure, axes = grid(len(problems), 0.24 * len(methods) + 0.75, sharey=True)
    means = part.groupby(["dataset", "method", "metric"])["value"].mean() * 100
    for axis, problem in zip(axes, problems, strict=True):
        own = means[problem].unstack().reindex(methods)
        low, q1, median, q3, high = (own[name] for name in QUARTILES)
        y, colors = np.arange(len(methods)), [color(method) for method in methods]
        axis.hlines(y, low, high, colors=colors, linewidth=1.2)
        axis.barh(y, q3 - q1, left=q1, height=0.5, color=colors)
        axis.vlines(median, y - 0.25, y + 0.25, color="black", linewidth=1.5)
        drawn = axis.scatter(
            own["acc1"], y, marker="D", s=18, facecolor="white", edgecolor="black", linewidths=1, zorder=4
        )
        majority = axis.axvline(own["majority_acc1"].mean(), color="black", linewidth=1, linestyle="--", zorder=0)
        chance = axis.axvline(own["chance_acc1"].mean(), color="black", linewidth=1, linestyle=":", zorder=0)
        axis.set_yticks(y, [method_name(method) for method in methods])
        axis.grid(axis="y", visible=False)
        axis.set(title=PROBLEM_NAMES.get(problem, problem), xlabel="accuracy (%)")
        axis.set_xlim(left=0)
    box = plt.Rectangle((0, 0), 1, 1, color=METHOD_COLORS["untrained"])
    handles = {
        "single prompts: range, quartiles, median": box,
        "ensemble": drawn,
        "majority class": majority,
        "chance": chance,
    }
    figure.legend(handles.values(), handles.keys(), fontsize=8, ncols=4, loc="outside upper left")
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
    panels = differences[["task", "metric"]].drop_duplicates().itertuples(index=False, name=None)
    panels = [(title, differences[(differences[["task", "metric"]] == title).all(axis=1)]) for title in panels]
    most = max(own["dataset"].nunique() for _, own in panels)
    figure, axes = grid(len(panels), 0.3 * most + 0.9)
    for axis, ((task, metric), own) in zip(axes, panels, strict=True):
        datasets = list(dict.fromkeys(own["dataset"]))[::-1]
        axis.axvline(0, color="black", linewidth=0.8)
        for i, method in enumerate(methods):
            rows = own[own["method"] == method]
            y = np.array([datasets.index(d) for d in rows["dataset"]]) + 0.26 * ((len(methods) - 1) / 2 - i)
            bars = np.stack([rows["difference"] - rows["low"], rows["high"] - rows["difference"]])
            axis.errorbar(rows["difference"], y, xerr=bars.clip(0), fmt="none", color=color(method), elinewidth=1)
            faces = [color(method) if sure else "white" for sure in rows["beyond_chance"]]
            axis.scatter(rows["difference"], y, c=faces, edgecolors=color(method), s=16, zorder=3)
        axis.set_yticks(range(len(datasets)), [_short(name) for name in datasets])
        axis.set_ylim(len(datasets) - most - 0.6, len(datasets) - 0.4)  # rows as high in every panel
        axis.grid(axis="y", visible=False)
        axis.set_title(f"{task.replace('_', ' ').capitalize()}\n{metric}", fontsize=9)
        axis.tick_params(labelsize=8)
    figure.supxlabel(f"difference to {method_name(baseline)} (percentage points), 95% interval over groups", fontsize=9)
    return method_legend(figure, methods)


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
    name_ends(axis)
    return figure


def probe_curves(results: pd.DataFrame, shares: Sequence[float], metric: str = "acc") -> Figure:
    """Linear-probe accuracy by share of the training labels (logarithmic), a panel a target, a line a method.

    Bands are ± one standard deviation over training seeds. Below each share stands the number of labels.

    Args:
        results: of `results.load_results`, one source.
        metric: ``acc``, with a line of the majority class, or ``mean_per_class_recall``.
    """
    part = results[results["task"] == "linear_probe"]
    if not len(part):
        return nothing("no target of a linear probe")
    targets, methods = sorted(part["dataset"].unique()), method_order(part["method"])
    figure, axes = grid(len(targets), 2.3)
    for axis, target in zip(axes, targets, strict=True):
        stats = part[part["dataset"] == target].groupby(["method", "metric"])["value"].agg(["mean", "std"])
        for method in methods:
            own = 100 * stats.loc[method].reindex([f"{metric}@{share:g}" for share in shares]).fillna({"std": 0.0})
            axis.plot(shares, own["mean"], marker="o", markersize=3.5, color=color(method))
            bounds = own["mean"] - own["std"], own["mean"] + own["std"]
            axis.fill_between(shares, *bounds, color=color(method), alpha=0.15, linewidth=0)
        numbers = stats["mean"].groupby("metric").mean()
        if metric == "acc":
            axis.axhline(100 * numbers["majority"], color="black", linewidth=1, linestyle="--")
        labels = [f"{100 * share:g}%\n{numbers[f'n_labels@{share:g}']:,.0f}" for share in shares]
        axis.set(xscale="log")
        axis.set_title(target, fontsize=10)
        log_ticks(axis, shares, labels)
    for axis in (axis for axis in axes if axis.get_subplotspec().is_first_col()):
        axis.set_ylabel("accuracy (%)" if metric == "acc" else "mean recall by class (%)")
    figure.supxlabel("share of the training labels, and their number", fontsize=10)
    return method_legend(figure, methods, {"majority class": "--"} if metric == "acc" else {})


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
    """Scores by share of the training cases (logarithmic) with 95% intervals, a line a metric.

    Args:
        intervals: of `statistics.intervals`, one task and data set.
        shares: method -> share, such as `training_shares`; methods without results are left out.
    """
    own = intervals[intervals["method"].isin(shares)]
    if own["method"].nunique() < 2:
        return nothing("no model trained on a share of the cases: put share_10 and others into ablations.run")
    metrics = list(dict.fromkeys(own["metric"]))
    own = own.assign(share=own["method"].map(dict(shares))).sort_values("share")
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    for i, metric in enumerate(metrics):
        line = own[own["metric"] == metric]
        x = line["share"] * 1.01 ** (i - (len(metrics) - 1) / 2)
        draw_line(axis, x, line, COLORS[i % len(COLORS)], metric_name(metric))
    axis.set(xscale="log", xlabel="training cases, share of all (%)", ylabel="score (%)")
    present = sorted(own["share"].unique())
    log_ticks(axis, present, [f"{100 * share:g}" for share in present])
    name_ends(axis)
    return figure


# --- the published tables -----------------------------------------------------------------------


def audit_checks(audit: pd.DataFrame) -> Figure:
    """A dot a statement of the published tables, by check: filled if it holds when recomputed, hollow if not.

    Args:
        audit: of `audit.run`.
    """
    checks = list(dict.fromkeys(audit["check"]))[::-1]
    figure, axis = plt.subplots(figsize=(WIDTH * 1.25, 0.36 * len(checks) + 0.9))
    for y, name in enumerate(checks):
        holds = np.sort(audit["holds"][audit["check"] == name].to_numpy(dtype=bool))[::-1]
        x = np.arange(1, len(holds) + 1)
        axis.scatter(x[holds], np.full(holds.sum(), y), s=14, color=COLORS[0])
        axis.scatter(x[~holds], np.full((~holds).sum(), y), s=14, facecolor="white", edgecolor=COLORS[3])
        axis.annotate(
            f"{holds.sum()} of {len(holds)} hold",
            (len(holds), y),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="black" if holds.all() else COLORS[3],
        )
    axis.set_yticks(range(len(checks)), [textwrap.fill(name, 48) for name in checks], fontsize=8)
    axis.grid(visible=False)
    axis.set(xlabel="statements recomputed: those that hold (filled), then those that do not (hollow)", xlim=(0, None))
    return figure
