"""The images, captions, questions and the graph of a source, as fusion models take them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import configure, log, pick_device
from phenolip_lib.core.storage import read_parquet
from phenolip_lib.data.folds import group_folds
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.data.questions import QuestionSet, normal_answer, phantom, present, slake, vqa_med_2019, vqa_rad
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources import roco
from phenolip_lib.models.fusion.config import load_config
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.phantom.atlas import phenotypes
from phenolip_lib.phantom.names import caption_names
from phenolip_lib.training.arl import knowledge
from phenolip_lib.training.arl.inputs import Examples, Reader, clean, unique

BOX = ["left", "top", "right", "bottom"]


class Questions:
    """The images, captions, questions and the graph of a source, as fusion models take them."""

    def __init__(self, params: Params, source: str, root: Path) -> None:
        configure(params.runtime.threads)
        self.params, self.source, self.paths = params, source, Paths(root)
        self.data, self.device = self.paths.data(source), pick_device(params.runtime.device)
        self.onto, self.config = Ontology.load(self.paths.hpo), load_config(params.arl.config)
        self._asked: dict[str, Examples] = {}

    @cached_property
    def sets(self) -> dict[str, pd.DataFrame]:
        """Questions by data set: a column `split`, and `fold` where the set is judged by folds of images too."""
        found, folds = {}, self.params.arl.folds
        for name, one in question_sets(self.source, self.data, self.paths, self.onto).items():
            table = one.table.assign(truth=one.table["answer"].map(normal_answer))
            if lacks := [split for split in ("train", "test") if not (table["split"] == split).any()]:
                raise PhenoLIPError(f"{name}: no question of its {lacks[0]} split can be asked; put its images there")
            if name in folds:
                table["fold"] = group_folds(table["image_id"], folds[name], self.params.evaluation.split_seed)
            found[name] = table
        if not found:
            raise PhenoLIPError(f"{self.data}: no set of questions is there; put vqa-rad or slake beside the images")
        return found

    @cached_property
    def captions(self) -> pd.DataFrame:
        """Training pairs of pretraining: image, box and caption; without images that a question set asks about."""
        wanted, columns = self.params.arl.captions, ["image", *BOX, "caption"]
        folder = self.paths.phenokg(self.source)
        pairs = load_pairs(folder)
        pairs = pairs[(pairs["split"] == "train") & pairs["dataset"].isin(wanted)]
        quarantine = read_parquet(folder / "quarantine.parquet", ["record_id", "reason"])
        pairs = without_asked(pairs, quarantine, pd.concat(self.sets.values()))
        own = roco.records(self.data) if roco.NAME in wanted and roco.is_there(self.data) else ()
        rows = [(r.image, *r.box, r.caption) for r in own if isinstance(r, Record) and r.official_split == "train"]
        table = pd.concat([pairs[columns], pd.DataFrame(rows, columns=columns)], ignore_index=True)
        table = table[table["caption"].str.strip() != ""].drop_duplicates(ignore_index=True)
        if len(table) < 2:
            raise PhenoLIPError(
                f"arl.captions: {len(table)} pairs of {', '.join(wanted)} to pretrain on; name more data sets"
            )
        return table

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
        """Over what captions and questions of training splits name; a question of a test split adds nothing to it."""
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


def without_asked(pairs: pd.DataFrame, quarantine: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """Pairs without the cases of MedPix that `questions` ask about an image of: other images are slices of one scan.

    Args:
        quarantine: records that curation left out (record_id, reason): an image that is asked about may be among them,
            and what it was a duplicate of leaves too.
    """
    taken = questions[questions["dataset"].isin((vqa_rad.NAME, vqa_med_2019.NAME))]
    names = [*pairs["image"], *quarantine["record_id"]]
    numbers = {_part(name, 2) for name in vqa_rad.in_medpix(taken, names).values()}
    cases = {_part(name, 0) for name in names if _part(name, 2) in numbers}
    same = quarantine[quarantine["record_id"].map(lambda name: _part(name, 0) in cases)]
    kept = set(same["reason"].str.extract(r"duplicate of (\S+)", expand=False).dropna())
    own = pairs["image"].map(lambda image: _part(image, 0) in cases) | pairs["pair_id"].isin(kept)
    asked = pairs["group"].isin(set(pairs.loc[own, "group"]))
    log.info("ARL: %d pairs of %d cases that are asked about leave the pretraining", asked.sum(), len(cases))
    return pairs[~asked]


def _part(name: str, which: int) -> str:
    """Case (0) or number (2) of an image of MedPix, ``MPX1009_synpic46283``."""
    return Path(name).stem.rpartition("_")[which]


def question_sets(source: str, data: Path, paths: Paths, onto: Ontology) -> dict[str, QuestionSet]:
    """Sets of questions by name: those that lie beside the images, or what the synthetic images are asked."""
    if source != "phantom":
        return present(data)
    names = caption_names(onto, phenotypes()["hpo_id"].tolist())
    return {phantom.NAME: phantom.questions(load_pairs(paths.phenokg(source)), data, names)}
