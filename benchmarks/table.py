"""One table for all benchmarks: what was measured, beside what, in the same run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = ["benchmark", "what", "value", "unit", "peer", "peer value", "ratio"]


@dataclass(frozen=True)
class Row:
    """A measurement; `peer_value` is None where the peer is not installed."""

    benchmark: str
    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None

    def cells(self) -> list[str]:
        peer = "" if self.peer_value is None else f"{self.peer_value:.4g}"
        ratio = f"{self.value / self.peer_value:.2f}" if self.peer_value else ""
        return [self.benchmark, self.what, f"{self.value:.4g}", self.unit, self.peer, peer, ratio]


def write(rows: Sequence[Row], path: Path | None) -> None:
    """Print the rows, and put them into a CSV in place of earlier rows of the same benchmarks."""
    for row in rows:
        print("  ".join(cell for cell in row.cells() if cell), flush=True)
    if path is None:
        return
    kept = []
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as file:
            new = {row.benchmark for row in rows}
            kept = [cells for cells in list(csv.reader(file))[1:] if cells[0] not in new]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *sorted(kept + [row.cells() for row in rows])])
