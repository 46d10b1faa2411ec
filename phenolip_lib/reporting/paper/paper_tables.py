"""The paper's tables in its layouts: the published rows as they are printed, then ours.

Published numbers and numbers measured here are never of the same images, candidates or rules, so every row says in
``origin`` where it is from; they share columns, and no cell is computed from both. Numbers are percent: the
published with the two decimals of print, ours as mean ± standard deviation over training seeds. '-' is what a side
does not have.

All functions take `published.load()` and the long table of `results.load_results`, of one source or several
together; without results of a task only the published rows are left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from phenolip_lib.evaluation.tasks.zero_shot import COLUMNS, PHENOBENCH
from phenolip_lib.reporting import task_tables
from phenolip_lib.reporting.tables import METHOD_NAMES, RETRIEVAL, method_order, retrieval_table, summarise, wide
from phenolip_lib.reporting.task_tables import GUESSES, MATCHING

PROBES = ("RSNA", "BreastMNIST", "ChestMNIST", "DermaMNIST", "OCTMNIST", "RetinaMNIST", "HAM10000")
"""Data sets of the paper's linear probes; ours have these names in lower case."""
SHARES = (0.01, 0.1, 1.0)
ABLATION = RETRIEVAL[:4]
TOWERS = ["vision", "text"]


def zero_shot(published: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Zero-shot accuracy by field; ours are the problems that `tasks.zero_shot.COLUMNS` puts into the paper's columns.

    An average is over the columns that the row has.
    """
    table = _printed(published, "zero-shot", "dataset", TOWERS)
    own = _of(results, "zero_shot", list(COLUMNS))
    return _below(table, own, task_tables.zero_shot_table)


def retrieval(published: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Recall at 10 and 50 of captions, images and phenotypes, with the number of images and of candidate phenotypes."""
    table = _printed(published, "retrieval", "metric", TOWERS).rename(columns=_recall)
    table = table.assign(**_sizes(published, "retrieval"))
    return _below(table, _of(results, "retrieval"), _retrieval)


def _retrieval(part: pd.DataFrame) -> pd.DataFrame:
    sizes = part[part["metric"].isin(["n_images", "n_candidates"])].groupby("metric")["value"].first()
    found = {name.removeprefix("n_"): f"{size:.0f}" for name, size in sizes.items()}
    return retrieval_table(part).assign(**found)


def matching(published: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Matching of faces to phenotypes, in the layout of the paper's Face2Gene table, with images and candidates."""
    table = _printed(published, "matching", "metric")[["origin", "model", *MATCHING]]
    table = table.rename(columns=lambda name: name.replace("recall@", "R@").replace("f1", "F1"))
    table = table.assign(**_sizes(published, "matching"))
    return _below(table, _of(results, "matching"), task_tables.matching_table)


def linear_probe(published: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Linear-probe accuracy of each data set of the paper by share of labels, a row a model."""
    table = _printed(published, "linear probe", ["dataset", "metric"])
    return _below(table, _of(results, "linear_probe", [name.lower() for name in PROBES]), _probes)


def _probes(part: pd.DataFrame) -> pd.DataFrame:
    table = task_tables.probe_table(part, SHARES)
    names = {name.lower(): name for name in PROBES}
    shares = [f"{100 * share:g}% labels" for share in SHARES]
    table = table.melt(["target", "method"], shares, "share", "cell")  # methods stay in their order
    table["column"] = table["target"].map(names) + " " + table["share"].str.removesuffix(" labels")
    return table.pivot(index="method", columns="column", values="cell").loc[table["method"].unique()].reset_index()


def ablations(
    published: pd.DataFrame, results: pd.DataFrame, settings: Mapping[str, Mapping[str, object]] | None = None
) -> pd.DataFrame:
    """Retrieval of captions and images, and PhenoBench accuracy (acc1), by what the model has.

    Args:
        results: of the compared methods and of ablations, one source or several.
        settings: method -> overrides, such as ``params.methods | params.ablations.overrides``, for the column
            ``setting`` of ours.
    """
    table = _printed(published, "ablation", "metric", [*TOWERS, "setting"]).rename(columns=_recall)
    own = results[
        ((results["task"] == "retrieval") & results["metric"].isin(ABLATION))
        | ((results["task"] == "zero_shot") & (results["dataset"] == PHENOBENCH) & (results["metric"] == "acc1"))
    ]

    def ours(part: pd.DataFrame) -> pd.DataFrame:
        summary = summarise(part)
        found = wide(summary, "method", "metric", method_order(summary["method"]), [*ABLATION, "acc1"])
        found = found.rename(columns=_recall).rename_axis(columns=None)
        texts = [_setting((settings or {}).get(method)) for method in found.index]
        return found.rename(index=METHOD_NAMES).reset_index().assign(setting=texts)

    return _below(table, own, ours)


def _setting(overrides: Mapping[str, object] | None) -> str:
    if overrides is None:
        return "-"
    return ", ".join(f"{key}={value}" for key, value in overrides.items()) or "full model"


# --- the two sides --------------------------------------------------------------------------------


def _printed(published: pd.DataFrame, table: str, columns: str | list[str], labels: Sequence[str] = ()) -> pd.DataFrame:
    """A published table in the order of print: origin, model, `labels`, then the numbers with two decimals."""
    own = published[(published["table"] == table) & (published["unit"] == "percent")]
    cells = own.assign(cell=[f"{value:.2f}" for value in own["value"]], column=_column(own, columns))
    keys = ["paper", "model", *labels]
    wide = cells.pivot(index=keys, columns="column", values="cell")
    wide = wide.loc[list(dict.fromkeys(cells[keys].itertuples(index=False, name=None))), cells["column"].unique()]
    wide = wide.fillna("-").rename_axis(columns=None).reset_index()
    citation = wide.pop("paper").map(lambda paper: (re.findall(r"\((.+)\)", paper) or [paper])[0])
    wide.insert(0, "origin", "published: " + citation + f", {table} table")
    return wide


def _column(own: pd.DataFrame, columns: str | list[str]) -> pd.Series:
    """The column a number stands in: ``HAM10000 10%`` for a data set and ``acc@0.1``."""
    if isinstance(columns, str):
        return own[columns]
    share = own["metric"].str.removeprefix("acc@").astype(float)
    return own["dataset"] + [f" {100 * value:g}%" for value in share]


def _sizes(published: pd.DataFrame, task: str) -> dict[str, str]:
    """Numbers of images and candidates that the paper's text gives."""
    own = published[(published["table"] == "text") & (published["task"] == task) & (published["unit"] == "count")]
    found = dict(zip(own["metric"], own["value"], strict=True))
    return {name: f"{found[name]:.0f}" if name in found else "-" for name in ("images", "candidates")}


def _of(results: pd.DataFrame, task: str, datasets: Sequence[str] | None = None) -> pd.DataFrame:
    own = results[results["task"] == task]
    return own if datasets is None else own[own["dataset"].isin(datasets)]


def _below(table: pd.DataFrame, own: pd.DataFrame, ours: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """The published rows, then for each source ours in the same columns.

    Args:
        own: results of the table's task.
        ours: from those of one source to a table with a column ``method``.
    """
    parts = [table]
    for source, part in own.groupby("source", sort=True):
        found = ours(part).rename(columns={"method": "model"})
        origins = {METHOD_NAMES.get(name, name): _origin(source, rows) for name, rows in part.groupby("method")}
        origin = [f"measured here: {source}" if name in GUESSES.values() else origins[name] for name in found["model"]]
        parts.append(found.assign(origin=origin).reindex(columns=table.columns))
    return pd.concat(parts, ignore_index=True).fillna("-").astype(str)


def _origin(source: str, rows: pd.DataFrame) -> str:
    seeds, pairs = rows["seed"].nunique(), rows["n_train"].iat[0]
    trained = f"{pairs:,} training pairs" if pairs else "not trained here"
    return f"measured here: {source}, {trained}, {seeds} seed{'' if seeds == 1 else 's'}"


def _recall(name: str) -> str:
    """``i2p_recall@10`` as in our own table of retrieval."""
    return re.sub(r"^(\w+?)_recall@", lambda found: found[1].upper() + " R@", name)
