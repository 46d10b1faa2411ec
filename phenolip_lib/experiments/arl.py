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
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.progress import Watch
from phenolip_lib.core.runtime import seed_everything
from phenolip_lib.core.storage import digest, digest_arrays, write_json
from phenolip_lib.data.questions import vocabulary, vqa_rad
from phenolip_lib.data.questions.baseline import majority
from phenolip_lib.data.questions.registry import SETS
from phenolip_lib.evaluation.answers import TASK, score
from phenolip_lib.evaluation.results import write_result
from phenolip_lib.experiments.questions import Questions
from phenolip_lib.models.features import cached
from phenolip_lib.models.fusion import model, plain
from phenolip_lib.models.fusion.config import load_config
from phenolip_lib.models.fusion.graph import EntityEncoder
from phenolip_lib.models.fusion.model import Answering, Fusion
from phenolip_lib.models.fusion.plain import Plain
from phenolip_lib.models.fusion.pretext import Pretext
from phenolip_lib.training.arl import answering, knowledge, pretraining, transe
from phenolip_lib.training.arl.answering import NO_ANSWER, AnswerTraining, predict
from phenolip_lib.training.arl.inputs import Examples
from phenolip_lib.training.arl.pretraining import FusionPretraining, Masked, hide, words_of
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine, Task

FOLD = "-fold"
MAJORITY, SHUFFLED = "majority", "_shuffled"
"""Rows of the tables that are no method: the majority answer, and a method that is shown another question's image."""


NOT_OF_A_MODEL = {"methods", "run", "folds", "cross_validated", "baseline", "epochs"}
OF_ANSWERS = {"answer_epochs", "answer_batch_size", "answer_learning_rate"}
"""Settings that pretraining does not depend on."""


class Arl(Questions):
    """The questions of a source with the models of ``arl.methods``."""

    def __init__(self, params: Params, source: str, root: Path) -> None:
        super().__init__(params, source, root)
        self._hidden: dict[tuple, list[Masked]] = {}

    def graph_of(self, own: Params, seed: int) -> knowledge.KnowledgeGraph | None:
        """The graph of a method."""
        if own.arl.graph == "none":
            return None
        if not self.graph.entities:
            raise PhenoLIPError("arl.min_count: no entity is named so often, and a graph needs one; lower it")
        return self.graph if own.arl.graph == "ontology" else self.graph.rewired(seed)

    def fusion(self, own: Params, seed: int) -> tuple[Fusion, knowledge.KnowledgeGraph | None]:
        """A model as it is before pretraining, with vectors of its graph."""
        seed_everything(seed)
        config, graph, entities = load_config(own.arl.config), self.graph_of(own, seed), None
        if graph is not None:
            vectors = self._vectors(graph, config.embedding, seed)
            entities = EntityEncoder(config, vectors, torch.from_numpy(graph.edges))
        return Fusion(config, *self.reader.widths, entities, reason=own.arl.reason), graph

    def _vectors(self, graph: knowledge.KnowledgeGraph, width: int, seed: int) -> torch.Tensor:
        key = digest("transe", graph.content, width, seed, self.params.runtime.threads, code_digest(transe.__name__))
        found = cached(self.paths.cache, key, len(graph.entities), lambda: transe.embed(graph, width, seed).numpy())
        return torch.from_numpy(found)

    def pretrained(self, method: str, seed: int) -> Fusion:
        """A method's model after pretraining, which comes from the cache if it was trained before."""
        own = self.params.fusion(method)
        fusion, graph = self.fusion(own, seed)
        if not self._epochs(own):
            return fusion
        n_words, width = len(words_of(self.pairs.texts)), self.pairs.images.shape[2]
        pretext = Pretext(fusion, n_words, width, own.arl.align)
        task = FusionPretraining(own, self.pairs, self._masked(own), pretext, graph, seed, Group(), self.device)
        self._fit(own, self._pretraining_key(own, seed), f"{method} seed {seed}", task, self._epochs(own))
        return fusion

    def _masked(self, own: Params) -> list[Masked]:
        """Ways to hide tokens; methods that hide the same way share them."""
        a = own.arl
        key = (a.learn, a.masked_words, a.budget, min(a.variants, self._epochs(own)))
        if key not in self._hidden:
            self._hidden[key] = hide(self.pairs.texts, a, self.reader, key[-1])
        return self._hidden[key]

    def answerer(self, method: str, seed: int, name: str, train: np.ndarray) -> tuple[nn.Module, list[str]]:
        """A model that answers the questions of a set, trained on some of them; and its vocabulary."""
        own, table, examples = self.params.fusion(method), self.sets[name], self.questions(name)
        words = vocabulary(table.assign(split=np.where(train, "train", "test")))
        index = {word: i for i, word in enumerate(words)}
        answers = np.array([index.get(word, NO_ANSWER) for word in table["truth"]])
        if own.arl.model == "fusion":
            fusion = self.pretrained(method, seed)
            seed_everything(seed)
            net: nn.Module = Answering(fusion, len(words))
        else:
            seed_everything(seed)
            net = Plain(own.arl.model, *self.reader.widths, len(words))
        key = self._answers_key(own, seed, examples, digest(digest_arrays(answers[train], train), words))
        task = AnswerTraining(own, examples, answers, np.flatnonzero(train), net, seed, Group(), self.device)
        self._fit(own, key, f"{name} {method} seed {seed}", task, own.arl.answer_epochs[self.source])
        return net, words

    def _epochs(self, own: Params) -> int:
        """Of pretraining."""
        return own.arl.epochs[self.source]

    def _pretraining_key(self, own: Params, seed: int) -> str:
        """A hash of all that weights depend on before they learn to answer."""
        settings = own.arl.model_dump(exclude=NOT_OF_A_MODEL | OF_ANSWERS) | {"epochs": self._epochs(own)}
        examples = self.pairs.content if self._epochs(own) else ""
        code = code_digest(pretraining.__name__, model.__name__)
        return digest("pretraining", settings, self.graph.content, examples, *_of_a_run(own, seed), code)

    def _answers_key(self, own: Params, seed: int, examples: Examples, truth: str) -> str:
        a = own.arl
        before = (
            self._pretraining_key(own, seed) if a.model == "fusion" else digest(a.model, a.weight_decay, a.warmup_share)
        )
        settings = a.answer_epochs[self.source], a.answer_batch_size, a.answer_learning_rate
        code = code_digest(answering.__name__, model.__name__, plain.__name__)
        return digest("answers", before, settings, examples.content, truth, *_of_a_run(own, seed), code)

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
    """Where a set is judged: ``<name>`` by its own split, ``<name>-fold<k>`` by folds of images; train and test rows.

    In the folds a question that was made from another one by rewording trains, and is not asked.
    """
    split = table["split"].to_numpy()
    found = {name: (split == "train", split == "test")}
    if "fold" in table:
        asked = ~table["question_id"].str.endswith(vqa_rad.FRAME).to_numpy()
        for k in sorted(set(table["fold"])):
            test = (table["fold"] == k).to_numpy()
            found[f"{name}{FOLD}{k}"] = (~test, test & asked)
    return found


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Pretrain, train and judge ``arl.run`` on every set of questions; results under ``<out>/<set or fold>``."""
    shutil.rmtree(out, ignore_errors=True)
    opened = partial(Arl, params, source, paths.root)
    own = opened()
    if unknown := sorted(set(params.arl.folds) - set(SETS)):
        known = ", ".join(sorted(SETS))
        raise PhenoLIPError(f"arl.folds: no set of questions is named {unknown[0]!r}; there are {known}")
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
        for method in (*methods, MAJORITY)
        if split == name or method in (*params.arl.cross_validated, MAJORITY)
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


def others(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each question the image of another one, never its own where there are two ``(n,)``: whole images change
    places in a circle, in random order."""
    order = random.permutation(np.unique(images))
    following = dict(zip(order, np.roll(order, 1), strict=True))
    return np.array([following[image] for image in images])


def _of_a_run(own: Params, seed: int) -> tuple:
    return own.fingerprint("training"), own.runtime.threads, own.runtime.device, seed


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
    net, words = own.answerer(method, seed, name, train)
    examples, rows = own.questions(name), np.flatnonzero(test)

    def given(examples: Examples) -> list[str]:
        return [words[i] for i in predict(net, examples, rows, own.device).argmax(axis=1)]

    write(method, given(examples))
    if method == own.params.arl.run[own.source][0]:
        order = examples.image_rows.copy()
        order[rows] = others(order[rows], np.random.default_rng(seed))
        write(method + SHUFFLED, given(Examples(examples.images, examples.texts, order, examples.text_rows)))
