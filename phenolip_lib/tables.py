"""From result files to tables: one builder, one format, three renderings (CSV, Markdown, LaTeX)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.records import MODALITIES
from phenolip_lib.storage import read_json, write_text

METHOD_NAMES = {
    "untrained": "Untrained alignment",
    "clip": "Plain contrastive",
    "siglip": "SigLIP",
    "ssm": "MedFILIP's soft labels",
    "ssm_ontology": "Soft labels by ontology",
    "phenolip": "PhenoLIP",
    "phenolip_soft": "PhenoLIP + soft labels",
}
RETRIEVAL = [f"{task}_recall@{k}" for task in ("i2t", "t2i", "i2p", "p2i") for k in (10, 50)]
KEYS = ["source", "method", "task", "dataset", "metric"]


def method_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order of tables and legends: those of `METHOD_NAMES`, then any others by name."""
    present = set(methods)
    return [m for m in METHOD_NAMES if m in present] + sorted(present - METHOD_NAMES.keys())


def load_results(folder: Path) -> pd.DataFrame:
    """All result JSONs under a folder in long form.

    Returns:
        sorted table (source, method, task, dataset, metric, seed, n_train, value).
    """
    rows = []
    for path in sorted(Path(folder).rglob("*.json")):
        result = read_json(path)
        for task, scores in result["tasks"].items():
            nested = scores if scores and isinstance(next(iter(scores.values())), dict) else {"": scores}
            for dataset, values in nested.items():
                for metric, value in values.items():
                    rows.append(
                        (
                            result["source"],
                            result["method"],
                            task,
                            dataset,
                            metric,
                            result["seed"],
                            result["n_train"],
                            value,
                        )
                    )
    columns = [*KEYS, "seed", "n_train", "value"]
    return pd.DataFrame(rows, columns=columns).sort_values([*KEYS, "seed"]).reset_index(drop=True)


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
    return table.reindex(index=[o for o in order if o in table.index], columns=column_order).fillna("-")


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
    table.columns = [c.replace("_recall@", " R@").replace("i2", "I2").replace("t2", "T2").replace("p2", "P2")
                     .replace("2t", "2T").replace("2i", "2I").replace("2p", "2P") for c in table.columns]  # fmt: skip
    return _finish(table, part, "method")


def zero_shot_table(results: pd.DataFrame, metric: str = "acc1") -> pd.DataFrame:
    """Zero-shot accuracy in percent by modality and their average, with majority and chance lines."""
    part = results[(results["task"] == "zero_shot") & (results["metric"] == metric)]
    lines = []
    for name, key in (("Majority class", "majority_acc1"), ("Chance", "chance_acc1")):
        base = results[
            (results["task"] == "zero_shot") & (results["metric"] == key) & (results["method"] == "phenolip")
        ]
        if metric == "acc1":
            lines.append(base.assign(method=name))
    part = pd.concat([*lines, part])
    average = part.groupby(["source", "method", "task", "metric", "seed", "n_train"], as_index=False)["value"].mean()
    summary = summarise(pd.concat([part, average.assign(dataset="average")]).assign(metric=metric))
    guesses = ["Chance", "Majority class"]
    order = [*guesses, *method_order(set(part["method"]) - set(guesses))]
    present = [m for m in MODALITIES if m in set(part["dataset"])]
    table = wide(summary, "method", "dataset", order, [*present, "average"])
    return _finish(table, summary, "method")


def probe_table(results: pd.DataFrame, shares: list[float], metric: str = "acc") -> pd.DataFrame:
    """Linear-probe accuracy in percent: a row a target and method, a column a share of labels."""
    part = summarise(results[results["task"] == "linear_probe"])
    columns = [f"{metric}@{share:g}" for share in shares]
    blocks = []
    for target, own in part.groupby("dataset", sort=True):
        majority = own[own["metric"] == "majority"].iloc[0]
        block = _finish(
            wide(own[own["metric"].isin(columns)], "method", "metric", method_order(own["method"]), columns),
            own,
            "method",
        )
        block.insert(0, "target", target)
        block.insert(2, "majority", f"{100 * majority['mean']:.1f}")
        blocks.append(block)
    table = pd.concat(blocks, ignore_index=True)
    return table.rename(columns={f"{metric}@{share:g}": f"{100 * share:g}% labels" for share in shares})


def difference_table(results: pd.DataFrame, baseline: str, metrics: list[str] = RETRIEVAL) -> pd.DataFrame:
    """Paired differences to a baseline in percentage points, by seed.

    Returns:
        table (method, metric, difference, sd, seeds, exceeds_spread): `sd` is the standard deviation
        of the paired differences; `exceeds_spread` tells whether the mean is beyond two of its
        standard errors and beyond the pooled spread of either method.
    """
    part = results[(results["task"] == "retrieval") & results["metric"].isin(metrics)]
    values = part.pivot_table(index=["metric", "seed"], columns="method", values="value")
    rows = []
    for method in sorted(set(values.columns) - {baseline}):
        for metric in metrics:
            if metric not in values.index.get_level_values(0):
                continue
            own = values.loc[metric][[baseline, method]].dropna()
            delta = 100 * (own[method] - own[baseline])
            n = len(delta)
            sd = float(delta.std(ddof=1)) if n > 1 else float("nan")
            spread = 100 * float(np.sqrt(own.var(ddof=1).mean())) if n > 1 else float("nan")
            beyond = n > 1 and abs(delta.mean()) > max(2 * sd / np.sqrt(n), spread)
            rows.append(
                (method, metric, round(float(delta.mean()), 2), round(sd, 2), round(spread, 2), n, bool(beyond))
            )
    return pd.DataFrame(
        rows, columns=["method", "metric", "difference", "sd", "seed_spread", "seeds", "exceeds_spread"]
    )


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
        return "-" if np.isnan(value) else f"{value:.4f}"
    return str(value)


def write_table(table: pd.DataFrame, folder: Path, name: str, caption: str) -> pd.DataFrame:
    """Write ``<name>.csv``, ``.md`` and ``.tex`` in one number format; returns the table."""
    text = table.map(_fixed)
    write_text(folder / f"{name}.csv", text.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", f"{caption}\n\n{to_markdown(text)}")
    write_text(folder / f"{name}.tex", to_latex(text, caption, name))
    return table
