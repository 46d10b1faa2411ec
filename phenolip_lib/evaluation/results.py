"""Results on disk: a JSON of numbers a model, task, data set and seed, and the outcomes of single queries.

    <folder>/<method>-seed<k>/<task>/<dataset>.json     metrics with provenance
    <folder>/<method>-seed<k>/<task>/outcomes.parquet   task, dataset, metric, query, group, value

Metrics in the JSON have CLIP_benchmark's names where it has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import read_json, read_parquet, reading, write_json, write_parquet

TOP_K = (10, 50)
"""Ranks of retrieval that are told."""
CLIP_BENCHMARK_NAMES = {
    f"{ours}_recall@{k}": f"{theirs}_retrieval_recall@{k}"
    for ours, theirs in (("i2t", "text"), ("t2i", "image"))
    for k in TOP_K
}
"""Our names of the metrics that CLIP_benchmark has too."""
COLUMNS = ["task", "dataset", "metric", "query", "group", "value"]
OUR_NAMES = {theirs: ours for ours, theirs in CLIP_BENCHMARK_NAMES.items()}
KEYS = ["source", "method", "task", "dataset", "metric"]
ALL = "all"
"""File name of results that are of the source as a whole."""


@dataclass
class Result:
    """What a task gives for one model.

    Attributes:
        outcomes: of single queries; the means of these are added to `numbers`.
        numbers: data set -> metric -> value, those that are no mean over queries.
    """

    outcomes: pd.DataFrame = field(default_factory=lambda: no_outcomes())
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: list[pd.DataFrame], numbers: dict[str, dict[str, float]]) -> Result:
        """Outcomes in parts; nothing at all if there is none."""
        return cls(pd.concat(parts, ignore_index=True), numbers) if parts else cls()

    def metrics(self) -> dict[str, dict[str, float]]:
        """All numbers by data set, sorted; NaN is left out."""
        found = {dataset: dict(own) for dataset, own in self.numbers.items()}
        means = self.outcomes.groupby(["dataset", "metric"], sort=True)["value"].mean() if len(self.outcomes) else {}
        for (dataset, metric), value in means.items():
            found.setdefault(dataset, {})[metric] = float(value)
        return {d: {m: v for m, v in sorted(own.items()) if not np.isnan(v)} for d, own in sorted(found.items())}


def no_outcomes(*columns: str) -> pd.DataFrame:
    """A table of outcomes without a row, with `columns` beside the usual ones."""
    return pd.DataFrame(columns=[*COLUMNS, *columns]).astype({"value": float})


def outcomes(
    metric: str, query: pd.Series, group: pd.Series, value: np.ndarray, task: str = "retrieval", dataset: str = ""
) -> pd.DataFrame:
    """A table of outcomes of one metric."""
    columns = {"query": query.to_numpy(), "group": group.to_numpy(), "value": np.asarray(value, dtype=float)}
    return pd.DataFrame({"task": task, "dataset": dataset, "metric": metric, **columns})


def write_result(folder: Path, task: str, result: Result, facts: dict[str, Any]) -> None:
    """Write what one task gave for one model.

    Args:
        facts: source, method, seed, n_train, provenance.
    """
    place = folder / f"{facts['method']}-seed{facts['seed']}" / task
    for dataset, metrics in result.metrics().items():
        named = {CLIP_BENCHMARK_NAMES.get(metric, metric): value for metric, value in metrics.items()}
        name = re.sub(r"[^\w.+-]+", "_", dataset) or ALL
        write_json(place / f"{name}.json", {**facts, "task": task, "dataset": dataset, "metrics": named})
    write_parquet(place / "outcomes.parquet", result.outcomes.astype({"dataset": str}))


def load_results(folder: Path) -> pd.DataFrame:
    """All result JSONs under a folder in long form.

    Returns:
        sorted table (source, method, task, dataset, metric, seed, n_train, value).

    Raises:
        DamagedError: a file that `write_result` did not write, named.
    """
    rows = []
    for path in sorted(Path(folder).rglob("*.json")):
        found = read_json(path, ("source", "method", "task", "dataset", "metrics", "seed", "n_train"))
        facts = [found[key] for key in ("source", "method", "task", "dataset")]
        with reading(path):
            if not all(isinstance(fact, str) for fact in facts) or not isinstance(found["seed"], int):
                raise ValueError("source, method, task and dataset are texts, seed a number")
            for metric, value in found["metrics"].items():
                rows.append((*facts, OUR_NAMES.get(metric, metric), found["seed"], found["n_train"], float(value)))
    columns = [*KEYS, "seed", "n_train", "value"]
    return pd.DataFrame(rows, columns=columns).sort_values([*KEYS, "seed"]).reset_index(drop=True)


def load_outcomes(folder: Path, tasks: Iterable[str] = ("*",)) -> pd.DataFrame:
    """Outcomes of single queries under a folder (method, seed, task, dataset, metric, query, group, value).

    Args:
        tasks: names of tasks; all by default.

    Raises:
        PhenoLIPError: there are none, or one is damaged.
    """
    parts = []
    for task in tasks:
        for path in sorted(Path(folder).glob(f"*/{task}/outcomes.parquet")):
            method, _, seed = path.parent.parent.name.rpartition("-seed")
            parts.append(read_parquet(path, COLUMNS).assign(method=method, seed=int(seed)))
    if not parts:
        raise PhenoLIPError(f"{folder}: no results of {', '.join(tasks)}; run `dvc repro`")
    return pd.concat(parts, ignore_index=True)
