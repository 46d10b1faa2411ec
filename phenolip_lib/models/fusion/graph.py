"""Vectors of the entities of a knowledge graph: two layers of graph attention over those that TransE found."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from phenolip_lib.models.fusion.config import FusionConfig

DROPOUT = 0.2


class GraphAttention(nn.Module):
    """A layer of graph attention (Veličković et al. 2018), as torch-geometric's ``GATConv`` has it.

    For each head ``a_ij = softmax_j leaky_relu(s·W h_j + t·W h_i)`` over the edges j -> i and i itself; the new vector
    of i is ``Σ_j a_ij W h_j``, heads side by side, plus a bias.
    """

    def __init__(self, n_in: int, n_out: int, heads: int) -> None:
        super().__init__()
        self.heads, self.linear = heads, nn.Linear(n_in, heads * n_out, bias=False)
        self.source, self.target = (nn.Parameter(torch.empty(heads, n_out)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(heads * n_out))
        for weight in (self.linear.weight, self.source, self.target):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x: ``(n, n_in)``.
            edges: from and to, ``(2, n_edges)``.

        Returns:
            ``(n, heads * n_out)``.
        """
        n = len(x)
        own = self.linear(x).view(n, self.heads, -1)
        itself = torch.arange(n, device=x.device)
        start, end = torch.cat([edges, torch.stack([itself, itself])], dim=1)
        score = F.leaky_relu((own * self.source).sum(-1)[start] + (own * self.target).sum(-1)[end], 0.2)
        most = score.new_full((n, self.heads), -torch.inf)
        most = most.scatter_reduce(0, end[:, None].expand_as(score), score.detach(), "amax")
        weight = (score - most[end]).exp()
        total = torch.zeros_like(most).index_add(0, end, weight)
        weight = F.dropout(weight / total[end], DROPOUT, self.training)
        found = torch.zeros_like(own).index_add(0, end, weight[..., None] * own[start])
        return found.flatten(1) + self.bias


class EntityEncoder(nn.Module):
    """E ``(n_entities, knowledge_width)``: layer norm, dropout, attention, ELU, attention.

    Args:
        vectors: of the entities by TransE ``(n_entities, embedding)``; they are trained further.
        edges: one a triple, whatever its relation ``(2, n_edges)``.
    """

    def __init__(self, config: FusionConfig, vectors: torch.Tensor, edges: torch.Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors.clone())
        self.register_buffer("edges", edges, persistent=False)
        self.norm = nn.LayerNorm(config.embedding)
        self.first = GraphAttention(config.embedding, config.graph_width, config.graph_heads)
        self.second = GraphAttention(config.graph_width * config.graph_heads, config.knowledge_width, 1)

    def forward(self) -> torch.Tensor:
        with torch.autocast(self.vectors.device.type, enabled=False):  # sums over many edges want their digits
            x = F.dropout(self.norm(self.vectors), DROPOUT, self.training)
            x = F.dropout(F.elu(self.first(x, self.edges)), DROPOUT, self.training)
            return self.second(x, self.edges)
