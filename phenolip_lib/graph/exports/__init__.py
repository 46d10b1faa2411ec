"""PhenoKG in formats other tools read: one module a format, each with one function ``write``.

Equal inputs give equal bytes; every file or folder is whole or absent.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import inside, split_container
from phenolip_lib.data.images import WHOLE, read_image

JPEG_QUALITY = 92
SUFFIXES = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}


def box_of(row) -> tuple[float, float, float, float]:
    """The part of the file that is a pair's picture."""
    return (row.left, row.top, row.right, row.bottom)


def encoded_image(root: Path, row) -> tuple[bytes, str]:
    """A pair's picture as file bytes and suffix.

    A whole JPEG or PNG file is taken as it is; anything else (a panel, a member of an archive) is cut
    to its box and stored as JPEG of quality 92.

    Raises:
        PhenoLIPError: the picture cannot be read.
    """
    try:
        image = read_image(root, row.image, box_of(row))
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{row.pair_id}: {error}; the pairs and the folder {root} do not belong together") from None
    file, member = split_container(row.image)
    suffix = SUFFIXES.get(Path(file).suffix.lower())
    if suffix and not member and box_of(row) == WHOLE:
        return inside(root, file).read_bytes(), suffix
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue(), ".jpg"


def redistributable(pairs: pd.DataFrame, allowed: Callable[[str], bool] | None) -> pd.DataFrame:
    """The pairs whose licence `allowed` accepts, sorted by id; all of them where it is None.

    Raises:
        PhenoLIPError: nothing is left.
    """
    if allowed is not None:
        accepted = {licence for licence in pairs["licence"].unique() if allowed(licence)}
        kept = pairs[pairs["licence"].isin(accepted)]
        if kept.empty:
            found = ", ".join(sorted(pairs["licence"].unique())) or "no pair at all"
            raise PhenoLIPError(f"no pair may be redistributed; the licences are: {found}")
        pairs = kept
    return pairs.sort_values("pair_id").reset_index(drop=True)
