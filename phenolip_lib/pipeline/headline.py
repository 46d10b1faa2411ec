"""The headline numbers of a source as ``dvc metrics`` reads them."""

from __future__ import annotations

from pathlib import Path

from phenolip_lib.core.storage import reading
from phenolip_lib.reporting.tables import METHOD_NAMES, NOTHING, read_table

TABLES = ("crossval", "retrieval_intervals")
"""Tables of recall with intervals, the first that a source has."""
RECALL = ("I2T R@10", "T2I R@10", "I2P R@10", "P2I R@10")
ZERO_SHOT = "zero-shot"


def numbers(tables: Path, methods: list[str]) -> dict[str, dict[str, float]]:
    """By method recall of each direction and mean zero-shot accuracy, in percent, as the tables of a report print them.

    Args:
        tables: folder of a report's tables; what is not there is left out.
        methods: of params, as they are named there.
    """
    found: dict[str, dict[str, float]] = {}
    recall = next((path for name in TABLES if (path := tables / f"{name}.csv").is_file()), None)
    parts = [] if recall is None else [(recall, {name: name for name in RECALL})]
    if (zero_shot := tables / "zero_shot.csv").is_file():
        parts.append((zero_shot, {"average": ZERO_SHOT}))
    for path, columns in parts:
        table = read_table(path)
        with reading(path):
            table = table.set_index("method")
            for name in [METHOD_NAMES.get(method, method) for method in methods]:
                if name in table.index:
                    cells = {said: table.at[name, column] for column, said in columns.items() if column in table}
                    own = {said: float(cell.split()[0]) for said, cell in cells.items() if cell != NOTHING}
                    found.setdefault(name, {}).update(own)
    return found
