"""ARL's model (Chen et al. 2022): two towers' tokens, fused in layers that may reason with entities."""

from __future__ import annotations

import torch
from torch import nn

from phenolip_lib.models.fusion.config import FusionConfig
from phenolip_lib.models.fusion.graph import EntityEncoder
from phenolip_lib.models.fusion.layers import FusionLayer, Streams

NONE = -1
"""In place of an entity, where a text has fewer."""


POOLED, WORDS, CELLS = "pooled", "words", "cells"
"""What can be asked of the model; each needs another part of its last layer."""


class Fusion(nn.Module):
    """Image tokens, text tokens and entities, fused.

    Args:
        config: the sizes.
        image_width, text_width: of the towers' tokens.
        entities: their encoder; None for a model without knowledge, which is M3AE's.
        towers: trained with the model, see `towers.Towers`; None where tokens of frozen ones come in.
        reason: whether text takes in the entities of its spans.
    """

    def __init__(
        self,
        config: FusionConfig,
        image_width: int,
        text_width: int,
        entities: EntityEncoder | None = None,
        towers: nn.Module | None = None,
        reason: bool = True,
    ) -> None:
        super().__init__()
        self.config, self.entities, self.towers = config, entities, towers
        self.image_in, self.text_in = nn.Linear(image_width, config.width), nn.Linear(text_width, config.width)
        self.kind = nn.Parameter(0.02 * torch.randn(2, config.width))
        # A map's cells do not say where they are; a trained transformer's patches do.
        self.place = nn.Parameter(torch.zeros(config.cells**2 + 1, config.width)) if towers is None else None
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))
        reason = reason and entities is not None
        self.layers = nn.ModuleList(FusionLayer(config, reason) for _ in range(config.layers))
        self.image_pool, self.text_pool = (nn.Linear(config.width, config.width) for _ in range(2))

    def forward(
        self,
        image: torch.Tensor,
        text: torch.Tensor,
        text_mask: torch.Tensor,
        entities: torch.Tensor,
        spans: torch.Tensor,
        kept: torch.Tensor | None = None,
        known: torch.Tensor | None = None,
        want: str = POOLED,
    ) -> torch.Tensor:
        """
        Args:
            image: tokens ``(n, 1 + cells², image_width)``, the first one of the whole; pixels where towers train.
            text: tokens ``(n, t, text_width)``, the first one of the whole; token ids where towers train.
            text_mask: False for padding ``(n, t)``.
            entities: rows of the graph ``(n, e)``, or `NONE`.
            spans: P ``(n, e, t)``; all zero in the row of an absent entity.
            kept: of masked image modelling, the cells that are seen ``(n, k)``, beside the first token.
            known: the graph's vectors, if they are at hand.
            want: `POOLED`, `WORDS` or `CELLS`.

        Returns:
            the pair as one vector, of both streams' first tokens ``(n, 2 * width)``; the text's tokens
            ``(n, t, width)``; or the image's after `FusionConfig.masked_after` layers ``(n, c, width)``.
        """
        image, text = self.tokens(image, text, text_mask, kept)
        there, knowledge = entities != NONE, None
        if self.entities is not None:
            known = self.entities() if known is None else known
            knowledge = known[entities.clamp(min=0)] * there[..., None]
        streams = Streams(image, text, knowledge)
        last = {POOLED: (1, 1), WORDS: (0, None), CELLS: (None, 0)}[want]  # tokens of image and text that are computed
        layers = self.layers[: self.config.masked_after] if want == CELLS else self.layers
        for layer in layers[:-1]:
            streams = layer(streams, text_mask, spans.to(text.dtype), there)
        streams = layers[-1](streams, text_mask, spans.to(text.dtype), there, *last)
        if want != POOLED:
            return streams.text if want == WORDS else streams.image
        pools = ((self.image_pool, streams.image), (self.text_pool, streams.text))
        return torch.cat([torch.tanh(pool(x[:, 0])) for pool, x in pools], dim=1)

    def tokens(
        self, image: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor, kept: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both towers' tokens before fusion; the arguments are those of `forward`.

        With `kept`, the first image token of a frozen tower is the mean of the cells that are seen: that of all would
        tell of the hidden ones.
        """
        if self.towers is not None:
            image, text = self.towers(image, text, text_mask, kept)
        elif kept is not None:
            seen = image[:, 1:].gather(1, kept[..., None].expand(-1, -1, image.shape[2]))
            image = torch.cat([seen.mean(dim=1, keepdim=True), seen], dim=1)
        image, text = self.image_in(image) + self.kind[0], self.text_in(text) + self.kind[1]
        if self.place is not None:
            at = self.place.expand(len(image), -1, -1)
            if kept is not None:
                index = torch.cat([torch.zeros_like(kept[:, :1]), kept + 1], dim=1)
                at = at.gather(1, index[..., None].expand(-1, -1, at.shape[2]))
            image = image + at
        return self.norms[0](image), self.norms[1](text)

    def attention(self, image, text, text_mask, entities, spans) -> torch.Tensor:
        """How much of each cell the text's first token reads in the last layer, ``(n, 1 + cells²)``."""
        seen = []
        hook = self.layers[-1].text_cross.register_forward_hook(lambda module, args, _: seen.append(args[:2]))
        try:
            self(image, text, text_mask, entities, spans)
        finally:
            hook.remove()
        asking, read = seen[0]
        return self.layers[-1].text_cross.weights(asking[:, :1], read)[:, 0]


class Answering(nn.Module):
    """Answers of a closed vocabulary: ``Linear(2w, 2w), LN, GELU, Linear(2w, N)`` on the pair's vector.

    Args:
        fusion: the model, whose vector of a pair is read.
        n_answers: N.
    """

    def __init__(self, fusion: Fusion, n_answers: int) -> None:
        super().__init__()
        wide = 2 * fusion.config.width
        self.fusion = fusion
        self.head = nn.Sequential(
            nn.Linear(wide, wide),
            nn.LayerNorm(wide),
            nn.GELU(),
            nn.Dropout(fusion.config.dropout),
            nn.Linear(wide, n_answers),
        )

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """``logits`` ``(n, n_answers)``; the arguments are those of `Fusion`."""
        return {"logits": self.head(self.fusion(**inputs))}
