"""Published numbers as facts with their source; kept apart from everything that is measured here.

`published.csv` holds every number of the tables on PhenoLIP's project page, its claims, and the sizes of data sets that
the audit needs. A blank cell is a thing the source does not say.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

KEYS = ["paper", "table", "task", "dataset", "model", "vision", "text", "setting", "metric"]
UNITS = ["percent", "points", "count"]

SCHEMA = pa.DataFrameSchema(
    {**{name: pa.Column(str) for name in [*KEYS, "unit", "note"]}, "value": pa.Column(float, pa.Check.ge(0))},
    checks=[
        pa.Check(lambda table: table["unit"].isin(UNITS), error=f"a unit is one of {', '.join(UNITS)}"),
        pa.Check(lambda table: (table["value"] <= 100) | (table["unit"] != "percent"), error="percent is at most 100"),
    ],
    unique=KEYS,
    strict=True,
    ordered=False,
)


def load(path: Path | None = None) -> pd.DataFrame:
    """The published numbers, one a row, with the columns of `SCHEMA`.

    Raises:
        pandera.errors.SchemaError: a number twice, out of range or without a known unit.
    """
    table = pd.read_csv(
        path or Path(__file__).with_name("published.csv"), dtype={"value": float}, keep_default_na=False
    )
    return SCHEMA.validate(table)
