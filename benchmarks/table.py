"""Rows of the common table of benchmarks: what was measured, beside whom, in one run."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("benchmark", "what", "value", "unit", "peer", "peer_value", "ratio")


class Row(NamedTuple):
    """One comparison; without a peer its cells stay empty."""

    benchmark: str
    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, numbers with four decimals; the ratio is value over peer value."""
        ratio = f"{self.value / self.peer_value:.4f}" if self.peer_value else ""
        peer_value = "" if self.peer_value is None else f"{self.peer_value:.4f}"
        return (self.benchmark, self.what, f"{self.value:.4f}", self.unit, self.peer, peer_value, ratio)


def append(path: Path | None, rows: Iterable[Row]) -> None:
    """Add `rows` to the CSV at `path`, with a header if it is new; nothing without a path."""
    if path is None:
        return
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS] * new + [row.cells for row in rows])
