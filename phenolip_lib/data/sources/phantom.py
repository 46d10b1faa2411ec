"""The phantom atlas as a source; `phenolip_lib.phantom.atlas` describes the layout it reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import Record

DATASET = "phantom"
HEALTHY = "normal"
"""Class of the pictures that show no finding."""


def records(root: Path) -> Iterator[Record]:
    """One record a figure, sorted by id; `root` is the folder that holds ``figures.csv``.

    Compound figures carry no labels: what is known is known of a panel, not of the figure.

    Raises:
        PhenoLIPError: the atlas is not drawn yet, or one of its tables is damaged.
    """
    root = Path(root)
    figures = _table(root, "figures", "figure_id article_id image modality caption compound licence url")
    panels = _table(root, "panels", "figure_id findings")
    findings = panels.groupby("figure_id")["findings"].first()
    for row in figures.sort_values("figure_id").itertuples(index=False):
        compound = row.compound == "1"
        labels = () if compound else tuple(f for f in findings.get(row.figure_id, "").split(";") if f)
        # A picture with two findings belongs to no single class.
        single = labels[0] if len(labels) == 1 else "" if labels or compound else HEALTHY
        yield Record(
            record_id=f"{DATASET}/{row.figure_id}",
            dataset=DATASET,
            image=row.image,
            modality=row.modality,
            group=row.article_id,
            licence=row.licence,
            url=row.url,
            caption=row.caption,
            labels=labels,
            class_name=single,
            compound=compound,
        )


def _table(root: Path, name: str, columns: str) -> pd.DataFrame:
    path = root / f"{name}.csv"
    if not path.is_file():
        raise PhenoLIPError(f"{path}: the atlas is not drawn yet; run `phenolip run atlas`")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise PhenoLIPError(f"{path}: damaged ({error}); run `phenolip run atlas`") from None
    if missing := sorted(set(columns.split()) - set(table.columns)):
        raise PhenoLIPError(f"{path}: lacks the column {missing[0]}; run `phenolip run atlas`")
    return table
