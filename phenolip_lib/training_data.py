"""The pairs of a source with the features that training computes once, of frozen towers and of the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib import affinity
from phenolip_lib.encoders import TwoTowers
from phenolip_lib.features import image_features, text_features
from phenolip_lib.ontology import Ontology
from phenolip_lib.params import Params
from phenolip_lib.runtime import pick_device
from phenolip_lib.stage1 import KnowledgeEncoder
from phenolip_lib.student import Student

KD_KINDS = ("name", "synonym", "definition")


@dataclass
class TrainingData:
    """The pairs of a source with everything that is computed once.

    Attributes:
        pairs: curated pairs, all splits.
        root: folder that the pairs' images are relative to.
        images: image trunk features ``(n, width)``.
        texts: student text trunk features of the captions ``(n, width)``.
        teacher: stage-1 embeddings of the captions ``(n, embed_dim)``, L2-normalised.
        onto_strings: ontology texts for distillation beyond captions.
        onto_texts, onto_teacher: `texts` and `teacher` of these.
        relations: which pairs share or nearly share a phenotype.
    """

    pairs: pd.DataFrame
    root: Path
    images: np.ndarray
    texts: np.ndarray
    teacher: np.ndarray
    onto_strings: np.ndarray
    onto_texts: np.ndarray
    onto_teacher: np.ndarray
    relations: affinity.Affinity


def prepare(
    params: Params, pairs: pd.DataFrame, root: Path, towers: TwoTowers, teacher: KnowledgeEncoder,
    attributes: pd.DataFrame, cache: Path | None, onto: Ontology | None = None,
) -> TrainingData:  # fmt: skip
    """Compute (or read from the cache) all frozen features of a source.

    Args:
        attributes: the attribute texts of stage 1; those not held out serve distillation.
        onto: for the similarity of phenotypes.
    """
    device = pick_device(params.runtime.device)
    options = {"device": device, "cache": cache, "batch_size": params.encoders.batch_size}
    captions, strings = pairs["caption"].tolist(), attributes["text"].tolist()
    chosen = np.flatnonzero(attributes["kind"].isin(KD_KINDS) & ~attributes["held_out"])
    texts = text_features(towers.text, captions, **options)
    return TrainingData(
        pairs,
        root,
        image_features(towers, pairs, root, device=device, threads=params.runtime.threads, cache=cache),
        texts,
        teacher.embed(captions, max_tokens=params.encoders.context_length, **options),
        attributes["text"].to_numpy()[chosen],
        text_features(towers.text, strings, max_tokens=params.stage1.max_tokens, **options)[chosen],
        teacher.embed(strings, **options)[chosen],
        affinity.build(pairs["phenotypes"].tolist(), texts, onto),
    )


def student_features(
    params: Params, student: Student, data: TrainingData, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Trunk features of all pairs as the student sees them: the cached ones if its towers are frozen.

    Args:
        rows: pairs that are needed; a tower that trains sees only these, features of the others are zero.
    """
    images, texts = data.images, data.texts
    device, rows = student.logit_scale.device, np.arange(len(data.pairs)) if rows is None else rows
    wanted = data.pairs.iloc[rows]
    if params.stage2.image_tower == "finetune":
        images = np.zeros_like(images)
        threads = params.runtime.threads
        images[rows] = image_features(student.towers, wanted, data.root, device=device, threads=threads)
    if params.stage2.text_tower == "finetune":
        texts = np.zeros_like(texts)
        texts[rows] = text_features(student.towers.text, wanted["caption"].tolist(), device=device)
    return images, texts
