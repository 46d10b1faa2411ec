"""Which tokens masked language modelling hides: entities as wholes, so that none is told by its own pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phenolip_lib.models.fusion.pretext import IGNORED

MASKED, EXCHANGED = 0.8, 0.1
"""Of hidden tokens, as in BERT; the rest stays as it is."""


@dataclass(frozen=True)
class Masking:
    """A text with tokens hidden.

    Attributes:
        ids: what the text tower reads ``(t,)``.
        labels: the ids that were there, `IGNORED` where nothing is hidden ``(t,)``.
        hidden: of each entity, whether it is hidden and must not be told by the graph ``(e,)``.
    """

    ids: np.ndarray
    labels: np.ndarray
    hidden: np.ndarray


def mask(
    ids: np.ndarray,
    length: int,
    spans: Sequence[tuple[int, int]],
    *,
    share: float,
    whole: bool,
    of: int,
    mask_id: int,
    others: np.ndarray,
    random: np.random.Generator,
) -> Masking:
    """Hide tokens of one text.

    Units in random order until the budget is reached: whole entities and single tokens, or single tokens alone. The
    first and the last token, which stand for the text, are never hidden.

    Args:
        ids: ``(t,)``, padded.
        length: tokens without padding.
        spans: first token and the one after the last, of each entity.
        share: of `of` that is hidden, at least one token.
        whole: entities are hidden whole and taken out of the graph's stream. Without it their tokens are hidden like
            others, and the graph may tell them, as in a model that does not learn with knowledge.
        of: number of tokens that `share` counts: the text's own, or the padded length as in the released code.
        mask_id: of the tokenizer.
        others: ids that a hidden token may be exchanged with.
    """
    inner = range(1, max(length - 1, 1))
    units = [(start, end) for start, end in spans if whole and end > start]
    inside = {token for start, end in units for token in range(start, end)}
    units += [(token, token + 1) for token in inner if token not in inside]
    budget = max(round(share * of), 1)
    new, labels, hidden = ids.copy(), np.full(len(ids), IGNORED, dtype=np.int64), np.zeros(len(spans), dtype=bool)
    for i in random.permutation(len(units)):
        start, end = units[i]
        if budget <= 0:
            break
        if whole and (start, end) in spans:
            hidden[[j for j, span in enumerate(spans) if span == (start, end)]] = True
        for token in range(start, end):
            labels[token] = ids[token]
            draw = random.random()
            if draw < MASKED:
                new[token] = mask_id
            elif draw < MASKED + EXCHANGED:
                new[token] = random.choice(others)
        budget -= end - start
    return Masking(new, labels, hidden)
