"""Retrieval by the matching head of a pretrained fusion model, and what it costs.

The head has to read image and text together: a forward pass for every pair, where a dual encoder needs one for every
image and one for every text. ARL and M3AE rank all pairs of a test set. The cheaper way is that a dual encoder ranks
and the head puts the first k of each of its lists into a new order. Both ways, and the dual encoder alone, are told
with their number of passes.

Rules: queries and items are the examples, so an image with two captions asks twice. An item is correct if some example
pairs its image with its text; equal captions are one text, so each of them is correct for all their images. A query is
a hit at k if a correct item is among the first k; ties count against the model. A pair that occurs twice is read once.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.metrics import TIE, blocks
from phenolip_lib.evaluation.reranking import first, reranked, score_ranks
from phenolip_lib.models.fusion.pretext import Pretext
from phenolip_lib.training.arl.inputs import Examples

TOP_K = (1, 5, 10)
"""Ranks that are told, as in ARL."""
HEAD, DUAL, RERANKED = "matching head", "dual encoder", "dual encoder, re-ranked"
I2T, T2I = "i2t", "t2i"
ROUNDING = 1e-5
"""Log odds this near are equal: the same pair in another batch differs by less than that in float32."""


class Ranked(NamedTuple):
    """Ranks of one way to rank, in one direction.

    Attributes:
        ranking: `HEAD`, `DUAL` or `RERANKED`.
        direction: `I2T` or `T2I`.
        ranks: of the best correct item of each example's image or text, 1 is best ``(n,)``.
        passes: pairs that the fusion model has to read for it.
    """

    ranking: str
    direction: str
    ranks: np.ndarray
    passes: int


@torch.no_grad()
def pair_scores(
    pretext: Pretext,
    examples: Examples,
    images: np.ndarray,
    texts: np.ndarray,
    device: torch.device | str = "cpu",
    batch: int = 256,
) -> np.ndarray:
    """Log odds that image and text belong together, by the matching head, float32 ``(n,)``.

    The streams before fusion and the graph's vectors are computed once for each image and text; what follows is
    computed for each pair, `batch` of them at a time.

    Args:
        images, texts: rows of ``examples.images`` and of ``examples.texts`` ``(n,)``.

    Raises:
        PhenoLIPError: a score is not finite.
    """
    pretext.eval().to(device)
    fusion = pretext.fusion
    known = None if fusion.entities is None else fusion.entities()
    image_rows, image = np.unique(images, return_inverse=True)
    text_rows, text = np.unique(texts, return_inverse=True)
    read, lengths = examples.texts.inputs(text_rows, device), examples.texts.lengths[text_rows]
    shown = torch.from_numpy(examples.images[image_rows].astype(np.float32)).to(device)
    image_tokens, read["text"] = fusion.tokens(shown, read["text"], read["text_mask"])
    fused = copy.copy(fusion)  # the same weights; its tokens are at hand
    fused.tokens = lambda image, text, *_: (image, text)
    order = np.argsort(lengths[text], kind="stable")  # texts of one length are padded by nothing
    found = np.empty(len(images), dtype=np.float32)
    for part in blocks(len(order), batch):
        rows = order[part]
        told = {key: value[text[rows]] for key, value in read.items()}
        for key, axis in (("text", 1), ("text_mask", 1), ("spans", 2)):
            told[key] = told[key].narrow(axis, 0, int(lengths[text[rows]].max()))
        odds = pretext.matching(fused(image_tokens[image[rows]], **told, known=known))
        found[rows] = (odds[:, 1] - odds[:, 0]).float().cpu().numpy()
    if not np.isfinite(found).all():
        raise PhenoLIPError("the matching head gives numbers that are not finite; train it with a lower learning rate")
    return found


def ranked(
    pretext: Pretext,
    examples: Examples,
    similarity: np.ndarray | None = None,
    k: int = 20,
    all_pairs: bool = True,
    device: torch.device | str = "cpu",
) -> list[Ranked]:
    """Ranks of each way to rank, in both directions.

    Args:
        pretext: a pretrained model with its heads.
        examples: the test pairs.
        similarity: of a dual encoder, ``[i, j]`` of the image of example i and the text of example j ``(n, n)``,
            cosines; without it the head ranks alone.
        k: items of each of the dual encoder's lists that the head puts into a new order; all if there are fewer.
        all_pairs: whether the head ranks all pairs as well, n² passes; it always does without `similarity`.
        device: where the model reads.

    Raises:
        PhenoLIPError: no examples, a `similarity` of another shape, a `k` below 1, or a number that is not finite.
    """
    n = len(examples)
    if not n:
        raise PhenoLIPError("retrieval: there are no pairs of image and text; name data sets that have captions")
    if k < 1:
        raise PhenoLIPError(f"retrieval: k is {k}; re-rank at least the first item of each list")
    if similarity is not None and (np.shape(similarity) != (n, n) or not np.isfinite(similarity).all()):
        raise PhenoLIPError(
            f"retrieval: similarity is {np.shape(similarity)} or not finite, for {n} examples; give a row the image "
            "and a column the text of each example"
        )
    images, texts = examples.image_rows, examples.text_rows
    together = np.zeros((len(examples.images), len(examples.texts.ids)), dtype=bool)
    together[images, texts] = True
    correct = together[images][:, texts]
    found, chosen = [], {}
    if similarity is not None:
        similarity = np.asarray(similarity, dtype=np.float64)
        for direction, own, truth in ((I2T, similarity, correct), (T2I, similarity.T, correct.T)):
            found.append(Ranked(DUAL, direction, score_ranks(own, truth), 0))
            chosen[direction] = first(own, truth, k)
    whole = np.ones((n, n), dtype=bool)
    every = all_pairs or similarity is None
    needed = whole if every else chosen[I2T] | chosen[T2I].T
    scores = np.zeros(together.shape)
    own_images, own_texts = _distinct(examples, needed)
    scores[own_images, own_texts] = pair_scores(pretext, examples, own_images, own_texts, device)
    scores = scores[images][:, texts] * (TIE / ROUNDING)
    directions = ((I2T, scores, correct), (T2I, scores.T, correct.T))
    before = {one.direction: one.ranks for one in found}
    for direction, own, truth in directions if chosen else ():
        picked = chosen[direction]
        passes = len(_distinct(examples, picked if direction == I2T else picked.T)[0])
        found.append(Ranked(RERANKED, direction, reranked(own, picked, truth, before[direction]), passes))
    for direction, own, truth in directions if every else ():
        found.append(Ranked(HEAD, direction, score_ranks(own, truth), len(own_images)))
    return found


def recalls(found: list[Ranked]) -> pd.DataFrame:
    """Recall of each way to rank, in both directions, with its cost.

    Args:
        found: of `ranked`.

    Returns:
        table (ranking, direction, recall@1, recall@5, recall@10, queries, passes): a row a way and direction, `passes`
        being the pairs that the fusion model has to read for it. The head's pass over all pairs serves both directions.
    """
    return pd.DataFrame(
        {
            "ranking": one.ranking,
            "direction": one.direction,
            **{f"recall@{top}": float(np.mean(one.ranks <= top)) for top in TOP_K},
            "queries": len(one.ranks),
            "passes": one.passes,
        }
        for one in found
    )


def _distinct(examples: Examples, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of images and of texts of the pairs that are marked ``(n, n)``, each pair once, sorted."""
    shape = (len(examples.images), len(examples.texts.ids))
    i, j = np.nonzero(pairs)
    return np.unravel_index(np.unique(examples.image_rows[i] * shape[1] + examples.text_rows[j]), shape)
