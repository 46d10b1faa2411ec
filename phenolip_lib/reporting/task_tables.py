"""Tables of the single tasks: zero-shot in the paper's layout, prompts, calibration, probes, matching, localisation.

Each takes the long table of `results.load_results` of one source and gives strings in percent, mean and standard
deviation over training seeds, with the scale of the data in every row.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from phenolip_lib.data.records import MODALITIES
from phenolip_lib.evaluation.tasks import zero_shot
from phenolip_lib.reporting.tables import METHOD_NAMES, method_order, percent, summarise, wide

GUESSES = {"chance_acc1": "Chance", "majority_acc1": "Majority class"}
PROBLEM_NAMES = zero_shot.COLUMNS | {m: m.capitalize() for m in MODALITIES if m not in zero_shot.COLUMNS}
QUARTILES = [f"acc1_prompt_{name}" for name in ("min", "q1", "median", "q3", "max")]
CALIBRATION = ("ece", "adaptive_ece", "brier", "nll")
MATCHING = ["recall@5", "recall@10", "recall@50", "precision", "recall", "f1"]


def zero_shot_table(results: pd.DataFrame, metric: str = "acc1", own_classes: bool = False) -> pd.DataFrame:
    """Zero-shot scores: a row a method, a column a problem, and their average over the paper's columns.

    Args:
        metric: one of `tasks.zero_shot`; ``acc1`` has lines of chance and of the majority class above it.
        own_classes: the data sets' own classes in place of modalities; their average is over all of them.
    """
    part = _of(results, "zero_shot")
    part = part[part["dataset"].isin(PROBLEM_NAMES) != own_classes]
    if not len(part):
        return _nothing("data set with classes of its own" if own_classes else "zero-shot problem")
    guesses = [_guess(part, key, name, metric) for key, name in GUESSES.items()] if metric == "acc1" else []
    scores = pd.concat([*guesses, part[part["metric"] == metric]])
    present = set(scores["dataset"])
    order = sorted(present) if own_classes else [name for name in PROBLEM_NAMES if name in present]
    counted = [name for name in order if own_classes or name in zero_shot.COLUMNS]
    keys = ["source", "method", "task", "metric", "seed", "n_train"]
    average = scores[scores["dataset"].isin(counted)].groupby(keys, as_index=False)["value"].mean()
    table = _wide(pd.concat([scores, average.assign(dataset="average")]), "dataset", [*order, "average"])
    return table.rename(columns=PROBLEM_NAMES)


def prompt_table(results: pd.DataFrame) -> pd.DataFrame:
    """How much the prompt decides: ``acc1`` of the ensemble, and over single prompts its quartiles, by problem."""
    part = _of(results, "zero_shot")
    if not len(part):
        return _nothing("zero-shot problem")
    columns = ["acc1", *QUARTILES]
    table = _by_dataset(part, columns, "problem")
    names = {metric: metric.removeprefix("acc1_prompt_") for metric in QUARTILES}
    return table.rename(columns={"acc1": "ensemble", **names}).assign(
        problem=lambda t: t["problem"].map(lambda name: PROBLEM_NAMES.get(name, name))
    )


def calibration_table(results: pd.DataFrame) -> pd.DataFrame:
    """Calibration before and after temperature scaling, by problem; Brier score and NLL as they are, not in percent."""
    part = _of(results, "calibration")
    if not len(part):
        return _nothing("problem with enough images to calibrate on")
    columns = [name for metric in CALIBRATION for name in (metric, f"{metric}_scaled")]
    table = _by_dataset(part, [*columns, "scale", "fitted_scale"], "problem", raw=("brier", "nll", "scale", "fitted"))
    names = {"ece": "ECE", "adaptive_ece": "adaptive ECE", "brier": "Brier", "nll": "NLL"}
    renamed = {m + suffix: names[m] + word for m in CALIBRATION for suffix, word in (("", ""), ("_scaled", ", scaled"))}
    return table.rename(columns=renamed | {"fitted_scale": "fitted scale"}).assign(
        problem=lambda t: t["problem"].map(lambda name: PROBLEM_NAMES.get(name, name))
    )


def probe_table(results: pd.DataFrame, shares: Sequence[float], metric: str = "acc") -> pd.DataFrame:
    """Linear probes: a row a target and method, a column a share of labels, beside the majority class.

    The spread is over training seeds; that over probe seeds is in the results as ``<metric>@<share>_probe_sd``.
    """
    part = _of(results, "linear_probe")
    if not len(part):
        return _nothing("target of a linear probe")
    columns = [f"{metric}@{share:g}" for share in shares]
    table = _by_dataset(part, ["majority", *columns], "target")
    names = {f"{metric}@{share:g}": f"{100 * share:g}% labels" for share in shares}
    if metric != "acc":  # what always the majority class has is one of the classes
        return table.drop(columns="majority").rename(columns=names)
    return table.rename(columns=names).assign(majority=table["majority"].str.split(" ").str[0])


def matching_table(results: pd.DataFrame) -> pd.DataFrame:
    """Phenotype matching: a row a method, R@k and precision, recall, F1 in percent, under a line of chance."""
    part = _of(results, "matching")
    if not len(part):
        return _nothing("face")
    chance = part[part["metric"].str.startswith("chance_")]
    chance = chance.assign(metric=chance["metric"].str.removeprefix("chance_"), method="Chance")
    chance = chance.drop_duplicates(["source", "dataset", "metric"])
    table = _wide(pd.concat([chance, part[part["metric"].isin(MATCHING)]]), "metric", MATCHING)
    numbers = part.groupby("metric")["value"].first()
    sizes = {key: int(numbers[f"n_{key}"]) for key in ("images", "candidates")}
    names = {m: m.replace("recall@", "R@").replace("f1", "F1") for m in MATCHING}
    return table.rename(columns=names).assign(**sizes)


def localisation_table(results: pd.DataFrame, metric: str = "pixel_ap") -> pd.DataFrame:
    """Localisation: a row a data set and method, a column a map, beside the picture's centre and the mask's share.

    Args:
        metric: one of `tasks.localisation.METRICS`.
    """
    part = _of(results, "localisation")
    if not len(part):
        return _nothing("test picture with a mask")
    columns = {f"{metric}_{name}": name for name in ("similarity", "contrast", "gradient", "salience", "centre")}
    table = _by_dataset(part, [*columns, "mask_share"], "masks").rename(columns=columns)
    guesses = {name: table[name].str.split(" ").str[0] for name in ("centre", "mask_share")}  # of no model
    sizes = (
        part[part["metric"].isin(["n_images", "n_queries"])].groupby(["dataset", "metric"])["value"].first().unstack()
    )
    counts = {name.removeprefix("n_"): table["masks"].map(sizes[name]).astype(int) for name in sizes}
    return table.assign(**guesses, **counts).rename(columns={"mask_share": "mask's share"})


def _nothing(what: str) -> pd.DataFrame:
    """In place of a table: a source need not have what a task asks for."""
    return pd.DataFrame({"method": [f"this source has no {what}"]})


def _of(results: pd.DataFrame, task: str) -> pd.DataFrame:
    return results[results["task"] == task]


def _guess(part: pd.DataFrame, key: str, name: str, metric: str) -> pd.DataFrame:
    """The same for every model: once for each problem."""
    own = part[part["metric"] == key].drop_duplicates(["source", "dataset"])
    return own.assign(method=name, metric=metric)


def _wide(scores: pd.DataFrame, columns: str, order: list[str]) -> pd.DataFrame:
    summary = summarise(scores)
    guesses = [name for name in GUESSES.values() if name in set(scores["method"])]
    rows = [*guesses, *method_order(set(scores["method"]) - set(guesses))]
    return _scaled(wide(summary, "method", columns, rows, order), summary)


def _scaled(table: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    table = table.rename(index=METHOD_NAMES).rename_axis("method").reset_index().rename_axis(columns=None)
    first = summary.iloc[0]
    return table.assign(source=first["source"], train_pairs=int(first["n_train"]), seeds=int(summary["seeds"].max()))


def _by_dataset(part: pd.DataFrame, columns: list[str], label: str, raw: tuple[str, ...] = ()) -> pd.DataFrame:
    """A block of methods for each data set; metrics that start with one of `raw` are no shares."""
    summary = summarise(part[part["metric"].isin(columns)])
    blocks = []
    for dataset, own in summary.groupby("dataset", sort=True):
        cells = own.assign(
            cell=[_cell(*row, raw) for row in own[["metric", "mean", "sd", "seeds"]].itertuples(index=False, name=None)]
        )
        table = cells.pivot(index="method", columns="metric", values="cell")
        table = table.reindex(index=method_order(table.index), columns=columns).fillna("-")
        block = _scaled(table, own)
        block.insert(0, label, dataset)
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)


def _cell(metric: str, mean: float, sd: float, seeds: int, raw: tuple[str, ...]) -> str:
    if not metric.startswith(raw or ("\0",)):
        return percent(mean, sd, seeds)
    return f"{mean:.3f} ± {sd:.3f}" if seeds > 1 else f"{mean:.3f}"
