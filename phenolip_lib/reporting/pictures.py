"""Pictures of pairs in figures, with their captions and licences; only those appear that may be passed on."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from phenolip_lib.data.images import read_image
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.graph.exports import box_of
from phenolip_lib.reporting.figures import WIDTH


def captioned(experiment: Experiment, rows: Sequence[int], n: int) -> Figure:
    """Pictures of pairs with what their captions say, in a row with room for `n`."""
    figure, axes = plt.subplots(1, n, figsize=(WIDTH * 1.25, 1.1 + WIDTH * 1.25 / n), squeeze=False)
    for axis in axes[0]:
        axis.axis("off")
        axis.set_anchor("N")
    for axis, row in zip(axes[0], rows, strict=False):
        show(axis, experiment, row)
        pair = experiment.pairs.iloc[row]
        if use_allowed(pair["licence"], "redistribution"):  # a caption is under the licence of its picture
            caption = textwrap.shorten(pair["caption"], 130, placeholder=" …")
            axis.set_title(textwrap.fill(caption, 24), fontsize=7, fontweight="normal", y=-0.08, va="top")
    credit(figure, experiment, rows)
    plt.close(figure)
    return figure


def show(axis: Axes, experiment: Experiment, row: int, frame: str | None = None, grey: bool = False) -> None:
    """One picture in a panel, or why it is not shown; `frame` is a colour."""
    picture = read(experiment, row)
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    if picture is None:
        axis.text(
            0.5,
            0.5,
            "not shown:\nits licence does not\nallow to pass it on",
            ha="center",
            va="center",
            fontsize=7,
            transform=axis.transAxes,
        )
        axis.set_aspect("equal")
    else:
        axis.imshow(picture.convert("L") if grey else picture, cmap="gray" if grey else None)
    axis.spines[:].set_visible(frame is not None)
    for spine in axis.spines.values():
        spine.set(color=frame or "none", linewidth=3)


def read(experiment: Experiment, row: int) -> Image.Image | None:
    """A pair's picture, if its licence allows to pass it on."""
    pair = experiment.pairs.iloc[row]
    if not use_allowed(pair["licence"], "redistribution"):
        return None
    return read_image(experiment.paths.data(experiment.source), pair["image"], box_of(pair))


def credit(figure: Figure, experiment: Experiment, rows: Sequence[int]) -> None:
    """Below a figure, the data sets of its pictures with their licences, as these ask for."""
    table = experiment.pairs.iloc[list(rows)][["dataset", "licence"]].drop_duplicates()
    shown = [row for row in table.itertuples(index=False) if use_allowed(row.licence, "redistribution")]
    sources = sorted(f"{row.dataset} ({row.licence})" for row in shown)
    if sources:
        figure.supxlabel(f"Pictures: {', '.join(sources)}", fontsize=6, x=0.99, ha="right", color="#555555")
