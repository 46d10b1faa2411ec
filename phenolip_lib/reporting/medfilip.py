"""Tables of chapter 7: MedFILIP beside methods of stage 2."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from phenolip_lib.core.params import Params
from phenolip_lib.core.storage import read_parquet
from phenolip_lib.evaluation import films as scoring
from phenolip_lib.experiments.medfilip import PROBE
from phenolip_lib.reporting.tables import METHOD_NAMES, method_order

RESAMPLES = 2000
"""Of films: each draw ranks all films anew, for each finding, method and seed."""


def film_scores(folder: Path, films: pd.DataFrame, params: Params) -> pd.DataFrame:
    """`evaluation.films.table` of all methods, each mean over seeds and splits, with the first one beside as baseline.

    Args:
        folder: of the scores of one set of films, as `experiments.medfilip.run` writes them.
        films: that set, of `data.films`.
    """
    scores, findings = {}, scoring.scored(films["labels"])
    for path in sorted(folder.glob("*/*.parquet")):
        table = read_parquet(path, ["pair_id", *findings]).set_index("pair_id").loc[films["pair_id"]]
        scores.setdefault(path.parent.name, []).append(table[findings].to_numpy())
    resamples = min(params.evaluation.resamples, RESAMPLES)
    return scoring.table(scores, films, findings, params.medfilip.beside[0], resamples)


def film_table(found: pd.DataFrame, metric: str, baseline: str) -> pd.DataFrame:
    """A row a method, a column a finding and their mean: ``mean [low, high]`` in percent, and the mean's difference.

    Args:
        found: of `film_scores`.
        metric: one of `evaluation.films.METRICS`.
    """
    found = found[found["metric"] == metric]
    cells = found.assign(cell=[_cell(row.mean, row.low, row.high) for row in found.itertuples(index=False)])
    table = cells.pivot(index="method", columns="finding", values="cell")
    table = table[[scoring.MACRO, *(name for name in table.columns if name != scoring.MACRO)]]
    mean = found[found["finding"] == scoring.MACRO].set_index("method")
    table[f"mean minus {METHOD_NAMES.get(baseline, baseline)}"] = [
        "-" if name == baseline else _cell(*mean.loc[name, ["difference", "difference_low", "difference_high"]])
        for name in table.index
    ]
    table = table.loc[[name for name in method_order(table.index) if name != PROBE] + [PROBE] * (PROBE in table.index)]
    return table.rename(index=METHOD_NAMES).rename_axis("method").rename_axis(columns=None).reset_index()


def _cell(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def entry_counts(counts: dict[str, int], n_entries: int) -> pd.DataFrame:
    """What became of the findings of all texts."""
    rows = {"distinct entries": n_entries} | counts
    return pd.DataFrame({"what": list(rows), "number": list(rows.values())})
