"""A question of one's own about an image, put to a trained model of chapter 8."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.data.images import read_image
from phenolip_lib.experiments.arl import Arl
from phenolip_lib.models.fusion.model import Answering
from phenolip_lib.reporting.answers import darkened
from phenolip_lib.training.arl.inputs import Examples, clean
from phenolip_lib.training.arl.knowledge import label


@dataclass(frozen=True)
class Answer:
    """What a model says.

    Attributes:
        answers: those of the vocabulary with their probability, the most probable first.
        entities: of the graph, that the question names.
        read: how much of each cell of the image the question's first token read in the last layer ``(cells, cells)``.
    """

    answers: list[tuple[str, float]]
    entities: list[str]
    read: np.ndarray


def trained(params: Params, source: str, paths: Paths, name: str = "") -> tuple[Arl, Answering, list[str]]:
    """The full model as the pipeline trained it, with its vocabulary.

    Args:
        name: of a set of questions; the first of the source by default.

    Raises:
        PhenoLIPError: the stage did not run, or the source has no set of that name.
    """
    if not (paths.build / source / "arl" / "results" / "facts.json").is_file():
        raise PhenoLIPError(f"no model has learned to answer questions on {source}; run `dvc repro arl@{source}`")
    own = Arl(params, source, paths.root)
    name = name or next(iter(own.sets))
    if name not in own.sets:
        raise PhenoLIPError(f"{source} has no set of questions {name!r}; there are {', '.join(own.sets)}")
    train = (own.sets[name]["split"] == "train").to_numpy()
    return own, *own.answerer(params.arl.run[source][0], params.seeds[0], name, train)


def check_question(question: str) -> None:
    """Refuse what is none, before a model is loaded for it.

    Raises:
        PhenoLIPError: no word.
    """
    if not re.search(r"\w", question):
        raise PhenoLIPError("the question has no words; ask for example 'What is abnormal in this image?'")


def ask(own: Arl, model: Answering, words: list[str], image: Path, question: str) -> Answer:
    """The model's answer.

    Raises:
        PhenoLIPError: no image that can be read, or a question without a word.
    """
    check_question(question)
    try:
        read_image(image.parent, image.name)
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{image}: {error}") from None
    text = clean(own.reader, [question])
    table = pd.DataFrame({"image": [image.name], "left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0})
    read = own.reader.read(text, [own.linker(text[0])], own.graph)
    first = np.zeros(1, dtype=np.int64)
    inputs = Examples(own.reader.cells(table, image.parent), read, first, first).inputs(first)
    with torch.no_grad():
        probability = model.eval()(**inputs)["logits"][0].sigmoid().numpy()
        seen = model.fusion.attention(**inputs)[0, 1:].numpy()
    best = np.argsort(-probability, kind="stable")
    return Answer(
        [(words[i], float(probability[i])) for i in best],
        [label(own.onto, own.graph.entities[i]) for i in read.entities[0] if i >= 0],
        seen.reshape(own.config.cells, -1),
    )


def overlay(image: Path, read: np.ndarray) -> Image.Image:
    """The image, darker where it was not read."""
    return darkened(read_image(image.parent, image.name), read)
