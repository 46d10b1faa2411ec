"""How alike terms, and sets of terms, are: information content and the measures built on it.

Every measure takes ``ic``, one value per term in the order of ``onto.ids``; without it the values
are `Ontology.disease_information_content` of the whole annotation table. MICA below is the most informative
common ancestor of two terms, where a term is its own ancestor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.ontology.ontology import Ontology

# --- information content ------------------------------------------------------------------------


def intrinsic_information_content(onto: Ontology) -> np.ndarray:
    """IC from the shape of the ontology alone, shape ``(n_terms,)``, in [0, 1].

    ``1 - ln(d) / ln(N)`` with d the number of descendants of the term, itself included, and N the
    number of terms (Seco, Veale and Hayes 2004): 0 at the root, 1 at every leaf.
    """
    descendants = np.asarray(onto.closure.sum(axis=0), dtype=float).ravel()
    return 1 - np.log(descendants) / np.log(max(len(onto), 2))


# --- terms against terms ------------------------------------------------------------------------


def _positions(onto: Ontology, ids: Iterable[str]) -> np.ndarray:
    """Places of the (live or old) ids in ``onto.ids``."""
    if isinstance(ids, str):
        raise PhenoLIPError(f"expected a list of HPO ids, got the single text {ids!r}; put it in a list")
    ids = list(ids)
    if unknown := sorted({str(i) for i in ids if i not in onto}):
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise PhenoLIPError(f"not in HPO {onto.release}: {', '.join(unknown[:3])}{more}; `onto.find` looks terms up")
    return np.array([onto.index[onto.resolve(i)] for i in ids], dtype=int)


def _weights(onto: Ontology, ic: np.ndarray | None) -> np.ndarray:
    ic = onto.information_content if ic is None else np.asarray(ic, dtype=float)
    if ic.shape != (len(onto),):
        raise PhenoLIPError(f"ic has shape {ic.shape}, it needs one value for each of the {len(onto)} terms")
    if not (np.isfinite(ic).all() and (ic >= 0).all()):
        raise PhenoLIPError("ic holds values that are negative or not finite")
    return ic


def _mica(onto: Ontology, rows: np.ndarray, columns: np.ndarray, ic: np.ndarray) -> np.ndarray:
    """IC of the MICA of each pair; ancestors are visited by rising IC and overwrite what they subsume."""
    above_rows, above_columns = onto.closure[rows].tocsc(), onto.closure[columns].tocsc()
    best = np.zeros((len(rows), len(columns)))
    shared = np.flatnonzero((np.diff(above_rows.indptr) > 0) & (np.diff(above_columns.indptr) > 0) & (ic > 0))
    for term in shared[np.argsort(ic[shared], kind="stable")]:
        r = above_rows.indices[above_rows.indptr[term] : above_rows.indptr[term + 1]]
        c = above_columns.indices[above_columns.indptr[term] : above_columns.indptr[term + 1]]
        best[np.ix_(r, c)] = ic[term]
    return best


def resnik(onto: Ontology, rows: Iterable[str], columns: Iterable[str], *, ic: np.ndarray | None = None) -> np.ndarray:
    """Resnik similarity ``IC(mica)`` (Resnik 1995), shape ``(len(rows), len(columns))``, in the unit of `ic`.

    Raises:
        PhenoLIPError: an id the release does not know, or an `ic` of the wrong shape; so in every
            measure of this module.
    """
    return _mica(onto, _positions(onto, rows), _positions(onto, columns), _weights(onto, ic))


def lin(onto: Ontology, rows: Iterable[str], columns: Iterable[str], *, ic: np.ndarray | None = None) -> np.ndarray:
    """Lin similarity ``2 IC(mica) / (IC(a) + IC(b))`` (Lin 1998), shape ``(len(rows), len(columns))``, in [0, 1].

    Two terms without any information have similarity 0, also with themselves.
    """
    r, c, ic = _positions(onto, rows), _positions(onto, columns), _weights(onto, ic)
    best = _mica(onto, r, c, ic)
    total = ic[r][:, None] + ic[c][None, :]
    return np.divide(2 * best, total, out=np.zeros_like(best), where=total > 0)


def lin_table(onto: Ontology, ids: Iterable[str]) -> pd.DataFrame:
    """Lin similarity of some terms among each other, with their names."""
    ids = list(ids)
    names = [onto[hpo_id].name for hpo_id in ids]
    return pd.DataFrame(lin(onto, ids, ids), index=names, columns=names)


def jiang_conrath_distance(
    onto: Ontology, rows: Iterable[str], columns: Iterable[str], *, ic: np.ndarray | None = None
) -> np.ndarray:
    """Jiang-Conrath distance ``IC(a) + IC(b) - 2 IC(mica)`` (Jiang and Conrath 1997), in the unit of `ic`."""
    r, c, ic = _positions(onto, rows), _positions(onto, columns), _weights(onto, ic)
    distance = ic[r][:, None] + ic[c][None, :]
    distance -= 2 * _mica(onto, r, c, ic)
    return np.maximum(distance, 0, out=distance)  # an IC that does not rise downwards can go below zero


def jiang_conrath(
    onto: Ontology, rows: Iterable[str], columns: Iterable[str], *, ic: np.ndarray | None = None
) -> np.ndarray:
    """Jiang-Conrath similarity ``1 / (1 + distance)``, shape ``(len(rows), len(columns))``, in (0, 1]."""
    return 1 / (1 + jiang_conrath_distance(onto, rows, columns, ic=ic))


# --- sets against sets --------------------------------------------------------------------------


def _members(onto: Ontology, sets: Sequence[Iterable[str]]) -> csr_matrix:
    """Boolean matrix ``(n_sets, n_terms)`` of the terms named in each set."""
    places = [np.unique(_positions(onto, ids)) for ids in sets]
    bounds = np.cumsum([0, *map(len, places)])
    columns = np.concatenate([np.empty(0, int), *places])
    return csr_matrix((np.ones(len(columns)), columns, bounds), shape=(len(places), len(onto)))


def sim_gic(
    onto: Ontology, rows: Sequence[Iterable[str]], columns: Sequence[Iterable[str]], *, ic: np.ndarray | None = None
) -> np.ndarray:
    """simGIC of sets of terms (Pesquita et al. 2008), shape ``(len(rows), len(columns))``, in [0, 1].

    IC summed over the ancestors both sets have, divided by IC summed over those either has
    (a Jaccard index weighted by information). 0 where neither set holds information, as an empty
    set does.
    """
    ic = _weights(onto, ic)
    above_rows, above_columns = ((_members(onto, sets) @ onto.closure > 0).astype(float) for sets in (rows, columns))
    common = (above_rows.multiply(ic[None, :]).tocsr() @ above_columns.T).toarray()
    union = (above_rows @ ic)[:, None] + (above_columns @ ic)[None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def best_match_average(
    onto: Ontology,
    rows: Sequence[Iterable[str]],
    columns: Sequence[Iterable[str]],
    measure: Callable[..., np.ndarray] = lin,
    *,
    ic: np.ndarray | None = None,
) -> np.ndarray:
    """Best-match average of sets of terms, shape ``(len(rows), len(columns))``, in the unit of `measure`.

    Each term is matched with the most similar one of the other set; the scores are averaged within
    either set and the two averages are averaged (funSimAvg of Schlicker et al. 2006). An empty set
    matches nothing: 0.

    Args:
        measure: `resnik`, `lin` or `jiang_conrath`.
    """
    left, right = _members(onto, rows), _members(onto, columns)
    used_left, used_right = np.unique(left.indices), np.unique(right.indices)
    ids = np.array(onto.ids, dtype=object)
    scores = measure(onto, ids[used_left], ids[used_right], ic=ic)
    left, right = left[:, used_left], right[:, used_right]
    return (_directed(left, right, scores) + _directed(right, left, scores.T).T) / 2


def _directed(left: csr_matrix, right: csr_matrix, scores: np.ndarray) -> np.ndarray:
    """Mean over the terms of each left set of the best score in each right set."""
    best = np.zeros((len(scores), right.shape[0]))
    for j in range(right.shape[0]):
        terms = right.indices[right.indptr[j] : right.indptr[j + 1]]
        if len(terms):
            best[:, j] = scores[:, terms].max(axis=1)
    return (left @ best) / np.maximum(np.diff(left.indptr), 1)[:, None]
