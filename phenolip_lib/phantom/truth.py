"""What the atlas knows of its figures, read back from its tables, to score curation against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Compound:
    """A compound figure with the boxes (pixels) and caption chunks of its panels, by letter."""

    figure_id: str
    image: str
    caption: str
    boxes: dict[str, Box]
    chunks: dict[str, str]


def is_atlas(root: Path) -> bool:
    """Whether a folder holds an atlas."""
    return all((Path(root) / f"{name}.csv").is_file() for name in ("figures", "panels", "mentions"))


def _read(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(Path(root) / f"{name}.csv", dtype=str, keep_default_na=False)


def compounds(root: Path) -> list[Compound]:
    """Compound figures that are no planted copies, sorted by id."""
    figures, panels = _read(root, "figures"), dict(list(_read(root, "panels").groupby("figure_id")))
    own = figures[(figures["compound"] == "1") & (figures["duplicate_of"] == "")].sort_values("figure_id")
    found = []
    for row in own.itertuples(index=False):
        parts = panels[row.figure_id].sort_values("panel")
        boxes = {p.panel: (int(p.x0), int(p.y0), int(p.x1), int(p.y1)) for p in parts.itertuples(index=False)}
        chunks = dict(zip(parts["panel"], parts["chunk"], strict=True))
        found.append(Compound(row.figure_id, row.image, row.caption, boxes, chunks))
    return found


@lru_cache(maxsize=4)
def findings(root: Path) -> dict[str, list[str]]:
    """Sorted findings of each figure; finding k is bit k of its mask."""
    panels = _read(root, "panels")
    own = panels.groupby("figure_id")["findings"].agg(";".join)
    return {figure_id: sorted({name for name in names.split(";") if name}) for figure_id, names in own.items()}


def mentions(root: Path) -> dict[str, tuple[str, pd.DataFrame]]:
    """Caption and planted mentions (start, end, hpo_id, negated, surface) of each figure."""
    figures = _read(root, "figures")
    planted = dict(list(_read(root, "mentions").groupby("figure_id")))
    none = pd.DataFrame(columns=["start", "end", "hpo_id", "negated", "surface"])
    ordered = figures[figures["duplicate_of"] == ""].sort_values("figure_id")
    return {row.figure_id: (row.caption, planted.get(row.figure_id, none)) for row in ordered.itertuples(index=False)}
