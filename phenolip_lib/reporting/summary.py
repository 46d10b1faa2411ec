"""What a finished run says at its end: tables written, headline numbers, where to look."""

from __future__ import annotations

from pathlib import Path

from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import reading
from phenolip_lib.reporting.tables import METHOD_NAMES, NOTHING, in_text, metric_name, read_table

HEADLINES = {"crossval_difference": "", "unseen_difference": " on unseen phenotypes"}
"""Tables of differences to the baseline whose lines are told, and what is added to each."""
METRICS = ("i2p_recall@10", "p2i_recall@10")
NUMBERS = ("difference", "low", "high")


def summary(paths: Paths, source: str) -> list[str]:
    """Lines for a terminal: the report's size, the headline differences, and where to read on."""
    report = paths.report(source)
    tables = sorted((report / "tables").glob("*.csv"))
    lines = [f"{source}: {len(tables)} tables and {len(list((report / 'figures').glob('*.png')))} figures written"]
    baseline = load_params(paths.params).evaluation.baseline
    for name, where in HEADLINES.items():
        if (path := report / "tables" / f"{name}.csv").is_file():
            lines += [f"  {line}{where}" for line in headlines(path, baseline)]
    book = paths.reports / "book" / source / "index.html"
    shown = [path.relative_to(paths.root) for path in (report / "README.md", book) if path.is_file()]
    return [*lines, f"  read {' or '.join(map(str, shown))}"]


def headlines(path: Path, baseline: str) -> list[str]:
    """Differences of the phenotype metrics in a table of differences, a line each."""
    table = read_table(path, ["method", "metric", *NUMBERS, "beyond_chance"])
    table = table[table["metric"].isin(METRICS) & (table["difference"] != NOTHING)]
    with reading(path):
        table = table.astype(dict.fromkeys(NUMBERS, float))
    return [
        f"{METHOD_NAMES.get(row.method, row.method)} minus {in_text(baseline)}, {metric_name(row.metric)}: "
        f"{row.difference:+.1f} points [{row.low:.1f}, {row.high:.1f}]"
        f"{'' if row.beyond_chance == 'True' else ', within chance'}"
        for row in table.itertuples(index=False)
    ]
