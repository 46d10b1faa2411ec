"""Pictures with a finding's outline and the maps of its text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from phenolip_lib.data.images import read_image
from phenolip_lib.evaluation.tasks.localisation import Maps, datasets
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.student import load_student
from phenolip_lib.reporting.panels import nothing
from phenolip_lib.reporting.tables import METHOD_NAMES

ROWS = 4
OUTLINE = "#00E5FF"


def typical(outcomes: pd.DataFrame, method: str, metric: str) -> dict[str, str]:
    """The query in the middle of each data set's scores: neither the best example nor the worst.

    Args:
        outcomes: of the task ``localisation``, with a column method.

    Returns:
        data set -> query, the data sets with the most queries first.
    """
    own = outcomes[(outcomes["method"] == method) & (outcomes["metric"] == metric)]
    means = own.groupby(["dataset", "query"])["value"].mean().reset_index()
    found = {}
    for dataset in means["dataset"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index:
        part = means[means["dataset"] == dataset].sort_values(["value", "query"])
        found[dataset] = part["query"].iat[(len(part) - 1) // 2]
    return found


def examples(
    experiment: Experiment,
    models: Path,
    outcomes: pd.DataFrame,
    methods: Sequence[str],
    name: str = "contrast",
    pictures: bool = True,
) -> Figure:
    """Typical queries of the last method: the finding's outline, then each method's map, first seed; a row a data set.

    Args:
        models: where the students are.
        outcomes: of the task ``localisation``.
        name: which map, see `tasks.localisation`.
        pictures: whether licences allow to show the pictures themselves; else only outline and map.
    """
    chosen = list(typical(outcomes, methods[-1], f"pixel_ap_{name}").items())[:ROWS]
    if not chosen:
        return nothing("no test picture of this source has a mask")
    figure, axes = plt.subplots(
        len(chosen), 1 + len(methods), figsize=(2.6 * (1 + len(methods)), 2.9 * len(chosen)), squeeze=False
    )
    masked, own = experiment.masked, datasets(experiment.masked.rows)
    for column, method in enumerate(methods, start=1):
        own_experiment, seed = experiment.of(method), experiment.params.seeds[0]
        student = load_student(models, f"{method}-seed{seed}", own_experiment.params)
        embedded, features = own_experiment.embed(student), own_experiment.feature_maps(student)
        for row, (dataset, query) in zip(axes, chosen, strict=True):
            pair_id, hpo_id = query.rsplit(" ", 1)
            maps = Maps(experiment.bench, embedded, student, masked, features, own[dataset])
            place = int(np.flatnonzero(masked.rows["pair_id"].iloc[own[dataset]] == pair_id)[0])
            picture = _picture(experiment, own[dataset][place], maps.masks[place][hpo_id].shape) if pictures else None
            outline = maps.masks[place][hpo_id]
            _draw(row[0], picture, outline, title=textwrap.fill(experiment.onto[hpo_id].name, 32) + f"\n{dataset}")
            title = METHOD_NAMES.get(method, method)
            _draw(row[column], picture, outline, maps.picture(name, place, hpo_id), title)
    return figure


def _picture(experiment: Experiment, position: int, size: tuple[int, int]) -> np.ndarray:
    """The picture at three times its mask's size, grey."""
    row = experiment.masked.rows.iloc[position]
    image = read_image(
        experiment.paths.data(experiment.source), row["image"], tuple(row[["left", "top", "right", "bottom"]])
    )
    return np.asarray(image.convert("L").resize((3 * size[1], 3 * size[0]), Image.Resampling.BICUBIC))


def _draw(axis, picture: np.ndarray | None, mask: np.ndarray, heat: np.ndarray | None = None, title: str = "") -> None:
    height, width = mask.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axis.imshow(
        np.full(mask.shape, 0.3) if picture is None else picture / 255, cmap="gray", vmin=0, vmax=1, extent=extent
    )
    if heat is not None:
        axis.imshow(heat, cmap="inferno", alpha=1 if picture is None else 0.55, extent=extent)
    axis.contour(mask.astype(float), [0.5], colors=OUTLINE, linewidths=1)
    axis.set_title(title, fontsize=9)
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
