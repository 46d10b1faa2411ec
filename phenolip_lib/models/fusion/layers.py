"""A layer of the fusion model: image, text and entities, each reading what the others were one layer below."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from phenolip_lib.models.fusion.config import FusionConfig


class Streams(NamedTuple):
    """What a layer takes and gives; `knowledge` is None in a model without a graph."""

    image: torch.Tensor
    text: torch.Tensor
    knowledge: torch.Tensor | None


class Attention(nn.Module):
    """Multi-head attention with its residual: ``LN(x + Drop(W Attn(x, y)))``, as in BERT."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """
        Args:
            x: what asks ``(n, q, width)``.
            y: what is read ``(n, k, width)``.
            mask: True where `y` may be read, ``(n, k)``; a row without any reads all, so that it stays a number.
        """
        q, k, v = (self._split(layer(own)) for layer, own in ((self.query, x), (self.key, y), (self.value, y)))
        if mask is not None:
            mask = (mask | ~mask.any(dim=1, keepdim=True))[:, None, None]
        # No dropout of attention's weights: with it a step on a CPU takes a quarter longer.
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out = self.out(found.transpose(1, 2).flatten(2))
        return self.norm(x + F.dropout(out, self.dropout, self.training))

    def weights(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """How much of each token of `y` each token of `x` reads, mean over heads, ``(n, q, k)``."""
        q, k = self._split(self.query(x)), self._split(self.key(y))
        return (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        return x.view(n, tokens, self.heads, width // self.heads).transpose(1, 2)


class FeedForward(nn.Module):
    """``LN(x + Drop(W2 gelu(W1 x)))``."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.out, self.norm = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.LayerNorm(width)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + F.dropout(self.out(F.gelu(self.inner(x))), self.dropout, self.training))


class Reasoning(nn.Module):
    """The stream of entities, and how text takes it in (ARL, section 3.3).

    ``x3 = LN(x2 + Drop(W (x2 + Pᵀ W' z2)))``: each token of an entity's span gets that entity's vector.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        own = config.knowledge_width
        self.reads_itself = Attention(own, config.knowledge_heads, config.dropout)
        self.reads_image = Attention(own, config.knowledge_heads, config.dropout)
        self.feed_forward = FeedForward(own, config.knowledge_feed_forward, config.dropout)
        self.from_image = nn.Linear(config.width, own)
        self.to_text, self.out = nn.Linear(own, config.width, bias=False), nn.Linear(config.width, config.width)
        self.norm, self.dropout = nn.LayerNorm(config.width), config.dropout

    def forward(
        self, text: torch.Tensor, knowledge: torch.Tensor, image: torch.Tensor, spans: torch.Tensor, there: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            text: after it read the image, x2 ``(n, t, width)``.
            knowledge: z ``(n, e, knowledge_width)``.
            image: of the layer below ``(n, c, width)``.
            spans: P, 1 where token t is of entity e, else 0, ``(n, e, t)``.
            there: False for slots without an entity ``(n, e)``.

        Returns:
            x3; z for the next layer.
        """
        knowledge = self.reads_itself(knowledge, knowledge, there)
        knowledge = self.reads_image(knowledge, self.from_image(image))
        told = spans.transpose(1, 2) @ self.to_text(knowledge)
        return self.takes_in(text, told), self.feed_forward(knowledge)

    def takes_in(self, text: torch.Tensor, told: torch.Tensor | float = 0.0) -> torch.Tensor:
        """x3 of tokens and what entities tell them, ``Pᵀ W' z2``: zero for a token that is in no entity's words."""
        return self.norm(text + F.dropout(self.out(text + told), self.dropout, self.training))


class FusionLayer(nn.Module):
    """One layer of all streams."""

    def __init__(self, config: FusionConfig, reason: bool) -> None:
        super().__init__()
        sizes = (config.width, config.heads, config.dropout)
        self.image_self, self.image_cross, self.text_self, self.text_cross = (Attention(*sizes) for _ in range(4))
        hidden = (config.width, config.feed_forward, config.dropout)
        self.image_out, self.text_out = FeedForward(*hidden), FeedForward(*hidden)
        self.reasoning = Reasoning(config) if reason else None

    def forward(
        self,
        below: Streams,
        text_mask: torch.Tensor,
        spans: torch.Tensor,
        there: torch.Tensor,
        image_tokens: int | None = None,
        text_tokens: int | None = None,
    ) -> Streams:
        """
        Args:
            text_mask: True for tokens, False for padding ``(n, t)``.
            image_tokens, text_tokens: how many first ones are computed, where nothing reads the others; None is all.
                The first token of a text is of no entity, so with it alone the entities are not needed either.
        """
        image, text, knowledge = below.image[:, :image_tokens], below.text[:, :text_tokens], below.knowledge
        if image.shape[1]:
            image = self.image_self(image, below.image)
            image = self.image_out(self.image_cross(image, below.text, text_mask))
        if text.shape[1]:
            text = self.text_self(text, below.text, text_mask)
            text = self.text_cross(text, below.image)
            if self.reasoning is not None and text_tokens == 1:
                text = self.reasoning.takes_in(text)
            elif self.reasoning is not None:
                text, knowledge = self.reasoning(text, knowledge, below.image, spans, there)
            text = self.text_out(text)
        return Streams(image, text, knowledge)
