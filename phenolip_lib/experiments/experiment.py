"""One source with everything an experiment on it needs: train a student, embed, evaluate.

Notebooks 04 to 06 and the ablation stage all go through `Experiment`, so a number in a table and
a number in an ablation come from the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core import runtime, side_by_side
from phenolip_lib.core.code import code_digest
from phenolip_lib.core.kept import kept
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import digest, digest_arrays, read_parquet, write_parquet
from phenolip_lib.data import masks, probe_sets
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import alignment, uniformity
from phenolip_lib.evaluation.tasks.retrieval import Relations, retrieval
from phenolip_lib.models import heatmaps
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.models.features import cached, image_features, load_pixels, text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.models.student import Student, load_student, save_student
from phenolip_lib.models.towers import TwoTowers, load_towers
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training import distributed, inputs, stage2, subset
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group

VALIDATION_KEYS = ("i2t_recall@10", "t2i_recall@10", "i2p_recall@10", "p2i_recall@10")


class Experiment:
    """A source under one set of parameters.

    Args:
        params: full parameters; an ablation passes its own.
        source: ``phantom`` or ``open``.
        teacher: the stage-1 encoder; read from ``build/stage1`` if not given.
        group: the processes that train together; this one alone by default.
        pairs: the source's pairs with another split; those of ``build/<source>/phenokg`` by default.
    """

    def __init__(
        self, params: Params, source: str, paths: Paths, teacher: KnowledgeEncoder | None = None,
        group: Group | None = None, pairs: pd.DataFrame | None = None,
    ) -> None:  # fmt: skip
        self.group, self.device = group or Group(), distributed.local_device(params.runtime.device)
        self.params, self.source, self.paths = params, source, paths
        self._again = partial(_opened, params, source, paths.root, teacher, pairs)
        self.onto = Ontology.load(paths.hpo)
        pairs = load_pairs(paths.phenokg(source)) if pairs is None else pairs
        self.pairs = subset.prepared(pairs, params.stage2)
        self.teacher = teacher or KnowledgeEncoder.load(paths.stage1)
        self.bench = Benchmark(self.pairs, self.onto, params.evaluation)
        self._feature_maps: dict[tuple[str, int], torch.Tensor] = {}

    @cached_property
    def data(self) -> inputs.TrainingData:
        """Frozen features of the source; computed at the first use."""
        e = self.params.encoders
        towers = load_towers(e.student, e.image_size, e.context_length)
        attributes = read_parquet(self.paths.stage1 / "texts.parquet")
        with self.group.main_first():
            return inputs.prepare(
                self.params, self.pairs, self.paths.data(self.source), towers, self.teacher, attributes,
                self.paths.cache, self.onto,
            )  # fmt: skip

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
                features = text_features(
                    model.towers.text, new, workers=self.params.runtime.workers,
                    device=model.logit_scale.device, cache=None if tuned else self.paths.cache,
                )  # fmt: skip
                kept.update(zip(new, model.embed_texts(features), strict=True))
            return np.stack([kept[text] for text in texts])

        return text

    @cached_property
    def _known_texts(self) -> dict[str, int]:
        """Rows of the ontology texts that distillation has features of; names of terms are among them."""
        return {text: row for row, text in reversed(list(enumerate(self.data.onto_strings)))}

    def trained(self, method: str, seed: int) -> Student:
        """A student trained on this experiment's split, from the cache if it was trained before."""
        params = self.params.method(method)
        run = self._run_folder(params, method, seed)
        model = kept(
            self.paths.cache / "students" / run.name,
            lambda: self.train(method, seed)[0].eval().requires_grad_(False),
            lambda folder, student: save_student(folder, method, student, self._config(params, method, seed)),
            lambda folder: load_student(folder, method, params),
        )
        Checkpoints(run).clear()
        return model

    def _config(self, params: Params, method: str, seed: int) -> dict:
        """What is kept beside a student's weights."""
        e = params.encoders
        return {"student": e.student, "method": method, "seed": seed, "image_size": e.image_size,
                "context_length": e.context_length, "stage2": params.stage2.model_dump()}  # fmt: skip

    def embed(self, model: Student, rows: np.ndarray | None = None) -> Embedded:
        """Embeddings of all pairs, and of any text; of a tower that trains, only those of `rows` if given."""
        model.to(self.device)
        images, texts = inputs.student_features(self.params, model, self.data, rows)
        return Embedded(model.embed_images(images), model.embed_texts(texts), self._texts(model), self._pictures(model))

    def _pictures(self, model: Student) -> Callable[[pd.DataFrame], np.ndarray]:
        tuned = self.params.stage2.image_tower == "finetune"

        def pictures(table: pd.DataFrame) -> np.ndarray:
            return model.embed_images(image_features(
                model.towers, table, self.paths.data(self.source), device=model.logit_scale.device,
                workers=self.params.runtime.workers, cache=None if tuned else self.paths.cache,
            ))  # fmt: skip

        return pictures

    def train(self, method: str, seed: int, curves: Path | None = None) -> tuple[Student, pd.DataFrame]:
        """Train one of the compared methods with one seed, recording validation numbers.

        The state of the run is kept in the cache until `train_all` ends, so a killed one goes on.
        """
        params = self.params.method(method)
        bench = Benchmark(self.pairs, self.onto, params.evaluation, split="val")
        relations = Relations(self.onto, bench.candidates)
        held = (self.pairs["split"] == "val").to_numpy()

        def validate(model: Student) -> dict[str, float]:
            e = self.embed(model, np.flatnonzero(held))
            found = retrieval(bench, e, relations)
            scores = found.groupby("metric")["value"].mean()
            numbers = {f"val_{key}": float(scores[key]) for key in VALIDATION_KEYS if key in scores}
            if numbers:
                numbers["val_score"] = float(np.mean(list(numbers.values())))
            if held.any():
                numbers["val_alignment"] = alignment(e.images[held], e.captions[held])
                numbers["val_uniformity"] = uniformity(e.images[held])
            return numbers

        run = Checkpoints(self._run_folder(params, method, seed))
        return stage2.train(
            params, self.data, self.teacher, seed, validate, group=self.group, device=self.device,
            title=f"{self.source} {method} seed {seed}", checkpoints=run, curves=curves,
        )  # fmt: skip

    @cached_property
    def relations(self) -> Relations:
        """How the test candidates relate to each other."""
        return Relations(self.onto, self.bench.candidates)

    @cached_property
    def probe_sets(self) -> dict[str, pd.DataFrame]:
        """Labelled images beside the pairs, for linear probes."""
        return probe_sets.present(self.paths.data(self.source), self.pairs, self.params.evaluation.cells_per_class)

    @cached_property
    def masked(self) -> masks.Masked:
        """Test and validation pictures with masks of their findings."""
        quarantine = read_parquet(self.paths.phenokg(self.source) / "quarantine.parquet")
        return masks.load_masked(self.pairs, self.paths.data(self.source), quarantine)

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
        p, towers = self.params, model.towers
        side = heatmaps.side_of(towers, p.evaluation.localisation_side)
        if (towers.fingerprint, side) not in self._feature_maps or p.stage2.image_tower == "finetune":
            self._feature_maps = {(towers.fingerprint, side): self._new_maps(towers, side)}
        return self._feature_maps[towers.fingerprint, side]

    def _new_maps(self, towers: TwoTowers, side: int) -> torch.Tensor:
        rows, p = self.masked.rows, self.params
        pixels = load_pixels(rows, self.paths.data(self.source), side, p.runtime.workers, towers.fit)
        if p.stage2.image_tower == "finetune":
            return heatmaps.feature_maps(towers, pixels, self.device)
        key = digest("maps", towers.fingerprint, digest_arrays(pixels.numpy()), code_digest(heatmaps.__name__))
        flat = cached(
            self.paths.cache, key, len(rows),
            lambda: heatmaps.feature_maps(towers, pixels, self.device).flatten(1).numpy(),
        )  # fmt: skip
        width = towers.model.visual.trunk.num_features
        cells = round((flat.shape[1] / width) ** 0.5)  # of a square picture
        return torch.from_numpy(flat).unflatten(1, (width, cells, cells))

    def _run_folder(self, params: Params, method: str, seed: int) -> Path:
        """Where the state of a run lies; another setting or other data is another folder."""
        return (
            self.paths.cache
            / "runs"
            / f"{self.source}-{method}-seed{seed}-{stage2.run_key(params, seed, self.content)}"
        )

    @cached_property
    def content(self) -> str:
        """A hash of the ontology, the pairs with everything said of them, and all features, for cache keys."""
        data = self.data
        pairs = self.pairs.drop(columns=["phenotypes", "url"]).to_dict("list")
        return digest(
            self.onto.content,
            pairs,
            self.pairs["phenotypes"].map(list).tolist(),
            data.pictures,
            digest_arrays(data.images, data.texts, data.teacher, data.onto_texts, data.onto_teacher),
        )

    @property
    def n_train(self) -> int:
        return int((self.pairs["split"] == "train").sum())

    def train_all(self, folder: Path) -> pd.DataFrame:
        """Train every method with every seed and save each as soon as it is done.

        Returns:
            the training history of all, also written as ``history.parquet``.
        """
        jobs = [(folder, method, seed) for method in self.params.methods for seed in self.params.seeds]
        found = [history for history in self.side_by_side(_train_and_save, jobs, "training runs") if len(history)]
        table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["epoch", "method", "seed"])
        if self.group.main:
            write_parquet(folder / "history.parquet", table)
            for _, method, seed in jobs:
                Checkpoints(self._run_folder(self.params.method(method), method, seed)).clear()
        return table


def _opened(
    params: Params, source: str, root: Path, teacher: KnowledgeEncoder | None, pairs: pd.DataFrame | None
) -> Experiment:
    """The experiment once more, in another process."""
    runtime.configure(params.runtime.threads)
    return Experiment(params, source, Paths(root), teacher, pairs=pairs)


def _train_and_save(experiment: Experiment, job: tuple[Path, str, int]) -> pd.DataFrame:
    """One run of `Experiment.train_all`."""
    folder, method, seed = job
    name = f"{method}-seed{seed}"
    model, history = experiment.train(method, seed, folder / "curves" / name)
    if experiment.group.main:
        save_student(folder, name, model, experiment._config(experiment.params.method(method), method, seed))
    return history.assign(method=method, seed=seed)
