"""The contrastive objectives, each a pure function of normalised embeddings and a scale.

`clip_loss` without a mask equals open_clip's ``ClipLoss``; the tests hold both together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def _mask_out(logits: torch.Tensor, ignore: torch.Tensor | None) -> torch.Tensor:
    """Take pairs out of the denominator; the positives on the diagonal always stay."""
    if ignore is None:
        return logits
    keep = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return logits.masked_fill(ignore & ~keep, float("-inf"))


def clip_loss(
    a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor | float, ignore: torch.Tensor | None = None
) -> torch.Tensor:
    """Symmetric InfoNCE (Radford et al. 2021; L_m and L_kd of PhenoLIP).

    Args:
        a, b: L2-normalised embeddings ``(n, dim)``; row i of one belongs to row i of the other.
        scale: inverse temperature.
        ignore: boolean ``(n, n)``, symmetric: pairs that are no negatives of each other.

    Returns:
        scalar loss in nats, the mean of both directions.
    """
    logits = _mask_out(scale * a @ b.T, ignore)
    target = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def two_view_loss(
    first: torch.Tensor, second: torch.Tensor, temperature: float, ignore: torch.Tensor | None = None
) -> torch.Tensor:
    """InfoNCE over two attribute texts of each phenotype (PhenoLIP, stage 1).

    ``-(1/2B) sum_i log exp(z_i z_i+ / t) / sum_{k != i} exp(z_i z_k / t)`` over all 2B texts: the
    other text of the same phenotype is the positive, the other 2B - 2 are negatives.

    Args:
        first, second: L2-normalised embeddings ``(n_phenotypes, dim)``.
        ignore: boolean ``(n_phenotypes, n_phenotypes)``: related phenotypes, no negatives.
    """
    n = len(first)
    z = torch.cat([first, second])
    logits = z @ z.T / temperature
    drop = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    if ignore is not None:
        related = ignore & ~torch.eye(n, dtype=torch.bool, device=z.device)
        drop = drop | related.repeat(2, 2)
    logits = logits.masked_fill(drop, float("-inf"))
    target = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, target)
