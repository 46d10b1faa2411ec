"""What the question alone gives away: the answer that training gave most often to the same words."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from phenolip_lib.data.questions.table import normal_answer


def majority(table: pd.DataFrame) -> pd.Series:
    """The normal answer of each test question that the training questions of its data set suggest, by row.

    It is the most frequent one among those of the same question, letter by letter; of equally frequent ones that which
    training gave more often in all, then the first in the alphabet. A question that training does not have gets the
    most frequent answer of all.
    """
    guesses = []
    for _, own in table.groupby("dataset"):
        train, test = (own[own["split"] == split] for split in ("train", "test"))
        answers = train["answer"].map(normal_answer)
        in_all = Counter(answers)
        first = min(in_all, key=lambda answer: (-in_all[answer], answer))
        known = {
            question: min(counts := Counter(given), key=lambda answer: (-counts[answer], -in_all[answer], answer))
            for question, given in answers.groupby(train["question"])
        }
        guesses.append(test["question"].map(lambda question, known=known, first=first: known.get(question, first)))
    return pd.concat(guesses).sort_index().rename("answer")
