"""What one change of stage 2 is worth under every combination of other changes: a full factorial design.

``factors.axes`` of params names the changes. The first is the one whose worth is asked, with two levels; every
combination of the levels of all axes is trained and evaluated on the same splits as cross-validation.
"""

from __future__ import annotations

from pathlib import Path

from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.experiments import crossval
from phenolip_lib.experiments.experiment import Experiment

TASKS = ("retrieval", "training_images")


def run(params: Params, source: str, paths: Paths, out: Path) -> None:
    """Train and evaluate every combination; results under ``<out>/<split>``, see `crossval.compare`."""
    f, work = params.factors, crossval.evaluated(_opened, TASKS)
    crossval.compare(work, list(f.combinations), f.seeds, params, source, paths, out, f.folds)


def _opened(experiment: Experiment, name: str) -> Experiment:
    return experiment.again(experiment.params.combination(name))
