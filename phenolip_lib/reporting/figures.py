"""Figures of the notebooks: one look, colour-blind safe, units on every axis, fixed file bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from phenolip_lib.core.storage import atomic_path
from phenolip_lib.data.images import read_image
from phenolip_lib.evaluation.tasks.unseen import BUCKETS
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.reporting.tables import METHOD_NAMES, method_order, metric_name, summarise

# Okabe and Ito's palette, safe for the common colour-vision deficiencies.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
METHOD_COLORS = {
    "untrained": "#999999",
    "clip": "#E69F00",
    "clip_soft": "#B8A000",
    "siglip": "#009E73",
    "ssm": "#CC79A7",
    "ssm_ontology": "#D55E00",
    "phenolip": "#0072B2",
    "phenolip_soft": "#56B4E9",
    # From Tol's muted scheme, as safe as the others.
    "clip_dropout": "#999933",
    "clip_named": "#882255",
    "phenolip_named": "#332288",
}
WIDTH = 8.0
FAR = 4
"""How many times the median distance a method lies off before a forest draws it as an arrow at the edge."""


def use_style() -> None:
    """Matplotlib settings of all figures."""
    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.cycler(color=COLORS),
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "phenolip",
        }
    )


def save(figure: Figure, path: Path) -> Figure:
    """Write a PNG without software or time stamps; returns the figure for display."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)
    return figure


def color(method: str) -> str:
    """A method's colour; black for those that have none of their own."""
    return METHOD_COLORS.get(method, COLORS[-1])


def picture(root: Path, row, file: str = "") -> Image.Image:
    """The part of a file (``image``, if none is given) that a pair is: ``left``, ``top``, ``right``, ``bottom``."""
    return read_image(root, file or row.image, (row.left, row.top, row.right, row.bottom))


def short_name(name: str) -> str:
    """An organ system's name without its frame: "Abnormality of the eye" gives "eye"."""
    for frame in ("Abnormality of the ", "Abnormality of ", "Abnormal "):
        name = name.removeprefix(frame)
    return name


def ontology_overview(onto: Ontology) -> Figure:
    """Phenotypes by depth, and by organ system."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH * 1.25, 4.6), width_ratios=(1, 1.25))
    depths = pd.Series([onto.depth[h] for h in onto.phenotypes]).value_counts().sort_index()
    left.bar(depths.index, depths.values)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="depth below the root (is_a steps)", ylabel="phenotypes", title="Where the terms are")
    systems = pd.Series([s for h in onto.phenotypes for s in onto.systems.get(h, ())]).value_counts().sort_values()
    right.barh([short_name(system) for system in systems.index], systems.values, color=COLORS[2])
    right.tick_params(axis="y", labelsize=7)
    right.grid(axis="y", visible=False)
    right.set(xlabel="phenotypes (a term may belong to several)", title="Organ systems")
    return figure


def contact_sheet(pairs: pd.DataFrame, root: Path, onto: Ontology, per_row: int = 6, seed: int = 0) -> Figure:
    """A row of pictures a modality with one of their phenotypes as title."""
    modalities = sorted(pairs["modality"].unique())
    figure, axes = plt.subplots(len(modalities), per_row, figsize=(WIDTH * 1.25, 1.75 * len(modalities)), squeeze=False)
    for row, modality in zip(axes, modalities, strict=True):
        table = pairs[pairs["modality"] == modality]
        own = table[table["phenotypes"].map(len) > 0]
        own = (own if len(own) else table).sample(frac=1, random_state=seed)
        first = own["phenotypes"].map(lambda found: found[0] if len(found) else "")
        own = own[~first.duplicated()].head(per_row)
        for axis in row:
            axis.axis("off")
        for axis, item in zip(row, own.itertuples(index=False), strict=False):
            axis.imshow(picture(root, item).resize((128, 128)))
            title = onto[item.phenotypes[0]].name if item.phenotypes else "no phenotype"
            axis.set_title(title if len(title) < 24 else title[:22] + "…", fontsize=7, fontweight="normal")
        row[0].text(-0.08, 0.5, modality, transform=row[0].transAxes, rotation=90, va="center", ha="right", fontsize=9)
    return figure


def retrieval_bars(results: pd.DataFrame) -> Figure:
    """Recall@10 of the four retrieval tasks, a bar a method, standard deviation over seeds as whiskers."""
    metrics = [f"{task}_recall@10" for task in ("i2t", "t2i", "i2p", "p2i")]
    summary = summarise(results[(results["task"] == "retrieval") & results["metric"].isin(metrics)])
    methods = method_order(summary["method"])
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    x, width = np.arange(len(metrics)), 0.8 / len(methods)
    for i, method in enumerate(methods):
        own = summary[summary["method"] == method].set_index("metric").reindex(metrics)
        axis.bar(
            x + (i - (len(methods) - 1) / 2) * width,
            100 * own["mean"],
            width,
            yerr=100 * own["sd"],
            color=color(method),
            label=METHOD_NAMES.get(method, method),
            error_kw={"linewidth": 1},
        )
    axis.set_xticks(x, ("image → caption", "caption → image", "image → phenotype", "phenotype → image"))
    axis.grid(axis="x", visible=False)
    axis.set(ylabel="recall@10 (%), ± sd over seeds")
    axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(len(methods), 4))
    return figure


def loss_curve(history: pd.DataFrame, ylabel: str) -> Figure:
    """Training loss by epoch."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.6, 2.8))
    axis.plot(history["epoch"], history["loss"])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="epoch", ylabel=ylabel)
    return figure


def forest(table: pd.DataFrame, metrics: Sequence[str], baseline: str) -> Figure:
    """Differences to `baseline` with their 95% intervals, a panel a metric; hollow points are within chance.

    What lies so far off that the others would shrink to nothing is an arrow at the edge with its numbers.

    Args:
        table: of `tables.difference_table`, one data set.
    """
    methods = list(dict.fromkeys(table["method"]))[::-1]
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(WIDTH * 1.25, 0.38 * len(methods) + 1.4), sharey=True, squeeze=False
    )
    for axis, metric in zip(axes[0], metrics, strict=True):
        own = table[table["metric"] == metric].set_index("method").reindex(methods).assign(y=np.arange(len(methods)))
        away = far_off(own[["low", "high"]].abs().max(axis=1), FAR)
        near = own[~away]
        axis.axvline(0, color="black", linewidth=0.8)
        bars = np.stack([near["difference"] - near["low"], near["high"] - near["difference"]])
        axis.errorbar(near["difference"], near["y"], xerr=bars.clip(0), fmt="none", color=COLORS[0], capsize=3)
        axis.scatter(near["difference"], near["y"], c=_faces(near), edgecolors=COLORS[0], zorder=3)
        edge = axis.get_xlim()
        for row, face in zip(own[away].itertuples(), _faces(own[away]), strict=True):
            side = int(row.difference > 0)
            axis.scatter(edge[side], row.y, marker="<>"[side], c=face, edgecolors=COLORS[0], clip_on=False, zorder=3)
            axis.annotate(
                f"{row.difference:.0f} [{row.low:.0f}, {row.high:.0f}]".replace("-", "−"),
                (edge[side], row.y),
                ((7, -7)[side], 0),
                textcoords="offset points",
                ha=("left", "right")[side],
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        axis.set_xlim(edge)
        axis.set_yticks(own["y"], [METHOD_NAMES.get(m, m) for m in methods])
        axis.grid(axis="y", visible=False)
        axis.set(title=metric_name(metric), xlabel="percentage points", ylim=(-0.6, len(methods) - 0.4))
    figure.supxlabel(
        f"difference to {METHOD_NAMES.get(baseline, baseline)}, 95% interval; hollow: within chance", fontsize=9
    )
    return figure


def _faces(rows: pd.DataFrame) -> list[str]:
    return [COLORS[0] if sure is True or sure is np.True_ else "white" for sure in rows["beyond_chance"]]


def far_off(distances: pd.Series, times: float) -> pd.Series:
    """Which distances are more than `times` their median, so that an axis for them would flatten the others."""
    return distances > times * distances.median()


def long_tail(intervals: pd.DataFrame, metric: str) -> Figure:
    """A metric by how many training images the phenotype has, a line a method, with 95% intervals.

    Args:
        intervals: of `statistics.intervals`, data sets are the buckets.
    """
    figure, axis = plt.subplots(figsize=(WIDTH * 0.8, 3.4))
    own = intervals[intervals["metric"] == metric]
    buckets = [bucket for bucket in BUCKETS if bucket in set(own["dataset"])]
    methods = method_order(own["method"])
    for i, method in enumerate(methods):
        line = own[own["method"] == method].set_index("dataset").reindex(buckets)
        x = np.arange(len(buckets)) + (i - (len(methods) - 1) / 2) * 0.06
        bars = 100 * np.stack([line["mean"] - line["low"], line["high"] - line["mean"]])
        axis.errorbar(
            x,
            100 * line["mean"],
            yerr=bars.clip(0),
            marker="o",
            capsize=2,
            color=color(method),
            label=METHOD_NAMES.get(method, method),
        )
    queries = own.groupby("dataset")["queries"].max()
    axis.set_xticks(np.arange(len(buckets)), [f"{b}\n({queries[b]} queries)" for b in buckets])
    axis.set(xlabel="training images of the phenotype", ylabel=f"{metric_name(metric)} (%)")
    axis.legend(fontsize=8, ncols=2)
    return figure


def lin_against_cosine(lin: np.ndarray, before: np.ndarray, after: np.ndarray) -> Figure:
    """Does embedding similarity follow ontology similarity? Mean cosine in bins of Lin similarity."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.7, 3.2))
    edges = np.linspace(0, 1, 11)
    which = np.clip(np.digitize(lin, edges) - 1, 0, 9)
    for values, label, shade in ((before, "untrained encoder", "#999999"), (after, "knowledge encoder", COLORS[0])):
        stats = pd.DataFrame({"bin": which, "value": values}).groupby("bin")["value"].agg(["mean", "std"])
        axis.errorbar((stats.index + 0.5) / 10, stats["mean"], yerr=stats["std"], label=label, color=shade, capsize=2)
    axis.set(xlabel="Lin similarity of two phenotypes", ylabel="cosine of their names (mean ± sd)")
    axis.legend()
    return figure
