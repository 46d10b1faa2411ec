"""What lies in the cache: read back if it is whole, made anew if it is not, and done without if it cannot be written.

A kept folder holds ``kept.json``, the hash of each of its other files; a kept value is one JSON file with its hash.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from phenolip_lib.core.errors import DamagedError, UnwritableError
from phenolip_lib.core.storage import atomic_folder, digest, read_json, sha256_file, write_json

log = logging.getLogger("phenolip")
MANIFEST = "kept.json"
T = TypeVar("T")
_told: set[Path] = set()


def kept(folder: Path, make: Callable[[], T], write: Callable[[Path, T], None], read: Callable[[Path], T]) -> T:
    """What `read` finds in a whole kept folder; else what `make` gives is written there first.

    Where the cache cannot be written, it is what `make` gave.
    """
    if not is_whole(folder):
        if folder.exists():
            log.info("%s is damaged and is computed anew", folder.name)
        value = make()
        try:
            with atomic_folder(folder) as target:
                write(target, value)
                write_json(target / MANIFEST, _hashes(target))
        except (OSError, UnwritableError) as error:
            _tell(folder.parent, error)
            return value
    return read(folder)


def is_whole(folder: Path) -> bool:
    """Whether a folder holds exactly the files that were kept in it."""
    try:
        return read_json(folder / MANIFEST) == _hashes(folder)
    except (OSError, DamagedError):
        return False


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if not path.is_dir() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def write_value(path: Path, value: Any) -> None:
    """Keep a JSON value, where that is possible."""
    with spared(path.parent):
        write_json(path, {"hash": digest(value), "value": value})


def read_value(path: Path) -> Any:
    """What `write_value` kept, or None if it is not there or not whole."""
    if not path.exists():
        return None
    try:
        found = read_json(path, ("hash", "value"))
        if found["hash"] == digest(found["value"]):
            return found["value"]
    except DamagedError:
        pass
    log.info("%s is damaged and is computed anew", path.name)
    return None


@contextmanager
def spared(place: Path) -> Iterator[None]:
    """A block that writes to the cache: what fails costs time in a later run, and one line in the log now."""
    try:
        yield
    except (OSError, UnwritableError) as error:
        _tell(place, error)


def _tell(place: Path, error: Exception) -> None:
    if place not in _told:
        _told.add(place)
        log.info("nothing is kept in %s, the run goes on without: %s", place, error)
