"""What the loaders of published folders share: required files, and clear words when they are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phenolip_lib.errors import PhenoLIPError


def need(root: Path, relative: str, dataset: str) -> Path:
    """The file or folder `root / relative`.

    Raises:
        PhenoLIPError: it is not there; one line with the two ways out.
    """
    path = Path(root) / relative
    if not path.exists():
        raise PhenoLIPError(
            f"{path} is missing; run `phenolip download {dataset} --to {root}` "
            f"or take {dataset} out of open.datasets in params.yaml"
        )
    return path


def read_json(path: Path) -> Any:
    """A JSON file of a data set.

    Raises:
        PhenoLIPError: it is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PhenoLIPError(f"{path}: not valid JSON ({error})") from None


def stems(folder: Path) -> dict[str, str]:
    """File name of each picture of a folder by its stem; releases differ in their suffix."""
    suffixes = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
    return {p.stem: p.name for p in sorted(folder.iterdir()) if p.suffix.lower() in suffixes}
