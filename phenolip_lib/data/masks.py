"""Where a finding is: masks that people drew, or that the drawing knows.

A source of masks is one reader in `READERS`: record id to the whole figure's masks. Pictures that curation
set aside as duplicates of a pair keep their masks; they count in the split of the pair they duplicate, so that no
picture of a test mask was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import DUPLICATE
from phenolip_lib.data.sources import idrid
from phenolip_lib.phantom import truth

COLUMNS = ["pair_id", "record_id", "dataset", "modality", "image", "left", "top", "right", "bottom", "group", "split"]
GRID = 128
"""Longest side of a mask in pixels: finer than any map of a tower."""


@dataclass
class Masked:
    """Pictures with masks.

    Attributes:
        rows: table of `COLUMNS`, sorted by pair_id.
        masks: of each row, HPO id -> bool ``(height, width)`` of longest side `GRID`; at least one.
    """

    rows: pd.DataFrame
    masks: list[dict[str, np.ndarray]]

    def __len__(self) -> int:
        return len(self.rows)


def _idrid(root: Path, record_id: str) -> dict[str, Mask]:
    return {hpo_id: (path, None) for hpo_id, path in idrid.masks(root, record_id).items()}


def _phantom(root: Path, record_id: str) -> dict[str, Mask]:
    figure_id = record_id.removeprefix("phantom/")
    path = root / "masks" / f"{figure_id}.png"
    found = truth.findings(root).get(figure_id, []) if path.is_file() else []
    return {hpo_id: (path, bit) for bit, hpo_id in enumerate(found)}


Mask = tuple[Path, int | None]
"""A file, and which bit of its pixels is meant; without one any value but 0."""

READERS: dict[str, Callable[[Path, str], dict[str, Mask]]] = {"idrid": _idrid, "phantom": _phantom}
"""Dataset of a pair -> masks of its whole figure by HPO id, from root and record id."""


def load_masked(pairs: pd.DataFrame, root: Path, quarantine: pd.DataFrame, splits=("val", "test")) -> Masked:
    """Pictures of a source for which there are masks.

    Args:
        pairs: of the source, whose groups and splits count.
        root: its raw files.
        quarantine: (record_id, step, reason) of what curation set aside.
        splits: which pictures are wanted.

    Raises:
        PhenoLIPError: a mask cannot be read.
    """
    own = pairs[pairs["dataset"].isin(READERS)]
    table = pd.concat([own[COLUMNS], _duplicates(own, root, quarantine)]) if len(own) else own[COLUMNS]
    table = table[table["split"].isin(splits)].sort_values("pair_id").reset_index(drop=True)
    masks = [_of_row(root, row) for row in table.itertuples(index=False)]
    kept = [i for i, found in enumerate(masks) if found]
    return Masked(table.iloc[kept].reset_index(drop=True), [masks[i] for i in kept])


def _of_row(root: Path, row) -> dict[str, np.ndarray]:
    """Masks of one picture, cut to its box; those without a pixel left out."""
    found = {}
    for hpo_id, (path, bit) in sorted(READERS[row.dataset](root, row.record_id).items()):
        values = _read(path)
        height, width = values.shape
        part = values[
            round(row.top * height) : round(row.bottom * height), round(row.left * width) : round(row.right * width)
        ]
        part = part > 0 if bit is None else (part >> bit & 1).astype(bool)
        if part.any():
            found[hpo_id] = shrunk(part)
    return found


def shrunk(mask: np.ndarray, longest: int = GRID) -> np.ndarray:
    """A mask at another resolution, of the same shape: a pixel is of the finding if any part of it is.

    Args:
        mask: bool ``(height, width)``.
        longest: longest side of the result; smaller masks stay as they are.
    """
    height, width = mask.shape
    factor = longest / max(mask.shape)
    if factor >= 1:
        return mask
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)) > 0


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhenoLIPError(f"{path}: not a mask that can be read ({error})") from None


def _duplicates(pairs: pd.DataFrame, root: Path, quarantine: pd.DataFrame) -> pd.DataFrame:
    """Segmented pictures of IDRiD that are set aside because a graded picture is the same one."""
    own = quarantine[quarantine["record_id"].str.startswith(f"{idrid.NAME}/segmentation/")]
    own = own[own["reason"].str.startswith(DUPLICATE)]
    if not len(own) or not len(pairs):
        return pd.DataFrame(columns=COLUMNS)
    kept = pairs.drop_duplicates("record_id").set_index("record_id")
    images = {record.record_id: record.image for record in idrid.records(root)}
    original = own["reason"].str.removeprefix(DUPLICATE)
    found = own.assign(original=original)[original.isin(kept.index).to_numpy()]
    return pd.DataFrame(
        {
            "pair_id": found["record_id"],
            "record_id": found["record_id"],
            "dataset": idrid.NAME,
            "modality": found["original"].map(kept["modality"]),
            "image": found["record_id"].map(images),
            "left": 0.0,
            "top": 0.0,
            "right": 1.0,
            "bottom": 1.0,
            "group": found["original"].map(kept["group"]),
            "split": found["original"].map(kept["split"]),
        }
    )[COLUMNS]
