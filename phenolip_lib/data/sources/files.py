"""What the loaders of published folders share: required files, and clear words when they are not there."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import Record, Reject


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


def read_table(path: Path, columns: Sequence[str], bad: list[Reject] | None = None) -> pd.DataFrame:
    """A CSV file as text, empty where a field is empty or a row ends early; the index is the row in the file.

    pandas alone would take the surplus fields of a row for an index, or drop them.

    Args:
        bad: takes up rows with more fields than the header, which are else an error.

    Raises:
        PhenoLIPError: it is absent or no table, or lacks one of the `columns`.
    """
    if not path.is_file():
        raise PhenoLIPError(f"{path} is missing")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [column.strip() for column in next(reader, [])]
            rows, numbers = [], []
            for number, row in enumerate(reader, start=2):
                if any(row[len(header) :]):
                    if bad is None:
                        raise PhenoLIPError(f"{path}: row {number} has more fields than the header")
                    name = f"{path.parent.name}/{path.name}:{number}"
                    bad.append(Reject(name, "source", "more fields than the header"))
                elif row:
                    rows.append((row + [""] * len(header))[: len(header)])
                    numbers.append(number)
    except (csv.Error, UnicodeDecodeError) as error:
        raise PhenoLIPError(f"{path}: not a table ({error})") from None
    if not header or len(set(header)) < len(header):
        raise PhenoLIPError(f"{path}: not a table (its columns have no names of their own)")
    if missing := [column for column in columns if column not in header]:
        raise PhenoLIPError(f"{path}: lacks the column {missing[0]!r}; it has {', '.join(header)}")
    return pd.DataFrame(rows, index=numbers, columns=header, dtype=str)


def split_labels(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """HPO ids and names of phenotypes, each sorted, of labels that may be either."""
    labels = {text.strip() for text in texts if text.strip()}
    ids = {label for label in labels if re.fullmatch(r"HP[:_]\d{7}", label, re.IGNORECASE)}
    return tuple(sorted({i.upper().replace("_", ":") for i in ids})), tuple(sorted(labels - ids))


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
