"""Scores of answers to visual questions: right or wrong, of all, closed and open ones, and by kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from phenolip_lib.evaluation.results import Result, outcomes

TASK = "answers"
OVERALL, CLOSED, OPEN, KIND = "accuracy", "accuracy_closed", "accuracy_open", "accuracy_kind"


def score(questions: pd.DataFrame, given: Sequence[str], truth: Sequence[str], dataset: str) -> Result:
    """Outcomes of questions, grouped by image.

    Args:
        questions: columns question_id, image_id, closed, kind.
        given, truth: answers in their normal form; one that the vocabulary lacks cannot be given and is missed.
        dataset: what they are of; accuracy by kind has ``<dataset>: <kind>``.
    """
    right = np.asarray(given, dtype=object) == np.asarray(truth, dtype=object)

    def part(metric: str, rows: np.ndarray, name: str = dataset) -> pd.DataFrame:
        own = questions[rows]
        return outcomes(metric, own["question_id"], own["image_id"], right[rows], TASK, name)

    closed = questions["closed"].to_numpy(dtype=bool)
    parts = [part(OVERALL, np.ones(len(right), dtype=bool)), part(CLOSED, closed), part(OPEN, ~closed)]
    for kind in sorted(set(questions["kind"])):
        parts.append(part(KIND, (questions["kind"] == kind).to_numpy(), f"{dataset}: {kind}"))
    return Result.of([own for own in parts if len(own)], {})
