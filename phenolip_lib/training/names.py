"""Phenotypes named in the loss: each image is contrasted with the names of its phenotypes.

Captions tell an image's phenotypes in passing. This term says them: the name of a phenotype, embedded by the
student's text head (or by the teacher), is the positive of every image that shows it, in both directions. A name
that subsumes a true phenotype, or is subsumed by one, is no negative of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from phenolip_lib.core.sections import Stage2
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.similarity import lin
from phenolip_lib.training.distributed import Gathered

NEVER = -1e9
"""Added to the logit of a name that is no negative; finite, as a row without a negative has to have a gradient."""


@dataclass
class Names:
    """Every phenotype by its name, and which of them each pair shows.

    Attributes:
        onto: for ancestors, descendants and Lin's similarity.
        ids: phenotypes, ``(n_names,)``.
        starts: where the wordings of each begin, and where the last ones end, ``(n_names + 1,)``.
        strings: wordings, phenotype by phenotype, ``(n_wordings,)``.
        texts: features of these by the student's text trunk, ``(n_wordings, width)``.
        teacher: the teacher's embeddings of these, L2-normalised, ``(n_wordings, embed_dim)``.
        shown: positions in `ids` of each pair's phenotypes; what `ids` lacks is left out.
    """

    onto: Ontology
    ids: list[str]
    starts: np.ndarray
    strings: np.ndarray
    texts: np.ndarray
    teacher: np.ndarray
    shown: list[np.ndarray]

    @cached_property
    def used(self) -> np.ndarray:
        """Positions of the phenotypes that some pair shows, sorted ``(n_used,)``."""
        return np.unique(np.concatenate([*self.shown, np.zeros(0, dtype=np.int64)]))

    @cached_property
    def related(self) -> np.ndarray:
        """Which names subsume each used phenotype or are subsumed by it, boolean ``(n_used, n_names)``."""
        places = np.array([self.onto.index[self.onto.resolve(hpo_id)] for hpo_id in self.ids])
        closure, own = self.onto.closure, places[self.used]
        return np.asarray((closure[own][:, places] + closure[places][:, own].T).todense()) > 0

    @cached_property
    def similar(self) -> np.ndarray:
        """Lin's similarity of each used phenotype and every name, float32 ``(n_used, n_names)``."""
        return lin(self.onto, [self.ids[i] for i in self.used], self.ids).astype(np.float32)


def positions(ids: Sequence[str], phenotypes: Sequence[Sequence[str]], onto: Ontology) -> list[np.ndarray]:
    """Positions in `ids` of each pair's phenotypes."""
    place = {hpo_id: i for i, hpo_id in enumerate(ids)}
    live = [{onto.resolve(hpo_id) for hpo_id in own} & place.keys() for own in phenotypes]
    return [np.array(sorted(place[hpo_id] for hpo_id in own), dtype=np.int64) for own in live]


class NamesTerm:
    """The term of one run: which names a step takes, and their loss.

    Args:
        names: of the source.
        p: ``names_negatives`` says where a step's negatives are drawn from: ``batch`` (phenotypes of its images),
            ``seen`` (of the training images) or ``all`` of HPO; a step takes up to ``names_batch`` names.
            ``names_near`` says what relatives of a true phenotype are, see `discounts`.
        rows: of the training pairs.
        seed: of the run.
    """

    def __init__(self, names: Names, p: Stage2, rows: np.ndarray, seed: int, device: torch.device) -> None:
        self.names, self.p, self.seed = names, p, seed
        pools = {
            "batch": np.zeros(0, dtype=np.int64),
            "seen": np.unique(np.concatenate([names.shown[row] for row in rows])),
            "all": np.arange(len(names.ids)),
        }
        self.pool = pools[p.names_negatives]
        # Row n_used is of the padding: related to nothing.
        place = np.full(len(names.ids), len(names.used))
        place[names.used] = np.arange(len(names.used))
        self.members = np.full((len(names.shown), max(map(len, [*names.shown, [0]]))), len(names.used))
        for row, own in enumerate(names.shown):
            self.members[row, : len(own)] = place[own]
        self.place = place
        matrix = np.where(names.related, NEVER, 0.0)
        if p.names_near == "negatives":
            matrix = np.where(np.arange(len(names.ids)) == names.used[:, None], NEVER, 0.0)
        elif p.names_near == "softened":
            matrix += np.log(np.clip(1 - names.similar, 1e-6, 1))
        self.discount = torch.from_numpy(matrix.astype(np.float32)).to(device)
        self.device = device

    def draw(self, rows: np.ndarray, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Names of a step: all phenotypes of its pairs, then negatives from the pool.

        Args:
            rows: of the pairs of the whole batch.

        Returns:
            positions of the phenotypes, and of the wording that names each, ``(n,)`` both.
        """
        rng = np.random.default_rng((self.seed, epoch, step, 1))
        own = np.unique(np.concatenate([*(self.names.shown[row] for row in rows), np.zeros(0, dtype=np.int64)]))
        others = np.setdiff1d(self.pool, own, assume_unique=True)
        n = min(max(self.p.names_batch - len(own), 0), len(others))
        drawn = np.concatenate([own, np.sort(rng.choice(others, size=n, replace=False))])
        starts = self.names.starts
        return drawn, rng.integers(starts[drawn], starts[drawn + 1])

    def loss(self, image: Gathered, names: torch.Tensor, scale: torch.Tensor, rows: np.ndarray, drawn: np.ndarray):
        """`names_loss` of a batch.

        Args:
            names: embeddings of the names `drawn` ``(n, dim)``.
            rows: of the pairs of the whole batch.
        """
        members, n = self.members[rows], len(drawn)
        members = members[:, : max((members < len(self.names.used)).sum(axis=1).max(), 1)]  # the rest is padding
        column = np.full(len(self.names.used) + 1, n)  # of each used phenotype among the drawn; n: not drawn
        there = np.flatnonzero(self.place[drawn] < len(self.names.used))
        column[self.place[drawn[there]]] = there
        shows = np.zeros((len(rows), n + 1), dtype=bool)
        shows[np.arange(len(rows))[:, None], column[members]] = True
        own = F.pad(self.discount[:, torch.from_numpy(drawn).to(self.device)], (0, 0, 0, 1))
        discount = own[torch.from_numpy(members[:, 0]).to(self.device)]
        for further in members[:, 1:].T:
            discount = torch.minimum(discount, own[torch.from_numpy(further).to(self.device)])
        return names_loss(image, names, scale, torch.from_numpy(shows[:, :n]).to(self.device), discount)


def names_loss(
    image: Gathered, names: torch.Tensor, scale: torch.Tensor | float, shows: torch.Tensor, discount: torch.Tensor
) -> torch.Tensor:
    """InfoNCE between images and names, with several positives a row, each against the negatives alone.

    ``-log( e^{s v.t_p} / (e^{s v.t_p} + sum_q e^{s v.t_q + d_q}) )`` over the names p that an image shows and the
    names q that it does not; its other positives and their relatives are in no sum. The mean over an image's
    names, then over the images that have one; the same of each name against the images, and the mean of both.

    Args:
        image: L2-normalised embeddings of the images ``(n, dim)``.
        names: those of the names, the same in every process, ``(n_names, dim)``.
        scale: inverse temperature.
        shows: boolean ``(n_all, n_names)``: which names each image of all processes shows.
        discount: added to a negative's logit, ``(n_all, n_names)``: `NEVER` where it is none.

    Returns:
        scalar loss in nats; 0 if no image shows any of the names.
    """
    forth = scale * image.own @ names.T
    own = slice(image.start, image.start + len(image.own))
    linked = shows.any(dim=1).sum().clamp(min=1) * len(image.own) / len(shows)
    to_names = _against_negatives(forth, shows[own], discount[own]).sum() / linked
    # Each process has all names, and so the whole second direction; its gradient is averaged over equal parts.
    back = (forth if len(image.own) == len(image.everyone) else scale * image.everyone @ names.T).T
    asked = shows.any(dim=0).sum().clamp(min=1)
    to_images = _against_negatives(back, shows.T, discount.T).sum() / asked
    return (to_names + to_images) / 2


def _against_negatives(logits: torch.Tensor, positive: torch.Tensor, discount: torch.Tensor) -> torch.Tensor:
    """Mean loss of each row's positives, each against the row's negatives; 0 for a row without one."""
    rest = torch.logsumexp(logits + discount, dim=1, keepdim=True)
    row, column = positive.nonzero(as_tuple=True)  # few of all, so the others are not computed
    losses = F.softplus(rest[row, 0] - logits[row, column])
    return logits.new_zeros(len(logits)).index_add(0, row, losses) / positive.sum(dim=1).clamp(min=1)
