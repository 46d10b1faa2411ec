"""The picture's way in: a file from someone else's hand, checked before it is decoded, deleted after."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.images import FORMATS, read_image

MAX_BYTES = 10 << 20
UPLOAD_PIXELS = 100_000_000
"""Of an upload: a small file may hold many, and each of several people's takes memory."""
MAX_WORDS, MAX_LENGTH = 8, 200
"""Texts one may ask for at once, and characters of each."""


@dataclass(frozen=True)
class Upload:
    """A picture that was uploaded: the bytes and the ending of its file, and itself as upright RGB."""

    content: bytes
    suffix: str
    picture: Image.Image


def read_upload(path: Path, max_bytes: int = MAX_BYTES) -> Image.Image:
    """The picture of `take_upload`."""
    return take_upload(path, max_bytes).picture


def take_upload(path: Path, max_bytes: int = MAX_BYTES) -> Upload:
    """An uploaded picture; the file is gone afterwards, also if it was refused.

    Raises:
        PhenoLIPError: too many bytes or pixels, too small, or no picture.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise PhenoLIPError(f"it has {megabytes(size)}, and at most {megabytes(max_bytes)} are read")
        picture = read_image(path.parent, path.name, max_pixels=UPLOAD_PIXELS)
        return Upload(path.read_bytes(), path.suffix, picture)
    except FileNotFoundError:
        raise PhenoLIPError("The upload is gone; please upload the picture again") from None
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{path.name} was not read: {error}. Pictures may be {', '.join(FORMATS)}") from None
    finally:
        path.unlink(missing_ok=True)
        if path.parent.parent == Path(os.environ.get("GRADIO_TEMP_DIR", "")):
            with suppress(OSError):  # another upload of the same content is in it
                path.parent.rmdir()


def sweep(folder: Path, age: float) -> None:
    """Delete uploads that lie in `folder` for more than `age` seconds, and folders that are empty as long.

    Such are those whose request was refused or never came.
    """
    before = time.time() - age
    for path in sorted(Path(folder).rglob("*"), reverse=True):  # what is inside goes first
        with suppress(OSError):  # read and deleted meanwhile, or not empty
            if path.lstat().st_mtime < before:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def split_words(text: str) -> list[str]:
    """The texts of a field, which commas, semicolons or line breaks separate, each once.

    Raises:
        PhenoLIPError: more or longer ones than can be asked.
    """
    for mark in (";", "\n"):
        text = text.replace(mark, ",")
    found = list(dict.fromkeys(filter(None, (" ".join(part.split()) for part in text.split(",")))))
    if len(found) > MAX_WORDS:
        raise PhenoLIPError(f"{len(found)} texts; at most {MAX_WORDS} can be asked at once")
    if long := [part for part in found if len(part) > MAX_LENGTH]:
        raise PhenoLIPError(f"{long[0][:40]}...: a text may have {MAX_LENGTH} characters")
    return found


def megabytes(size: int) -> str:
    return f"{size / (1 << 20):.3g} MB"
