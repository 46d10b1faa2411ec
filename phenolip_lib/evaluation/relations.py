"""How phenotypes to choose from relate to each other in the ontology."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from phenolip_lib.evaluation.results import TOP_K
from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, ROOT, Ontology


class Relations:
    """How the candidates relate to each other; depends on no model.

    Args:
        candidates: HPO ids ``(n,)``.
    """

    def __init__(self, onto: Ontology, candidates: list[str]) -> None:
        self.onto, self.candidates = onto, candidates

    @cached_property
    def gain(self) -> np.ndarray:
        """Lin similarity ``(n, n)``, 1 between a term and itself also where it has no information."""
        gain = similarity.lin(self.onto, self.candidates, self.candidates).astype(np.float32)
        np.fill_diagonal(gain, 1)
        return gain

    @cached_property
    def nearest(self) -> np.ndarray:
        """The most similar candidates of each ``(n, k)``, in no order, for the largest k of `TOP_K`."""
        k = min(max(TOP_K), len(self.candidates))
        return np.argpartition(self.gain, len(self.candidates) - k, axis=1)[:, len(self.candidates) - k :]

    @cached_property
    def above(self) -> csr_matrix:
        """Ancestors ``(n, n_terms)``, the term included, without the root and Phenotypic abnormality."""
        places = [self.onto.index[self.onto.resolve(hpo_id)] for hpo_id in self.candidates]
        tops = [self.onto.index[top] for top in (ROOT, PHENOTYPIC_ABNORMALITY) if top in self.onto.index]
        keep = np.ones(len(self.onto), dtype=np.float32)
        keep[tops] = 0
        found = csr_matrix(self.onto.closure[places].multiply(keep))
        found.eliminate_zeros()
        return found

    @cached_property
    def steps(self) -> np.ndarray:
        """Least number of ``is_a`` steps ``(n, n)`` from a term up to a common ancestor and down to the other."""
        climbs: dict[str, list[tuple[int, int]]] = {}
        for i, hpo_id in enumerate(self.candidates):
            for ancestor, height in self._climb(self.onto.resolve(hpo_id)).items():
                climbs.setdefault(ancestor, []).append((i, height))
        least = np.full((len(self.candidates),) * 2, np.iinfo(np.int16).max, dtype=np.int16)
        for below in climbs.values():
            places, heights = np.array(below, dtype=np.int16 if len(self.candidates) < 2**15 else np.int64).T
            area = np.ix_(places, places)
            least[area] = np.minimum(least[area], heights[:, None] + heights[None, :])
        return least

    def _climb(self, hpo_id: str) -> dict[str, int]:
        """Least number of steps to each ancestor."""
        heights, level = {hpo_id: 0}, [hpo_id]
        while level:
            above = dict.fromkeys(parent for child in level for parent in self.onto.parents.get(child, ()))
            step = heights[level[0]] + 1
            level = [parent for parent in above if parent not in heights]
            heights.update(dict.fromkeys(level, step))
        return heights
