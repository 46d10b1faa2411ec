"""Rows of a workbook (``.xlsx``), as the text that a spreadsheet shows."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log

MAX_BYTES = 1 << 30
"""Of the unpacked workbook."""


def workbook_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(row, cells) of the one sheet whose first row has the columns, that row first; a row without cells is empty.

    Formulas give the value they had when the workbook was saved.

    Raises:
        PhenoLIPError: openpyxl is not installed, the file is no workbook, or no sheet or several have the columns.
    """
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError:
        raise PhenoLIPError(
            f"{path}: workbooks are read with openpyxl (`pip install openpyxl==3.1.5`), which is not installed; "
            "or save the sheet as .csv"
        ) from None
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MAX_BYTES:
                raise PhenoLIPError(f"{path}: the workbook unpacks to more than {MAX_BYTES >> 20} MB; save it as .csv")
        book = load_workbook(path, read_only=True, data_only=True)
        sheets = {sheet.title: _rows(sheet) for sheet in book.worksheets}
        book.close()
    except PhenoLIPError:
        raise
    except Exception as error:  # of zip, XML and cells alone there are a dozen kinds
        raise PhenoLIPError(f"{path}: no workbook that can be read ({type(error).__name__}); save it as .csv") from None
    filled = {name: rows for name, rows in sheets.items() if rows}
    wanted = {column.lower() for column in columns}
    chosen = [name for name, rows in filled.items() if wanted <= {cell.strip().lower() for cell in rows[0][1]}]
    if len(filled) > 1 and len(chosen) != 1:
        have = f"several sheets have ({', '.join(chosen)})" if chosen else f"no sheet has ({', '.join(filled)})"
        raise PhenoLIPError(f"{path}: {have} the columns {', '.join(columns)}; leave one")
    name = (chosen or list(filled) or [""])[0]
    if others := [other for other in filled if other != name]:
        log.info("%s: the sheet %s is read, and not %s", path, name, ", ".join(others))
    yield from filled.get(name, ())


def _rows(sheet) -> list[tuple[int, list[str]]]:
    """Rows with their numbers, without empty cells at the end; rows above the first filled one are left out."""
    sheet.reset_dimensions()  # some programs write wrong ones
    found = []
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [_text(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells or found:
            found.append((number, cells))
    return found


def _text(value: object) -> str:
    if value is None or (isinstance(value, str) and value.startswith("#") and value.endswith(("!", "?", "/A"))):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)
