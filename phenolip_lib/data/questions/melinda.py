"""MELINDA: figures of biomedical articles with the experiment methods they report (Wu et al. 2021).

Layout, as the code of M3AE reads it (github zhjohnchan/M3AE, prepro/prepro_finetuning_data.py)::

    melinda/{train,dev,test}.csv    figure_file, caption, i_meth, p_meth, i_meth_label, p_meth_label, ...
    melinda/melinda_images/

To classify a figure and its caption by method is to answer a question: the caption is what is read, the method is the
answer, and the kind is which of the four labels is meant. Published classes: i_meth 85, p_meth 45, i_meth_label 15,
p_meth_label 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.data.questions.files import question_folder
from phenolip_lib.data.questions.table import Question, QuestionSet, question_set
from phenolip_lib.data.sources.files import read_table

NAME = "melinda"
LABELS = ("i_meth", "p_meth", "i_meth_label", "p_meth_label")
FILES = {"train": "train.csv", "val": "dev.csv", "test": "test.csv"}


def load(root: Path) -> QuestionSet:
    """Four rows a figure, one a label; `root` is the folder that holds ``melinda``.

    Raises:
        PhenoLIPError: a file is not there, is no table or lacks a column.
    """
    folder = question_folder(root, NAME, *FILES.values())
    return question_set(root, NAME, (q for split, file in FILES.items() for q in _questions(folder / file, split)))


def _questions(path: Path, split: str) -> Iterator[Question]:
    table = read_table(path, ["figure_file", "caption", *LABELS])
    for number, row in enumerate(table.to_dict("records")):
        for label in LABELS:
            yield Question(
                question_id=f"{NAME}/{split}/{number:05d}/{label}",
                dataset=NAME,
                image_id=f"{NAME}/{Path(row['figure_file']).stem}",
                image_path=f"{NAME}/melinda_images/{row['figure_file']}",
                split=split,
                question=row["caption"],
                answer=row[label],
                closed=False,
                kind=label,
            )
