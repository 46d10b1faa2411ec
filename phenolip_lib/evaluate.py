"""The tasks by name, run over every trained model; adding a task is one function and one line here.

A task gives outcomes of single queries and numbers (`results.Result`). What was evaluated once is kept in
the cache under everything it depends on, so that a run that was interrupted goes on with what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from phenolip_lib import evaluation
from phenolip_lib.experiment import Embedded, Experiment
from phenolip_lib.results import Result, write_result
from phenolip_lib.runtime import log, provenance
from phenolip_lib.storage import atomic_folder, digest, digest_arrays
from phenolip_lib.student import Student, load_student
from phenolip_lib.tasks import unseen
from phenolip_lib.tasks.retrieval import retrieval

CODE = ("evaluate.py", "evaluation.py", "heatmaps.py", "masks.py", "metrics.py", "prompts.json", "tasks/*.py")
"""Files whose change makes kept results stale."""


@dataclass
class Case:
    """One trained model on one source, as the tasks see it."""

    experiment: Experiment
    student: Student
    embedded: Embedded
    seed: int

    @property
    def bench(self) -> evaluation.Benchmark:
        return self.experiment.bench

    @cached_property
    def by_phenotype(self):
        """Retrieval by phenotype, for long tail and organ systems."""
        return unseen.phenotype_outcomes(self.bench, self.embedded)


def _retrieval(case: Case) -> Result:
    sizes = {"n_images": len(case.bench.rows), "n_candidates": len(case.bench.candidates)}
    return Result(retrieval(case.bench, case.embedded, case.experiment.relations), {"": sizes})


def _zero_shot(case: Case) -> Result:
    return Result(numbers=evaluation.zero_shot(case.bench, case.embedded.images, case.embedded.text))


def _linear_probe(case: Case) -> Result:
    return Result(numbers=evaluation.linear_probe(case.bench, case.embedded.images, case.seed))


def _training_images(case: Case) -> Result:
    return Result(unseen.by_training_images(case.by_phenotype, case.experiment.pairs))


def _systems(case: Case) -> Result:
    return Result(unseen.by_system(case.by_phenotype, case.experiment.onto))


TASKS: dict[str, Callable[[Case], Result]] = {
    "retrieval": _retrieval,
    "training_images": _training_images,
    "systems": _systems,
    "zero_shot": _zero_shot,
    "linear_probe": _linear_probe,
}


def evaluate(
    experiment: Experiment,
    student: Student,
    method: str,
    seed: int,
    folder: Path,
    tasks: Sequence[str] = tuple(TASKS),
) -> None:
    """Results of one model under ``<folder>/<method>-seed<seed>``, of the cache if they are there.

    Raises:
        PhenoLIPError: embeddings that are not finite or have no length, or what a task refuses.
    """
    embedded = experiment.embed(student)
    p = experiment.params
    key = digest(
        experiment.content, experiment.onto.release, p.fingerprint("evaluation"), seed, tasks, _code(),
        digest_arrays(embedded.images, embedded.captions), experiment.source,
    )  # fmt: skip
    kept = experiment.paths.cache / "results" / f"{experiment.source}-{method}-seed{seed}-{key}"
    if not kept.is_dir():
        case = Case(experiment, student, embedded, seed)
        sections = ("hpo", "phenokg", "encoders", "stage1", "stage2", "evaluation")
        facts = {
            "source": experiment.source, "method": method, "seed": seed, "n_train": experiment.n_train,
            "provenance": provenance(params=p.fingerprint(*sections), release=experiment.onto.release),
        }  # fmt: skip
        with atomic_folder(kept) as target:
            for name in tasks:
                write_result(target, name, TASKS[name](case), facts)
        log.info("evaluated %s seed %d on %s", method, seed, experiment.source)
    shutil.copytree(kept / f"{method}-seed{seed}", folder / f"{method}-seed{seed}", dirs_exist_ok=True)


def evaluate_all(experiment: Experiment, models: Path, folder: Path) -> None:
    """Evaluate every method and seed that `Experiment.train_all` saved in `models`."""
    for method in experiment.params.methods:
        params = experiment.params.method(method)
        for seed in params.seeds:
            student = load_student(models, f"{method}-seed{seed}", params, experiment.teacher, seed)
            evaluate(experiment, student, method, seed, folder)


def _code() -> str:
    """A hash of the code that makes results."""
    own = Path(__file__).parent
    files = sorted(path for pattern in CODE for path in own.glob(pattern))
    return digest([(path.name, path.read_text(encoding="utf-8")) for path in files])
