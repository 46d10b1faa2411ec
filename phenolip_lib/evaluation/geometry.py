"""Does the space of a text encoder follow the ontology?

Two questions to the embeddings of the attribute texts (`attribute_texts.attribute_texts`), a matrix
``(len(texts), dim)`` of L2-normalised rows: do similar terms lie together as Lin's measure says, and are
a term's nearest names its relatives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.stats import spearmanr

from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import Ontology

# --- similarity ------------------------------------------------------------------------------------


def similarity_sample(
    onto: Ontology, texts: pd.DataFrame, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of phenotype names for comparing cosine with Lin similarity.

    Half of the pairs are drawn at random, half among terms that share a parent or grandparent,
    since two random terms are hardly ever similar.

    Returns:
        positions of both names in `texts` and the Lin similarity, each ``(n_pairs,)``.
    """
    rng = np.random.default_rng(seed)
    names = np.flatnonzero(texts["kind"] == "name")
    ids = texts["hpo_id"].to_numpy()[names]
    place = {hpo_id: i for i, hpo_id in enumerate(ids)}
    chosen = rng.choice(len(ids), size=min(n // 20, len(ids)), replace=False)
    lin = similarity.lin(onto, ids[chosen], ids[chosen])
    i, j = np.triu_indices(len(chosen), k=1)
    some = rng.choice(len(i), size=min(n // 2, len(i)), replace=False)
    first, second, value = [chosen[i[some]]], [chosen[j[some]]], [lin[i[some], j[some]]]
    for a in chosen:
        near = [onto.parents.get(p, [p])[0] for p in onto.parents.get(ids[a], ())]
        family = sorted({place[d] for top in near for d in onto.descendants(top) if d in place} - {a})
        if family:
            members = rng.choice(family, size=min(10, len(family)), replace=False)
            first.append(np.full(len(members), a))
            second.append(members)
            value.append(similarity.lin(onto, [ids[a]], ids[members])[0])
    return names[np.concatenate(first)], names[np.concatenate(second)], np.concatenate(value)


def similarity_correlation(embeddings: np.ndarray, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """Spearman's rho of cosine and Lin similarity over the sampled pairs."""
    first, second, lin = sample
    return float(spearmanr((embeddings[first] * embeddings[second]).sum(axis=1), lin).statistic)


def branch_samples(
    onto: Ontology, texts: pd.DataFrame, terms: int, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All pairs among some terms of each organ system, as in `similarity_sample`.

    Within a branch no encoder gains from telling a heart from a kidney. Branches of fewer than
    three terms are left out.

    Args:
        terms: drawn of a branch; all if it has fewer.
    """
    rng = np.random.default_rng(seed)
    names = np.flatnonzero(texts["kind"] == "name")
    ids = texts["hpo_id"].to_numpy()[names]
    members: dict[str, list[int]] = defaultdict(list)
    for i, hpo_id in enumerate(ids):
        for system in onto.systems.get(hpo_id, ()):
            members[system].append(i)
    samples = {}
    for system, own in sorted(members.items()):
        if len(own) >= 3:
            chosen = rng.choice(own, size=min(terms, len(own)), replace=False)
            i, j = np.triu_indices(len(chosen), k=1)
            samples[system] = (names[chosen[i]], names[chosen[j]], similarity.lin(onto, ids[chosen], ids[chosen])[i, j])
    return samples


def similarity_row(
    encoder: str,
    embeddings: np.ndarray,
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
    branches: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> dict:
    """Spearman's rho of cosine and Lin over all pairs, and its mean and least over the branches."""
    within = [similarity_correlation(embeddings, own) for own in branches.values()]
    return {
        "encoder": encoder,
        "rho": similarity_correlation(embeddings, sample),
        "rho within a branch": float(np.mean(within)),
        "worst branch": float(np.min(within)),
        "branches": len(within),
    }


# --- neighbours ------------------------------------------------------------------------------------


class Surroundings(NamedTuple):
    """How far some terms are from all in the ontology."""

    names: np.ndarray
    """Rows of the attribute texts that are names, ``(n_names,)``."""
    terms: np.ndarray
    """The terms looked at, as positions in `names`, ``(n,)``."""
    path: np.ndarray
    """Shortest way along ``is_a``, up or down, in steps, ``(n, n_names)``."""
    lin: np.ndarray
    """Lin similarity, ``(n, n_names)``."""


def surroundings(onto: Ontology, texts: pd.DataFrame, n: int, seed: int) -> Surroundings:
    """Distances of `n` random terms, or of all if there are fewer."""
    names = np.flatnonzero(texts["kind"] == "name")
    ids = texts["hpo_id"].to_numpy()[names]
    terms = np.sort(np.random.default_rng(seed).choice(len(ids), size=min(n, len(ids)), replace=False))
    child, parent = (onto.tables["edges"][side].map(onto.index).to_numpy() for side in ("child", "parent"))
    graph = csr_matrix((np.ones(len(child)), (child, parent)), shape=(len(onto), len(onto)))
    places = np.array([onto.index[hpo_id] for hpo_id in ids])
    path = dijkstra(graph, directed=False, unweighted=True, indices=places[terms])[:, places]
    return Surroundings(names, terms, path, similarity.lin(onto, ids[terms], ids))


def neighbour_row(encoder: str, embeddings: np.ndarray, around: Surroundings, k: int = 10) -> dict:
    """Mean path and mean Lin similarity of each term and its `k` nearest names."""
    names = embeddings[around.names]
    scores = names[around.terms] @ names.T
    return {
        "encoder": encoder,
        "path": float(np.mean([_worst(*row, k).mean() for row in _others(around, scores, around.path)])),
        "lin": float(-np.mean([_worst(*row, k).mean() for row in _others(around, scores, -around.lin)])),
        "terms": len(around.terms),
    }


def neighbour_limits(around: Surroundings, k: int = 10) -> list[dict]:
    """The same for `k` random names (exactly, their expectation) and for the `k` nearest there are."""
    path, lin = (list(_others(around, table, table)) for table in (around.path, around.lin))
    common = {"terms": len(around.terms)}
    return [
        {
            "encoder": "random",
            "path": float(np.mean([own.mean() for own, _ in path])),
            "lin": float(np.mean([own.mean() for own, _ in lin])),
        }
        | common,
        {
            "encoder": "best possible",
            "path": float(np.mean([np.sort(own)[:k].mean() for own, _ in path])),
            "lin": float(np.mean([np.sort(own)[-k:].mean() for own, _ in lin])),
        }
        | common,
    ]


def _others(around: Surroundings, scores: np.ndarray, distance: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Of each term its scores and distances to all other terms."""
    for i, term in enumerate(around.terms):
        yield np.delete(scores[i], term), np.delete(distance[i], term)


def _worst(scores: np.ndarray, distance: np.ndarray, k: int) -> np.ndarray:
    """Distances of the `k` best scores; of equal scores the farthest."""
    if k < len(scores):
        near = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        scores, distance = scores[near], distance[near]
    return distance[np.lexsort((-distance, -scores))[:k]]
