"""What commands are given and what they give: pictures, lines of text, lines on the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError


def pictures(inputs: list[str]) -> list[str]:
    """The files named, and the pictures below the folders named, sorted within each folder.

    Raises:
        PhenoLIPError: a folder holds no picture.
    """
    from phenolip_lib.data.images import PICTURE_SUFFIXES

    found = []
    for item in inputs:
        files = [path for path in Path(item).rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
        if os.path.isdir(item) and not files:
            raise PhenoLIPError(f"{item}: holds no picture ({', '.join(PICTURE_SUFFIXES)})")
        found += sorted(map(str, files)) if os.path.isdir(item) else [item]
    return found


def lines(files: list[str]) -> list[str]:
    """The lines of text files that are not empty."""
    found = []
    for file in files:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PhenoLIPError(f"{file}: cannot be read as text ({type(error).__name__})") from None
        found += [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise PhenoLIPError(f"{', '.join(files)}: no texts")
    return found


def print_lines(*lines: str) -> None:
    """Write lines to standard output as UTF-8, whatever the terminal says."""
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=False)
    sys.stdout.writelines(f"{line}\n" for line in lines)
