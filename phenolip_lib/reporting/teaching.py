"""What the teaching cells of notebooks 3 to 5 draw: small matrices with their numbers, and histograms, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from phenolip_lib.reporting.figures import COLORS, WIDTH

LARGEST = 0.85
"""Inches of a cell's side, at most."""
MARGIN = 1.9
"""Inches beside the first matrix for the names of rows; as much below for long names of columns."""
BINS = 27
"""Between the smallest and the largest value; both are in the middle of a bar."""


def matrices(
    found: Mapping[str, ArrayLike],
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    label: str,
    framed: ArrayLike | None = None,
) -> Figure:
    """Matrices of one shape side by side, each number in its cell, on one scale of colours: the darker, the larger.

    Args:
        found: title -> matrix ``(n_rows, n_columns)``; a cell that is not finite is hatched, since it takes no part.
        rows, columns: their names; columns are named as rows by default.
        label: what the numbers are.
        framed: cells with a frame, such as the right answers, boolean ``(n_rows, n_columns)``; none by default.
    """
    parts = {title: np.asarray(matrix, dtype=float) for title, matrix in found.items()}
    columns = rows if columns is None else columns
    n, m = len(rows), len(columns)
    marked = np.zeros((n, m), dtype=bool) if framed is None else np.asarray(framed, dtype=bool)
    finite = np.concatenate([matrix[np.isfinite(matrix)] for matrix in parts.values()])
    low, high = finite.min(), finite.max()
    side = min(LARGEST, (1.25 * WIDTH - MARGIN) / (m * len(parts)))
    long = max(map(len, columns)) > 10
    size = (MARGIN + side * m * len(parts), side * n + (MARGIN if long else 1.3))
    figure, axes = plt.subplots(1, len(parts), figsize=size, sharey=True, squeeze=False)
    for axis, (title, matrix) in zip(axes[0], parts.items(), strict=True):
        top = high + 0.25 * (high - low or 1)  # the darkest blue is nearly black
        image = axis.imshow(np.ma.masked_invalid(matrix), cmap="Blues", vmin=low, vmax=top)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(m), map(_wrapped, columns), rotation=40 if long else 0, ha="right" if long else "center")
        axis.set_yticks(range(n), map(_wrapped, rows))
        axis.tick_params(length=0, labelsize=8)
        axis.grid(visible=False)
        for i, j in np.ndindex(n, m):
            if not np.isfinite(matrix[i, j]):
                axis.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#EEEEEE", edgecolor="gray", hatch="///"))
                continue
            light = np.array(image.cmap(image.norm(matrix[i, j]))[:3]) ** 2.2 @ (0.2126, 0.7152, 0.0722)
            shown = f"{matrix[i, j]:.2f}".replace("-0.00", "0.00").replace("-", "−")
            axis.text(j, i, shown, ha="center", va="center", fontsize=8, color="white" if light < 0.18 else "black")
        for i, j in np.argwhere(marked):
            axis.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor=COLORS[3], linewidth=2))
    figure.supxlabel(label, fontsize=9)
    plt.close(figure)
    return figure


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 24, max_lines=2, placeholder=" …"))


def histograms(found: Mapping[str, ArrayLike], label: str, marks: Mapping[str, Sequence[float]], marked: str) -> Figure:
    """Histograms side by side on one axis of values, each with lines at its `marks`.

    Args:
        found: title -> values ``(n,)``.
        label: what the values are.
        marks: title -> where its lines stand.
        marked: what the lines are.
    """
    parts = {title: np.asarray(values, dtype=float) for title, values in found.items()}
    every = np.concatenate([*parts.values(), *map(np.asarray, marks.values())])
    step = (every.max() - every.min() or 1.0) / BINS
    edges = np.linspace(every.min() - step / 2, every.max() + step / 2, BINS + 2)
    size = (1.25 * WIDTH * min(len(parts), 2) / 2, 3.0)
    figure, axes = plt.subplots(1, len(parts), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, (title, values) in zip(axes[0], parts.items(), strict=True):
        axis.hist(values, edges, weights=np.full(len(values), 100 / len(values)), color=COLORS[5], edgecolor="white")
        lines = [axis.axvline(mark, color=COLORS[3], linestyle="--") for mark in marks[title]]
        axis.set(title=title, xlabel=label)
        axis.legend(lines[:1], [marked], fontsize=8, loc="upper center", frameon=True, framealpha=1, edgecolor="white")
    axes[0, 0].set(ylabel="share of draws (%)", ylim=(0, 1.3 * axes[0, 0].get_ylim()[1]))
    plt.close(figure)
    return figure
