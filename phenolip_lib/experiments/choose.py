"""Choosing among settings of stage 2 without a look at a test image: nested validation inside the training folds.

Each fold of cross-validation leaves its own images out altogether. What is left is split once more by case: one part
judges the settings, the others train them. So every fold makes its own choice, of images that it never tests on, and
the share of folds that agree says how firm the choice is.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.data.folds import group_folds
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.data.splits import check_no_leakage
from phenolip_lib.evaluation.results import load_results
from phenolip_lib.experiments.crossval import evaluated, on_splits
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.training.subset import UNUSED

TASKS = ("retrieval", "training_images", "zero_shot")
NUMBERS = {
    "I2T": ("retrieval", "", "i2t_recall@10"),
    "T2I": ("retrieval", "", "t2i_recall@10"),
    "I2P known": ("retrieval", "", "i2p_known_recall@10"),
    "I2P calibrated": ("retrieval", "", "i2p_calibrated_recall@10"),
    "P2I": ("retrieval", "", "p2i_recall@10"),
    "I2P never trained on": ("training_images", "0", "i2p_recall@10"),
    "zero-shot": ("zero_shot", None, "acc1"),
}
"""What a setting is judged by: task, data set (None: the mean over all) and metric; `SCORE` is their mean."""
SCORE = "score"


def inner_splits(pairs: pd.DataFrame, folds: int, inner: int, seed: int) -> dict[str, pd.DataFrame]:
    """For each fold of `crossval` its training images: one of `inner` parts, by group, is ``test``, the rest ``train``.

    Without folds the validation split judges, and the test split is left out.

    Raises:
        PhenoLIPError: a group that crosses.
    """
    if not folds:
        return {"val": pairs.assign(split=pairs["split"].map({"train": "train", "val": "test"}).fillna(UNUSED))}
    phenotypes, found = pairs["phenotypes"].map(list), {}
    number = group_folds(pairs["group"], folds, seed, phenotypes)
    for k in range(folds):
        rest = np.flatnonzero(number != k)
        part = group_folds(pairs["group"].iloc[rest], inner, seed + 1, phenotypes.iloc[rest])
        split = np.full(len(pairs), UNUSED, dtype=object)
        split[rest] = np.where(part == 0, "test", "train")
        found[f"fold{k}"] = pairs.assign(split=split)
        check_no_leakage(found[f"fold{k}"])
    return found


def run(
    params: Params, source: str, paths: Paths, out: Path, settings: Sequence[str] = (), folds: int | None = None
) -> pd.DataFrame:
    """Train and judge settings in every fold; results under ``<out>/<fold>``.

    Args:
        settings: names of ``choice.settings``; all by default.
        folds: only the first so many, for a first look at many settings.

    Returns:
        `judged` of these.

    Raises:
        PhenoLIPError: no such setting.
    """
    c, e = params.choice, params.evaluation
    settings = list(settings or c.settings)
    for setting in settings:
        params.setting(setting)
    splits = inner_splits(load_pairs(paths.phenokg(source)), e.folds.get(source, 0), c.inner_folds, e.split_seed)
    splits = dict(list(splits.items())[:folds])
    for name, setting, seed in product(splits, settings, c.seeds):  # an earlier run may have had other data sets
        shutil.rmtree(out / name / f"{setting}-seed{seed}", ignore_errors=True)
    on_splits(evaluated(_opened, TASKS), settings, c.seeds, params, source, paths, out, splits)
    return judged(out, list(splits), settings, c.seeds)


def _opened(experiment: Experiment, name: str) -> Experiment:
    return experiment.again(experiment.params.setting(name))


def judged(folder: Path, folds: Sequence[str], settings: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """A row a setting and fold: `NUMBERS` as means over seeds, their mean `SCORE`, and whether the fold chooses it.

    Results of other seeds, which an earlier run left there, do not count.
    """
    rows = []
    for fold in folds:
        found = load_results(folder / fold)
        for setting in settings:
            own = found[(found["method"] == setting) & found["seed"].isin(seeds)]
            row = {"setting": setting, "fold": fold, "seeds": own["seed"].nunique()}
            for name, (task, dataset, metric) in NUMBERS.items():
                asked = own[(own["task"] == task) & (own["metric"] == metric)]
                row[name] = (asked if dataset is None else asked[asked["dataset"] == dataset])["value"].mean()
            rows.append(row)
    table = pd.DataFrame(rows)
    table[SCORE] = table[list(NUMBERS)].mean(axis=1)
    table["chosen"] = table.groupby("fold")[SCORE].transform("max") == table[SCORE]
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """`judged` over the folds, a row a setting, best first, in percent, as text.

    ``folds that choose it`` counts them.
    """
    means = table.groupby("setting")[[*NUMBERS, SCORE]].mean() * 100
    means["folds that choose it"] = table.groupby("setting")["chosen"].sum()
    means = means.sort_values(SCORE, ascending=False)
    numbers = [*NUMBERS, SCORE]
    return means.assign(**{name: means[name].map("{:.1f}".format) for name in numbers}).reset_index()
