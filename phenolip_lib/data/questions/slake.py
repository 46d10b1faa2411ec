"""SLAKE: questions about CT, MR and X-ray images with a small knowledge graph (Liu et al. 2021), licence CC BY 4.0.

Layout (https://www.med-vqa.com/slake)::

    slake/{train,validate,test}.json    one entry a question, English or Chinese (`q_lang`)
    slake/imgs/xmlab<n>/source.jpg      642 images, with masks and boxes beside them
    slake/KG/en_*.csv                   triples, ``head#relation#tail``

English questions alone are read. No image is in two splits of the release; `load` refuses a copy where one is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.questions.files import entries, question_folder
from phenolip_lib.data.questions.table import Question, QuestionSet, question_set

NAME = "slake"
FILES = {"train": "train.json", "val": "validate.json", "test": "test.json"}


def load(root: Path) -> QuestionSet:
    """The English questions of the three splits; `root` is the folder that holds ``slake``.

    Raises:
        PhenoLIPError: the layout is not there, a file is damaged, an id occurs twice, or an image is in two splits.
    """
    folder = question_folder(root, NAME, *FILES.values())
    found = question_set(root, NAME, (q for split, file in FILES.items() for q in _questions(folder / file, split)))
    splits = found.table.groupby("image_id")["split"].nunique()
    if (splits > 1).any():
        raise PhenoLIPError(f"{folder}: the image {splits[splits > 1].index[0]} is in two splits; copy SLAKE again")
    return found


def _questions(path: Path, split: str) -> Iterator[Question | str]:
    for item in entries(path, "qid", "img_name", "question", "answer", "answer_type", "content_type", "q_lang"):
        if isinstance(item, str):
            yield item
        elif item["q_lang"] != "en":
            yield "not in English"
        else:
            image = str(item["img_name"])
            yield Question(
                question_id=f"{NAME}/{item['qid']}",
                dataset=NAME,
                image_id=f"{NAME}/{Path(image).parent.name}",
                image_path=f"{NAME}/imgs/{image}",
                split=split,
                question=item["question"],
                answer=item["answer"],
                closed=str(item["answer_type"]).strip().upper() == "CLOSED",
                kind=str(item["content_type"]).strip().lower(),
            )


KNOWLEDGE = ("en_disease.csv", "en_organ.csv", "en_organ_rel.csv")
MOST_WORDS = 4
"""Of an entity; a longer value is a sentence about one."""
_PROSE = {"description", "definition"}


def knowledge(root: Path) -> pd.DataFrame:
    """The knowledge graph: columns head, relation, tail, in lower case, sorted and without repetition.

    A value with commas is a list of tails. What is no entity is left out, and the log counts it: descriptions and
    definitions, values of more than `MOST_WORDS` words, measures.

    Raises:
        PhenoLIPError: a file is not there, or a line of it is no triple.
    """
    folder = question_folder(root, NAME, *(f"KG/{file}" for file in KNOWLEDGE)) / "KG"
    triples: set[tuple[str, str, str]] = set()
    left_out: Counter[str] = Counter()
    for file in KNOWLEDGE:
        lines = (folder / file).read_text(encoding="utf-8-sig").splitlines()
        for number, line in enumerate(lines[1:], start=2):
            parts = [" ".join(part.lower().split()) for part in line.split("#")]
            if len(parts) != 3 or not all(parts):
                raise PhenoLIPError(f"{folder / file}: line {number} is not head#relation#tail; copy the file again")
            head, relation, value = parts
            for tail in [value] if relation in _PROSE else value.split(","):
                tail = tail.strip(" .").removeprefix("and ")
                if reason := _no_entity(relation, tail):
                    left_out[reason] += 1
                else:
                    triples.add((head, relation, tail))
    log.info("%s: %d triples; left out %s", folder, len(triples), dict(sorted(left_out.items())))
    return pd.DataFrame(sorted(triples), columns=["head", "relation", "tail"])


def _no_entity(relation: str, tail: str) -> str:
    if relation in _PROSE:
        return "a description"
    if len(tail.split()) > MOST_WORDS:
        return f"more than {MOST_WORDS} words"
    if any(character.isdigit() for character in tail):
        return "a measure"
    return "" if tail and tail != "etc" else "nothing"
