"""Batches of P concepts with K texts each, as a pure function of seed, epoch and step.

Nothing is remembered between batches, so a resumed run and every process of a group draw the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np
from scipy.sparse import csr_matrix


class ConceptSampler:
    """Draws the batches of stage 1.

    An epoch goes through all concepts that have two texts, in random order; its last batch is
    filled up from the epoch's beginning, so that all batches are of one size. Without hard
    negatives every concept comes once (those that fill up twice). With them a share of each batch
    is siblings of its other concepts, drawn on top of that order: an epoch still goes once
    through all concepts, has ``1 / (1 - hard_share)`` times as many batches, and concepts with many
    siblings come more often.

    Args:
        rows: text rows of each concept.
        concepts: of a batch, P; fewer if there are not so many.
        texts: of a concept, K; one that has fewer repeats some.
        hard_share: share of a batch's concepts that are siblings of others in it. A batch whose
            concepts have too few siblings is filled up with any concepts.
        siblings: boolean ``(n, n)``, symmetric: which concepts are near each other.
    """

    def __init__(
        self,
        rows: Sequence[np.ndarray],
        concepts: int,
        texts: int,
        seed: int,
        hard_share: float = 0.0,
        siblings: csr_matrix | None = None,
    ) -> None:
        self.texts, self.seed, self.siblings = texts, seed, siblings
        counts = np.array([len(own) for own in rows], dtype=np.int64)
        self._counts, self._starts = counts, np.cumsum(counts) - counts
        self._rows = np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64)
        self._is_usable = counts >= 2
        self.usable = np.flatnonzero(self._is_usable)
        self.concepts = min(concepts, len(self.usable))
        self.hard = round(hard_share * self.concepts) if siblings is not None else 0
        self.fresh = max(self.concepts - self.hard, 1)
        self.steps_per_epoch = -(-len(self.usable) // self.fresh)

    def batch(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Different concepts ``(P,)`` and their text rows ``(P, K)``, different as far as there are."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.usable)
        rng = np.random.default_rng((self.seed, epoch, step))
        chosen = order.take(np.arange(step * self.fresh, (step + 1) * self.fresh), mode="wrap")
        if len(chosen) < self.concepts:
            chosen = self._with_siblings(chosen, rng)
        return chosen, self._draw(chosen, rng)

    def _draw(self, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """K texts of each concept: its texts in random order, from the start again where they run out."""
        counts = self._counts[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        first = np.cumsum(counts) - counts
        texts = self._rows[np.arange(len(owner)) - first[owner] + self._starts[chosen][owner]]
        texts = texts[np.lexsort((rng.random(len(owner)), owner))]
        return texts[first[:, None] + np.arange(self.texts) % counts[:, None]]

    def _with_siblings(self, fresh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fill the batch up: the concepts in turn bring one sibling each that is not in it yet."""
        pools = []
        for concept in rng.permutation(fresh):
            near = self.siblings.indices[self.siblings.indptr[concept] : self.siblings.indptr[concept + 1]]
            pools.append(rng.permutation(near[self._is_usable[near]]).tolist())
        in_turn = chain.from_iterable(zip_longest(*pools))
        chosen = dict.fromkeys(fresh.tolist())
        for concept in chain(in_turn, rng.permutation(self.usable).tolist()):
            if len(chosen) == self.concepts:
                break
            if concept is not None:
                chosen[concept] = None
        return np.array(list(chosen), dtype=np.int64)
