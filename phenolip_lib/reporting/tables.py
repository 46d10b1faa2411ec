"""From result files to tables: one builder, one format, three renderings (CSV, Markdown, LaTeX)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.storage import reading, write_text
from phenolip_lib.evaluation.results import KEYS

METHOD_NAMES = {
    "untrained": "Untrained alignment",
    "clip": "Plain contrastive",
    "clip_soft": "Plain + soft labels",
    "siglip": "SigLIP",
    "ssm": "MedFILIP's soft labels",
    "ssm_ontology": "Soft labels by ontology",
    "phenolip": "PhenoLIP",
    "phenolip_soft": "PhenoLIP + soft labels",
    "clip_dropout": "Plain + dropout",
    "clip_named": "Plain + names",
    "clip_soft_named": "Plain + soft labels + names",
    "phenolip_named": "PhenoLIP + names",
    "phenolip_soft_named": "PhenoLIP + soft labels + names",
    "filip_released": "MedFILIP as released",
    "filip": "MedFILIP",
    "filip_hard": "MedFILIP, hard labels",
    "filip_lin": "MedFILIP, labels by Lin",
    "filip_no_book": "MedFILIP without the book",
    "filip_book_labels": "MedFILIP, book in labels",
    "filip_infonce": "MedFILIP, soft InfoNCE",
    "filip_dropped": "MedFILIP, denials dropped",
    "probe": "Supervised probe",
    "majority": "Majority answer",
    "answers_question": "Question alone",
    "answers_linear": "Linear, question + image",
    "answers_plain": "Plain, no fusion",
    "m3ae": "M3AE (no knowledge)",
    "arl": "ARL",
    "arl_scratch": "ARL, not pretrained",
    "arl_random_graph": "ARL, random graph",
    "arl_no_align": "ARL minus align",
    "arl_no_reason": "ARL minus reason",
    "arl_no_learn": "ARL minus learn",
    "arl_shuffled": "ARL, other images",
}
NOTHING = "-"
"""In a cell of what is not there."""
ALPHA = 0.05
"""The p below which a difference is beyond chance."""
RETRIEVAL = [f"{task}_recall@{k}" for task in ("i2t", "t2i", "i2p", "p2i") for k in (10, 50)]


def in_text(method: str) -> str:
    """The name of a method within a sentence: proper names keep their capitals."""
    name = METHOD_NAMES.get(method, method)
    return name[0].lower() + name[1:] if name.split()[0].istitle() else name


def method_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order of tables and legends: those of `METHOD_NAMES`, then any others by name."""
    present = set(methods)
    return [m for m in METHOD_NAMES if m in present] + sorted(present - METHOD_NAMES.keys())


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (n - 1) over seeds of every number; sd is 0 for a single seed."""
    table = results.groupby([*KEYS, "n_train"], sort=True)["value"].agg(["mean", "std", "size"]).reset_index()
    return table.rename(columns={"std": "sd", "size": "seeds"}).fillna({"sd": 0.0})


def percent(mean: float, sd: float, seeds: int) -> str:
    """``12.3 ± 0.4`` in percent; a single seed has no spread to show."""
    return f"{100 * mean:.1f} ± {100 * sd:.1f}" if seeds > 1 else f"{100 * mean:.1f}"


def wide(summary: pd.DataFrame, index: str, columns: str, order: list[str], column_order: list[str]) -> pd.DataFrame:
    """A readable table of percentages: `order` of rows, `column_order` of columns, '-' where absent."""
    cells = summary.assign(
        cell=[percent(m, s, n) for m, s, n in zip(summary["mean"], summary["sd"], summary["seeds"], strict=True)]
    )
    table = cells.pivot(index=index, columns=columns, values="cell")
    return table.reindex(index=[o for o in order if o in table.index], columns=column_order).fillna(NOTHING)


def _scale(summary: pd.DataFrame) -> dict[str, int | str]:
    return {
        "source": summary["source"].iat[0],
        "train_pairs": int(summary["n_train"].iat[0]),
        "seeds": int(summary["seeds"].max()),
    }


def _finish(table: pd.DataFrame, summary: pd.DataFrame, label: str) -> pd.DataFrame:
    """Put the row label first and data, scale and seed count into every row."""
    table = table.rename(index=METHOD_NAMES).rename_axis(label).reset_index().rename_axis(columns=None)
    return table.assign(**_scale(summary))


def retrieval_table(results: pd.DataFrame, order: Iterable[str] | None = None) -> pd.DataFrame:
    """R@10 and R@50 in percent of I2T, T2I, I2P and P2I, a row a method."""
    part = summarise(results[(results["task"] == "retrieval") & results["metric"].isin(RETRIEVAL)])
    table = wide(part, "method", "metric", list(order or method_order(part["method"])), RETRIEVAL)
    table.columns = [metric_name(column) for column in table.columns]
    return _finish(table, part, "method")


def interval_table(intervals: pd.DataFrame, metrics: Sequence[str], order: Sequence[str] | None = None) -> pd.DataFrame:
    """A row a method, a column a metric: ``mean [low, high]`` in percent, steps as they are.

    Args:
        intervals: of `statistics.intervals`, one task and data set.
    """
    cells = intervals[intervals["metric"].isin(metrics)]
    cells = cells.assign(cell=[interval_cell(row) for row in cells.itertuples(index=False)])
    table = cells.pivot(index="method", columns="metric", values="cell")
    rows = [m for m in (order or method_order(table.index)) if m in table.index]
    table = table.reindex(index=rows, columns=[m for m in metrics if m in table.columns]).fillna(NOTHING)
    table = table.rename(index=METHOD_NAMES, columns=metric_name).rename_axis("method").rename_axis(columns=None)
    return table.reset_index()


def dataset_table(intervals: pd.DataFrame, metric: str, label: str, transposed: bool = False) -> pd.DataFrame:
    """A row a method, a column a data set of a task (or the reverse): ``mean [low, high]`` in percent.

    Args:
        intervals: of `statistics.intervals`, one task; data sets that are numbers go by size.
        label: what the data sets are, such as ``organ system``.
    """
    part = intervals[intervals["metric"] == metric]
    table = part.assign(cell=[interval_cell(row) for row in part.itertuples(index=False)])
    table = table.pivot(index="method", columns="dataset", values="cell")
    columns = sorted(table.columns, key=lambda name: (float(name), "") if name.isdigit() else (np.inf, name))
    table = table.reindex(index=method_order(table.index), columns=columns).fillna(NOTHING).rename(index=METHOD_NAMES)
    if transposed:
        return table.T.rename_axis(label).rename_axis(columns=None).reset_index()
    return table.add_prefix(f"{label}: ").rename_axis("method").rename_axis(columns=None).reset_index()


def interval_cell(row) -> str:
    """``mean [low, high]`` of a row of `statistics.intervals`, in percent, steps as they are."""
    scale, digits = (1, 2) if "steps" in row.metric else (100, 1)
    return f"{scale * row.mean:.{digits}f} [{scale * row.low:.{digits}f}, {scale * row.high:.{digits}f}]"


def metric_name(metric: str) -> str:
    """``i2p_recall@10`` as ``I2P R@10``, ``i2p_known_recall@10`` as ``I2P known R@10``."""
    task, _, rest = metric.partition("_")
    if task == "accuracy":
        return metric.replace("_", ", ")
    if task not in ("i2t", "t2i", "i2p", "p2i", "i2e", "e2i"):
        return metric
    *ways, rest = rest.split("_") if not rest.startswith("hierarchical_") else [rest.replace("_", " ")]
    for start, printed in (("recall@", "R@"), ("ndcg@", "nDCG@"), ("lin@", "Lin@")):
        rest = printed + rest.removeprefix(start) if rest.startswith(start) else rest
    return " ".join([task.upper(), *ways, rest])


def beyond_chance(differences: pd.DataFrame, drift: float) -> pd.Series:
    """Which differences hold against the draw of the images and on another processor: True or False for each row.

    Corrected for the methods compared p is below `ALPHA`, and the interval stays farther from zero than twice `drift`.
    Steps are no percentages; for them the interval has only to leave zero out. The bounds are those that tables print.

    Args:
        differences: of `statistics.differences`.
        drift: by how many percentage points a difference moves from one processor to another (``evaluation.drift``).
    """
    bounds = _printed(differences)
    distance = np.maximum(bounds["low"], -bounds["high"])  # from zero, negative if it lies within
    return (differences["p_holm"] < ALPHA) & (distance > np.where(_are_steps(differences), 0, 2 * drift))


def _are_steps(differences: pd.DataFrame) -> pd.Series:
    return differences["metric"].str.contains("steps")


def _printed(differences: pd.DataFrame) -> pd.DataFrame:
    """Differences in percentage points, steps as they are, with two digits."""
    columns = differences.columns.intersection(["difference", "low", "high", "seed_sd"])
    scale = np.where(_are_steps(differences), 1, 100)
    return differences.assign(**{column: (differences[column] * scale).round(2) for column in columns})


def difference_table(differences: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Differences with their interval and p-value, in percentage points (steps as they are).

    Args:
        differences: of `evaluation_reports.compared`.
    """
    part = _printed(differences[differences["metric"].isin(metrics)])
    position = {metric: i for i, metric in enumerate(metrics)}
    rank = {method: i for i, method in enumerate(method_order(part["method"]))}
    part = part.assign(a=part["method"].map(rank), b=part["metric"].map(position)).sort_values(["a", "dataset", "b"])
    numbers = ["difference", "low", "high", "p_holm", "beyond_chance", "seed_sd", "queries", "groups"]
    shown = ["method", "dataset", "metric", *numbers]
    if (part["dataset"] == "").all():
        shown.remove("dataset")
    return part[shown].reset_index(drop=True)


def effect_table(differences: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """A row a task, data set and metric: the baseline's score, and what each other method adds to it, in points.

    An asterisk marks a difference beyond chance (`difference_table`).

    Args:
        differences: of `evaluation_reports.across_tasks`.
    """
    if not len(differences):
        return pd.DataFrame(columns=["task", "dataset", "metric", METHOD_NAMES.get(baseline, baseline)])
    keys = ["task", "dataset", "metric", "queries", "groups", "baseline"]
    cells = [
        f"{row.difference:+z.1f} [{row.low:z.1f}, {row.high:z.1f}]{' *' if row.beyond_chance else ''}"
        for row in differences.itertuples(index=False)
    ]
    rows = differences[keys].drop_duplicates()
    table = differences.assign(cell=cells).pivot(index=keys, columns="method", values="cell")
    table = table.loc[pd.MultiIndex.from_frame(rows), method_order(table.columns)].rename_axis(columns=None)
    return table.reset_index().rename(columns=METHOD_NAMES | {"baseline": METHOD_NAMES.get(baseline, baseline)})


# --- writing ------------------------------------------------------------------------------------


def to_markdown(table: pd.DataFrame) -> str:
    """A GitHub table; pandas would need another package for it."""
    head = [str(c) for c in table.columns]
    lines = [head, ["---"] * len(head), *([str(v) for v in row] for row in table.itertuples(index=False))]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """A booktabs table with a caption."""
    text = table.to_latex(index=False, escape=True, caption=caption, label=f"tab:{label}")
    return text.replace("±", r"$\pm$")


def _fixed(value: object) -> str:
    """Fixed number format of all renderings: four digits for a float, '-' for what is not there."""
    if isinstance(value, float | np.floating):
        return NOTHING if np.isnan(value) else f"{value:.4f}"
    return str(value)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table that `write_table` wrote, cells as text; of some columns only if given.

    Raises:
        DamagedError: it is absent or no table, or lacks one of `columns`.
    """
    with reading(path):
        return pd.read_csv(path, dtype=str, keep_default_na=False, usecols=columns)


def write_table(table: pd.DataFrame, folder: Path, name: str, caption: str) -> pd.DataFrame:
    """Write ``<name>.csv``, ``.md`` and ``.tex`` in one number format; returns the table."""
    text = table.map(_fixed)
    write_text(folder / f"{name}.csv", text.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", f"{caption}\n\n{to_markdown(text)}")
    write_text(folder / f"{name}.tex", to_latex(text, caption, name))
    return table
