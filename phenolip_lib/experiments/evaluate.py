"""The tasks by name, run over every trained model; adding a task is one function and one line here.

A task gives outcomes of single queries and numbers (`results.Result`). What was evaluated once is kept in
the cache under everything it depends on, so that a run that was interrupted goes on with what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.kept import kept
from phenolip_lib.core.runtime import log, provenance
from phenolip_lib.core.storage import copy_files, digest, digest_arrays
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.results import Result, write_result
from phenolip_lib.evaluation.tasks import unseen
from phenolip_lib.evaluation.tasks.calibration import calibration
from phenolip_lib.evaluation.tasks.candidates import by_candidates
from phenolip_lib.evaluation.tasks.linear_probe import linear_probe
from phenolip_lib.evaluation.tasks.localisation import localisation
from phenolip_lib.evaluation.tasks.matching import matching
from phenolip_lib.evaluation.tasks.retrieval import retrieval
from phenolip_lib.evaluation.tasks.zero_shot import zero_shot
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.models.student import Student, load_student


@dataclass
class Case:
    """One model on one source, as the tasks see it.

    Attributes:
        experiment: the source.
        embedded: its embeddings.
        scale: the model's own factor of cosines.
        student: the model, for tasks that look inside; None for a model that is not ours.
    """

    experiment: Experiment
    embedded: Embedded
    scale: float
    student: Student | None = None

    @property
    def bench(self) -> Benchmark:
        return self.experiment.bench

    @cached_property
    def by_phenotype(self):
        """Retrieval by phenotype, for long tail and organ systems."""
        return unseen.phenotype_outcomes(self.bench, self.embedded)


def _retrieval(case: Case) -> Result:
    sizes = {"n_images": len(case.bench.rows), "n_candidates": len(case.bench.candidates)}
    return Result(retrieval(case.bench, case.embedded), {"": sizes})


def _training_images(case: Case) -> Result:
    return Result(unseen.by_training_images(case.by_phenotype, case.experiment.pairs))


def _systems(case: Case) -> Result:
    return Result(unseen.by_system(case.by_phenotype, case.experiment.onto))


def _localisation(case: Case) -> Result:
    masked = case.experiment.masked
    if case.student is None or not len(masked):
        return Result()
    return localisation(case.bench, case.embedded, case.student, masked, case.experiment.feature_maps(case.student))


TASKS: dict[str, Callable[[Case], Result]] = {
    "retrieval": _retrieval,
    "candidates": lambda case: Result(by_candidates(case.bench, case.embedded)),
    "training_images": _training_images,
    "systems": _systems,
    "zero_shot": lambda case: zero_shot(case.bench, case.embedded),
    "calibration": lambda case: calibration(case.bench, case.embedded, case.scale),
    "linear_probe": lambda case: linear_probe(case.bench, case.embedded, case.experiment.probe_sets),
    "matching": lambda case: matching(case.bench, case.embedded),
    "localisation": _localisation,
}

TASK_PARAMS = (
    "evaluation.candidates",
    "evaluation.candidate_sets",
    "evaluation.cells_per_class",
    "evaluation.face_candidates",
    "evaluation.localisation_side",
    "evaluation.probe_min_per_class",
    "evaluation.probe_seeds",
    "evaluation.probe_shares",
)
"""Params that the tasks read; `tests/test_rooms.py` holds them against the code."""

INSIDE = ("localisation",)
"""Tasks that look inside the model, and are not for models that only embed."""


def evaluate(
    experiment: Experiment, student: Student, method: str, seed: int, folder: Path, tasks: Sequence[str] = tuple(TASKS)
) -> None:
    """`evaluate_embedded` of a model of ours."""
    case = Case(experiment, experiment.embed(student), float(student.logit_scale.exp()), student)
    evaluate_embedded(case, method, seed, folder, tasks)


def evaluate_embedded(case: Case, method: str, seed: int, folder: Path, tasks: Sequence[str]) -> None:
    """Results of one model under ``<folder>/<method>-seed<seed>``, of the cache if they are there.

    Raises:
        PhenoLIPError: embeddings that are not finite or have no length, or what a task refuses.
    """
    experiment = case.experiment
    facts = {
        "source": experiment.source,
        "method": method,
        "seed": seed,
        "n_train": experiment.n_train if case.student else 0,
        "provenance": provenance(params=params_read(case), release=experiment.onto.release),
    }
    # Of the facts too, which are kept with the results: they tell of the run that made these, never of another one.
    key = digest(results_key(case, tasks), facts)
    place = experiment.paths.cache / "results" / f"{experiment.source}-{method}-seed{seed}-{key}"

    def compute() -> dict[str, Result]:
        results = {name: TASKS[name](case) for name in tasks}
        log.info("evaluated %s seed %d on %s", method, seed, experiment.source)
        return results

    def write(target: Path, results: dict[str, Result]) -> None:
        for name, result in results.items():
            write_result(target, name, result, facts)

    own = f"{method}-seed{seed}"
    unkept = kept(place, compute, write, lambda found: copy_files(found / own, folder / own))
    if unkept is not None:
        write(folder, unkept)


def params_read(case: Case) -> str:
    """A short hash of the parameters that a result of this model depends on."""
    p = case.experiment.params
    return digest(
        p.fingerprint("runtime.device", "runtime.threads", *TASK_PARAMS),
        p.fingerprint("encoders", "stage1", "stage2") if case.student else "",
    )


def results_key(case: Case, tasks: Sequence[str]) -> str:
    """For kept results of one model: all that tasks read of data, model and parameters."""
    experiment, vectors = case.experiment, case.embedded
    return digest(
        experiment.content,
        params_read(case),
        experiment.bench.classes,
        experiment.bench.class_names,
        digest_arrays(vectors.images, vectors.captions),
        case.scale,
        [experiment.beside(name) for name in tasks],
        [tasks, code_digest(__name__)],
    )


def evaluate_all(experiment: Experiment, models: Path, folder: Path) -> None:
    """Evaluate every method and seed that `train.train_all` saved in `models`."""
    p = experiment.params
    jobs = [(models, folder, method, seed) for method in p.methods for seed in p.seeds]
    for _ in experiment.side_by_side(_evaluate_saved, jobs, "models evaluated"):
        pass


def _evaluate_saved(experiment: Experiment, job: tuple[Path, Path, str, int]) -> None:
    """One model of `evaluate_all`."""
    models, folder, method, seed = job
    own = experiment.of(method)
    evaluate(own, load_student(models, f"{method}-seed{seed}", own.params), method, seed, folder)
