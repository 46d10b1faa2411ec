"""The one table of questions, what may stand in it, and the normal form of answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.archives import inside
from phenolip_lib.data.records import storable


class Question(NamedTuple):
    """A record of a set before it is checked; `question` and `answer` are what the file holds, text or not."""

    question_id: str
    """``<dataset>/<the set's own id>``."""
    dataset: str
    image_id: str
    image_path: str
    """Below the data root, with ``/``."""
    split: str
    """One of `SPLITS`."""
    question: Any
    answer: Any
    closed: bool
    """Whether the set calls it closed: yes or no, or a choice that the question names."""
    kind: str
    """What it asks for, in the set's own words and in lower case, such as ``modality``."""


COLUMNS = [*Question._fields]


@dataclass(frozen=True)
class QuestionSet:
    """The questions of a set, and how many of its records are left out.

    Attributes:
        table: `COLUMNS`, sorted by question_id; text but for `closed`, which is bool.
        skipped: number of records left out, by reason, sorted by reason.
    """

    table: pd.DataFrame
    skipped: dict[str, int]


def question_set(root: Path, name: str, found: Iterable[Question | str]) -> QuestionSet:
    """The set of all records that can be asked; a text in place of a record is the reason why there is none.

    Args:
        root: the data root, below which `Question.image_path` is looked for.
        name: the set, for messages.

    Raises:
        PhenoLIPError: two records have one id, or none is left.
    """
    skipped: Counter[str] = Counter()
    kept: dict[str, Question] = {}
    there: dict[str, bool] = {}
    for item in found:
        if isinstance(item, str):
            skipped[item] += 1
            continue
        question, answer = _text(item.question), _text(item.answer)
        if item.image_path not in there:
            there[item.image_path] = _is_file(root, item.image_path)
        if not re.search(r"\w", question):
            skipped["no words in the question"] += 1
        elif not normal_answer(answer):
            skipped["no answer"] += 1
        elif not there[item.image_path]:
            skipped["image is absent"] += 1
        elif item.question_id in kept:
            raise PhenoLIPError(f"{root}/{name}: the id {item.question_id!r} occurs twice; each question needs its own")
        else:
            kept[item.question_id] = item._replace(question=question, answer=answer)
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items()))
    if not kept:
        raise PhenoLIPError(
            f"{root}/{name}: no question can be asked ({reasons or 'no record'}); put the images beside their questions"
        )
    if skipped:
        log.warning(
            "%s: %d of %d records are left out: %s", name, skipped.total(), skipped.total() + len(kept), reasons
        )
    table = pd.DataFrame(kept.values(), columns=COLUMNS).sort_values("question_id", ignore_index=True)
    return QuestionSet(table, dict(sorted(skipped.items())))


def _text(value: Any) -> str:
    """Text or a number in one line; empty for what is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return storable(" ".join(str(value).split()))


def _is_file(root: Path, relative: str) -> bool:
    try:
        return inside(Path(root), relative).is_file()
    except (PhenoLIPError, OSError):  # outside of the data folder, or no possible name
        return False


_SEPARATORS = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())} | {
    "none": "0"
}
_ARTICLES = {"a", "an", "the"}


def normal_answer(text: str) -> str:
    """The form in which answers are counted and compared, as VQA's evaluation and the code of M3AE and ARL do it.

    Lower case; each of ``;/[]"{}()=+\\_-><@`,?!`` vanishes if it stands beside a space anywhere in the text, or if the
    text has a comma between digits, and is a space else; a full stop that no digit follows vanishes; "none" and "zero"
    to "ten" are digits; the articles a, an and the vanish; white space is one space. Restored apostrophes ("dont") are
    left out: no answer of the sets has one.

    Source: Antol et al. 2015, ``vqaEval.py`` of its evaluation tools, as ``normalize_word`` of the pretraining code
    (github zhjohnchan/PTUnifier, prepro/glossary.py).

    >>> normal_answer("The  X-Ray."), normal_answer("Two"), normal_answer("right-sided, basal")
    ('x ray', '2', 'right sided basal')
    """
    text = " ".join(text.lower().split())
    thousands = re.search(r"\d,\d", text)
    plain = text
    for mark in _SEPARATORS:
        beside = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if beside or thousands else " ")
    words = [_NUMBERS.get(word, word) for word in re.sub(r"\.(?!\d)", "", plain).split()]
    return " ".join(word for word in words if word not in _ARTICLES)


def vocabulary(table: pd.DataFrame) -> list[str]:
    """Normal forms of the training answers, sorted; test answers stay out of it."""
    return sorted({*table.loc[table["split"] == "train", "answer"].map(normal_answer)})


def coverage(table: pd.DataFrame, vocabulary: Iterable[str]) -> pd.Series:
    """Share of the test questions of each data set whose answer the vocabulary has, by data set, sorted."""
    test = table[table["split"] == "test"]
    known = test["answer"].map(normal_answer).isin({*vocabulary})
    return known.groupby(test["dataset"]).mean().rename("coverage")
