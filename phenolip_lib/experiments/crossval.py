"""The same methods on other splits: case-grouped folds, and leaf phenotypes that training never saw.

A fixed test split of a small source cannot resolve what methods differ in. Over the folds every image is a
test image once; the groups (patient, case, article) stay whole. No setting is chosen here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from phenolip_lib.core import side_by_side
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import configure, log, pick_device
from phenolip_lib.core.storage import read_json, read_parquet, write_json
from phenolip_lib.data.folds import group_folds
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.data.splits import check_no_leakage
from phenolip_lib.evaluation.results import load_outcomes
from phenolip_lib.evaluation.tasks.unseen import check_held_out, hold_out_leaves
from phenolip_lib.experiments.evaluate import evaluate
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.ontology.ontology import Ontology

TASKS = ("retrieval", "candidates", "training_images", "systems")
UNSEEN = "unseen"
TEST = "test"
"""The split of a source without folds, where `compare` trains and evaluates."""
HELD_OUT = "held_out.json"
"""The phenotypes that the split `UNSEEN` keeps out of training."""


def splits_of(
    pairs: pd.DataFrame, mentions: pd.DataFrame, onto: Ontology, params: Params, source: str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The other splits of a source by name, each the whole pairs table with its split column.

    ``fold0`` to ``fold<k-1>``: a fold is test, the rest is train. ``unseen``: leaf phenotypes out of training.

    Returns:
        the splits; the phenotypes that ``unseen`` holds out.

    Raises:
        PhenoLIPError: more folds than groups, or a group, article, patient or held-out phenotype that crosses.
    """
    e, found, phenotypes = params.evaluation, {}, []
    folds = e.folds.get(source, 0)
    if folds:
        number = group_folds(pairs["group"], folds, e.split_seed, pairs["phenotypes"].map(list))
        check_no_leakage(pairs.assign(split=number))
        for k in range(folds):
            found[f"fold{k}"] = pairs.assign(split=["test" if own == k else "train" for own in number])
    if share := e.unseen_share.get(source, 0.0):
        held = hold_out_leaves(pairs, onto, share=share, seed=e.split_seed, mentions=mentions)
        changed = pairs.assign(split=held.split)
        check_held_out(changed, onto, held.phenotypes, mentions)
        check_no_leakage(changed)
        found[UNSEEN], phenotypes = changed, held.phenotypes
    return found, phenotypes


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Train and evaluate ``evaluation.cross_validated`` on every other split; results under ``<out>/<split>``."""
    splits, phenotypes = _splits(params, source, paths)
    for name, table in splits.items():
        log.info("%s %s: %s", source, name, table["split"].value_counts().sort_index().to_dict())
    write_json(out / HELD_OUT, {"phenotypes": phenotypes})
    names = params.evaluation.cross_validated
    on_splits(evaluated(Experiment.of, TASKS), names, params.seeds, params, source, paths, out, splits)


def compare(
    work: Work,
    names: Sequence[str],
    seeds: Sequence[int],
    params: Params,
    source: str,
    paths: Paths,
    out: Path,
    folds: int = 0,
) -> None:
    """`on_splits` of the splits that other comparisons are made on, with `out` made anew.

    They are the folds, or the test split where there are none, and ``unseen``. What was trained and evaluated before
    comes from the cache.

    Args:
        folds: only the first so many; 0 for all.
    """
    splits, phenotypes = _splits(params, source, paths)
    known = [name for name in splits if name != UNSEEN]
    for name in known[folds or len(known) :]:
        del splits[name]
    if not known:
        splits = {TEST: load_pairs(paths.phenokg(source))} | splits
    shutil.rmtree(out, ignore_errors=True)
    write_json(out / HELD_OUT, {"phenotypes": phenotypes})
    on_splits(work, names, seeds, params, source, paths, out, splits)


def _splits(params: Params, source: str, paths: Paths) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """`splits_of` what the pipeline built of a source."""
    folder = paths.phenokg(source)
    mentions = read_parquet(folder / "mentions.parquet")
    return splits_of(load_pairs(folder), mentions, Ontology.load(paths.hpo), params, source)


def on_splits(
    work: Work,
    names: Sequence[str],
    seeds: Sequence[int],
    params: Params,
    source: str,
    paths: Paths,
    out: Path,
    splits: dict[str, pd.DataFrame],
) -> None:
    """``work(Splits, (out, split, name, seed))`` for each, in ``runtime.workers`` processes on a CPU.

    Args:
        names: of methods, or of what else a model is called by.
    """
    jobs = [(out, split, name, seed) for split in splits for name in names for seed in seeds]
    workers = params.runtime.workers if pick_device(params.runtime.device).type == "cpu" else 1
    for _ in side_by_side.run(work, jobs, partial(Splits, params, source, paths.root, splits), workers, "runs"):
        pass


def evaluated(opened: Callable[[Experiment, str], Experiment], tasks: Sequence[str]) -> Work:
    """Work that trains a model and evaluates it, with results under ``<out>/<split>``.

    Args:
        opened: the experiment of a name, from that of the split.
    """
    return partial(_one, opened, tasks)


class Splits:
    """The splits of a source, one open at a time: they differ in who trains, so features are read once."""

    def __init__(self, params: Params, source: str, root: Path, splits: dict[str, pd.DataFrame]) -> None:
        configure(params.runtime.threads)
        self.splits, self.name = splits, next(iter(splits))
        self.experiment = self.first = Experiment(params, source, Paths(root), pairs=splits[self.name])

    def open(self, name: str) -> Experiment:
        if name != self.name:
            self.name, self.experiment = name, self.first.again(pairs=self.splits[name])
        return self.experiment


Job = tuple[Path, str, str, int]
Work = Callable[[Splits, Job], None]


def _one(opened: Callable[[Experiment, str], Experiment], tasks: Sequence[str], splits: Splits, job: Job) -> None:
    """One run of one split."""
    out, split, name, seed = job
    own = opened(splits.open(split), name)
    evaluate(own, own.trained(name, seed), name, seed, out / split, tasks)


def unseen_outcomes(folder: Path) -> pd.DataFrame:
    """Outcomes of the queries that ask for a held-out phenotype, in the split `UNSEEN`; empty if there is none.

    Other phenotypes without a training image, which are rare but not held out, are no part of it: captions of
    training may mention them.
    """
    found = outcomes(folder, "training_images", UNSEEN)
    if not len(found):
        return found
    held = read_json(Path(folder) / HELD_OUT, ("phenotypes",))["phenotypes"]
    asked = found["query"].str.extract(rf"(HP:\d+)(?:\|{UNSEEN})?$", expand=False)
    return found[asked.isin(held)].assign(dataset="")


def outcomes(folder: Path, task: str, splits: str = "fold*") -> pd.DataFrame:
    """Outcomes of one task over all splits of a kind, as one table; empty if there are none.

    A phenotype asks once in every fold; those are queries of their own, and one group.
    """
    parts = []
    for place in sorted(Path(folder).glob(splits)):
        own = load_outcomes(place, [task])
        again = own["query"] == own["group"]
        parts.append(own.assign(query=own["query"].where(~again, own["query"] + f"|{place.name}")))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def seen_outcomes(folder: Path, task: str) -> pd.DataFrame:
    """Outcomes of one task on the splits of `compare` but ``unseen``."""
    found = outcomes(folder, task)
    return found if len(found) else load_outcomes(folder / TEST, [task])


def by_asked(folder: Path) -> dict[str, pd.DataFrame]:
    """Outcomes on the splits of `compare` by what the queries ask for: phenotypes of training, and held-out ones."""
    held = unseen_outcomes(folder)
    return {"seen": seen_outcomes(folder, "retrieval")} | ({"held out": held} if len(held) else {})
