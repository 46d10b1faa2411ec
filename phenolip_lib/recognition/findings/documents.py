"""Reports as they come: text, the XML of Open-i with its manual codes, a table with a column of texts."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.recognition.annotate import STANDARD_INPUT, read_documents
from phenolip_lib.recognition.findings.extract import Extractor

TEXT_COLUMNS = ("report", "text", "caption", "findings")
NAME_COLUMNS = ("document", "id", "name", "image")
FILM = ("FINDINGS", "IMPRESSION")
"""Sections of an Open-i report that say what the film shows."""
BATCH = 64


@dataclass(frozen=True)
class Report:
    """A report of Open-i."""

    name: str
    sections: tuple[tuple[str, str], ...]
    """Label and text of each section that is not empty."""
    codes: tuple[str, ...]
    """The manual codes, such as ``Calcified Granuloma/lung/upper lobe/right``."""

    def text(self, *labels: str) -> str:
        """``LABEL: text`` of the sections, all by default, an empty line between."""
        return "\n\n".join(f"{label}: {body}" for label, body in self.sections if not labels or label in labels)


def read_openi(name: str, text: str) -> Report:
    """A report of the Indiana University collection (Demner-Fushman et al. 2016) from its XML.

    Raises:
        PhenoLIPError: no XML, or without a uId.
    """
    try:
        root = fromstring(text.encode())
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise PhenoLIPError(f"{name}: no XML that can be read ({error}); name a text with another ending") from None
    uid = root.find(".//uId")
    if uid is None or not uid.get("id"):
        raise PhenoLIPError(f"{name}: no uId; it is no report of Open-i")
    sections = [
        (part.get("Label", "").upper(), " ".join("".join(part.itertext()).split()))
        for part in root.iter("AbstractText")
    ]
    codes = [" ".join("".join(code.itertext()).split()) for code in root.iter("major")]
    return Report(uid.get("id"), tuple((a, b) for a, b in sections if b), tuple(filter(None, codes)))


def read_openi_folder(folder: Path) -> list[Report]:
    """The reports of a folder of XML files, in the order of their numbers."""
    paths = sorted(Path(folder).glob("*.xml"), key=lambda path: (len(path.stem), path.stem))
    if not paths:
        raise PhenoLIPError(f"{folder}: no *.xml; name the folder of Open-i's reports (ecgen-radiology)")
    return [read_openi(str(path), path.read_text(encoding="utf-8", errors="replace")) for path in paths]


def read_reports(files: Iterable[str], problems: list[str], column: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of each report in files that are text, Open-i's XML, CSV or TSV; ``-`` is standard input.

    Args:
        problems: takes what cannot be read; the rest goes on.
        column: the column of texts in tables; by default the first of `TEXT_COLUMNS` that is there.
    """
    for name, text in read_documents(files, problems):
        suffix = Path(name).suffix.lower()
        try:
            if suffix == ".xml":
                report = read_openi(name, text.removeprefix("\ufeff"))
                yield name, report.text()
            elif suffix in (".csv", ".tsv"):
                yield from _rows(name, text.removeprefix("\ufeff"), "\t" if suffix == ".tsv" else ",", column)
            else:
                yield name, text
        except PhenoLIPError as error:
            problems.append(str(error))


def _rows(name: str, text: str, delimiter: str, column: str) -> Iterator[tuple[str, str]]:
    csv.field_size_limit(sys.maxsize)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = {c.strip().lower(): c for c in table.fieldnames or () if c}
    wanted = [column.lower()] if column else [*TEXT_COLUMNS]
    found = next((columns[c] for c in wanted if c in columns), None)
    if found is None:
        raise PhenoLIPError(f"{name}: no column {' or '.join(wanted)}; name the column of texts with --column")
    named = next((columns[c] for c in NAME_COLUMNS if c in columns and columns[c] != found), None)
    try:
        for number, row in enumerate(table, 1):
            yield f"{name}#{(row[named] if named else None) or number}", row[found] or ""
    except csv.Error as error:
        raise PhenoLIPError(f"{name}: row {table.line_num} is no CSV ({error}); quote its text") from None


def lines(files: list[str], extractor: Callable[[], Extractor], column: str = "") -> Iterator[str]:
    """A JSON line a report: document, status, reasons, findings with spans, and the view of the whole report.

    Raises:
        PhenoLIPError: after all other files are done, those that cannot be read.
    """
    problems: list[str] = []
    extract, batch = extractor(), []

    def done() -> Iterator[str]:
        for (name, _), found in zip(batch, extract([text for _, text in batch]), strict=True):
            yield json.dumps(found.row(name), ensure_ascii=False, sort_keys=True)
        batch.clear()

    for report in read_reports(files or [STANDARD_INPUT], problems, column):
        batch.append(report)
        if len(batch) == BATCH:
            yield from done()
    yield from done()
    if problems:
        raise PhenoLIPError("; ".join(problems))
