"""VQA-Med 2019: questions on modality, plane, organ and abnormality of radiology images (Ben Abacha et al. 2019).

Layout (https://github.com/abachaa/VQA-Med-2019, archives unpacked)::

    vqa-med-2019/ImageClef-2019-VQA-Med-Training/QAPairsByCategory/C1_Modality_train.txt ...    image|question|answer
    vqa-med-2019/ImageClef-2019-VQA-Med-Training/Train_images/
    vqa-med-2019/ImageClef-2019-VQA-Med-Validation/QAPairsByCategory/C1_Modality_val.txt ...
    vqa-med-2019/ImageClef-2019-VQA-Med-Validation/Val_images/
    vqa-med-2019/VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt       image|category|question|answer
    vqa-med-2019/VQAMed2019Test/VQAMed2019_Test_Images/

Published numbers of classifiers leave out the kind ``abnormality``, whose answers are free text. The set does not tell
open from closed: a question is closed here if its answer is yes or no.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.questions.files import question_folder
from phenolip_lib.data.questions.table import Question, QuestionSet, normal_answer, question_set

NAME = "vqa-med-2019"
CATEGORIES = ("Modality", "Plane", "Organ", "Abnormality")
TEST = "VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt"


def load(root: Path) -> QuestionSet:
    """The questions of the three splits; `root` is the folder that holds ``vqa-med-2019``.

    Raises:
        PhenoLIPError: a file is not there or is no UTF-8 text.
    """
    return question_set(root, NAME, _questions(Path(root)))


def _questions(root: Path) -> Iterator[Question | str]:
    for split, part, short in (("train", "Training", "Train"), ("val", "Validation", "Val")):
        base = f"ImageClef-2019-VQA-Med-{part}"
        for number, category in enumerate(CATEGORIES, start=1):
            file = f"{base}/QAPairsByCategory/C{number}_{category}_{short.lower()}.txt"
            path = question_folder(root, NAME, file) / file
            for fields in _lines(path, 3):
                yield (
                    fields
                    if isinstance(fields, str)
                    else _question(f"{base}/{short}_images", split, fields[0], fields[1], category.lower(), *fields[2:])
                )
    for fields in _lines(question_folder(root, NAME, TEST) / TEST, 4):
        yield (
            fields
            if isinstance(fields, str)
            else _question(
                "VQAMed2019Test/VQAMed2019_Test_Images",
                "test",
                fields[0],
                fields[1],
                fields[2].strip().lower(),
                *fields[3:],
            )
        )


def _question(images: str, split: str, row: str, image: str, category: str, question: str, answer: str) -> Question:
    return Question(
        question_id=f"{NAME}/{split}/{category}/{row}",
        dataset=NAME,
        image_id=f"{NAME}/{image}",
        image_path=f"{NAME}/{images}/{image}.jpg",
        split=split,
        question=question,
        answer=answer,
        closed=normal_answer(answer) in ("yes", "no"),
        kind=category,
    )


def _lines(path: Path, n_fields: int) -> Iterator[list[str] | str]:
    """Row in the file and the fields of each line, or why it is no question."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PhenoLIPError(f"{path}: not a text in UTF-8 ({error}); copy it again from its publisher") from None
    for row, line in enumerate(lines, start=1):
        fields = line.split("|")
        if len(fields) == n_fields:
            yield [f"{row:05d}", *fields]
        elif line.strip():
            yield f"not {n_fields} fields between |"
