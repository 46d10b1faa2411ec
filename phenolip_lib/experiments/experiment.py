"""One source with everything an experiment on it needs: train a student, embed, evaluate.

Notebooks 04 to 06 and the ablation stage all go through `Experiment`, so a number in a table and
a number in an ablation come from the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core import runtime, side_by_side
from phenolip_lib.core.code import code_digest
from phenolip_lib.core.kept import kept
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import digest, digest_arrays, read_parquet
from phenolip_lib.data import masks, probe_sets
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import alignment, uniformity
from phenolip_lib.evaluation.tasks.retrieval import retrieval
from phenolip_lib.models import heatmaps
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.models.features import image_features, load_pixels, text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.models.student import Student, load_student, save_student
from phenolip_lib.models.towers import load_towers
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training import distributed, inputs, stage2, subset
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group

VALIDATION_KEYS = ("i2t_recall@10", "t2i_recall@10", "i2p_recall@10", "p2i_recall@10")


class shared(cached_property):
    """A property computed once for all experiments on the same pairs: no method and no student changes it."""

    def __get__(self, experiment, owner=None):
        return self if experiment is None else super().__get__(experiment.root, owner)


class Experiment:
    """A source under one set of parameters, which decide everything: towers, training pairs, features, heat maps.

    A compared method is an experiment of its own, see `of`.

    Args:
        params: full parameters; an ablation passes its own.
        source: ``phantom`` or ``open``.
        teacher: the stage-1 encoder; read from ``build/stage1`` if not given.
        group: the processes that train together; this one alone by default.
        pairs: the source's pairs with another split; those of ``build/<source>/phenokg`` by default.
        reference: pairs that say which zero-shot classes there are, see `Benchmark`; `pairs` by default.
        like: an experiment on the same images under the same ``evaluation`` params; what other parameters and splits
            leave as it is, is shared with it.
    """

    def __init__(
        self,
        params: Params,
        source: str,
        paths: Paths,
        teacher: KnowledgeEncoder | None = None,
        group: Group | None = None,
        pairs: pd.DataFrame | None = None,
        reference: pd.DataFrame | None = None,
        like: Experiment | None = None,
    ) -> None:
        self.group, self.device = group or Group(), distributed.local_device(params.runtime.device)
        self.params, self.source, self.paths = params, source, paths
        self._again = partial(_opened, params, source, paths.root, teacher, pairs, reference)
        self.onto = like.onto if like else Ontology.load(paths.hpo)
        self.whole, self.reference = load_pairs(paths.phenokg(source)) if pairs is None else pairs, reference
        self.teacher = teacher or KnowledgeEncoder.load(paths.stage1)
        self.pairs = subset.prepared(self.whole, params.stage2)
        self.root = like.root if like and like.whole is self.whole else self
        self._like, self._method, self._maps = like, ("", None), {}

    def again(self, params: Params | None = None, pairs: pd.DataFrame | None = None) -> Experiment:
        """Another experiment on these images, of other parameters or splits."""
        pairs = self.whole if pairs is None else pairs
        return Experiment(
            params or self.params, self.source, self.paths, self.teacher, self.group, pairs, self.reference, self
        )

    def of(self, method: str) -> Experiment:
        """The experiment of a compared method, under its own parameters; the last one asked for is kept."""
        if self._method[0] != method:
            self._method = method, self.again(self.params.method(method))
        return self._method[1]

    @cached_property
    def _same_features(self) -> bool:
        """Whether frozen features are those of the experiment that this one is like."""
        if self._like is None:
            return False
        told = ["pair_id", "caption"]
        same = self._like.params.fingerprint(*inputs.PARAMS) == self.params.fingerprint(*inputs.PARAMS)
        return same and self._like.pairs[told].equals(self.pairs[told])

    @cached_property
    def data(self) -> inputs.TrainingData:
        """Frozen features of the source; computed at the first use."""
        if self._same_features:
            return replace(self._like.data, pairs=self.pairs)
        e = self.params.encoders
        towers = load_towers(e.student, e.image_size, e.context_length)
        attributes = read_parquet(self.paths.stage1 / "texts.parquet")
        with self.group.main_first():
            return inputs.prepare(
                self.params,
                self.pairs,
                self.paths.data(self.source),
                towers,
                self.teacher,
                attributes,
                self.paths.cache,
                self.onto,
            )

    def side_by_side(self, work: Callable, jobs: Sequence, what: str) -> Iterator:
        """``work(experiment, job)`` of all jobs in order, in ``runtime.workers`` processes on a CPU."""
        alone = self.group.size > 1 or self.device.type != "cpu"
        workers = 1 if alone else min(self.params.runtime.workers, max(len(jobs), 1))
        return side_by_side.run(work, jobs, self._again if workers > 1 else lambda: self, workers, what)

    def _texts(self, model: Student) -> Callable[[list[str]], np.ndarray]:
        """Embeds texts when a task asks for them, each once."""
        tuned = self.params.stage2.text_tower == "finetune"
        known, kept = {} if tuned else self._known_texts, {}

        def text(texts: list[str]) -> np.ndarray:
            missing = sorted(set(texts) - kept.keys())
            old, new = ([text for text in missing if (text in known) == there] for there in (True, False))
            if old:
                features = self.data.onto_texts[[known[text] for text in old]]
                kept.update(zip(old, model.embed_texts(features), strict=True))
            if new:
                features = text_features(model.towers.text, new, **self._options(model, tuned))
                kept.update(zip(new, model.embed_texts(features), strict=True))
            return np.stack([kept[text] for text in texts])

        return text

    @cached_property
    def _known_texts(self) -> dict[str, int]:
        """Rows of the ontology texts that distillation has features of; names of terms are among them."""
        return {text: row for row, text in reversed(list(enumerate(self.data.onto_strings)))}

    def save(self, folder: Path, name: str, student: Student, method: str, seed: int) -> None:
        """Save a student with what it was made of beside its weights."""
        e = self.params.encoders
        made_of = {"student": e.student, "image_size": e.image_size, "context_length": e.context_length}
        told = {"method": method, "seed": seed, "stage2": self.params.stage2.model_dump()}
        save_student(folder, name, student, made_of | told)

    def trained(self, name: str, seed: int) -> Student:
        """A student trained on this experiment's split, from the cache if it was trained before."""
        run = self.run_folder(name, seed)
        model = kept(
            self.paths.cache / "students" / run.name,
            lambda: self.train(name, seed)[0].eval().requires_grad_(False),
            lambda folder, student: self.save(folder, name, student, name, seed),
            lambda folder: load_student(folder, name, self.params),
        )
        Checkpoints(run).clear()
        return model

    def embed(self, model: Student, rows: np.ndarray | None = None) -> Embedded:
        """Embeddings of all pairs, and of any text; of a tower that trains, only those of `rows` if given."""
        model.to(self.device)
        images, texts = inputs.student_features(self.params, model, self.data, rows)
        return Embedded(model.embed_images(images), model.embed_texts(texts), self._texts(model), self._pictures(model))

    def _pictures(self, model: Student) -> Callable[[pd.DataFrame], np.ndarray]:
        root, options = self.paths.data(self.source), self._options(model, self.params.stage2.image_tower == "finetune")
        return lambda table: model.embed_images(image_features(model.towers, table, root, **options))

    def _options(self, model: Student, tuned: bool) -> dict[str, Any]:
        """Of the features of a tower: where they are computed and, unless it trains, kept."""
        cache = None if tuned else self.paths.cache
        return {"device": model.logit_scale.device, "workers": self.params.runtime.workers, "cache": cache}

    def train(self, name: str, seed: int, curves: Path | None = None) -> tuple[Student, pd.DataFrame]:
        """Train with one seed under the name that log and curves give it, recording validation numbers.

        The state of the run is kept in the cache until `train.train_all` ends, so a killed one goes on.
        """
        held = (self.pairs["split"] == "val").to_numpy()

        def validate(model: Student) -> dict[str, float]:
            e = self.embed(model, np.flatnonzero(held))
            scores = retrieval(self.validation, e).groupby("metric")["value"].mean()
            numbers = {f"val_{key}": float(scores[key]) for key in VALIDATION_KEYS if key in scores}
            if numbers:
                numbers["val_score"] = float(np.mean(list(numbers.values())))
            if held.any():
                numbers["val_alignment"] = alignment(e.images[held], e.captions[held])
                numbers["val_uniformity"] = uniformity(e.images[held])
            return numbers

        run = Checkpoints(self.run_folder(name, seed))
        return stage2.train(
            self.params,
            self.data,
            self.teacher,
            seed,
            validate,
            group=self.group,
            device=self.device,
            title=f"{self.source} {name} seed {seed}",
            checkpoints=run,
            curves=curves,
        )

    @shared
    def bench(self) -> Benchmark:
        """The test split."""
        return Benchmark(self.whole, self.onto, self.params.evaluation, reference=self.reference)

    @shared
    def validation(self) -> Benchmark:
        """The validation split, for choices made during training."""
        return replace(self.bench, split="val")

    @shared
    def probe_sets(self) -> dict[str, pd.DataFrame]:
        """Labelled images beside the pairs, for linear probes."""
        return probe_sets.present(self.paths.data(self.source), self.whole, self.params.evaluation.cells_per_class)

    @shared
    def masked(self) -> masks.Masked:
        """Test and validation pictures with masks of their findings."""
        quarantine = read_parquet(self.paths.phenokg(self.source) / "quarantine.parquet")
        return masks.load_masked(self.whole, self.paths.data(self.source), quarantine)

    def beside(self, task: str) -> str:
        """A hash of what a task reads beside the pairs, for cache keys."""
        if task == "linear_probe":
            return digest({name: table.to_dict("list") for name, table in self.probe_sets.items()})
        if task == "localisation":
            drawn = [mask for found in self.masked.masks for _, mask in sorted(found.items())]
            return digest(self.masked.rows.to_dict("list"), digest_arrays(*drawn))
        return ""

    def feature_maps(self, model: Student) -> torch.Tensor:
        """`heatmaps.feature_maps` of `masked`; those of a frozen tower are kept."""
        towers, rows, maps = model.towers, self.masked.rows, self.root._maps
        side = heatmaps.side_of(towers, self.params.evaluation.localisation_side)
        pixels = partial(load_pixels, rows, self.paths.data(self.source), side, self.params.runtime.workers, towers.fit)
        if self.params.stage2.image_tower == "finetune":
            return heatmaps.feature_maps(towers, pixels(), self.device)
        if (towers.fingerprint, side) not in maps:
            maps.clear()
            maps[towers.fingerprint, side] = heatmaps.frozen_maps(towers, pixels(), self.device, self.paths.cache)
        return maps[towers.fingerprint, side]

    def run_folder(self, name: str, seed: int) -> Path:
        """Where the state of a run lies; another setting or other data is another folder."""
        # Validations may end a run early: then their code decides as well.
        judge = code_digest(retrieval.__module__) if self.params.stage2.early_stopping else ""
        key = stage2.run_key(self.params, seed, digest(self.content, judge))
        return self.paths.cache / "runs" / f"{self.source}-{name}-seed{seed}-{key}"

    @cached_property
    def content(self) -> str:
        """A hash of the ontology, the pairs with everything said of them, and all features, for cache keys."""
        if self._same_features and self.pairs is self._like.pairs:
            return self._like.content
        return digest(
            self.onto.content,
            self.pairs.drop(columns=["phenotypes", "url"]).to_dict("list"),
            self.pairs["phenotypes"].map(list).tolist(),
            self.data.content,
        )

    @property
    def n_train(self) -> int:
        return int((self.pairs["split"] == "train").sum())


def _opened(
    params: Params, source: str, root: Path, teacher: KnowledgeEncoder | None, *pairs: pd.DataFrame | None
) -> Experiment:
    """The experiment once more, in another process."""
    runtime.configure(params.runtime.threads)
    return Experiment(params, source, Paths(root), teacher, None, *pairs)
