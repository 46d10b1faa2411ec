"""What the loaders of questions share: their folder, and lists of entries in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.sources.files import read_json


def question_folder(root: Path, name: str, *files: str) -> Path:
    """The folder of a set below the data root, with each of `files` in it.

    Raises:
        PhenoLIPError: it is not there, or lacks one of them.
    """
    folder = Path(root) / name
    for path in (folder, *(folder / file for file in files)):
        if not path.exists():
            raise PhenoLIPError(f"{path} is missing; put a copy of {name} there, as docs/data.md says")
    return folder


def entries(path: Path, *keys: str) -> Iterator[dict[str, Any] | str]:
    """The entries of a JSON list that have each of `keys`; for any other the reason, as `question_set` takes it.

    Raises:
        PhenoLIPError: the file is not valid JSON, or no list.
    """
    items = read_json(path)
    if not isinstance(items, list):
        raise PhenoLIPError(f"{path}: is not a list of questions; copy it again from its publisher")
    for item in items:
        missing = [key for key in keys if key not in item] if isinstance(item, dict) else ["fields"]
        yield f"no {missing[0]}" if missing else item
