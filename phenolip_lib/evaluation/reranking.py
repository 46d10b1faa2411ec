"""Rankings by scores of pairs: of all pairs, or of those that a cheaper ranking puts first.

A rank is that of the best correct item, and ties count against the model, as in `metrics.mutual_ranks`: scores up to
`metrics.TIE` apart are equal, and among equals the wrong items come first. That also holds where a list is cut.
"""

from __future__ import annotations

import numpy as np

from phenolip_lib.evaluation.metrics import TIE, mutual_ranks


def score_ranks(scores: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Rank (1 is best) of the best correct item of each query, int64 ``(n_queries,)``; 0 where none is correct.

    Args:
        scores: ``(n_queries, n_items)``.
        correct: boolean, of the same shape.

    Raises:
        ValueError: scores that are not finite.
    """
    return mutual_ranks(scores, np.eye(scores.shape[1]), correct)[0]


def first(scores: np.ndarray, correct: np.ndarray, k: int) -> np.ndarray:
    """Which items are the first `k` of each query, boolean ``(n_queries, n_items)``; all if there are fewer.

    A query whose rank by `score_ranks` is at most `k` has a correct item among them, and no other one has.

    Args:
        scores, correct: as in `score_ranks`.
    """
    held = scores - TIE * correct
    order = np.lexsort((correct, -held), axis=1)[:, :k]
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def reranked(scores: np.ndarray, chosen: np.ndarray, correct: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Ranks after the chosen items of each query, its first ones, took a new order; the others stay behind them.

    Args:
        scores: of the new order ``(n_queries, n_items)``; those of items that are not chosen are not looked at.
        chosen: of `first`.
        correct: boolean, of the same shape.
        before: ranks in the old order ``(n_queries,)``; they hold where no correct item is chosen.
    """
    own = np.where(chosen, scores, scores[chosen].min() - 1)
    found = score_ranks(own, correct & chosen)
    return np.where(found > 0, found, before)
