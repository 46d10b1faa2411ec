"""Parts of figures with several panels: the grid, lines with intervals, ticks, names at the ends of lines, legends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from sklearn.isotonic import isotonic_regression

from phenolip_lib.reporting.figures import WIDTH, color
from phenolip_lib.reporting.tables import METHOD_NAMES
from phenolip_lib.reporting.task_tables import PROBLEM_NAMES

PANELS = 4
"""In a row."""


def method_name(method: str) -> str:
    """A method as it is printed."""
    return METHOD_NAMES.get(method, method)


def problems_of(names: Iterable[str]) -> list[str]:
    """Problems once each: the paper's columns, other modalities, then data sets by name."""
    present = set(names)
    return [name for name in PROBLEM_NAMES if name in present] + sorted(present - PROBLEM_NAMES.keys())


def grid(n: int, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """`n` panels in rows of `PANELS` at most."""
    rows = -(-n // PANELS)
    columns = -(-n // rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH * 1.25, height * rows + 0.6), sharey=sharey, squeeze=False
    )
    for axis in axes.flat[n:]:
        axis.remove()
    return figure, list(axes.flat[:n])


def draw_line(axis: Axes, x: pd.Series, rows: pd.DataFrame, color: str, label: str) -> None:
    """A line in percent with its intervals, of rows of `statistics.intervals`."""
    bars = 100 * np.stack([rows["mean"] - rows["low"], rows["high"] - rows["mean"]])
    drawn = axis.errorbar(x, 100 * rows["mean"], yerr=bars.clip(0), marker="o", markersize=4, capsize=2, color=color)
    drawn.lines[0].set_label(label)


def log_ticks(axis: Axes, values: Sequence[float], labels: Sequence[str]) -> None:
    """Exactly these ticks of a logarithmic x axis."""
    axis.xaxis.set_major_locator(FixedLocator(list(values)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_ticklabels(labels)


def name_ends(axis: Axes, lines: Sequence[Line2D], size: float = 9) -> None:
    """Name each line by its label right of the axes at the height of its last point, names kept apart.

    The heights of least squared distance to the points under a least gap are an isotonic regression.

    Args:
        size: of the names, in points.
    """
    if not len(lines):
        return
    low, high = axis.get_ylim()
    gap = 0.065 * size / 9 * (high - low)
    lines = sorted(lines, key=lambda line: line.get_ydata()[-1])
    steps = gap * np.arange(len(lines))
    ends = np.array([line.get_ydata()[-1] for line in lines])
    heights = isotonic_regression(ends - steps, y_min=low + gap / 2) + steps
    for line, y in zip(lines, heights, strict=True):
        place = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": size}
        axis.text(1.01, y, line.get_label(), color=line.get_color(), **place)


def packed(heights: Sequence[float], columns: int) -> list[list[int]]:
    """Positions of panels in at most so many columns, in their order, so that the highest column is lowest."""
    inner = range(1, len(heights))
    cuts = combinations(inner, min(columns, len(heights)) - 1)
    splits = ([*map(list, map(range, (0, *cut), (*cut, len(heights))))] for cut in cuts)
    return min(splits, key=lambda split: max(sum(heights[i] for i in column) for column in split))


def method_legend(figure: Figure, methods: Sequence[str], shapes: Mapping[str, str] | None = None) -> Figure:
    """Methods by colour, and by the shape of their dots, above the panels."""
    markers = dict.fromkeys(methods, "o") | (shapes or {})
    handles = [plt.Line2D([], [], color=color(m), marker=markers[m], markersize=4) for m in methods]
    columns = len(handles) if len(handles) < 6 else -(-len(handles) // 2)
    names = [method_name(m) for m in methods]
    figure.legend(handles, names, fontsize=8, ncols=columns, loc="outside upper left")
    return figure


def nothing(what: str) -> Figure:
    """In place of a figure: a source need not have what a task asks for."""
    figure = plt.figure(figsize=(WIDTH, 0.6))
    figure.text(0.01, 0.5, f"Nothing to draw: {what}.", va="center")
    return figure
