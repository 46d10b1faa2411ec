"""The nearest terms of every phenotype: by Lin's similarity, and by the cosine of names in the knowledge encoder.

Both are exact. Neither makes a matrix of all terms against all: cosines come a block of rows at a time, and
for Lin's similarity few candidates are enough (see `lin_neighbours`).
"""

from __future__ import annotations

import numpy as np

from phenolip_lib.ontology.ontology import Ontology

ABSENT = -1
BLOCK = 1024


def lin_neighbours(onto: Ontology, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` other phenotypes with the highest Lin similarity to each phenotype.

    Equal similarities put the more general term (lower information content) first, then the lower id.
    Terms that share no information are no neighbours; terms outside Phenotypic abnormality have none.

    Lin's similarity of a and b is the greatest ``2 IC(m) / (IC(a) + IC(b))`` over the ancestors m they share.
    For a fixed a and m it falls with IC(b), so only the k + 1 descendants of m with the lowest IC (a itself
    may be one) can be among the k nearest through m: any other is preceded by k of these. The ancestors of a
    times k + 1 candidates are all that has to be looked at, some hundred a term.

    Returns:
        positions in ``onto.ids``, int ``(n_terms, k)``, `ABSENT` where there are fewer, and the similarities.
    """
    ic, n = onto.information_content, len(onto)
    phenotype = np.zeros(n, bool)
    phenotype[[onto.index[hpo_id] for hpo_id in onto.phenotypes]] = True
    closure = onto.closure.tocoo()
    usable = phenotype[closure.row] & (ic[closure.col] > 0)
    term, above = closure.row[usable].astype(np.int64), closure.col[usable].astype(np.int64)

    order = np.lexsort((term, ic[term], above))
    lowest = np.full((n, k + 1), ABSENT)
    rank = _rank_in_group(above[order])
    first = rank <= k
    lowest[above[order][first], rank[first]] = term[order][first]

    a, m = np.repeat(term, k + 1), np.repeat(above, k + 1)
    b = lowest[above].ravel()
    other = (b != ABSENT) & (b != a)
    a, b, m = a[other], b[other], m[other]
    score = 2 * ic[m] / (ic[a] + ic[b])
    order = np.lexsort((-score, b, a))
    a, b, score = a[order], b[order], score[order]
    best = np.diff(a * n + b, prepend=-1) != 0  # each pair once, through its most informative common ancestor
    return _table(n, k, a[best], b[best], score[best], ic)


def _table(n: int, k: int, a: np.ndarray, b: np.ndarray, score: np.ndarray, ic: np.ndarray):
    order = np.lexsort((b, ic[b], -score, a))
    rank = _rank_in_group(a[order])
    order, rank = order[rank < k], rank[rank < k]
    found, scores = np.full((n, k), ABSENT), np.zeros((n, k))
    found[a[order], rank], scores[a[order], rank] = b[order], score[order]
    return found, scores


def _rank_in_group(keys: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal keys."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))


def cosine_neighbours(embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` other rows with the highest cosine to each row, highest first.

    Args:
        embeddings: L2-normalised, float32 ``(n, dim)``.

    Returns:
        row numbers, int ``(n, k)``, `ABSENT` where there are fewer, and the cosines.
    """
    n = len(embeddings)
    kept = min(k, n - 1)
    found, cosines = np.full((n, k), ABSENT), np.zeros((n, k))
    for start in range(0, n if kept > 0 else 0, BLOCK):
        scores = embeddings[start : start + BLOCK] @ embeddings.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        near = np.sort(np.argpartition(scores, n - kept, axis=1)[:, n - kept :], axis=1)
        values = np.take_along_axis(scores, near, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        found[start : start + BLOCK, :kept] = np.take_along_axis(near, order, axis=1)
        cosines[start : start + BLOCK, :kept] = np.take_along_axis(values, order, axis=1)
    return found, cosines


def lin_of_pairs(onto: Ontology, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Lin's similarity of the terms at positions `a` with those at `b`, one by one."""
    ic = onto.information_content
    mica = np.zeros(len(a))
    for start in range(0, len(a), 16 * BLOCK):
        part = slice(start, start + 16 * BLOCK)
        shared = onto.closure[a[part]].multiply(onto.closure[b[part]]).multiply(ic[None, :]).tocsr()
        mica[part] = shared.max(axis=1).toarray().ravel()
    total = ic[a] + ic[b]
    return np.divide(2 * mica, total, out=np.zeros(len(a)), where=total > 0)


def cosine_of_pairs(embeddings: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the rows `a` with the rows `b` of L2-normalised embeddings, one by one."""
    cosine = np.zeros(len(a))
    for start in range(0, len(a), 16 * BLOCK):
        part = slice(start, start + 16 * BLOCK)
        cosine[part] = np.einsum("nd,nd->n", embeddings[a[part]], embeddings[b[part]])
    return cosine
