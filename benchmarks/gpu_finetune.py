"""Both towers of the packaged student fine-tuned on a prepared source, scored on its test and its unseen split."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import write_json
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.evaluation.results import load_results
from phenolip_lib.experiments.crossval import HELD_OUT, TASKS, UNSEEN, splits_of, unseen_outcomes
from phenolip_lib.experiments.evaluate import evaluate
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.ontology.ontology import Ontology

METHODS = ("clip", "clip_soft", "phenolip", "phenolip_soft")
TEST = "test"
SETTINGS = {
    "encoders.image_size": 224,
    "stage2.image_tower": "finetune",
    "stage2.text_tower": "finetune",
    "stage2.frozen_epochs": 4,
    "stage2.epochs": 12,
    "stage2.tower_learning_rate": 5e-5,
    "stage2.validations": 1,
}
"""What differs from params.yaml: heads alone for four epochs, then everything for eight."""


def machine() -> dict:
    """Overrides that follow the number of processors."""
    cores = os.cpu_count() or 1
    return {"training.loader_workers": min(12, cores), "runtime.threads": min(16, cores)}


def tried(
    params: Params,
    source: str,
    paths: Paths,
    out: Path,
    seeds: Sequence[int],
    seconds: float,
    methods: Sequence[str] = METHODS,
) -> Iterator[dict]:
    """Train and evaluate seed by seed, the test split before the unseen one, while the time suffices.

    Args:
        params: as trained with, see `SETTINGS`.
        out: where results of single queries go.
        seconds: a run starts only if the longest one so far would still end within them.

    Yields:
        rows (split, method, seed, task, dataset, metric, value, seconds); ``unseen`` of the column task are the
        queries that ask for a held-out phenotype. A last row with a note says what the time did not suffice for.
    """
    begin, longest = time.perf_counter(), 0.0
    folder, onto = paths.phenokg(source), Ontology.load(paths.hpo)
    pairs = load_pairs(folder)
    others, phenotypes = splits_of(pairs, pd.read_parquet(folder / "mentions.parquet"), onto, params, source)
    splits = {TEST: pairs} | {name: table for name, table in others.items() if name == UNSEEN}
    write_json(out / HELD_OUT, {"phenotypes": phenotypes})
    teacher, experiments = KnowledgeEncoder.load(paths.stage1), {}
    plan = list(product(seeds, splits, methods))
    for number, (seed, split, method) in enumerate(plan):
        start = time.perf_counter()
        if start - begin + longest > seconds:
            left = ", ".join(f"{m} on {s} seed {k}" for k, s, m in plan[number:])
            yield {"note": f"Not run, since {seconds:.0f} s were over: {left}."}
            return
        if split not in experiments:
            experiments[split] = Experiment(params, source, paths, teacher, pairs=splits[split])
        experiment = experiments[split]
        student, _ = experiment.train(method, seed)
        evaluate(experiment, student, method, seed, out / split, TASKS)
        took = time.perf_counter() - start
        longest = max(longest, took)
        facts = {"split": split, "method": method, "seed": seed}
        found = load_results(out / split / f"{method}-seed{seed}")
        rows = [(row.task, row.dataset or "all", row.metric, row.value) for row in found.itertuples()]
        if split == UNSEEN:
            rows += [("unseen", "all", *item) for item in _held_out(out, method, seed)]
        for task, dataset, metric, value in rows:
            yield facts | {"task": task, "dataset": dataset, "metric": metric, "value": value, "seconds": took}


def _held_out(out: Path, method: str, seed: int) -> list[tuple[str, float]]:
    """Means over the queries that ask for a held-out phenotype, by metric."""
    found = unseen_outcomes(out)
    own = found[(found["method"] == method) & (found["seed"] == seed)] if len(found) else found
    return list(own.groupby("metric")["value"].mean().items()) if len(own) else []
