"""The tables of a report as a book lists them: name, caption, size, and where they were made."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError


@dataclass(frozen=True)
class Table:
    """One table of a report; `path` is its CSV file."""

    name: str
    caption: str
    path: Path
    rows: int
    columns: tuple[str, ...]
    chapter: str
    """Name of the notebook that made it, by the report's README; empty if that does not say."""

    @property
    def file(self) -> str:
        """Where the book keeps the CSV."""
        return f"tables/{self.path.name}"


def read_tables(report: Path) -> dict[str, Table]:
    """The tables of a report's folder by name, sorted.

    Raises:
        PhenoLIPError: a CSV file that is empty or is no text.
    """
    sections = _sections(report / "README.md")
    found = {}
    for path in sorted((report / "tables").glob("*.csv")):
        try:
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            header, *body = rows
        except (ValueError, csv.Error):
            raise PhenoLIPError(f"{path}: not a table; `phenolip run report` writes it again") from None
        caption = _caption(path.with_suffix(".md")) or path.stem.replace("_", " ")
        chapter = next((name for name, text in sections.items() if f"\n{caption}\n" in text), "")
        found[path.stem] = Table(path.stem, caption, path, len(body), tuple(header), chapter)
    return found


def _caption(path: Path) -> str:
    """The paragraph above a Markdown table."""
    return path.read_text(encoding="utf-8").partition("\n\n")[0].strip() if path.is_file() else ""


def _sections(readme: Path) -> dict[str, str]:
    """The README's sections by notebook name: ``## 05 evaluation`` is about ``05_evaluation``."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    parts = (part.partition("\n") for part in f"\n{text}".split("\n## ")[1:])
    return {title.strip().replace(" ", "_"): body for title, _, body in parts}
