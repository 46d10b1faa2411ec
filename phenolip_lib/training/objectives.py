"""The image-text objectives by name; adding one is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from phenolip_lib.training.affinity import Affinity
from phenolip_lib.training.distributed import Gathered
from phenolip_lib.training.losses import clip_loss, siglip_loss, ssm_loss


@dataclass(frozen=True)
class ImageTextBatch:
    """What an objective may look at.

    Attributes:
        image, text: L2-normalised embeddings of this process and of all.
        scale, bias: of the logits; the bias is SigLIP's.
        label_bias: of the logits of soft labels by ontology.
        rows, columns: rows of the pairs table of the own and of all embeddings.
        affinity: relations between pairs.
        mask_shared: pairs that share a phenotype are no negatives.
    """

    image: Gathered
    text: Gathered
    scale: torch.Tensor
    bias: torch.Tensor
    label_bias: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    affinity: Affinity
    mask_shared: bool

    @property
    def ignore(self) -> torch.Tensor | None:
        return self.affinity.shared(self.rows, self.columns) if self.mask_shared else None


def clip(batch: ImageTextBatch) -> torch.Tensor:
    """InfoNCE, the paper's L_m."""
    return clip_loss(batch.image, batch.text, batch.scale, batch.ignore)


def siglip(batch: ImageTextBatch) -> torch.Tensor:
    """SigLIP's pairwise sigmoid."""
    return siglip_loss(batch.image, batch.text, batch.scale, batch.bias, batch.ignore)


def ssm(batch: ImageTextBatch) -> torch.Tensor:
    """MedFILIP's soft labels: captions of the same phenotype are alike as far as their sentences are."""
    return ssm_loss(
        batch.image, batch.text, batch.scale, batch.affinity.semantic(batch.rows, batch.columns, near=False)
    )


def ssm_ontology(batch: ImageTextBatch) -> torch.Tensor:
    """The same with Lin's similarity in place of "the same phenotype", and a learned bias."""
    labels = batch.affinity.semantic(batch.rows, batch.columns, near=True)
    return ssm_loss(batch.image, batch.text, batch.scale, labels, batch.label_bias)


OBJECTIVES: dict[str, Callable[[ImageTextBatch], torch.Tensor]] = {
    "clip": clip,
    "siglip": siglip,
    "ssm": ssm,
    "ssm_ontology": ssm_ontology,
}
