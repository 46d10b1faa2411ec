"""What one change of stage 2 is worth under every combination of other changes: a full factorial design.

``factors.axes`` of params names the changes. The first is the one whose worth is asked, with two levels; every
combination of the levels of all axes is trained and evaluated on the same splits as cross-validation.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pandas as pd

from phenolip_lib.core import side_by_side
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import pick_device
from phenolip_lib.core.storage import read_parquet, write_json
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.evaluation.results import load_outcomes
from phenolip_lib.experiments import crossval
from phenolip_lib.experiments.evaluate import evaluate
from phenolip_lib.ontology.ontology import Ontology

TASKS = ("retrieval", "training_images")
TEST = "test"
"""The split of a source without folds."""


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Train and evaluate every combination; results under ``<out>/<split>``, which is made anew.

    What was trained and evaluated before comes from the cache.
    """
    onto, folder = Ontology.load(paths.hpo), paths.phenokg(source)
    pairs, mentions = load_pairs(folder), read_parquet(folder / "mentions.parquet")
    splits, phenotypes = crossval.splits_of(pairs, mentions, onto, params, source)
    folds = [name for name in splits if name != crossval.UNSEEN]
    dropped = folds[params.factors.folds or len(folds) :]
    splits = {name: table for name, table in splits.items() if name not in dropped}
    if not folds:
        splits = {TEST: pairs} | splits
    shutil.rmtree(out, ignore_errors=True)
    write_json(out / crossval.HELD_OUT, {"phenotypes": phenotypes})
    cells, seeds = params.factors.combinations, params.factors.seeds
    jobs = [(out, name, cell, seed) for name in splits for cell in cells for seed in seeds]
    workers = params.runtime.workers if pick_device(params.runtime.device).type == "cpu" else 1
    state = partial(crossval.Splits, params, source, paths.root, splits)
    for _ in side_by_side.run(_one, jobs, state, workers, "runs"):
        pass


def _one(splits: crossval.Splits, job: tuple[Path, str, str, int]) -> None:
    """One combination on one split with one seed."""
    out, name, cell, seed = job
    own = splits.open(name)
    own = own.again(own.params.combination(cell))
    evaluate(own, own.trained(cell, seed), cell, seed, out / name, TASKS)


def outcomes(folder: Path) -> dict[str, pd.DataFrame]:
    """Outcomes by what the queries ask for: phenotypes of training, and those held out of it."""
    seen = crossval.outcomes(folder, "retrieval")
    if not len(seen):
        seen = load_outcomes(folder / TEST, ["retrieval"])
    held = crossval.unseen_outcomes(folder)
    return {"seen": seen} | ({"held out": held} if len(held) else {})
