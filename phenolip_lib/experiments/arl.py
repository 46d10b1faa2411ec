"""ARL on the questions of a source: pretrain each method on its images with captions, train answers, judge them."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from phenolip_lib.core import side_by_side
from phenolip_lib.core.code import code_digest
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.progress import Watch
from phenolip_lib.core.runtime import seed_everything
from phenolip_lib.core.storage import digest, digest_arrays, write_json
from phenolip_lib.data.questions import vocabulary, vqa_rad
from phenolip_lib.data.questions.baseline import majority
from phenolip_lib.evaluation.answers import TASK, score
from phenolip_lib.evaluation.results import write_result
from phenolip_lib.experiments.questions import Questions
from phenolip_lib.models.features import cached
from phenolip_lib.models.fusion.config import load_config
from phenolip_lib.models.fusion.graph import EntityEncoder
from phenolip_lib.models.fusion.model import Answering, Fusion
from phenolip_lib.models.fusion.plain import Plain
from phenolip_lib.models.fusion.pretext import Pretext
from phenolip_lib.training.arl import knowledge, transe
from phenolip_lib.training.arl.answering import NO_ANSWER, AnswerTraining, predict
from phenolip_lib.training.arl.inputs import Examples
from phenolip_lib.training.arl.pretraining import FusionPretraining, hide, words_of
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine, Task

MAJORITY, SHUFFLED = "majority", "_shuffled"
"""Rows of the tables that are no method: the majority answer, and a method that is shown another question's image."""


class Arl(Questions):
    """Those of a source with the models of ``arl.methods``; made once a process."""

    def graph_of(self, own: Params, seed: int) -> knowledge.KnowledgeGraph | None:
        """The graph of a method."""
        kinds = {"none": lambda: None, "ontology": lambda: self.graph, "random": lambda: self.graph.rewired(seed)}
        return kinds[own.arl.graph]()

    def fusion(self, own: Params, seed: int) -> tuple[Fusion, knowledge.KnowledgeGraph | None]:
        """A model as it is before pretraining, with vectors of its graph."""
        seed_everything(seed)
        config, graph, entities = load_config(own.arl.config), self.graph_of(own, seed), None
        if graph is not None:
            vectors = self._vectors(graph, config.embedding, seed)
            entities = EntityEncoder(config, vectors, torch.from_numpy(graph.edges))
        return Fusion(config, *self.reader.widths, entities, reason=own.arl.reason), graph

    def _vectors(self, graph: knowledge.KnowledgeGraph, width: int, seed: int) -> torch.Tensor:
        key = digest("transe", graph.content, width, seed, code_digest(transe.__name__))
        found = cached(self.paths.cache, key, len(graph.entities), lambda: transe.embed(graph, width, seed).numpy())
        return torch.from_numpy(found)

    def pretrained(self, method: str, seed: int) -> Fusion:
        """A method's model after pretraining, which comes from the cache if it was trained before."""
        own = self.params.fusion(method)
        model, graph = self.fusion(own, seed)
        if not self._epochs(own):
            return model
        n_words, width = len(words_of(self.pairs.texts)), self.pairs.images.shape[2]
        pretext = Pretext(model, n_words, width, own.arl.align)
        key = digest("pretraining", *self._own(own, seed), self.pairs.content)
        masked = hide(self.pairs.texts, own.arl, self.reader, min(own.arl.variants, self._epochs(own)))
        task = FusionPretraining(own, self.pairs, masked, pretext, graph, seed, Group(), self.device)
        self._fit(own, key, f"{method} seed {seed}", task, self._epochs(own))
        return model

    def answering(self, method: str, seed: int, name: str, train: np.ndarray) -> tuple[nn.Module, list[str]]:
        """A model that answers the questions of a set, trained on some of them; and its vocabulary."""
        own, table, examples = self.params.fusion(method), self.sets[name], self.questions(name)
        words = vocabulary(table.assign(split=np.where(train, "train", "test")))
        index = {word: i for i, word in enumerate(words)}
        answers = np.array([index.get(word, NO_ANSWER) for word in table["truth"]])
        if own.arl.model == "fusion":
            fusion = self.pretrained(method, seed)
            seed_everything(seed)
            model: nn.Module = Answering(fusion, len(words))
        else:
            seed_everything(seed)
            model = Plain(own.arl.model, *self.reader.widths, len(words))
        before = self.pairs.content if own.arl.model == "fusion" and self._epochs(own) else ""
        key = digest("answers", *self._own(own, seed), before, examples.content, digest_arrays(answers, train))
        task = AnswerTraining(own, examples, answers, np.flatnonzero(train), model, seed, Group(), self.device)
        self._fit(own, key, f"{name} {method} seed {seed}", task, own.arl.answer_epochs[self.source])
        return model, words

    def _epochs(self, own: Params) -> int:
        """Of pretraining."""
        return own.arl.epochs[self.source]

    def _own(self, own: Params, seed: int) -> tuple:
        """What a model depends on beside its examples, for cache keys."""
        settings = own.arl.model_dump(exclude={"methods", "run", "folds", "baseline"})
        settings |= {key: settings[key][self.source] for key in ("epochs", "answer_epochs")}
        return (
            settings,
            self.graph.content,
            own.fingerprint("training"),
            own.runtime.threads,
            seed,
            code_digest(__name__),
        )

    def _fit(self, own: Params, key: str, title: str, task: Task, epochs: int) -> None:
        """Train what was not trained before; a finished run comes from its last checkpoint."""
        folder = self.paths.cache / "runs" / f"{self.source}-arl-{key}"
        task.module.to(self.device)
        steps = task.steps_per_epoch * epochs
        warm = round(own.arl.warmup_share * steps)
        engine = Engine(task, epochs, warm, own.training, task.group, self.device, Checkpoints(folder))
        engine.fit(Watch(title, steps, None, engine.resume()))
        task.module.to("cpu").eval()


def splits_of(table: pd.DataFrame, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Where a set is judged: ``<name>`` by its own split, ``<name>-folds<k>`` by folds of images; train and test rows.

    In the folds a question that was made from another one by rewording trains, and is not asked.
    """
    split = table["split"].to_numpy()
    found = {name: (split == "train", split == "test")}
    if "fold" in table:
        asked = ~table["question_id"].str.endswith(vqa_rad.FRAME).to_numpy()
        for k in sorted(set(table["fold"])):
            test = (table["fold"] == k).to_numpy()
            found[f"{name}-fold{k}"] = (~test, test & asked)
    return found


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Pretrain, train and judge ``arl.run`` on every set of questions; results under ``<out>/<set or fold>``."""
    shutil.rmtree(out, ignore_errors=True)
    opened = partial(Arl, params, source, paths.root)
    own = opened()
    methods = params.arl.run[source]
    workers = params.runtime.workers if own.device.type == "cpu" else 1
    fused = [m for m in methods if params.fusion(m).arl.model == "fusion"]
    jobs = [(method, seed) for seed in params.seeds for method in fused]
    for _ in side_by_side.run(_pretrain, jobs, opened, workers, "pretrainings"):
        pass
    jobs = [
        (out, name, split, method, seed)
        for name, table in own.sets.items()
        for split in splits_of(table, name)
        for method in (MAJORITY, *methods)
        for seed in (params.seeds if method != MAJORITY else params.seeds[:1])
    ]
    for _ in side_by_side.run(_one, jobs, opened, workers, "runs"):
        pass
    write_json(out / "facts.json", facts(own))


def facts(own: Arl) -> dict:
    """Numbers of what was trained on: entities, triples, pairs, and questions by set and split."""
    graph = own.graph
    return {
        "entities": len(graph.entities),
        "triples": len(graph.triples),
        "relations": {name: int((graph.triples[:, 1] == i).sum()) for i, name in enumerate(graph.relations)},
        "pairs": len(own.pairs),
        "questions": {name: t["split"].value_counts().sort_index().to_dict() for name, t in own.sets.items()},
    }


def _pretrain(own: Arl, job: tuple[str, int]) -> None:
    own.pretrained(*job)


def _one(own: Arl, job: tuple[Path, str, str, str, int]) -> None:
    """One method on one split of one set with one seed."""
    out, name, split, method, seed = job
    table = own.sets[name]
    train, test = splits_of(table, name)[split]
    asked, truth = table[test], table.loc[test, "truth"].tolist()

    def write(method: str, given: list[str]) -> None:
        about = {"source": own.source, "method": method, "seed": seed, "n_train": int(train.sum()), "provenance": {}}
        write_result(out / split, TASK, score(asked, given, truth, name), about)

    if method == MAJORITY:
        write(method, majority(table.assign(split=np.where(train, "train", np.where(test, "test", "")))).tolist())
        return
    model, words = own.answering(method, seed, name, train)
    examples, rows = own.questions(name), np.flatnonzero(test)

    def given(examples: Examples) -> list[str]:
        return [words[i] for i in predict(model, examples, rows, own.device).argmax(axis=1)]

    write(method, given(examples))
    if method == own.params.arl.run[own.source][0]:
        order = examples.image_rows.copy()
        order[rows] = np.random.default_rng(seed).permutation(order[rows])
        write(method + SHUFFLED, given(Examples(examples.images, examples.texts, order, examples.text_rows)))
