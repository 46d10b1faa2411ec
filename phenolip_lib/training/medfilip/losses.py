"""The matrix of soft labels between images and entries, and the three losses on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F


def similarity_matrix(
    members: torch.Tensor,
    columns: torch.Tensor,
    category: torch.Tensor,
    denied: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """MedFILIP's semantic similarity matrix over entries, with polarity.

    ``S[i, j] = max over entries a of image i of w(c_a, c_j) cos(e_a, e_j)`` over the entries a that say what j says:
    that its finding is there, or that it is not. In the paper w is 1 for the same category, else 0. Where none of
    them is like j, and image i has an entry of the same category that says the opposite, S is ``-cos(e_a, e_j)`` of
    the most alike of those; a report that says both is taken for its affirmation of j. Cosines below zero count as 0.

    Args:
        members: entries of each image, filled with -1, ``(n_images, most)``.
        columns: the entries j ``(n,)``.
        category, denied: of every entry ``(n_entries,)``.
        weight: likeness of categories in 0..1, ``(n_categories, n_categories)``.
        labels: L2-normalised embeddings e of every entry ``(n_entries, width)``.

    Returns:
        float ``(n_images, n)`` in -1..1.
    """
    used, place = torch.unique(members[members >= 0], return_inverse=True)
    if not len(used):
        return labels.new_zeros(len(members), len(columns))
    cosine = (labels[used] @ labels[columns].T).clamp(0, 1)
    same = denied[used][:, None] == denied[columns][None, :]
    alike = weight[category[used]][:, category[columns]] * cosine
    opposed = cosine * (category[used][:, None] == category[columns][None, :]) * ~same
    # A last row of zeros serves the padding.
    rows = torch.full_like(members, len(used))
    rows[members >= 0] = place
    forth, back = _most(alike * same, rows), _most(opposed, rows)
    return torch.where(forth > 0, forth, 0.0 - back)


def _most(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """``max over k of values[rows[i, k]]`` for each i, ``(len(rows), n)``."""
    padded = F.pad(values, (0, 0, 0, 1))
    best = padded[rows[:, 0]]
    for further in rows[:, 1:].T:
        best = torch.maximum(best, padded[further])
    return best


def own_entries(members: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Hard labels: 1 where entry j is one of image i's own, ``(n_images, n)``."""
    return (members[:, :, None] == columns[None, None, :]).any(dim=1).float()


def released(cosine: torch.Tensor, target: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """As the authors' code has it: squared error and cross-entropy, both on the scaled logits, no bias.

    The squared error pulls logits to 0..1, the scale pulls them apart: they fight. Targets below zero count as 0.
    """
    logits, soft = scale * cosine, target.clamp(min=0)
    return F.mse_loss(logits, soft) + F.binary_cross_entropy_with_logits(logits, soft)


def cosine(cosine: torch.Tensor, target: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Squared error on the cosine, where a target below zero says what it says; cross-entropy on biased logits."""
    return F.mse_loss(cosine, target) + F.binary_cross_entropy_with_logits(scale * cosine + bias, target.clamp(min=0))


def soft_infonce(cosine: torch.Tensor, target: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in both directions, the target of a row being its likenesses divided by their sum.

    The mean over rows that are like anything, then over both directions.
    """
    logits, soft = scale * cosine, target.clamp(min=0)
    return (_towards(logits, soft) + _towards(logits.T, soft.T)) / 2


def _towards(logits: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    total = soft.sum(dim=1, keepdim=True)
    found = total[:, 0] > 0
    loss = -(soft / total.clamp(min=1e-12) * F.log_softmax(logits, dim=1)).sum(dim=1)
    return (loss * found).sum() / found.sum().clamp(min=1)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "released": released,
    "cosine": cosine,
    "soft_infonce": soft_infonce,
}
"""By name: cosines and targets ``(n_images, n_entries)``, inverse temperature, bias."""
