"""Maps of the knowledge encoder's space: do terms of one organ system lie together, before and after stage 1?

A map is for the eye; the number below it is counted in the encoder's own space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.reporting.encoder_reports import LABELS
from phenolip_lib.reporting.figures import COLORS, WIDTH, short_name

SYSTEM_COLORS = (*COLORS[:6], COLORS[7])
"""Without yellow, in which small dots on white are lost."""
OTHER = "#D5D5D5"
MAX_TERMS = 4000
NEAREST = 10
TELLING = 5
"""Percentage points from which on a difference between maps is worth a word."""


def term_space(onto: Ontology, embeddings: Mapping[str, np.ndarray], terms: Sequence[str], seed: int = 0) -> Figure:
    """t-SNE maps of phenotypes, coloured by organ system, a panel an encoder; of many terms a sample of 4,000.

    Below each map stands how many of a drawn term's ten nearest, among all terms, are of its system, and below
    both what the maps have to say.

    Args:
        embeddings: encoder (``untrained``, ``knowledge``) -> L2-normalised ``(n_terms, dim)``.
        terms: their HPO ids, same order, at least four.
        seed: of the sample and of the maps.
    """
    systems = first_systems(onto, terms)
    rows = sample(terms, seed)
    shares = {name: round(100 * same_nearby(own, systems, rows)) for name, own in embeddings.items()}
    notes = {name: f"{share}% of a term's {NEAREST} nearest are of its system" for name, share in shares.items()}
    places = {name: project(np.asarray(own)[rows], seed) for name, own in embeddings.items()}
    figure = draw(places, [systems[row] for row in rows], notes)
    if {"untrained", "knowledge"} <= shares.keys():
        figure.supxlabel(reading(shares["untrained"], shares["knowledge"]), fontsize=10)
    return figure


def reading(before: int, after: int) -> str:
    """What two maps say, by the share of nearest terms of the same system in percent before and after stage 1."""
    if abs(after - before) < TELLING:
        return "The maps look different and say nothing: stage 1 left organ systems as near together as they were."
    return f"Stage 1 moved organ systems {'together' if after > before else 'apart'}."


def sample(terms: Sequence[str], seed: int = 0) -> np.ndarray:
    """Positions of 4,000 terms at most, by hash of their ids, so that their order and their number do not matter."""
    keys = [hashlib.sha256(f"{seed}:{hpo_id}".encode()).digest() for hpo_id in terms]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__)[:MAX_TERMS])


def project(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) of embeddings ``(n, dim)`` by their 50 main axes: places ``(n, 2)``.

    One thread, so that sums have one order and the same input gives the same map.
    """
    x = np.asarray(embeddings, dtype=np.float64)
    with threadpool_limits(1):
        x = PCA(min(50, *x.shape), svd_solver="full").fit_transform(x)
        tsne = TSNE(init="pca", perplexity=min(30, (len(x) - 1) / 3), random_state=seed, n_jobs=1)
        return tsne.fit_transform(x)


def draw(places: Mapping[str, np.ndarray], systems: Sequence[str], notes: Mapping[str, str]) -> Figure:
    """The maps as panels, each turned or mirrored towards the first: their orientation means nothing.

    Args:
        places: encoder -> ``(n_terms, 2)``.
        systems: organ system of each term; the seven with the most terms have colours.
        notes: encoder -> what stands below its map.
    """
    counts = pd.Series(systems).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    colors = dict(zip(counts.index, SYSTEM_COLORS, strict=False))
    of = np.array([colors.get(system, OTHER) for system in systems])
    first = next(iter(places.values()))
    figure, axes = plt.subplots(1, len(places), figsize=(WIDTH * 1.25, 5.4), squeeze=False)
    for axis, (name, own) in zip(axes[0], places.items(), strict=True):
        turned = own @ orthogonal_procrustes(own, first)[0]
        for part in (of == OTHER, of != OTHER):
            axis.scatter(*turned[part].T, s=5, c=of[part], linewidths=0)
        axis.set(title=LABELS.get(name, name), xlabel=notes.get(name, ""), xticks=[], yticks=[])
        axis.set_aspect("equal", adjustable="datalim")
        axis.spines[:].set_visible(False)
    labels = {f"{short_name(system)} ({counts[system]:,})": color for system, color in colors.items()}
    if len(counts) > len(colors):
        labels[f"{len(counts) - len(colors)} other systems ({counts.iloc[len(colors) :].sum():,})"] = OTHER
    handles = [plt.Line2D([], [], marker="o", linestyle="", markersize=6, color=color) for color in labels.values()]
    figure.legend(handles, labels, fontsize=8, ncols=4, loc="outside upper left", handletextpad=0.1)
    return figure


def first_systems(onto: Ontology, terms: Sequence[str]) -> list[str]:
    """Name of each term's organ system, the first of several by id."""
    return [next(iter(onto.systems.get(onto.resolve(hpo_id), ("no system",)))) for hpo_id in terms]


def same_nearby(embeddings: np.ndarray, systems: Sequence[str], rows: np.ndarray) -> float:
    """Share of the ten nearest terms of each of `rows`, itself left out, that are of its system; mean over them.

    Args:
        embeddings: L2-normalised ``(n, dim)``.
        systems: of each term ``(n,)``.
        rows: positions of the terms that are asked for.
    """
    cosine = embeddings[rows] @ embeddings.T
    cosine[np.arange(len(rows)), rows] = -np.inf
    k = min(NEAREST, cosine.shape[1] - 1)
    near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    codes = pd.factorize(np.array(systems))[0]
    return float((codes[near] == codes[rows, None]).mean())
