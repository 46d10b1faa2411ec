"""ARL on the questions of a source: pretrain each method on its images with captions, train answers, judge them."""

from __future__ import annotations

import shutil
from functools import cached_property, partial
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
from phenolip_lib.core.runtime import configure, log, pick_device, seed_everything
from phenolip_lib.core.storage import digest, digest_arrays, write_json
from phenolip_lib.data.folds import group_folds
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.data.questions import normal_answer, present, slake, vocabulary, vqa_med_2019, vqa_rad
from phenolip_lib.data.questions.baseline import majority
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources import roco
from phenolip_lib.evaluation.answers import TASK, score
from phenolip_lib.evaluation.results import write_result
from phenolip_lib.models.features import cached
from phenolip_lib.models.fusion.config import load_config
from phenolip_lib.models.fusion.graph import EntityEncoder
from phenolip_lib.models.fusion.model import Answering, Fusion
from phenolip_lib.models.fusion.plain import Plain
from phenolip_lib.models.fusion.pretext import Pretext
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training.arl import knowledge, transe
from phenolip_lib.training.arl.answering import NO_ANSWER, AnswerTraining, predict
from phenolip_lib.training.arl.inputs import Examples, Reader, clean, unique
from phenolip_lib.training.arl.pretraining import FusionPretraining, hide, words_of
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine, Task

BOX = ["left", "top", "right", "bottom"]
MAJORITY, SHUFFLED = "majority", "_shuffled"
"""Rows of the tables that are no method: the majority answer, and a method that is shown another question's image."""


class Questions:
    """The images, captions, questions and the graph of a source, as fusion models take them; made once a process."""

    def __init__(self, params: Params, source: str, root: Path) -> None:
        configure(params.runtime.threads)
        self.params, self.source, self.paths = params, source, Paths(root)
        self.data, self.device = self.paths.data(source), pick_device(params.runtime.device)
        self.onto, self.config = Ontology.load(self.paths.hpo), load_config(params.arl.config)
        self._asked: dict[str, Examples] = {}

    @cached_property
    def sets(self) -> dict[str, pd.DataFrame]:
        """Questions by data set: a column `split`, and `fold` where the set is judged by folds of images too."""
        found = {}
        for name, one in question_sets(self.source, self.data, self.paths, self.onto).items():
            table = one.table.assign(truth=one.table["answer"].map(normal_answer))
            if name in self.params.arl.folds:
                k = self.params.arl.folds[name]
                table["fold"] = group_folds(table["image_id"], k, self.params.evaluation.split_seed)
            found[name] = table
        if not found:
            raise PhenoLIPError(f"{self.data}: no set of questions is there; put vqa-rad or slake beside the images")
        return found

    @cached_property
    def captions(self) -> pd.DataFrame:
        """Training pairs of pretraining: image, box and caption; without images that a question set asks about."""
        wanted, columns = self.params.arl.captions, ["image", *BOX, "caption"]
        pairs = load_pairs(self.paths.phenokg(self.source))
        pairs = pairs[(pairs["split"] == "train") & pairs["dataset"].isin(wanted)]
        pairs = without_asked(pairs, pd.concat(self.sets.values()))
        own = roco.records(self.data) if roco.NAME in wanted and roco.is_there(self.data) else ()
        rows = [(r.image, *r.box, r.caption) for r in own if isinstance(r, Record) and r.official_split == "train"]
        table = pd.concat([pairs[columns], pd.DataFrame(rows, columns=columns)], ignore_index=True)
        return table[table["caption"].str.strip() != ""].drop_duplicates(ignore_index=True)

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.config, self.device, self.params.runtime.workers, self.paths.cache)

    @cached_property
    def triples(self) -> pd.DataFrame | None:
        return slake.knowledge(self.data) if slake.NAME in self.sets else None

    @cached_property
    def linker(self) -> knowledge.Linker:
        names = [] if self.triples is None else [*self.triples["head"], *self.triples["tail"]]
        return knowledge.Linker(self.onto, names)

    @cached_property
    def spans(self) -> dict[str, list[knowledge.Span]]:
        """Entities of every text."""
        texts = {*self.captions["caption"]}.union(*(table["question"] for table in self.sets.values()))
        return {text: self.linker(text) for text in clean(self.reader, sorted(texts))}

    @cached_property
    def graph(self) -> knowledge.KnowledgeGraph:
        """Over what training texts name; a question of a test split adds nothing to it."""
        train = [t.loc[t["split"] == "train", "question"] for t in self.sets.values()]
        texts = [
            self.spans[text] for text in clean(self.reader, pd.concat([self.captions["caption"], *train]).tolist())
        ]
        return knowledge.build(self.onto, texts, self.linker, self.triples, self.params.arl.min_count)

    def examples(self, images: pd.DataFrame, texts: list[str]) -> Examples:
        """Images with their texts, row by row."""
        texts = clean(self.reader, texts)
        names, text_rows = unique(texts)
        keys, image_rows = unique(images[["image", *BOX]].astype(str).agg("|".join, axis=1).tolist())
        first = images.iloc[np.unique(image_rows, return_index=True)[1]]
        read = self.reader.read(names, [self.spans[text] for text in names], self.graph)
        return Examples(self.reader.cells(first, self.data), read, image_rows, text_rows)

    @cached_property
    def pairs(self) -> Examples:
        return self.examples(self.captions, self.captions["caption"].tolist())

    def questions(self, name: str) -> Examples:
        """The questions of a set, row by row."""
        if name not in self._asked:
            table = self.sets[name]
            images = pd.DataFrame({"image": table["image_path"], "left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0})
            self._asked[name] = self.examples(images, table["question"].tolist())
        return self._asked[name]

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
        self._fit(own, seed, key, f"{method} seed {seed}", lambda: FusionPretraining(
            own, self.pairs, hide(self.pairs.texts, own.arl, self.reader, seed), pretext, graph, seed, Group(),
            self.device,
        ), self._epochs(own))  # fmt: skip
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
        self._fit(own, seed, key, f"{name} {method} seed {seed}", lambda: AnswerTraining(
            own, examples, answers, np.flatnonzero(train), model, seed, Group(), self.device
        ), own.arl.answer_epochs[self.source])  # fmt: skip
        return model, words

    def _epochs(self, own: Params) -> int:
        """Of pretraining."""
        return own.arl.epochs[self.source]

    def _own(self, own: Params, seed: int) -> tuple:
        """What a model depends on beside its examples, for cache keys."""
        settings = own.arl.model_dump(exclude={"methods", "run", "folds", "baseline"})
        return (
            settings,
            self.graph.content,
            own.fingerprint("training"),
            own.runtime.threads,
            seed,
            code_digest(__name__),
        )

    def _fit(self, own: Params, seed: int, key: str, title: str, task_of, epochs: int) -> None:
        folder = self.paths.cache / "runs" / f"{self.source}-arl-{key}"
        task: Task = task_of()
        task.module.to(self.device)
        steps = task.steps_per_epoch * epochs
        warm = round(own.arl.warmup_share * steps)
        engine = Engine(task, epochs, warm, own.training, task.group, self.device, Checkpoints(folder))
        engine.fit(Watch(title, steps, None, engine.resume()))
        task.module.to("cpu").eval()


def without_asked(pairs: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """Pairs without the cases of MedPix that `questions` ask about an image of: other images are slices of one scan."""
    taken = questions[questions["dataset"].isin((vqa_rad.NAME, vqa_med_2019.NAME))]
    same = set(vqa_rad.in_medpix(taken, pairs["image"]).values())
    cases = set(pairs.loc[pairs["image"].isin(same), "group"])
    asked = pairs["group"].isin(cases)
    log.info("ARL: %d pairs of %d cases that are asked about leave the pretraining", asked.sum(), len(cases))
    return pairs[~asked]


def question_sets(source: str, data: Path, paths: Paths, onto: Ontology) -> dict:
    """Sets of questions by name: those that lie beside the images, or what the synthetic images are asked."""
    if source != "phantom":
        return present(data)
    from phenolip_lib.data.questions import phantom
    from phenolip_lib.phantom.atlas import phenotypes
    from phenolip_lib.phantom.names import caption_names

    names = caption_names(onto, phenotypes()["hpo_id"].tolist())
    return {phantom.NAME: phantom.questions(load_pairs(paths.phenokg(source)), data, names)}


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
    opened = partial(Questions, params, source, paths.root)
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


def facts(own: Questions) -> dict:
    """Numbers of what was trained on: entities, triples, pairs, and questions by set and split."""
    graph = own.graph
    return {
        "entities": len(graph.entities),
        "triples": len(graph.triples),
        "relations": {name: int((graph.triples[:, 1] == i).sum()) for i, name in enumerate(graph.relations)},
        "pairs": len(own.pairs),
        "questions": {name: t["split"].value_counts().sort_index().to_dict() for name, t in own.sets.items()},
    }


def _pretrain(own: Questions, job: tuple[str, int]) -> None:
    own.pretrained(*job)


def _one(own: Questions, job: tuple[Path, str, str, str, int]) -> None:
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
