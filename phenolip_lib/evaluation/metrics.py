"""Retrieval and classification metrics on embeddings; ties always count against the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import ThreadpoolController

BLOCK = 255
"""Queries scored at a time: their scores stay in the cache until they are counted, and a count fits a byte."""
SERIAL = 2**20
"""Scores below which threads cost more than they save."""
TIE = 1e-6
"""Scores of unit vectors this near are equal: a matrix product in float32 gives equal columns other last digits."""


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """Found once: a search takes longer than ranking a validation split."""
    return ThreadpoolController()


def in_threads(work: Callable[[slice], object], parts: Iterable[slice], serial: bool = False) -> None:
    """Call `work` on each part, one thread a core; matrix products keep to their own thread, so results do too."""
    workers = 1 if serial else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with _libraries().limit(limits=1, user_api="blas"):
        if workers == 1:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(work, parts):
                pass


def blocks(n: int, size: int) -> list[slice]:
    """``range(n)`` as slices of `size`, the last one shorter."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def visit_scores(
    queries: np.ndarray, items: np.ndarray, visit: Callable[[slice, np.ndarray], None], block: int | None = None
) -> None:
    """Show `visit` the scores ``queries @ items.T`` by blocks of queries: which queries, ``(n_block, n_items)``.

    Blocks come from several threads, in no order.

    Raises:
        ValueError: embeddings that are not finite.
    """
    # A squared norm is finite if and only if its row is, and needs no array of the input's size.
    if not all(np.isfinite(np.einsum("ij,ij->i", x, x)).all() for x in (queries, items)):
        raise ValueError("embeddings hold values that are not finite")
    parts = blocks(len(queries), min(block or BLOCK, BLOCK))
    in_threads(lambda rows: visit(rows, queries[rows] @ items.T), parts, len(queries) * len(items) < SERIAL)


def mutual_ranks(
    queries: np.ndarray,
    items: np.ndarray,
    correct: csr_matrix,
    visit: Callable[[slice, np.ndarray], None] | None = None,
    block: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank (1 is best) of the best correct item of each query and of the best correct query of each item.

    Both come from one pass over the scores. Ties count against the model: an item that scores like the best correct
    one and is wrong ranks before it, so equal scores everywhere give the worst rank and not the best. Scores up to
    `TIE` apart are equal.

    Args:
        queries: ``(n_queries, dim)``, items: ``(n_items, dim)``, both L2-normalised.
        correct: boolean ``(n_queries, n_items)``; who has no correct partner gets rank 0.
        visit: sees each block of queries with its scores, from several threads and in no order.
        block: queries scored at a time, at most and by default `BLOCK`.

    Returns:
        int64 ``(n_queries,)`` and ``(n_items,)``.

    Raises:
        ValueError: embeddings that are not finite.
    """
    correct = csr_matrix(correct, dtype=bool)
    indptr, columns = correct.indptr, correct.indices
    owner = np.repeat(np.arange(len(queries), dtype=columns.dtype), np.diff(indptr))
    own = np.empty(correct.nnz, dtype=np.result_type(queries, items))
    for part in blocks(len(own), 2048):
        own[part] = np.einsum("ij,ij->i", queries[owner[part]], items[columns[part]])
    best = np.full(len(items), np.inf)
    asked = np.unique(columns)
    best[asked] = -np.inf
    np.maximum.at(best, columns, own)
    bar = (best - TIE).astype(own.dtype)
    forward, backward = np.zeros(len(queries), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
    lock = Lock()

    def count(rows: slice, scores: np.ndarray) -> None:
        some = np.flatnonzero(np.diff(indptr[rows.start : rows.stop + 1]))
        if len(some):
            linked = scores if len(some) == len(scores) else scores[some]
            forward[rows.start + some] = _ranks(linked, correct[rows] if linked is scores else correct[rows][some])
        # The bytes of a comparison add up without overflow, at most `BLOCK` of them.
        found = np.add.reduce((scores >= bar).view(np.uint8), axis=0, dtype=np.uint8).astype(np.int64)
        pairs = slice(indptr[rows.start], indptr[rows.stop])
        column = columns[pairs]
        tied = scores[owner[pairs] - rows.start, column] >= bar[column]
        found -= np.bincount(column[tied], minlength=len(items))
        with lock:
            np.add(backward, found, out=backward)
        if visit:
            visit(rows, scores)

    visit_scores(queries, items, count, block)
    backward[asked] += 1
    return forward, backward


def _ranks(scores: np.ndarray, correct: csr_matrix) -> np.ndarray:
    rows = np.repeat(np.arange(len(scores)), np.diff(correct.indptr))
    own = scores[rows, correct.indices]
    bar = np.maximum.reduceat(own, correct.indptr[:-1]) - own.dtype.type(TIE)
    at_least = np.count_nonzero(scores >= bar[:, None], axis=1)
    return at_least - np.add.reduceat((own >= bar[rows]).astype(np.int64), correct.indptr[:-1]) + 1


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
