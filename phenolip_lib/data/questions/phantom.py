"""Questions about the synthetic atlas, as a set like the others; `phenolip_lib.phantom.questions` asks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.questions.table import Question, QuestionSet, question_set
from phenolip_lib.phantom.facts import facts
from phenolip_lib.phantom.questions import ask

NAME = "phantom"


def questions(
    pairs: pd.DataFrame, root: Path, names: Callable[[str], Sequence[str]] | Mapping[str, Sequence[str]]
) -> QuestionSet:
    """The questions about the curated figures that are one picture; split and image are those of the pair.

    Args:
        pairs: the curated table (pair_id, dataset, image, split, ...).
        root: the folder of the atlas.
        names: HPO id -> label, then synonyms, as of `phenolip_lib.phantom.names.caption_names`.

    Raises:
        PhenoLIPError: no atlas lies in `root`, it is damaged, or `names` lacks one of its findings.
    """
    return question_set(root, NAME, _questions(pairs[pairs["dataset"] == NAME], Path(root), names))


def _questions(pairs: pd.DataFrame, root: Path, names) -> Iterator[Question | str]:
    rows = {row.pair_id.removeprefix(f"{NAME}/"): row for row in pairs.itertuples(index=False)}
    figures = list(facts(root, rows))
    yield from ["a figure of several panels"] * (len(rows) - len(figures))
    found = sorted({hpo_id for one in figures for hpo_id in one.severities})
    try:
        known = {hpo_id: list(names(hpo_id) if callable(names) else names[hpo_id]) for hpo_id in found}
    except KeyError as error:
        raise PhenoLIPError(f"the atlas shows {error}, which no name is given for; use the packaged release") from None
    for asked in ask(figures, known):
        row = rows[asked.figure_id]
        yield Question(
            question_id=f"{row.pair_id}/{asked.key}",
            dataset=NAME,
            image_id=row.pair_id,
            image_path=row.image,
            split=row.split,
            question=asked.question,
            answer=asked.answer,
            closed=asked.closed,
            kind=asked.kind,
        )
