"""The towers of ``arl-base``, which train with the fusion model: a vision transformer and a language model."""

from __future__ import annotations

import torch
from torch import nn

from phenolip_lib.core.compat import timm, transformers
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.fusion.config import FusionConfig

MEAN, STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
"""Of CLIP's pictures."""


class Towers(nn.Module):
    """Pixels and token ids to tokens.

    The image tower is a vision transformer of timm without its last block, as in the paper; the text tower a RoBERTa.

    Args:
        config: names and sizes.
        pretrained: whether weights are taken from the hub; else they are random.
    """

    def __init__(self, config: FusionConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.vision = timm.create_model(config.image, pretrained=pretrained, img_size=config.image_size, num_classes=0)
        self.vision.blocks = self.vision.blocks[:-1]
        self.patch = self.vision.patch_embed.patch_size[0]
        if config.image_size != self.patch * config.cells:
            raise PhenoLIPError(
                f"arl.config: {config.image} cuts {config.image_size} pixels into patches of {self.patch}, not into "
                f"{config.cells} a side; set cells to {config.image_size // self.patch}"
            )
        if pretrained:
            self.text = transformers.RobertaModel.from_pretrained(config.text, add_pooling_layer=False)
        else:
            base = transformers.RobertaConfig(
                vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
            )
            self.text = transformers.RobertaModel(base, add_pooling_layer=False)

    @property
    def widths(self) -> tuple[int, int]:
        """Of an image token and of a text token."""
        return self.vision.num_features, self.text.config.hidden_size

    def forward(
        self, pixels: torch.Tensor, ids: torch.Tensor, text_mask: torch.Tensor, kept: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            pixels: uint8 ``(n, 3, s, s)``.
            ids: of text tokens ``(n, t)``.
            text_mask: False for padding.
            kept: patches that are seen ``(n, k)``; the others are dropped before the first block.

        Returns:
            ``(n, 1 + patches, width)`` and ``(n, t, width)``.
        """
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        x = self.vision.patch_embed((pixels.float() / 255 - mean) / std)
        x = self.vision._pos_embed(x)
        if kept is not None:
            index = torch.cat([torch.zeros_like(kept[:, :1]), kept + 1], dim=1)
            x = x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
        x = self.vision.blocks(self.vision.norm_pre(x))
        text = self.text(input_ids=ids, attention_mask=text_mask.long()).last_hidden_state
        return self.vision.norm(x), text


def patches(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Pixels as rows of patches, each normalised to mean 0 and deviation 1: what masked image modelling predicts.

    Args:
        pixels: ``(n, 3, s, s)``.
        side: of a patch.

    Returns:
        ``(n, (s / side)², 3 * side²)``.
    """
    n, channels, height, width = pixels.shape
    cut = pixels.float().view(n, channels, height // side, side, width // side, side)
    return normalised(cut.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * side * side))


def normalised(cells: torch.Tensor) -> torch.Tensor:
    """Each cell's values at mean 0 and deviation 1; a cell of one value stays 0."""
    mean, deviation = cells.mean(dim=-1, keepdim=True), cells.std(dim=-1, keepdim=True)
    return (cells - mean) / (deviation + 1e-6)
