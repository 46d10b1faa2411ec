"""The image-text objectives, each a pure function of normalised embeddings.

Every function scores the rows of one process against the rows of all processes and returns the
mean over its own rows (`distributed.Gathered`), so that the mean over processes is the loss of the
whole batch. With one process `own` and `everyone` are the same. `clip_loss` without a mask equals
open_clip's ``ClipLoss``, `siglip_loss` its ``SigLipLoss``; the tests hold them together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from phenolip_lib.training.distributed import Gathered


def _positives(a: Gathered) -> tuple[torch.Tensor, torch.Tensor]:
    """Column of each own row's positive ``(n_own,)``, and the same as a boolean ``(n_own, n_all)``."""
    target = torch.arange(a.start, a.start + len(a.own), device=a.own.device)
    return target, target[:, None] == torch.arange(len(a.everyone), device=a.own.device)


def _logits(
    a: Gathered, b: Gathered, scale: torch.Tensor | float, ignore: torch.Tensor | None, positive: torch.Tensor
) -> torch.Tensor:
    logits = scale * a.own @ b.everyone.T
    return logits if ignore is None else logits.masked_fill(ignore & ~positive, float("-inf"))


def clip_loss(
    a: Gathered, b: Gathered, scale: torch.Tensor | float, ignore: torch.Tensor | None = None
) -> torch.Tensor:
    """Symmetric InfoNCE (Radford et al. 2021; L_m and L_kd of PhenoLIP).

    Args:
        a, b: L2-normalised embeddings ``(n, dim)``; row i of one belongs to row i of the other.
        scale: inverse temperature.
        ignore: boolean ``(n_own, n_all)``, symmetric over the whole batch: pairs that are no
            negatives of each other.

    Returns:
        scalar loss in nats, the mean of both directions.
    """
    target, positive = _positives(a)
    forth = _logits(a, b, scale, ignore, positive)
    # Of a whole batch one matrix serves both directions; its product and its gradient cost most of a step.
    whole = len(a.own) == len(a.everyone)
    back = forth.T if whole else _logits(b, a, scale, ignore, positive)
    return (F.cross_entropy(forth, target) + F.cross_entropy(back, target)) / 2


def siglip_loss(
    a: Gathered,
    b: Gathered,
    scale: torch.Tensor | float,
    bias: torch.Tensor | float,
    ignore: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023), summed over a row's pairs, mean over rows.

    Args:
        a, b, scale, ignore: as for `clip_loss`.
        bias: added to every logit; starts at -10, as nearly all pairs are negatives.
    """
    _, positive = _positives(a)
    logits = scale * a.own @ b.everyone.T + bias
    losses = -F.logsigmoid(torch.where(positive, logits, -logits))
    if ignore is not None:
        losses = losses.masked_fill(ignore & ~positive, 0.0)
    return losses.sum() / len(a.own)


def ssm_loss(
    a: Gathered, b: Gathered, scale: torch.Tensor | float, similarity: torch.Tensor, bias: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """MedFILIP's loss on a matrix of semantic similarities: ``MSE(z, S) + BCEWithLogits(exp(s) z + bias, S)``.

    The squared error is taken on the cosine z itself: on scaled logits it would fight the scale,
    whose targets lie in 0..1 as well.

    Args:
        a, b, scale: as for `clip_loss`.
        similarity: soft labels in 0..1, ``(n_own, n_all)``.
        bias: MedFILIP has none. Most pairs of a batch are unlike, and without a bias the cross-entropy
            says so by turning all images away from all texts; a bias, as SigLIP's, takes that over.
    """
    cosine = a.own @ b.everyone.T
    return F.mse_loss(cosine, similarity) + F.binary_cross_entropy_with_logits(scale * cosine + bias, similarity)
