"""Files that are either whole or absent: every write goes to a sibling first and is then renamed.

What cannot be written or read is one line that names the path: `UnwritableError`, `DamagedError`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import DamagedError, PhenoLIPError, UnwritableError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a disk without room, also where a library tells it in words or hides it."""
    while error is not None:
        told = re.findall(r"(?i)(?:os error|errno) (\d+)", str(error))
        if {getattr(error, "errno", None), *map(int, told)} & set(FULL):
            return True
        error = error.__context__
    return False


@contextmanager
def writing(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """A block that writes `path`: a full disk, and any of `errors`, becomes one line that names it.

    Raises:
        UnwritableError: the disk is full, or one of `errors`.
    """
    try:
        yield
    except PhenoLIPError:
        raise
    except Exception as error:
        if is_full(error):
            reason = "the disk is full; free space, or move the project to a larger disk, and start again"
            raise UnwritableError(f"{path}: cannot be written, {reason}") from None
        if isinstance(error, errors):
            reason = getattr(error, "strerror", None) or error
            raise UnwritableError(
                f"{path}: cannot be written ({reason}); make room for it or its folder there"
            ) from None
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A block that reads `path`: whatever a parser makes of a damaged file becomes one line that names it.

    Raises:
        DamagedError: the file is absent, unreadable or damaged.
    """
    try:
        yield
    except Exception as error:  # of zip, npy, JSON and parquet alone there are a dozen kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise DamagedError(
            f"{path}: absent or damaged ({reason}); remove it and make it again, under build/ with `dvc repro`"
        ) from None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends without an error."""
    path = Path(path)
    with writing(path, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with writing(path):
            yield temporary
        with writing(path, OSError):
            os.chmod(temporary, 0o644)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_path`, for a whole folder; an older one is replaced only at the end."""
    path = Path(path)
    with writing(path, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        with writing(path):
            yield temporary
        with writing(path, OSError):
            os.chmod(temporary, 0o755)
            for part in (*temporary.rglob("*"), temporary):
                _sync(part)
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
            _sync(path.parent)
    except UnwritableError as error:
        raise UnwritableError(str(error).replace(str(temporary), str(path))) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    """Bring a file or the names in a folder to the disk: else a power cut leaves a new name on old or no content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # not every file system knows it of folders
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def copy_files(source: Path, target: Path) -> None:
    """Every file below `source` to the same place below `target`, each whole; others there stay."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        with atomic_path(target / path.relative_to(source)) as temporary:
            shutil.copyfile(path, temporary)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, two-space indent, a newline at the end: equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, keys: Sequence[str] = ()) -> Any:
    """The value in a JSON file.

    Args:
        keys: what the object in it must name.

    Raises:
        DamagedError: absent, no JSON, or without one of `keys`.
    """
    with reading(path):
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if keys and not (isinstance(value, dict) and set(keys) <= value.keys()):
            raise ValueError(f"not an object with {', '.join(keys)}")
    return value


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table in a parquet file, of some columns only if given; `DamagedError` for what is none."""
    with reading(path):
        return pd.read_parquet(path, columns=columns)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Arrays as an uncompressed ``.npz``; read back with `read_arrays`, which never unpickles."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of `write_arrays`; `DamagedError` for any other file, also where single bits are wrong."""
    with reading(path), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): _array(archive, name) for name in archive.namelist()}


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # zip checks its sum only at the end, which a damaged shape does not reach
            raise ValueError(f"{name} is longer than its header says")
    return array


def sha256_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: Any) -> str:
    """A short stable fingerprint of strings, numbers, lists and dicts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def digest_arrays(*arrays: np.ndarray) -> str:
    """A short fingerprint of arrays: their shapes, types and values."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(f"{array.dtype}{array.shape}".encode())
        hashed.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return hashed.hexdigest()[:16]
