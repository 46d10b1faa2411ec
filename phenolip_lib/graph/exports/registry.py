"""The export formats by name. Adding one is one function here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.graph.exports import croissant, huggingface, kgx, phenobench, rdf, shards
from phenolip_lib.graph.graph import Graph


@dataclass(frozen=True)
class Export:
    """What is exported: the curated pairs, their graph, and where their pictures lie."""

    pairs: pd.DataFrame
    graph: Graph
    root: Path

    @property
    def shareable(self) -> pd.DataFrame:
        """Pairs whose licence allows to pass the picture on."""
        return self.pairs[self.pairs["licence"].map(partial(use_allowed, use="redistribution"))]


def _huggingface(what: Export, folder: Path) -> None:
    huggingface.write(what.shareable, what.root, folder)
    croissant.write(folder)


FORMATS: dict[str, Callable[[Export, Path], object]] = {
    "kgx": lambda what, folder: kgx.write(what.graph, folder),
    "rdf": lambda what, folder: rdf.write(what.graph, folder),
    "webdataset": lambda what, folder: shards.write(what.shareable, what.root, folder),
    "huggingface": _huggingface,
    "phenobench": lambda what, folder: phenobench.write(what.shareable, what.root, what.graph.onto, folder),
}
"""Formats that hold pictures take only pairs whose licence allows redistribution."""


def export(what: Export, formats: Sequence[str], folder: Path) -> pd.DataFrame:
    """Write each format into its own folder below `folder`.

    Returns:
        table (format, files, megabytes).

    Raises:
        PhenoLIPError: an unknown format, or nothing that may be passed on.
    """
    rows = []
    for name in formats:
        if name not in FORMATS:
            raise PhenoLIPError(f"no export format {name!r}; there are {', '.join(FORMATS)}")
        FORMATS[name](what, folder / name)
        files = [path for path in (folder / name).rglob("*") if path.is_file()]
        rows.append((name, len(files), round(sum(path.stat().st_size for path in files) / 1e6, 2)))
    return pd.DataFrame(rows, columns=["format", "files", "megabytes"])
