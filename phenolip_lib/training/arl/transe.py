"""TransE (Bordes et al. 2013): vectors of entities and relations such that head + relation is near tail."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from phenolip_lib.training.arl.knowledge import KnowledgeGraph

NEGATIVES = 25
MARGIN = 5.0
"""As in ARL, with the L1 distance."""


def corrupt_heads(graph: KnowledgeGraph) -> np.ndarray:
    """Bernoulli sampling (Wang et al. 2014): how often a negative of each relation has another head.

    ``tph / (tph + hpt)`` with the relation's mean number of tails a head and heads a tail: the side with many answers
    is exchanged more rarely, since a random one there is true more often.
    """
    share = np.full(len(graph.relations), 0.5)
    for relation in range(len(graph.relations)):
        own = graph.triples[graph.triples[:, 1] == relation]
        if len(own):
            tails_a_head = len(own) / len(np.unique(own[:, 0]))
            heads_a_tail = len(own) / len(np.unique(own[:, 2]))
            share[relation] = tails_a_head / (tails_a_head + heads_a_tail)
    return share


def distance(entities: torch.Tensor, relations: torch.Tensor, triples: torch.Tensor) -> torch.Tensor:
    """``|h + r - t|`` in L1 of triples ``(..., 3)``, shape ``(...)``."""
    head, relation, tail = triples.unbind(-1)
    return (entities[head] + relations[relation] - entities[tail]).abs().sum(-1)


def embed(
    graph: KnowledgeGraph, width: int, seed: int, epochs: int = 60, batch_size: int = 512, learning_rate: float = 0.01
) -> torch.Tensor:
    """Vectors of the entities, ``(n_entities, width)`` of length 1.

    Margin ranking against `NEGATIVES` of each triple, Adam; entities are brought back to length 1 after each step, as
    in the paper of TransE.
    """
    generator = torch.Generator().manual_seed(seed)
    bound = 6 / width**0.5
    entities = torch.empty(len(graph.entities), width).uniform_(-bound, bound, generator=generator)
    relations = torch.empty(max(len(graph.relations), 1), width).uniform_(-bound, bound, generator=generator)
    entities, relations = (F.normalize(x, dim=1).requires_grad_() for x in (entities, relations))
    optimizer = torch.optim.Adam([entities, relations], lr=learning_rate)
    triples, share = torch.from_numpy(graph.triples), torch.from_numpy(corrupt_heads(graph)).float()
    for _ in range(epochs if len(triples) else 0):
        for rows in torch.randperm(len(triples), generator=generator).split(batch_size):
            own = triples[rows]
            false = own[:, None].repeat(1, NEGATIVES, 1)
            other = torch.randint(len(graph.entities), false.shape[:2], generator=generator)
            heads = torch.rand(false.shape[:2], generator=generator) < share[own[:, 1]][:, None]
            false[..., 0] = torch.where(heads, other, false[..., 0])
            false[..., 2] = torch.where(heads, false[..., 2], other)
            near = distance(entities, relations, own)[:, None]
            loss = (MARGIN + near - distance(entities, relations, false)).clamp(min=0).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                entities.copy_(F.normalize(entities, dim=1))
    return entities.detach()
