"""Which pairs belong together: what phenotypes and the ontology say of a batch beyond its diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.similarity import lin


@dataclass(frozen=True)
class Affinity:
    """Relations between pairs by row.

    Attributes:
        members: phenotypes of each pair as positions in `similarity`, padded by -1, ``(n_pairs, most)``.
        similarity: Lin similarity of the phenotypes that occur, ``(n_phenotypes, n_phenotypes)``.
        sentences: L2-normalised sentence embeddings of the captions, ``(n_pairs, width)``.
    """

    members: torch.Tensor
    similarity: torch.Tensor
    sentences: torch.Tensor

    def to(self, device: torch.device) -> Affinity:
        return Affinity(self.members.to(device), self.similarity.to(device), self.sentences.to(device))

    def _best(self, matrix: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """``max over a of row i, b of column j of matrix[a, b]``; 0 where one of them has no phenotype."""
        # A last row and column of zeros serves the padding.
        padded = F.pad(matrix, (0, 1, 0, 1))
        own = padded[self.members[rows]].amax(dim=1)
        best = own.new_zeros(len(rows), len(columns))
        for position in range(self.members.shape[1]):
            best = torch.maximum(best, own[:, self.members[columns, position]])
        return best

    def shared(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Pairs that have a phenotype in common, boolean ``(len(rows), len(columns))``."""
        own, theirs = self._shown(rows), self._shown(columns)
        return own @ theirs.T > 0

    def _shown(self, rows: torch.Tensor) -> torch.Tensor:
        """1 for each phenotype of a pair, else 0, ``(len(rows), n_phenotypes)``."""
        n = len(self.similarity)
        # A last column takes the padding.
        found = self.similarity.new_zeros(len(rows), n + 1)
        return found.scatter_(1, self.members[rows] % (n + 1), 1.0)[:, :n]

    def semantic(self, rows: torch.Tensor, columns: torch.Tensor, near: bool) -> torch.Tensor:
        """MedFILIP's semantic similarity matrix, in 0..1, ``(len(rows), len(columns))``.

        ``S[i, j] = max over phenotypes a of i, b of j of w(a, b) cos(e_i, e_j)``, with e the sentence
        embeddings of the captions, which are the texts here, and phenotypes as categories. In its
        own form w is 1 for the same category, else 0; with `near` it is Lin's similarity, so that a
        near phenotype is a soft positive. A pair is fully similar to itself.
        """
        weight = self.similarity if near else torch.eye(len(self.similarity), device=self.similarity.device)
        cosine = (self.sentences[rows] @ self.sentences[columns].T).clamp(0, 1)
        matrix = self._best(weight, rows, columns) * cosine
        return torch.where(rows[:, None] == columns[None, :], torch.ones_like(matrix), matrix)


def build(phenotypes: Sequence[Sequence[str]], sentences: np.ndarray, onto: Ontology | None) -> Affinity:
    """Relations of pairs from their phenotypes.

    Args:
        phenotypes: HPO ids of each pair.
        sentences: embeddings of the captions, normalised here, ``(n_pairs, width)``.
        onto: for Lin's similarity; without it every phenotype is similar to itself alone.
    """
    ids = sorted({hpo_id for found in phenotypes for hpo_id in found})
    place = {hpo_id: i for i, hpo_id in enumerate(ids)}
    members = np.full((len(phenotypes), max([1, *map(len, phenotypes)])), -1, dtype=np.int64)
    for row, found in enumerate(phenotypes):
        members[row, : len(found)] = [place[hpo_id] for hpo_id in found]
    similarity = np.eye(len(ids), dtype=np.float32)
    if onto is not None and ids:
        similarity = lin(onto, ids, ids).astype(np.float32)
        np.fill_diagonal(similarity, 1.0)  # a term without information content is still itself
    return Affinity(
        torch.from_numpy(members),
        torch.from_numpy(similarity),
        F.normalize(torch.from_numpy(np.asarray(sentences, dtype=np.float32)), dim=-1),
    )
