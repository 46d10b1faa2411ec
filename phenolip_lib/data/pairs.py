"""The curated pairs, as everything after curation reads them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import read_parquet


def load_pairs(folder: Path) -> pd.DataFrame:
    """The curated pairs; raises `PhenoLIPError` if notebook 02 has not run."""
    path = Path(folder) / "pairs.parquet"
    if not path.is_file():
        raise PhenoLIPError(f"{path}: PhenoKG is not built yet; run `dvc repro`")
    table = read_parquet(path)
    table["phenotypes"] = table["phenotypes"].map(list)
    return table
