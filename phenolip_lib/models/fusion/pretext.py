"""What ARL is pretrained with: masked words, masked image cells, matching, and alignment with the graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from phenolip_lib.models.fusion.layers import Attention, FeedForward
from phenolip_lib.models.fusion.model import CELLS, NONE, WORDS, Fusion

IGNORED = -100
"""Label of a token that is not masked."""


class Pretext(nn.Module):
    """The heads of pretraining around a fusion model; all losses are a value a row, so that a batch can be parted.

    Args:
        fusion: the model.
        n_words: of the vocabulary that masked tokens are told from.
        target_width: of what masked image modelling predicts of a cell: features of a frozen tower, or pixels.
        align: whether the towers' first tokens tell the entities.
    """

    def __init__(self, fusion: Fusion, n_words: int, target_width: int, align: bool) -> None:
        super().__init__()
        c = fusion.config
        self.fusion = fusion
        self.words = nn.Sequential(
            nn.Linear(c.width, c.width), nn.GELU(), nn.LayerNorm(c.width), nn.Linear(c.width, n_words)
        )
        self.matching = nn.Linear(2 * c.width, 2)
        self.decoder_in = nn.Linear(c.width, c.decoder_width)
        self.unseen = nn.Parameter(torch.zeros(c.decoder_width))
        self.decoder_place = nn.Parameter(0.02 * torch.randn(c.cells**2, c.decoder_width))
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                (
                    Attention(c.decoder_width, c.decoder_heads, 0.0),
                    FeedForward(c.decoder_width, 4 * c.decoder_width, 0.0),
                )
            )
            for _ in range(c.decoder_layers)
        )
        self.decoder_out = nn.Linear(c.decoder_width, target_width)
        own = c.knowledge_width
        aligned = align and fusion.entities is not None
        self.aligners = nn.ModuleList(
            nn.Sequential(nn.Linear(c.width, own), nn.GELU(), nn.Linear(own, own)) for _ in range(2 * aligned)
        )

    def forward(
        self,
        pair: dict[str, torch.Tensor],
        masked: dict[str, torch.Tensor],
        matched: dict[str, torch.Tensor],
        kept: torch.Tensor,
        target: torch.Tensor,
        is_match: torch.Tensor,
        labels: torch.Tensor,
        image_entities: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Loss of each row under each objective.

        Args:
            pair: arguments of `Fusion` for images with their own texts.
            masked: the same with masked texts, and without the entities that are masked.
            matched: the same where some images are of other texts.
            kept: cells that masked image modelling shows ``(n, k)``.
            target: what the cells are to be told as ``(n, cells², target_width)``, normalised a cell.
            is_match: 1 where image and text of `matched` belong together ``(n,)``.
            labels: words of masked tokens, else `IGNORED` ``(n, t)``.
            image_entities: 1 for the entities of all texts of an image ``(n, n_entities)``.
        """
        known = None if self.fusion.entities is None else self.fusion.entities()
        found = {
            "mlm": self._words(self.fusion(**masked, known=known, want=WORDS), labels),
            "mim": self._cells(self.fusion(**pair, kept=kept, known=known, want=CELLS), kept, target),
            "itm": F.cross_entropy(self.matching(self.fusion(**matched, known=known)), is_match, reduction="none"),
        }
        if len(self.aligners):
            tokens = self.fusion.tokens(pair["image"], pair["text"], pair["text_mask"])
            found["align"] = self._aligned(tokens, known, pair["entities"], image_entities)
        return found

    def _words(self, text: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        row, token = (labels != IGNORED).nonzero(as_tuple=True)
        loss = F.cross_entropy(self.words(text[row, token]), labels[row, token], reduction="none")
        count = torch.bincount(row, minlength=len(labels)).clamp(min=1)
        return torch.zeros(len(labels), device=loss.device).index_add(0, row, loss) / count

    def _cells(self, image: torch.Tensor, kept: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen = self.decoder_in(image[:, 1:])
        cells = self.unseen.expand(len(kept), target.shape[1], -1)
        cells = cells.scatter(1, kept[..., None].expand_as(seen), seen) + self.decoder_place
        for attention, feed_forward in self.decoder:
            cells = feed_forward(attention(cells, cells))
        error = (self.decoder_out(cells) - target).square().mean(dim=2)
        hidden = torch.ones_like(error).scatter(1, kept, 0.0)
        return (error * hidden).sum(dim=1) / hidden.sum(dim=1).clamp(min=1)

    def _aligned(
        self,
        tokens: tuple[torch.Tensor, torch.Tensor],
        known: torch.Tensor,
        entities: torch.Tensor,
        image_entities: torch.Tensor,
    ) -> torch.Tensor:
        """Both modalities' ``p = σ(MLP(h) Eᵀ)`` of their first tokens h against the entities, mean over these."""
        said = torch.zeros_like(image_entities)
        said = said.scatter_add(1, entities.clamp(min=0), (entities != NONE).to(said.dtype)).clamp(max=1)
        loss = 0.0
        for aligner, own, truth in zip(self.aligners, tokens, (image_entities, said), strict=True):
            scores = aligner(own[:, 0]) @ known.T
            loss = loss + F.binary_cross_entropy_with_logits(scores, truth, reduction="none").mean(dim=1)
        return loss
