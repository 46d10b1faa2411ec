"""Fine-grained retrieval: an image and the findings of its own text, told by category, with place, with severity.

A finding is a text (`recognition.findings.book.entry_text`). At each level the distinct texts of all test images are
the candidates, and every text that is true of an image is a query of its own among those that are not. What a text
denies, doubts or says of a relative is no query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.evaluation.metrics import incidence
from phenolip_lib.evaluation.results import TOP_K, Result, outcomes
from phenolip_lib.evaluation.tasks.unseen import ranks_alone
from phenolip_lib.recognition.findings.extract import Extraction, Finding, Location

TASK = "entries"
LEVELS: dict[str, Callable[[Finding], Finding]] = {
    "category": lambda finding: replace(finding, location=Location(), severity=""),
    "category + location": lambda finding: replace(finding, severity=""),
    "category + location + severity": lambda finding: finding,
}
BLOCK = 1024
"""Images that are scored at a time."""


def entries(
    images: np.ndarray,
    table: pd.DataFrame,
    found: Sequence[Extraction],
    say: Callable[[Finding], str],
    embed: Callable[[list[str]], np.ndarray],
) -> Result:
    """Outcomes of both directions at every level (the data set of the outcomes), task ``entries``.

    Args:
        images: L2-normalised embeddings of test images ``(n, dim)``.
        table: their pair_id and group.
        found: findings of their texts.
        say: the text of a finding, as the model was trained to read it.
        embed: embeddings of texts ``(n_texts, dim)``.
    """
    parts = []
    for level, told in LEVELS.items():
        own = [
            sorted({say(told(f)) for f in extraction.findings if f.polarity == "present" and not f.family})
            for extraction in found
        ]
        texts = sorted({text for mine in own for text in mine})
        if not texts:
            continue
        truth, vectors = incidence(own, texts), embed(texts)
        owner = np.repeat(np.arange(len(own)), np.diff(truth.indptr))
        pair_id, group = (table[column].iloc[owner].reset_index(drop=True) for column in ("pair_id", "group"))
        query, text = pair_id + "|" + pd.Series(np.array(texts)[truth.indices]), pd.Series(texts)
        forth, back = _ranks(images, vectors, truth), _ranks(vectors, images, truth.T.tocsr())
        best = np.minimum.reduceat(back, truth.T.tocsr().indptr[:-1])  # of a text's images
        for k in TOP_K:
            parts.append(outcomes(f"i2e_recall@{k}", query, group, forth <= k, TASK, level))
            parts.append(outcomes(f"e2i_recall@{k}", text, text, best <= k, TASK, level))
    return Result.of(parts, {})


def _ranks(queries: np.ndarray, items: np.ndarray, truth: csr_matrix) -> np.ndarray:
    """`ranks_alone` by blocks of queries."""
    blocks = [slice(start, start + BLOCK) for start in range(0, len(queries), BLOCK)]
    return np.concatenate([ranks_alone(queries[block] @ items.T, truth[block]) for block in blocks])
