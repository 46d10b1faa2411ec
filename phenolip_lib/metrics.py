"""Retrieval and classification metrics on embeddings; ties always count against the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

BLOCK = 2048


def best_ranks(queries: np.ndarray, items: np.ndarray, correct: csr_matrix, block: int = BLOCK) -> np.ndarray:
    """Rank (1 is best) of the best correct item for each query.

    Ties count against the model: an item that scores like the best correct one and is wrong ranks
    before it, so equal scores everywhere give the worst rank and not the best.

    Args:
        queries: ``(n_queries, dim)``, items: ``(n_items, dim)``, both L2-normalised.
        correct: boolean ``(n_queries, n_items)``, at least one item a row.
        block: queries scored at a time; bounds memory to ``block * n_items`` scores.

    Returns:
        int64 ``(n_queries,)``.

    Raises:
        ValueError: a query without a correct item, or embeddings that are not finite.
    """
    if not (np.isfinite(queries).all() and np.isfinite(items).all()):
        raise ValueError("embeddings hold values that are not finite")
    correct = csr_matrix(correct, dtype=bool)
    if (np.diff(correct.indptr) == 0).any():
        raise ValueError("a query has no correct item")
    ranks = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        scores = queries[start:stop] @ items.T
        hits = correct[start:stop]
        rows = np.repeat(np.arange(stop - start), np.diff(hits.indptr))
        own = scores[rows, hits.indices]
        best = np.maximum.reduceat(own, hits.indptr[:-1])
        at_least = (scores >= best[:, None]).sum(axis=1)
        correct_ties = np.add.reduceat((own >= best[rows]).astype(np.int64), hits.indptr[:-1])
        ranks[start:stop] = at_least - correct_ties + 1
    return ranks


def recall_at_k(ranks: np.ndarray, k: int) -> float:
    """Share of queries with a correct item among the first `k`."""
    return float(np.mean(ranks <= k))


def mean_per_class_recall(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Balanced accuracy over the classes that occur in `truth`."""
    return float(np.mean([np.mean(predicted[truth == c] == c) for c in np.unique(truth)]))


def incidence(rows: Sequence[Sequence], columns: Sequence) -> csr_matrix:
    """Boolean ``(len(rows), len(columns))``: which of `columns` each row holds; others are ignored."""
    position = {item: i for i, item in enumerate(columns)}
    pairs = [(r, position[item]) for r, found in enumerate(rows) for item in dict.fromkeys(found) if item in position]
    if not pairs:
        return csr_matrix((len(rows), len(columns)), dtype=bool)
    r, c = zip(*pairs, strict=True)
    return csr_matrix((np.ones(len(r), bool), (r, c)), shape=(len(rows), len(columns)))


def alignment(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared distance of the pairs ``(n, dim)``, 0 is best (Wang & Isola 2020)."""
    return float(((a - b) ** 2).sum(axis=1).mean())


def uniformity(x: np.ndarray, temperature: float = 2.0) -> float:
    """``log mean exp(-t ||x_i - x_j||^2)`` over pairs i < j of L2-normalised rows; lower is more even.

    Wang & Isola 2020. Rows beyond the first 4,096 are left out; fewer than two give 0.
    """
    x = x[:4096]
    if len(x) < 2:
        return 0.0
    upper = np.triu_indices(len(x), k=1)
    squared = np.maximum(2 - 2 * (x @ x.T)[upper].astype(np.float64), 0)
    return float(np.log(np.exp(-temperature * squared).mean()))
