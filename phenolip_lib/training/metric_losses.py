"""The losses of stage 1, by name: texts of one phenotype together, those of others apart.

A batch is P concepts with K texts each, concept by concept, and no concept is cut between
processes. Each loss takes the rows of one process against the rows of all
(`distributed.Gathered`) and returns the mean over its own, so that the mean over processes is the
loss of the whole batch. `weight` softens or masks near phenotypes: a negative enters as
``w exp(s)``, with w between 0 (masked) and 1 (a plain negative).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from phenolip_lib.training.distributed import Gathered


def _concepts(z: Gathered, per_concept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of the concept of each own row and of each row of all."""
    everyone = torch.arange(len(z.everyone), device=z.own.device) // per_concept
    return everyone[z.start : z.start + len(z.own)], everyone


def _logits(
    z: Gathered, own: torch.Tensor, everyone: torch.Tensor, scale: torch.Tensor | float, weight: torch.Tensor | None
) -> torch.Tensor:
    """``scale * cosine``, with the logarithm of its weight added to each negative."""
    logits = scale * z.own @ z.everyone.T
    if weight is None:
        return logits
    same = own[:, None] == everyone[None, :]
    return logits + weight.log()[own][:, everyone].masked_fill(same, 0.0)


def two_view(
    z: Gathered, per_concept: int, scale: torch.Tensor | float, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """The paper's ``-(1/2B) sum_i log exp(z_i z_i+ / t) / sum_{k != i} exp(z_i z_k / t)``.

    For two texts a concept it is that formula; for more, each other text of the concept is a
    positive in turn and the logarithms are averaged (supervised contrast, Khosla et al. 2020).

    Args:
        z: L2-normalised embeddings ``(n, dim)``, concept by concept.
        per_concept: texts of a concept, K.
        scale: inverse temperature 1/t.
        weight: of negatives, ``(n_concepts, n_concepts)`` over the whole batch.
    """
    own, everyone = _concepts(z, per_concept)
    itself = torch.arange(z.start, z.start + len(own), device=own.device)[:, None] == torch.arange(
        len(everyone), device=own.device
    )
    logits = _logits(z, own, everyone, scale, weight).masked_fill(itself, float("-inf"))
    positive = (own[:, None] == everyone[None, :]) & ~itself
    log_share = F.log_softmax(logits, dim=1)
    return -log_share.masked_fill(~positive, 0.0).sum(dim=1).div(per_concept - 1).mean()


def adasp(
    z: Gathered, per_concept: int, scale: torch.Tensor | float, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """AdaSP (Zhou et al. 2023): one sparse positive a concept.

    With s the cosine and t the temperature, for concept i: ``HH = 1 / sum_ab exp(-s_ab / t)`` is a
    soft version of its hardest pair, ``HE = sum_a 1 / sum_b exp(-s_ab / t)`` of the easiest of its
    texts' hardest pairs. With h = t ln HH and e = t ln HE the positive is
    ``ln S = alpha ln HH + (1 - alpha) ln HE`` with alpha = 2he / (h + e), 0 where h < 0, and the loss
    ``-ln S / (S + sum of exp(s / t) over the texts of other concepts)``. Alpha carries no gradient,
    as in their code. All sums stay logarithms, so a temperature of 0.04 does not overflow.

    Args:
        z, per_concept, scale, weight: as for `two_view`.
    """
    concepts = len(z.own) // per_concept
    texts = z.own.reshape(concepts, per_concept, -1)
    within = scale * texts @ texts.transpose(1, 2)
    hardest = -torch.logsumexp((-within).flatten(1), dim=1)  # ln HH
    least = torch.logsumexp(-torch.logsumexp(-within, dim=2), dim=1)  # ln HE
    with torch.no_grad():
        h, e = hardest / scale, least / scale  # e >= h, so their sum is positive where h is
        alpha = torch.where(h > 0, 2 * h * e / (h + e), 0.0)
    positive = alpha * hardest + (1 - alpha) * least

    own, everyone = _concepts(z, per_concept)
    logits = _logits(z, own, everyone, scale, weight)
    logits = logits.masked_fill(own[:, None] == everyone[None, :], float("-inf"))
    # The positive among the negatives: their sum alone has no gradient where all are masked.
    against = torch.cat([positive[:, None], logits.reshape(concepts, -1)], dim=1)
    return (torch.logsumexp(against, dim=1) - positive).mean()


def kad(z: Gathered, per_concept: int, scale: torch.Tensor | float, weight: torch.Tensor | None = None) -> torch.Tensor:
    """KAD's symmetric soft cross-entropy between two views of the concepts (Zhang et al. 2023).

    The first half of each concept's texts is one view, the second half the other. A text of one
    view is set against all texts of the other; its target is spread evenly over those of its own
    concept. Both directions count alike.

    Args:
        z, per_concept, scale, weight: as for `two_view`; `per_concept` is even.
    """
    half = per_concept // 2
    own, everyone = _concepts(z, per_concept)
    logits = _logits(z, own, everyone, scale, weight)
    second = torch.arange(len(everyone), device=own.device) % per_concept >= half
    ours = second[z.start : z.start + len(own)]
    total = logits.new_zeros(())
    for side in (False, True):
        block = logits[ours == side][:, second != side]
        target = (own[ours == side][:, None] == everyone[second != side][None, :]).to(block.dtype) / half
        total = total - (F.log_softmax(block, dim=1).masked_fill(target == 0, 0.0) * target).sum(dim=1).mean() / 2
    return total


METRIC_LOSSES: dict[str, Callable[..., torch.Tensor]] = {"two_view": two_view, "adasp": adasp, "kad": kad}
