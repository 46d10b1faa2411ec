"""VQA-RAD: questions of clinicians about radiology images (Lau et al. 2018), licence CC0.

Layout (https://osf.io/89kps)::

    vqa-rad/VQA_RAD Dataset Public.json     2,248 questions
    vqa-rad/VQA_RAD Image Folder/           315 images, JPEG

The split that everybody uses (``trainset.json`` with 3,064 questions and ``testset.json`` with 451, published with
MEVF, Nguyen et al. 2019) follows from this file: test is what `phrase_type` calls so, and training is the rest with the
*framed* forms of all questions, those of test among them. So each image of test is one of training, and 284 questions
of training are forms of a test question with its image and answer: `framed_test` names them. They alone bring 68 of the
451 test answers into the training vocabulary. A number on this split is no number on unseen images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from phenolip_lib.data.questions.files import entries, question_folder
from phenolip_lib.data.questions.table import Question, QuestionSet, question_set

NAME = "vqa-rad"
FILE = "VQA_RAD Dataset Public.json"
IMAGES = "VQA_RAD Image Folder"
FRAME = "/frame"
_SPELLINGS = {"atrib": "attrib", "prse": "pres"}


def load(root: Path) -> QuestionSet:
    """The 3,064 training and 451 test questions; `root` is the folder that holds ``vqa-rad``.

    Raises:
        PhenoLIPError: the layout is not there, its file is damaged, or an id occurs twice.
    """
    return question_set(root, NAME, _questions(question_folder(root, NAME, FILE) / FILE))


def _questions(path: Path) -> Iterator[Question | str]:
    for item in entries(path, "qid", "image_name", "question", "answer", "answer_type", "question_type", "phrase_type"):
        if isinstance(item, str):
            yield item
            continue
        image = str(item["image_name"])
        own = Question(
            question_id=f"{NAME}/{item['qid']}",
            dataset=NAME,
            image_id=f"{NAME}/{Path(image).stem}",
            image_path=f"{NAME}/{IMAGES}/{image}",
            split="test" if str(item["phrase_type"]).startswith("test") else "train",
            question=item["question"],
            answer=item["answer"],
            closed=str(item["answer_type"]).strip().upper() == "CLOSED",
            kind=_kind(str(item["question_type"])),
        )
        yield own
        frame = item.get("question_frame") or "NULL"
        if frame != "NULL":
            yield own._replace(question_id=own.question_id + FRAME, split="train", question=frame)


def _kind(text: str) -> str:
    parts = {part.strip() for part in text.lower().split(",")}
    return ", ".join(sorted(_SPELLINGS.get(part, part) for part in parts))


def framed_test(table: pd.DataFrame) -> pd.Series:
    """Which rows of the table are training questions made from a test question, bool by row."""
    test = {*table.loc[table["split"] == "test", "question_id"]}
    return table["question_id"].str.removesuffix(FRAME).isin(test) & (table["split"] == "train")


REDRAWN = {"synpic24220": "synpic24221"}
"""An image of VQA-RAD that MedPix has under another number, with an outline drawn into it; its pixels tell."""


def in_medpix(table: pd.DataFrame, medpix_images: Iterable[str]) -> dict[str, str]:
    """The images that MedPix has too: image id -> which of `medpix_images` it is, sorted.

    VQA-RAD, VQA-Med 2019 and MedPix keep the number of MedPix in the file's name, ``synpic46283``. The whole case of
    such an image must leave a pretraining set that is judged on the table: its other images are slices of one scan.

    Args:
        table: of questions.
        medpix_images: names, paths or record ids of MedPix images, such as ``MPX1009_synpic46283``.
    """
    numbers = {Path(image).stem.rpartition("_")[2]: image for image in sorted(medpix_images)}
    found = {}
    for image in sorted({*table["image_id"]}):
        number = Path(image).name
        if same := numbers.get(number) or numbers.get(REDRAWN.get(number, "")):
            found[image] = same
    return found
