"""What can be asked of a figure of the atlas: what it shows, how severe, and on which side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.phantom import chest, hand, truth

ORGANS = {
    "dermatology": "skin",
    "pathology": "liver",
    "hematology": "blood",
    "histology": "muscle",
    "ophthalmology": "retina",
    "face": "face",
}
"""What a modality shows; a radiograph shows a chest or a hand, which its findings tell."""
FEW_PIXELS = 12
"""A mask with fewer is not asked for a side."""


@dataclass(frozen=True)
class Facts:
    """A figure of one picture.

    Attributes:
        figure_id: ``F00012``.
        modality: key of `atlas.DOMAINS`.
        organ: what is shown; empty for a radiograph without a finding.
        severities: HPO id -> severity in [0, 1], sorted by id; empty for a healthy subject.
        sides: HPO id -> ``left``, ``right`` or ``both`` halves of the picture, where its pixels tell.
    """

    figure_id: str
    modality: str
    organ: str
    severities: dict[str, float]
    sides: dict[str, str]


def facts(root: Path, figure_ids: Iterable[str]) -> Iterator[Facts]:
    """Facts of the figures that are single pictures, sorted by id; those of several panels are passed over.

    Raises:
        PhenoLIPError: no atlas lies in `root`, or its tables or masks are damaged.
    """
    root = Path(root)
    if not truth.is_atlas(root):
        raise PhenoLIPError(f"{root}: the atlas is not drawn yet; run `phenolip run atlas`")
    try:
        figures, panels = (
            pd.read_csv(root / f"{name}.csv", dtype=str, keep_default_na=False).set_index("figure_id")
            for name in ("figures", "panels")
        )
        single = figures[figures["compound"] == "0"]
        for figure_id in sorted({*figure_ids} & {*single.index}):
            modality, shown = single.loc[figure_id, "modality"], panels.loc[figure_id]
            names = [name for name in shown["findings"].split(";") if name]
            degrees = map(float, shown["severities"].split(";") if names else ())
            severities = dict(zip(names, degrees, strict=True))
            sides = _sides(root / "masks" / f"{figure_id}.png", names) if names else {}
            yield Facts(figure_id, modality, _organ(modality, names), severities, sides)
    except (ValueError, KeyError, OSError) as error:
        raise PhenoLIPError(f"{root}: the atlas is damaged ({error}); run `phenolip run atlas`") from None


def side(mask: np.ndarray) -> str:
    """The half of the picture in which a mask ``(height, width)`` lies.

    ``left`` or ``right`` if nine in ten of its pixels lie there; ``both`` if each half has a third of them and a tenth
    each lies in the outer thirds, so that what lies in the middle is on neither side; else empty.
    """
    across = np.nonzero(mask)[1] / max(mask.shape[1] - 1, 1)
    if len(across) < FEW_PIXELS:
        return ""
    right = (across > 0.5).mean()
    if right <= 0.1 or right >= 0.9:
        return "right" if right >= 0.9 else "left"
    outer = min((across < 1 / 3).mean(), (across > 2 / 3).mean())
    return "both" if 1 / 3 <= right <= 2 / 3 and outer >= 0.1 else ""


def _sides(path: Path, names: list[str]) -> dict[str, str]:
    bits = np.asarray(Image.open(path))
    found = {name: side(bits >> bit & 1) for bit, name in enumerate(names)}
    return {name: where for name, where in found.items() if where}


def _organ(modality: str, names: list[str]) -> str:
    if modality != "radiology":
        return ORGANS[modality]
    views = {"chest": chest.view, "hand": hand.view}
    return next((organ for organ, view in views.items() if names and names[0] in view.findings), "")
