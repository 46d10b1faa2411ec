"""Figure of stage 2's training: losses and validation numbers of all methods by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from phenolip_lib.reporting.figures import WIDTH, color, far_off
from phenolip_lib.reporting.panels import method_name, name_ends
from phenolip_lib.reporting.tables import method_order

LINES = {"clip_soft": "--", "phenolip_soft": "--", "clip_dropout": ":", "ssm_ontology": "-."}
"""Line styles of methods that share a tone with another."""
FAR = 5
"""How many times the median distance a method ends off before its panel leaves it to a note."""
PANELS = (
    ("loss_m", "image-text loss L_m (nats)", 1),
    ("loss_kd", "distillation loss L_kd (nats)", 1),
    ("val_i2p_recall@10", "validation I2P R@10 (%)", 100),
    ("val_alignment", "validation alignment (distance²)", 1),
)


def training_curves(history: pd.DataFrame, infonce: Sequence[str]) -> Figure:
    """Losses and validation numbers by epoch, mean over seeds with the range shaded; each line is named at its end.

    A method that alone would flatten all others is left to a note in its panel.

    Args:
        infonce: methods whose image-text loss is InfoNCE; losses of others are of another scale.
    """
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH * 1.25, 6.4))
    for axis, (column, label, scale) in zip(axes.flat, PANELS, strict=True):
        axis.set(xlabel="epoch", ylabel=label)
        own = history if column in history else history.assign(**{column: np.nan})
        own = own.dropna(subset=[column])
        if column == "loss_m":
            own = own[own["method"].isin(infonce)]
        last = scale * own[own["epoch"] == own["epoch"].max()].groupby("method")[column].mean()
        middle = last.median()
        # Losses fall by an order of magnitude, so that no line flattens the others.
        away = far_off((last - middle).abs(), FAR if column.startswith("val") else np.inf)
        for method in method_order(last.index[~away]):
            line = scale * own[own["method"] == method].groupby("epoch")[column].agg(["mean", "min", "max"])
            shade, style = color(method), LINES.get(method, "-")
            axis.plot(line.index, line["mean"], style, color=shade, label=method_name(method))
            axis.fill_between(line.index, line["min"], line["max"], color=shade, alpha=0.15, linewidth=0)
        if not len(last):
            axis.text(0.5, 0.5, "no method has it", transform=axis.transAxes, ha="center")
        name_ends(axis, axis.lines, 7.5)
        for method in method_order(last.index[away]):
            height, side = (0.97, "top") if last[method] > middle else (0.03, "bottom")
            note = f"{method_name(method)} ends at {last[method]:.1f}"
            axis.text(0.98, height, note, transform=axis.transAxes, fontsize=8, ha="right", va=side, style="italic")
    return figure
