"""MedFILIP on the splits of the comparison, beside methods of stage 2: the same pairs, towers, seeds and queries."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.kept import kept
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import log, pick_device, provenance
from phenolip_lib.core.storage import digest, read_json, write_json, write_parquet
from phenolip_lib.data.films import present as film_sets
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.data.splits import identities
from phenolip_lib.evaluation.films import probe, scored
from phenolip_lib.evaluation.results import write_result
from phenolip_lib.evaluation.tasks.entries import TASK as ENTRIES
from phenolip_lib.evaluation.tasks.entries import entries as entry_retrieval
from phenolip_lib.experiments import crossval
from phenolip_lib.experiments.evaluate import evaluate
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.features import image_features, text_features
from phenolip_lib.models.student import Student, load_student
from phenolip_lib.models.towers import load_towers
from phenolip_lib.recognition.findings import extract
from phenolip_lib.recognition.findings.book import Book, entry_text, hpo_book
from phenolip_lib.recognition.findings.extract import Extraction, Finding, Rules
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.medfilip import entries
from phenolip_lib.training.medfilip import task as training

TASKS = ("retrieval", "training_images", "zero_shot")
PARAMS = ("runtime.device", "runtime.threads", "encoders", "stage1", "stage2", "medfilip")
"""Params that scores of entries depend on."""
FILMS = "films"
"""Folder of the scores of chest films: ``<data set>/<method>/<split>-seed<k>.parquet``, a column a finding."""
PROBE = "probe"
"""What the supervised probe is called among the methods there."""


class Filip(Experiment):
    """A split of a source, for one of ``medfilip.methods``.

    Args:
        like: the experiment on the same split.
        name: of the method.
    """

    def __init__(self, like: Experiment, name: str) -> None:
        own = like.params.filip(name)
        super().__init__(own, like.source, like.paths, like.teacher, like.group, like.whole, like.reference, like)

    @cached_property
    def book(self) -> Book:
        """What findings look like: HPO's definitions and comments, and the user's file over them."""
        file = self.params.medfilip.book_file
        return hpo_book(self.onto).with_file(Path(file)) if file else hpo_book(self.onto)

    @cached_property
    def found(self) -> training.EntryData:
        """Entries of all pairs with their features."""
        e = self.params.encoders
        towers = load_towers(e.student, e.image_size, e.context_length)
        made = entries.build(extractions(self), self.onto, self.book, self.params.medfilip)
        options = {"device": self.device, "workers": self.params.runtime.workers, "cache": self.paths.cache}
        return training.prepare(made, lambda texts: text_features(towers.text, texts, **options))

    def asked(self, text: str) -> str:
        """A phenotype's name as an entry says it, with the book's sentence; any other text as it is."""
        page = self.book.page(text) if self.params.medfilip.book else None
        return f"{text.lower()}. {page.text}" if page else text

    def say(self, finding: Finding) -> str:
        """The text of a finding, as these students read it."""
        return entry_text(finding, self.book if self.params.medfilip.book else None)

    def _texts(self, model: Student) -> Callable[[list[str]], np.ndarray]:
        embed = super()._texts(model)
        return lambda texts: embed([self.asked(text) for text in texts])

    def beside(self, task: str) -> str:
        return digest(super().beside(task), self.book.version if self.params.medfilip.book else "")

    def run_folder(self, name: str, seed: int) -> Path:
        key = training.run_key(self.params, seed, digest(self.content, self.found.content))
        return self.paths.cache / "runs" / f"{self.source}-{name}-seed{seed}-{key}"

    def train(self, name: str, seed: int, curves: Path | None = None) -> tuple[Student, pd.DataFrame]:
        return training.train(
            self.params,
            self.data,
            self.found,
            seed,
            group=self.group,
            device=self.device,
            title=f"{self.source} {name} seed {seed}",
            checkpoints=Checkpoints(self.run_folder(name, seed)),
            curves=curves,
        )


@lru_cache(maxsize=1)
def extractions(experiment: Experiment) -> list[Extraction]:
    """The findings of every pair's caption by the rules, read once and then kept."""
    texts = experiment.pairs["caption"].tolist()
    key = digest(code_digest(extract.__name__), experiment.onto.content, texts)

    def read() -> list[Extraction]:
        known = dict(zip(unique := sorted(set(texts)), Rules(experiment.onto)(unique), strict=True))
        return [known[text] for text in texts]

    def write(folder: Path, found: list[Extraction]) -> None:
        write_json(folder / "findings.json", [extraction.row("") for extraction in found])

    return kept(
        experiment.paths.cache / "findings" / f"{experiment.source}-{key}",
        read,
        write,
        lambda folder: [Extraction.of_row(row) for row in read_json(folder / "findings.json")],
    )


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Train and evaluate ``medfilip.run`` on the splits of `crossval.compare`, and methods of stage 2 beside them.

    What was trained before comes from the cache, methods of stage 2 on the test split from its folder. Scores of films
    lie under `FILMS`.
    """
    methods = [*params.medfilip.beside, *params.medfilip.run[source]]
    crossval.compare(_one, methods, params.seeds, params, source, paths, out)
    for dataset, films in films_of(paths, source).items():
        _probe(params, paths, source, films, out / FILMS / dataset / PROBE / "films.parquet")


def films_of(paths: Paths, source: str) -> dict[str, pd.DataFrame]:
    """Sets of films beside a source that have a finding to be scored.

    A patient of whom a pair shows an image is left out, says the log: pairs train.
    """
    found = {}
    for name, films in film_sets(paths.data(source)).items():
        pairs = load_pairs(paths.phenokg(source))
        known = {*pairs["group"], *films["group"][films["image"].isin(set(pairs["image"]))]}
        known.update(*(ids.dropna() for ids in identities(pairs).values()))
        own = films[~films["group"].isin(known)].reset_index(drop=True)
        if len(own) < len(films):
            log.info("%s: %d of %d films are of patients whom the pairs show", name, len(films) - len(own), len(films))
        if scored(own["labels"]):
            found[name] = own
    return found


def _probe(params: Params, paths: Paths, source: str, films: pd.DataFrame, file: Path) -> None:
    """Scores of a supervised probe on the features of the frozen image tower."""
    e, findings = params.encoders, scored(films["labels"])
    towers, device = load_towers(e.student, e.image_size, e.context_length), pick_device(params.runtime.device)
    features = image_features(
        towers, films, paths.data(source), device=device, workers=params.runtime.workers, cache=paths.cache
    )
    table = pd.DataFrame(probe(features, films, findings), columns=findings)
    write_parquet(file, table.assign(pair_id=films["pair_id"].to_numpy()))


def _one(splits: crossval.Splits, job: crossval.Job) -> None:
    """One method on one split with one seed."""
    out, name, method, seed = job
    own, experiment = _opened(splits.open(name), method), splits.experiment
    if name == crossval.TEST and not isinstance(own, Filip):
        student = load_student(own.paths.stage2(own.source), f"{method}-seed{seed}", own.params)
    else:
        student = own.trained(method, seed)
    evaluate(own, student, method, seed, out / name, TASKS)
    embedded, bench = own.embed(student), own.bench
    found = [extractions(experiment)[row] for row in bench.rows]
    say = own.say if isinstance(own, Filip) else entry_text
    own_entries = entry_retrieval(
        bench.images(embedded, bench.rows), bench.pairs.iloc[bench.rows], found, say, embedded.text
    )
    told = provenance(params=own.params.fingerprint(*PARAMS), release=own.onto.release)
    facts = {"source": own.source, "method": method, "seed": seed, "n_train": own.n_train, "provenance": told}
    write_result(out / name, ENTRIES, own_entries, facts)
    if name != crossval.UNSEEN:
        for dataset, films in films_of(own.paths, own.source).items():
            findings = scored(films["labels"])
            scores = embedded.pictures(films) @ embedded.text(findings).T
            table = pd.DataFrame(scores, columns=findings).assign(pair_id=films["pair_id"].to_numpy())
            write_parquet(out / FILMS / dataset / method / f"{name}-seed{seed}.parquet", table)


@lru_cache(maxsize=1)
def _opened(experiment: Experiment, method: str) -> Experiment:
    known = method in experiment.params.medfilip.methods
    return Filip(experiment, method) if known else experiment.of(method)
