"""What one change of stage 2 is worth under every combination of other changes: a full factorial design.

``factors.axes`` of params names the changes. The first is the one whose worth is asked, with two levels; every
combination of the levels of all axes is trained and evaluated on the same splits as cross-validation.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import write_json
from phenolip_lib.experiments import crossval
from phenolip_lib.experiments.evaluate import evaluate

TASKS = ("retrieval", "training_images")


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Train and evaluate every combination; results under ``<out>/<split>``, which is made anew.

    What was trained and evaluated before comes from the cache.
    """
    splits, phenotypes = crossval.comparison(params, source, paths, params.factors.folds)
    shutil.rmtree(out, ignore_errors=True)
    write_json(out / crossval.HELD_OUT, {"phenotypes": phenotypes})
    cells, seeds = params.factors.combinations, params.factors.seeds
    jobs = [(out, name, cell, seed) for name in splits for cell in cells for seed in seeds]
    crossval.on_splits(_one, jobs, params, source, paths, splits)


def _one(splits: crossval.Splits, job: tuple[Path, str, str, int]) -> None:
    """One combination on one split with one seed."""
    out, name, cell, seed = job
    own = splits.open(name)
    own = own.again(own.params.combination(cell))
    evaluate(own, own.trained(cell, seed), cell, seed, out / name, TASKS)
