"""What the loaders of published folders share: required files, and clear words when they are not there."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError, brief
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.workbook import workbook_rows

csv.field_size_limit(2**31 - 1)  # of the whole process: else one long text refuses a whole table


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


def lone_record(
    dataset: str,
    modality: str,
    licence: str,
    url: str,
    key: str,
    image: str,
    labels: Iterable[str],
    class_name: str = "",
    official_split: str = "",
) -> Record:
    """The record ``<dataset>/<key>`` of a picture whose patient is not published: a group of its own."""
    name = f"{dataset}/{key}"
    return Record(
        name,
        dataset,
        image,
        modality,
        name,
        licence,
        url,
        labels=tuple(sorted(labels)),
        class_name=class_name,
        official_split=official_split,
    )


def place(root: Path, dataset: str, what: str) -> Path:
    """The folder of a data set that the user fills, named like it.

    Raises:
        PhenoLIPError: it is not there; one line that says `what` belongs there.
    """
    path = Path(root) / dataset
    if not path.is_dir():
        raise PhenoLIPError(
            f"{path} is missing; put {what} there or take {dataset} out of open.datasets in params.yaml"
        )
    return path


def files_below(base: Path, dataset: str) -> tuple[list[str], list[Reject]]:
    """Files below a folder by name, sorted, without hidden ones; and what is there that is no file to read."""
    names, odd = [], []
    for path in sorted(base.rglob("*")):
        name = path.relative_to(base).as_posix()
        if any(part.startswith((".", "~$")) for part in name.split("/")):
            continue
        if path.is_file():
            names.append(name)
        elif path.is_symlink():
            kind = "a folder, which is not followed; put the folder itself there" if path.is_dir() else "nothing"
            odd.append(Reject(f"{dataset}/{name}", "source", f"a link to {kind}"))
        elif not path.is_dir():
            odd.append(Reject(f"{dataset}/{name}", "source", "a device or pipe, not a file"))
    return names, odd


def read_table(path: Path, columns: Sequence[str], bad: list[Reject] | None = None) -> pd.DataFrame:
    """A table as text, empty where a cell is empty or a row ends early; the index is the row in the file.

    Text files are UTF-8, or UTF-16 with its mark, with commas, or where the header needs it tabs, semicolons or bars
    between fields; the header is the first row that is not empty. Workbooks (``.xlsx``) need openpyxl. pandas alone
    would take the surplus fields of a row for an index, or drop them.

    Args:
        bad: takes up rows with more fields than the header, which are else an error.

    Raises:
        PhenoLIPError: it is absent or no table, or lacks one of the `columns`, in whatever case it writes them.
    """
    if not path.is_file():
        raise PhenoLIPError(f"{path} is missing")
    lines = (workbook_rows if path.suffix.lower() == ".xlsx" else _text_rows)(path, columns)
    first = next((row for _, row in lines if any(cell.strip() for cell in row)), [])
    wanted = {column.lower(): column for column in columns}
    header = [wanted.get(cell.strip().lower(), cell.strip()) for cell in first]
    while header and not header[-1]:
        header.pop()
    rows, numbers = [], []
    for number, row in lines:
        if any(row[len(header) :]):
            if bad is None:
                raise PhenoLIPError(f"{path}: row {number} has more fields than the header")
            bad.append(Reject(f"{path.parent.name}/{path.name}:{number}", "source", "more fields than the header"))
        elif row:
            rows.append((row + [""] * len(header))[: len(header)])
            numbers.append(number)
    if not header or len(set(header)) < len(header):
        raise PhenoLIPError(f"{path}: not a table (its columns have no names of their own)")
    if missing := [column for column in columns if column not in header]:
        raise PhenoLIPError(f"{path}: lacks the column {missing[0]!r}; it has {brief(', '.join(header), 300)}")
    return pd.DataFrame(rows, index=numbers, columns=header, dtype=str)


def _text_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(row in the file, fields) of a table in a text file, the header first."""
    line = 1
    try:
        with open(path, encoding=encoding_of(path)) as file:
            lines = (text for text in file if text.strip())
            header = next(lines, "")
            told = header.lower().startswith("sep=")  # by some spreadsheets, for themselves
            mark = _delimiter(next(lines, "") if told else header, columns)
        with open(path, encoding=encoding_of(path), newline="") as file:
            reader = csv.reader(file, strict=True, delimiter=mark)
            for number, row in enumerate(reader, start=1):
                line = reader.line_num + 1
                if not (told and number == 1):
                    yield number, row
    except csv.Error as error:
        raise PhenoLIPError(f"{path}: not a table (line {line}: {error})") from None
    except UnicodeError as error:
        raise PhenoLIPError(f"{path}: not a table ({error}); save it as UTF-8") from None


def _delimiter(header: str, columns: Sequence[str]) -> str:
    """What separates fields: the first mark under which the header has the columns, and most of them."""

    def found(mark: str) -> tuple[bool, int]:
        try:
            cells = {cell.strip().lower() for cell in next(csv.reader([header], delimiter=mark), [])}
        except csv.Error:
            cells = set()
        return {column.lower() for column in columns} <= cells, len(cells)

    return max(",\t;|", key=found)


def encoding_of(path: Path) -> str:
    """UTF-8, unless the file begins with the mark of UTF-16, as spreadsheets write it."""
    with open(path, "rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


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
