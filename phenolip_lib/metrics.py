"""Retrieval and classification metrics on embeddings; ties always count against the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

BLOCK = 2048
CELLS = 2**24
"""Scores held at a time, 64 MB of float32."""
TIE = 1e-6
"""Scores of unit vectors this near are equal: a matrix product in float32 gives equal columns other last digits."""


def score_blocks(
    queries: np.ndarray, items: np.ndarray, block: int | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Scores ``queries @ items.T`` by blocks of queries: which queries, ``(n_block, n_items)``.

    Raises:
        ValueError: embeddings that are not finite.
    """
    # A squared norm is finite if and only if its row is, and needs no array of the input's size.
    if not all(np.isfinite(np.einsum("ij,ij->i", x, x)).all() for x in (queries, items)):
        raise ValueError("embeddings hold values that are not finite")
    block = block or max(CELLS // max(len(items), 1), 1)
    for start in range(0, len(queries), block):
        rows = slice(start, min(start + block, len(queries)))
        yield rows, queries[rows] @ items.T


def mutual_ranks(
    queries: np.ndarray,
    items: np.ndarray,
    correct: csr_matrix,
    visit: Callable[[slice, np.ndarray], None] | None = None,
    block: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`best_ranks` both ways, items for queries and queries for items, from one pass over the scores.

    Args:
        queries, items, correct, block: as in `best_ranks`; who has no correct partner gets rank 0.
        visit: sees each block of queries with its scores.

    Returns:
        int64 ``(n_queries,)`` and ``(n_items,)``.
    """
    correct = csr_matrix(correct, dtype=bool)
    best = np.full(len(items), np.inf)
    pairs = correct.tocoo()
    own = np.empty(correct.nnz, dtype=np.result_type(queries, items))
    for start in range(0, len(own), BLOCK):
        part = slice(start, start + BLOCK)
        own[part] = np.einsum("ij,ij->i", queries[pairs.row[part]], items[pairs.col[part]])
    asked = np.unique(pairs.col)
    best[asked] = -np.inf
    np.maximum.at(best, pairs.col, own)
    bar = (best - TIE).astype(own.dtype)
    forward, backward = np.zeros(len(queries), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
    for rows, scores in score_blocks(queries, items, block):
        part = correct[rows]
        some = np.flatnonzero(np.diff(part.indptr))
        if len(some):
            forward[rows.start + some] = _ranks(scores if len(some) == len(scores) else scores[some], part[some])
        backward += np.count_nonzero(scores >= bar, axis=0)
        hits = part.tocoo()
        tied = scores[hits.row, hits.col] >= bar[hits.col]
        backward -= np.bincount(hits.col[tied], minlength=len(items))
        if visit:
            visit(rows, scores)
    backward[asked] += 1
    return forward, backward


def _ranks(scores: np.ndarray, correct: csr_matrix) -> np.ndarray:
    rows = np.repeat(np.arange(len(scores)), np.diff(correct.indptr))
    own = scores[rows, correct.indices]
    bar = np.maximum.reduceat(own, correct.indptr[:-1]) - own.dtype.type(TIE)
    at_least = np.count_nonzero(scores >= bar[:, None], axis=1)
    return at_least - np.add.reduceat((own >= bar[rows]).astype(np.int64), correct.indptr[:-1]) + 1


def best_ranks(queries: np.ndarray, items: np.ndarray, correct: csr_matrix, block: int | None = None) -> np.ndarray:
    """Rank (1 is best) of the best correct item for each query.

    Ties count against the model: an item that scores like the best correct one and is wrong ranks
    before it, so equal scores everywhere give the worst rank and not the best. Scores up to `TIE` apart are equal.

    Args:
        queries: ``(n_queries, dim)``, items: ``(n_items, dim)``, both L2-normalised.
        correct: boolean ``(n_queries, n_items)``, at least one item a row.
        block: queries scored at a time; by default as many as make 64 MB of scores.

    Returns:
        int64 ``(n_queries,)``.

    Raises:
        ValueError: a query without a correct item, or embeddings that are not finite.
    """
    correct = csr_matrix(correct, dtype=bool)
    if (np.diff(correct.indptr) == 0).any():
        raise ValueError("a query has no correct item")
    ranks = np.empty(len(queries), dtype=np.int64)
    for rows, scores in score_blocks(queries, items, block):
        ranks[rows] = _ranks(scores, correct[rows])
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
