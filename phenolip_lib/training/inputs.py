"""The pairs of a source with the features that training computes once, of frozen towers and of the teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.params import Params
from phenolip_lib.core.runtime import pick_device, precision
from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.models.features import Known, cached, contents_of, image_features, text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.models.prompts import PROMPTS
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import TwoTowers
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training import affinity
from phenolip_lib.training.names import Names, positions
from phenolip_lib.training.perturbed import view
from phenolip_lib.training.shards import hashes_of, shard_members

KD_KINDS = ("name", "synonym", "definition")
"""Attribute texts that the student is distilled on beside captions."""
PARAMS = (
    "encoders",
    "runtime.device",
    "runtime.threads",
    "stage1",
    "stage2.image_views",
    "stage2.names_wordings",
    "stage2.shards",
)
"""Params that `prepare` reads, for all methods alike or for one."""


@dataclass
class TrainingData:
    """The pairs of a source with everything that is computed once.

    Attributes:
        pairs: curated pairs, all splits.
        root: folder that the pairs' images are relative to.
        images: image trunk features ``(n, width)``; zeros where no epoch takes them, see `pictures`.
        texts: student text trunk features of the captions ``(n, width)``.
        teacher: stage-1 embeddings of the captions ``(n, embed_dim)``, L2-normalised.
        onto_strings: ontology texts for distillation beyond captions.
        onto_texts, onto_teacher: `texts` and `teacher` of these.
        relations: which pairs share or nearly share a phenotype.
        pictures: a hash of the images where `images` does not tell them.
        names: phenotypes by name, for `stage2.names_weight`.
        views: features of several views of each image, ``(n, n_views, width)``, the whole image first.
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
    pictures: str = ""
    names: Names | None = None
    views: np.ndarray | None = None

    @property
    def content(self) -> str:
        """A hash of all features, for cache keys."""
        arrays = [self.images, self.texts, self.teacher, self.onto_texts, self.onto_teacher]
        arrays += [] if self.views is None else [self.views]
        words = [] if self.names is None else self.names.strings.tolist()
        return digest(self.pictures, digest_arrays(*arrays), words)


def prepare(
    params: Params,
    pairs: pd.DataFrame,
    root: Path,
    towers: TwoTowers,
    teacher: KnowledgeEncoder,
    attributes: pd.DataFrame,
    cache: Path | None,
    onto: Ontology | None = None,
) -> TrainingData:
    """Compute (or read from the cache) all frozen features of a source.

    Args:
        attributes: the attribute texts of stage 1; those not held out serve distillation.
        onto: for the similarity of phenotypes.
    """
    device = pick_device(params.runtime.device)
    options = {"device": device, "cache": cache, "workers": params.runtime.workers}
    chosen = np.flatnonzero(attributes["kind"].isin(KD_KINDS) & ~attributes["held_out"])

    def both(texts: list[str], limit: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of the student and embeddings of the teacher; of a trunk that both have, computed once."""

        def compute() -> np.ndarray:
            raw = text_features(teacher.tower, texts, max_tokens=limit, **options)
            known = Known.of(teacher.tower, texts, raw, limit)
            own = text_features(towers.text, texts, max_tokens=limit, known=known, **options)
            return np.hstack([own[rows], teacher.project(raw[rows])])

        # Kept for the processes to come: cleaning all HPO texts and projecting them takes longer than reading them.
        key = digest(
            "both",
            towers.text.fingerprint,
            teacher.fingerprint,
            limit,
            precision(device),
            texts,
            rows.tolist(),
            code_digest(__name__),
            version("open_clip_torch"),
            version("ftfy"),
        )
        found = cached(cache, key, len(rows), compute)
        return found[:, : towers.text.width], found[:, towers.text.width :]

    captions, taught = both(pairs["caption"].tolist(), params.encoders.context_length, np.arange(len(pairs)))
    onto_texts, onto_taught = both(attributes["text"].tolist(), params.stage1.max_tokens, chosen)
    pictures, views = "", None
    if _takes_features(params):
        images = image_features(towers, pairs, root, **options)
        further = [image_features(towers, view(pairs, n), root, **options) for n in range(1, params.stage2.image_views)]
        views = np.stack([images, *further], axis=1) if further else None
    else:
        images = np.zeros((len(pairs), towers.image_width), dtype=np.float32)
        shards = params.stage2.shards
        pictures = digest(contents_of(pairs, root, params.runtime.workers) if shards is None else hashes_of(shards))
    return TrainingData(
        pairs,
        root,
        images,
        captions,
        taught,
        attributes["text"].to_numpy()[chosen],
        onto_texts,
        onto_taught,
        affinity.build(pairs["phenotypes"].tolist(), captions, onto),
        pictures,
        None if onto is None else _worded(params, pairs, attributes.iloc[chosen], onto_texts, onto_taught, onto, both),
        views,
    )


def _worded(
    params: Params,
    pairs: pd.DataFrame,
    table: pd.DataFrame,
    features: np.ndarray,
    taught: np.ndarray,
    onto: Ontology,
    both: Callable[[list[str], int, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Names:
    """The wordings of phenotypes among the ontology texts `table` with their `features`, and names in sentences."""
    wordings = params.stage2.names_wordings
    table = table.reset_index(drop=True)
    table = table[table["hpo_id"].isin(onto.phenotypes)]
    own = table[table["kind"].isin(wordings)]
    if "sentence" in wordings:
        names = table[table["kind"] == "name"]
        sentences = [form for form in PROMPTS["default"] if form != "{name}"]
        said = [form.replace("{name}", name) for form in sentences for name in names["text"]]
        texts, embedded = both(said, params.stage1.max_tokens, np.arange(len(said)))
        places = np.arange(len(features), len(features) + len(said))
        features, taught = np.vstack([features, texts]), np.vstack([taught, embedded])
        further = pd.DataFrame({"hpo_id": names["hpo_id"].tolist() * len(sentences), "text": said}, index=places)
        own = pd.concat([own, further])
    own = own.sort_values("hpo_id", kind="stable")
    ids, counts = np.unique(own["hpo_id"].to_numpy(dtype=str), return_counts=True)
    starts, rows = np.concatenate([[0], np.cumsum(counts)]), own.index.to_numpy()
    shown = positions(ids.tolist(), pairs["phenotypes"].tolist(), onto)
    return Names(onto, ids.tolist(), starts, own["text"].to_numpy(), features[rows], taught[rows], shown)


def _takes_features(params: Params) -> bool:
    """Whether an epoch of any method takes image features; on shards a tower that trains runs in all of them."""
    return any(map(_frozen_at_first, (params, *map(params.method, params.methods))))


def _frozen_at_first(params: Params) -> bool:
    p = params.stage2
    return p.image_tower == "frozen" or (p.frozen_epochs > 0 and p.shards is None)


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
        images, options = np.zeros_like(images), {"device": device, "workers": params.runtime.workers}
        packed, folder = shard_members(
            params.stage2.shards, wanted
        )  # from the shards what they have: files may be gone
        for table, root in ((packed, folder), (wanted.drop(packed.index), data.root)):
            if len(table):
                images[data.pairs.index.get_indexer(table.index)] = image_features(
                    student.towers, table, root, **options
                )
    if params.stage2.text_tower == "finetune":
        texts = np.zeros_like(texts)
        texts[rows] = text_features(student.towers.text, wanted["caption"].tolist(), device=device)
    return images, texts
