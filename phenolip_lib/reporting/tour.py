"""One phenotype through the whole project: its place in HPO, its pictures, its neighbours, what finds it, and where.

Notebook 0 shows these; pictures appear only where their licence allows to pass them on.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.benchmark import names_of
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models import heatmaps
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.models.features import load_pixels
from phenolip_lib.models.prompts import ensemble, prompts
from phenolip_lib.models.student import Student, load_student
from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.reporting import pictures
from phenolip_lib.reporting.encoder_reports import Compared, of_names
from phenolip_lib.reporting.figures import COLORS, WIDTH
from phenolip_lib.reporting.tables import METHOD_NAMES

RIGHT, WRONG = COLORS[0], "#BBBBBB"
"""Frames of pictures that show the phenotype, and of those that do not."""


def place(onto: Ontology, hpo_id: str) -> pd.DataFrame:
    """Everything a phenotype is, from the root down to itself.

    Returns:
        table (hpo_id, name, depth, information_content in nats, below: number of more special terms).
    """
    above = sorted(onto.ancestors(hpo_id), key=lambda ancestor: (onto.depth[ancestor], ancestor))
    content = onto.information_content
    rows = [
        (a, onto[a].name, onto.depth[a], round(float(content[onto.index[a]]), 2), len(onto.descendants(a)) - 1)
        for a in above
    ]
    return pd.DataFrame(rows, columns=["hpo_id", "name", "depth", "information_content", "below"])


def neighbours(onto: Ontology, hpo_id: str, both: Compared, k: int = 8) -> pd.DataFrame:
    """The nearest names before and after stage 1, each with its Lin similarity to the phenotype.

    Returns:
        `k` rows: for each encoder its nearest names, nearest first, and a column ``Lin``.

    Raises:
        PhenoLIPError: the encoder has no such name.
    """
    ids, embeddings = of_names(both)
    if hpo_id not in ids:
        raise PhenoLIPError(f"{hpo_id} is no phenotype of HPO {onto.release}: name another one under `tour`")
    at, parts = ids.index(hpo_id), {}
    for label, own in embeddings.items():
        order = np.argsort(-(own @ own[at]), kind="stable")
        near = [ids[i] for i in order if i != at][:k]
        parts[label] = [onto[h].name for h in near]
        parts[f"Lin ({label})"] = similarity.lin(onto, [hpo_id], near)[0].round(2)
    return pd.DataFrame(parts, index=pd.RangeIndex(1, k + 1, name="rank"))


def trained(experiment: Experiment, folder: Path, methods: Sequence[str]) -> dict[str, tuple[Student, Embedded]]:
    """Each method's student of the first seed with its embeddings of the source."""
    found = {}
    for method in methods:
        own, seed = experiment.of(method), experiment.params.seeds[0]
        student = load_student(folder, f"{method}-seed{seed}", own.params)
        found[method] = student, own.embed(student)
    return found


# --- pictures -------------------------------------------------------------------------------------


def shown_by(experiment: Experiment, hpo_id: str, split: str | None = None) -> np.ndarray:
    """Positions of the pairs that show a phenotype or a more special one, in the order of their ids.

    Raises:
        PhenoLIPError: none does.
    """
    table, wanted = experiment.pairs, experiment.onto.descendants(hpo_id)
    shows = table["phenotypes"].map(lambda own: not wanted.isdisjoint(own)).to_numpy(dtype=bool)
    if split is not None:
        shows = shows & (table["split"] == split).to_numpy()
    found = np.flatnonzero(shows)
    if not len(found):
        where = f" in the {split} split" if split else ""
        raise PhenoLIPError(
            f"no picture of source {experiment.source} shows {hpo_id} ({experiment.onto[hpo_id].name}){where}: "
            f"name another phenotype under `tour.{experiment.source}` in params.yaml"
        )
    return found[np.argsort(table["pair_id"].to_numpy(dtype=str)[found], kind="stable")]


def gallery(experiment: Experiment, hpo_id: str, n: int = 5) -> Figure:
    """The first pictures of a phenotype with what their captions say."""
    return pictures.captioned(experiment, shown_by(experiment, hpo_id)[:n], n)


def retrieved(
    experiment: Experiment, models: Mapping[str, tuple[Student, Embedded]], hpo_id: str, k: int = 6
) -> Figure:
    """The test pictures each model puts nearest to the phenotype's name; blue frames show it, grey ones do not.

    Args:
        models: method -> the student and its embeddings.
    """
    test = np.flatnonzero((experiment.pairs["split"] == "test").to_numpy())
    right = set(shown_by(experiment, hpo_id, "test"))
    figure, axes = plt.subplots(len(models), k, figsize=(WIDTH * 1.25, 1.9 * len(models) + 0.3), squeeze=False)
    shown = []
    for axis_row, (method, (_, embedded)) in zip(axes, models.items(), strict=True):
        name = embedded.text([experiment.onto[hpo_id].name])[0]
        scores = embedded.images[test] @ name
        for axis, i in zip(axis_row, np.argsort(-scores, kind="stable")[:k], strict=True):
            shown.append(test[i])
            pictures.show(axis, experiment, test[i], frame=RIGHT if test[i] in right else WRONG)
            axis.set_xlabel(f"{scores[i]:.2f}", fontsize=8)
        axis_row[0].set_ylabel(METHOD_NAMES.get(method, method), fontsize=9)
    figure.suptitle(
        f"“{experiment.onto[hpo_id].name}”: nearest of {len(test)} test pictures, with their cosine; "
        f"{len(right)} show it",
        fontsize=10,
    )
    pictures.credit(figure, experiment, shown)
    return figure


def ranked(experiment: Experiment, embedded: Embedded, row: int, k: int = 8) -> pd.DataFrame:
    """The phenotypes a picture is nearest to, among the benchmark's candidates.

    Args:
        row: position of the picture's pair.

    Returns:
        `k` rows: name, cosine, right (it is one of the picture's), lin (largest Lin similarity to one of these).
    """
    bench, onto = experiment.bench, experiment.onto
    truth = [onto.resolve(h) for h in experiment.pairs["phenotypes"].iat[row]]
    scores = bench.names(embedded, bench.candidates) @ embedded.images[row]
    best = [bench.candidates[i] for i in np.argsort(-scores, kind="stable")[:k]]
    return pd.DataFrame(
        {
            "name": [onto[h].name for h in best],
            "cosine": np.sort(scores)[::-1][:k].round(3),
            "right": [h in truth for h in best],
            "lin": similarity.lin(onto, best, truth).max(axis=1).round(2),
        },
        index=pd.RangeIndex(1, k + 1, name="rank"),
    )


def heat(experiment: Experiment, models: Mapping[str, tuple[Student, Embedded]], hpo_id: str, row: int) -> Figure:
    """Contrast maps of a phenotype over a picture, see `heatmaps`; each map has its own colour scale.

    The contrast is against the phenotypes of the picture's modality.
    """
    table = experiment.pairs.iloc[[row]]
    modality = table["modality"].iat[0]
    others = [h for h in experiment.bench.classes[modality] if h != hpo_id]
    figure, axes = plt.subplots(1, 1 + len(models), figsize=(2.7 * (1 + len(models)), 3.1))
    picture = pictures.read(experiment, row)
    pictures.show(axes[0], experiment, row)
    axes[0].set_title(textwrap.fill(experiment.onto[hpo_id].name, 30), fontsize=9)
    for axis, (method, (student, embedded)) in zip(axes[1:], models.items(), strict=True):
        side = heatmaps.side_of(student.towers, experiment.params.evaluation.localisation_side)
        pixels = load_pixels(table, experiment.paths.data(experiment.source), side, 1, student.towers.fit)
        features = heatmaps.feature_maps(student.towers, pixels, experiment.device)
        texts = ensemble(embedded.text, names_of(experiment.onto, [hpo_id, *others]), prompts(modality))
        map_ = heatmaps.contrast(heatmaps.similarity(student, features, texts))[0, 0]
        pictures.show(axis, experiment, row, grey=True)
        if picture is not None:
            axis.imshow(heatmaps.to_picture(map_, picture.size[::-1], student.towers.fit), cmap="inferno", alpha=0.5)
        axis.set_title(METHOD_NAMES.get(method, method), fontsize=9)
    pictures.credit(figure, experiment, [row])
    return figure


def middle(rows: Sequence[int]) -> int:
    """The picture in the middle of a sorted list: neither the first nor the last, and nobody's choice."""
    return rows[(len(rows) - 1) // 2]
