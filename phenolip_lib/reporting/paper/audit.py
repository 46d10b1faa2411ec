"""Do the published tables agree with themselves? Each check recomputes a statement from `published.csv`.

A check is one function under `check`, and gives its rows. One that fails is a question to the authors and
no accusation: rounding, another version of a table or a rule that is not stated may explain it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, floor

import pandas as pd

COLUMNS = ["check", "where", "stated", "recomputed", "holds"]
CHECKS: dict[str, Callable[[pd.DataFrame], Iterator[tuple]]] = {}
ROUNDING = 0.0051
"""Half a unit of the last printed digit."""


def check(what: str) -> Callable:
    """Put a function into `CHECKS`; it yields (where, stated, recomputed, holds)."""

    def keep(function: Callable) -> Callable:
        CHECKS[what] = function
        return function

    return keep


def run(published: pd.DataFrame) -> pd.DataFrame:
    """All checks on the numbers of `published.load`: (check, where, stated, recomputed, holds)."""
    rows = [(what, *row) for what, function in CHECKS.items() for row in function(published)]
    return pd.DataFrame(rows, columns=COLUMNS)


def summary(audit: pd.DataFrame) -> pd.DataFrame:
    """A row a check: how many statements were recomputed, how many hold, and the first that does not."""
    rows = []
    for what, own in audit.groupby("check", sort=False):
        failed = own[~own["holds"]]
        example = ""
        for row in failed.head(1).itertuples():
            example = f"{row.where}: stated {row.stated}" + (f", recomputed {row.recomputed}" if row.recomputed else "")
        rows.append((what, len(own), len(own) - len(failed), example))
    return pd.DataFrame(rows, columns=["check", "statements", "hold", "first that does not"])


def _wide(published: pd.DataFrame, table: str, columns: str = "metric") -> pd.DataFrame:
    """One published table, a row a model in the order of print."""
    own = published[published["table"] == table]
    wide = own.pivot(index="model", columns=columns, values="value")
    return wide.loc[own["model"].unique(), own[columns].unique()]


def _stated(published: pd.DataFrame, table: str, task: str) -> float:
    own = published[(published["table"] == table) & (published["task"] == task) & published["setting"].ne("headline")]
    return float(own["value"].iloc[0])


def _equal(a: float, b: float, roundings: int = 1) -> bool:
    """Equal as far as print tells; a difference of two printed numbers is rounded twice."""
    return abs(a - b) <= roundings * ROUNDING


@check("average of the zero-shot columns")
def _averages(published: pd.DataFrame) -> Iterator[tuple]:
    wide = _wide(published, "zero-shot", "dataset")
    for model, row in wide.iterrows():
        mean = row.drop("average").mean()
        yield model, f"{row['average']:.2f}", f"{mean:.2f}", _equal(row["average"], mean)


@check("claimed gain in zero-shot accuracy over BiomedCLIP")
def _gain(published: pd.DataFrame) -> Iterator[tuple]:
    average = _wide(published, "zero-shot", "dataset")["average"]
    claim = _stated(published, "abstract", "zero_shot")
    gaps = average["PhenoLIP"] - average.drop("PhenoLIP")
    gap, fits = gaps["BiomedCLIP"], [name for name, value in gaps.items() if _equal(value, claim, 2)]
    note = f" ({claim:.2f} is the gap to {', '.join(fits)})" if fits and "BiomedCLIP" not in fits else ""
    yield "abstract", f"{claim:.2f}", f"{gap:.2f}{note}", _equal(gap, claim, 2)


@check("claimed gain in retrieval over BIOMEDICA, mean of all columns")
def _retrieval_gain(published: pd.DataFrame) -> Iterator[tuple]:
    mean = _wide(published, "retrieval").mean(axis=1)
    claim, gap = _stated(published, "abstract", "retrieval"), mean["PhenoLIP"] - mean["BIOMEDICA"]
    yield "abstract", f"{claim:.2f}", f"{gap:.2f}", _equal(gap, claim, 2)


@check("recall grows with k")
def _monotone(published: pd.DataFrame) -> Iterator[tuple]:
    for table in ("retrieval", "matching", "ablation"):
        own = published[(published["table"] == table) & published["metric"].str.contains("recall@")].copy()
        own[["kind", "k"]] = own["metric"].str.split("@", expand=True)
        for (model, vision, text, setting, kind), rows in own.groupby(
            ["model", "vision", "text", "setting", "kind"], sort=False
        ):
            values = rows.assign(k=rows["k"].astype(int)).sort_values("k")["value"]
            where = " ".join(part for part in (table, model, vision, text, setting, kind) if part)
            yield where, " <= ".join(f"{v:.2f}" for v in values), "", bool(values.is_monotonic_increasing)


@check("the full model of the ablation is the model of the tables")
def _full_model(published: pd.DataFrame) -> Iterator[tuple]:
    own = published[(published["table"] == "ablation") & (published["vision"] == "BiomedCLIP")]
    own = own[own["setting"] == "distillation and curation"]
    main = published[published["table"].isin(["retrieval", "zero-shot"]) & (published["model"] == "PhenoLIP")]
    main = main[main["dataset"] == "PhenoBench"].set_index("metric")["value"]
    for row in own.itertuples():
        yield row.metric, f"{row.value:.2f}", f"{main[row.metric]:.2f}", _equal(row.value, main[row.metric])


@check("one image tower a model")
def _towers(published: pd.DataFrame) -> Iterator[tuple]:
    own = published[published["table"].isin(["zero-shot", "retrieval"])]
    for model, rows in own.groupby("model", sort=False):
        towers = rows.groupby("table", sort=False)["vision"].first()
        yield model, towers.iloc[0], towers.iloc[-1], towers.nunique() == 1


@check("accuracy over the phenotypes is at most recall@10 over the same candidates")
def _same_task(published: pd.DataFrame) -> Iterator[tuple]:
    accuracy = _wide(published, "zero-shot", "dataset")["PhenoBench"]
    recall = _wide(published, "retrieval")["i2p_recall@10"]
    for model, value in accuracy.items():
        yield model, f"accuracy {value:.2f}", f"I2P R@10 {recall[model]:.2f}", bool(value <= recall[model])


@check("F1 is the harmonic mean of precision and recall")
def _harmonic(published: pd.DataFrame) -> Iterator[tuple]:
    for model, row in _wide(published, "matching").iterrows():
        f1 = 2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"])
        yield model, f"{row['f1']:.2f}", f"{f1:.2f}", _equal(f1, row["f1"], 2)


@check("Face2Gene recalls are hits among its images")
def _multiples(published: pd.DataFrame) -> Iterator[tuple]:
    images = published.query("table == 'text' and task == 'matching' and metric == 'images'")["value"].iloc[0]
    for model, row in _wide(published, "matching").iterrows():
        for metric in ("recall@5", "recall@10", "recall@50"):
            found = f"multiple of 1/201: {'yes' if _share_of(row[metric], 201) else 'no'}"
            yield f"{model} {metric}", f"{row[metric]:.2f}", found, _share_of(row[metric], images)


@check("linear-probe accuracies are hits among the test images")
def _probe_multiples(published: pd.DataFrame) -> Iterator[tuple]:
    sizes = published[(published["table"] == "data sets") & (published["setting"] == "test")]
    sizes = sizes.set_index("dataset")["value"]
    own = published[(published["table"] == "linear probe") & published["dataset"].isin(sizes.index)]
    for row in own.itertuples():
        size = int(sizes[row.dataset])
        near = round(row.value / 100 * size)
        yield (
            f"{row.model} {row.dataset} {row.metric}",
            f"{row.value:.2f}",
            f"{near}/{size}",
            _share_of(row.value, size),
        )


@check("1% of the training images are twenty or more")
def _few(published: pd.DataFrame) -> Iterator[tuple]:
    own = published[(published["table"] == "data sets") & (published["setting"] == "train")]
    for row in own.itertuples():
        yield row.dataset, f"{row.value:.0f} images", f"1% is {row.value / 100:.0f} in all", row.value / 100 >= 20


@check("models differ at 1% of the labels")
def _repeated(published: pd.DataFrame) -> Iterator[tuple]:
    own = published[(published["table"] == "linear probe") & (published["metric"] == "acc@0.01")]
    for dataset, rows in own.groupby("dataset", sort=False):
        counts = rows["value"].value_counts()
        most = int(counts.iloc[0])
        yield dataset, f"{len(rows)} models", f"{most} of them have {counts.index[0]:.2f}" if most > 1 else "", most < 3


@check("more labels are no worse")
def _more_labels(published: pd.DataFrame) -> Iterator[tuple]:
    own = published[published["table"] == "linear probe"]
    for (model, dataset), rows in own.groupby(["model", "dataset"], sort=False):
        values = rows["value"].tolist()
        yield f"{model} {dataset}", " / ".join(f"{v:.2f}" for v in values), "", values == sorted(values)


def _share_of(percent: float, n: float) -> bool:
    """Whether a printed percentage can be a number of hits among n."""
    low, high = (percent - ROUNDING) / 100 * n, (percent + ROUNDING) / 100 * n
    return ceil(low) <= floor(high)
