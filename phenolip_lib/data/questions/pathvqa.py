"""PathVQA: questions about figures of pathology textbooks, made from their captions by program (He et al. 2020).

Layout (https://huggingface.co/datasets/flaviagiammarino/path-vqa)::

    pathvqa/data/{train,validation,test}-*.parquet    image {bytes, path}, question, answer
    pathvqa/images/                                   made by `unpack`

The images lie within the tables, one copy a question: `unpack` writes each once, named by its content. The set names
no kinds: it is the question's first word, or ``yes/no`` where the answer is one, and then the question is closed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import atomic_path, reading
from phenolip_lib.data.questions.files import question_folder
from phenolip_lib.data.questions.table import Question, QuestionSet, normal_answer, question_set

NAME = "pathvqa"
SPLITS = {"train": "train", "val": "validation", "test": "test"}
WORDS = ("what", "where", "when", "how", "why", "who", "whose", "which")


def load(root: Path) -> QuestionSet:
    """The questions of the three splits; `root` is the folder that holds ``pathvqa``.

    Raises:
        PhenoLIPError: a split is not there, its file is damaged, or the images are not unpacked yet.
    """
    if not (question_folder(root, NAME) / "images").is_dir():
        raise PhenoLIPError(
            f"{Path(root) / NAME}: its images are still within the parquet files; "
            f"write them out with phenolip_lib.data.questions.pathvqa.unpack({str(root)!r})"
        )
    return question_set(root, NAME, _questions(Path(root)))


def unpack(root: Path) -> int:
    """Write each image to ``pathvqa/images``, named by its content; the number of images there are."""
    names = set()
    for _, _, row in _rows(Path(root)):
        content = _content(row)
        name = _name(content)
        if content and name not in names:
            names.add(name)
            with atomic_path(Path(root) / NAME / "images" / name) as path:
                path.write_bytes(content)
    return len(names)


def _questions(root: Path) -> Iterator[Question | str]:
    for split, number, row in _rows(root):
        content = _content(row)
        if not content:
            yield "image is absent"
            continue
        image, question, answer = _name(content), row["question"], row["answer"]
        closed = isinstance(answer, str) and normal_answer(answer) in ("yes", "no")
        first = question.lower().split(maxsplit=1)[:1] if isinstance(question, str) else []
        yield Question(
            question_id=f"{NAME}/{split}/{number:06d}",
            dataset=NAME,
            image_id=f"{NAME}/{Path(image).stem}",
            image_path=f"{NAME}/images/{image}",
            split=split,
            question=question,
            answer=answer,
            closed=closed,
            kind="yes/no" if closed else first[0] if first and first[0] in WORDS else "other",
        )


def _rows(root: Path) -> Iterator[tuple[str, int, dict]]:
    """Split, number within the split, and the row, a few hundred images in memory at a time."""
    for split, part in SPLITS.items():
        files = sorted((question_folder(root, NAME) / "data").glob(f"{part}-*.parquet"))
        if not files:
            raise PhenoLIPError(f"{Path(root) / NAME}/data: no {part}-*.parquet; download this split too")
        number = 0
        for path in files:
            with reading(path):
                batches = pq.ParquetFile(path).iter_batches(256, columns=["image", "question", "answer"])
                for batch in batches:
                    for row in batch.to_pylist():
                        yield split, number, row
                        number += 1


def _content(row: dict) -> bytes:
    return (row["image"] or {}).get("bytes") or b""


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
