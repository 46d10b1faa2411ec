"""The knowledge injector: a book that says what a category looks like, and the text of an entry with its sentence.

After MedFILIP (J-BHI 2025), whose book has a sentence on the radiographic appearance of each category; ours is HPO's
definition and comment, and what a user's file says goes first. A category is looked up whole: the released code takes
the last word of an entry for its category, so that "pleural effusion" loses its sentence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import read_yaml
from phenolip_lib.core.storage import digest
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.findings.extract import Finding
from phenolip_lib.recognition.findings.vocabulary import OTHER, categories


@dataclass(frozen=True)
class Page:
    """What the book says of a category."""

    text: str
    source: str
    """The HPO id and release, or the user's file."""


@dataclass(frozen=True)
class Book:
    """Pages by category, in lower case with single blanks."""

    pages: dict[str, Page]

    @property
    def version(self) -> str:
        """A hash of all that it says and of where that comes from."""
        return digest({name: [page.text, page.source] for name, page in self.pages.items()})

    def page(self, category: str) -> Page | None:
        return self.pages.get(_key(category))

    def with_file(self, path: Path) -> Book:
        """This book with the pages of a file over its own.

        Args:
            path: YAML with ``category: text``, or CSV with the columns ``category`` and ``text``.

        Raises:
            PhenoLIPError: another ending, no such columns, a category without a text or twice.
        """
        own: dict[str, Page] = {}
        for category, text in _read(Path(path)):
            key = _key(category)
            if key in own:
                raise PhenoLIPError(f"{path}: {category!r} is there twice; leave one")
            if not isinstance(text, str) or not text.strip():
                raise PhenoLIPError(f"{path}: {category!r} has no text; write what it looks like, or leave it out")
            own[key] = Page(" ".join(text.split()), str(path))
        return Book(self.pages | own)


def hpo_book(onto: Ontology) -> Book:
    """What HPO says of the categories and of every term: definition and comment."""
    pages: dict[str, Page] = {}

    def add(name: str, hpo_id: str | None) -> None:
        if hpo_id in onto and _key(name) not in pages:
            term = onto[hpo_id]
            if text := " ".join(filter(None, (_sentence(term.definition), _sentence(term.comment)))):
                pages[_key(name)] = Page(text, f"{hpo_id}, HPO {onto.release.rpartition('/')[2]}")

    for category in categories().values():
        add(category.name, category.hpo_id)
    for hpo_id in onto.ids:
        add(onto[hpo_id].name, hpo_id)
    return Book(pages)


def entry_text(finding: Finding, book: Book | None = None) -> str:
    """The text of an entry: severity, location, category; with a book its sentence behind.

    A denied finding begins with "no". The category `other` is told in the report's words. A place that the category
    names itself ("pleural effusion" the pleura) is not told twice.
    """
    location, name = finding.location, finding.text.lower() if finding.category == OTHER else finding.category
    places = location.parts or ((location.organ,) if location.organ not in ("", OTHER) else ())
    no = "no" if finding.polarity == "absent" else ""
    further = [place for place in (*places, location.text.lower()) if place not in name]
    words = [no, finding.severity, location.side, *further, name]
    text = " ".join(dict.fromkeys(filter(None, words)))
    page = book.page(finding.category) if book else None
    return f"{text}. {page.text}" if page else text


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _key(category: str) -> str:
    return " ".join(category.lower().split())


def _read(path: Path) -> Iterator[tuple[str, object]]:
    if path.suffix.lower() in (".yaml", ".yml"):
        try:
            value = read_yaml(path.read_bytes(), str(path))
        except OSError as error:
            raise PhenoLIPError(f"{path}: {error.strerror or error}; name a file that is there") from None
        if not isinstance(value, dict):
            raise PhenoLIPError(f"{path}: no book; write lines such as `pleural effusion: what it looks like`")
        yield from ((str(name), text) for name, text in value.items())
    elif path.suffix.lower() == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                table = csv.DictReader(lines)
                if not {"category", "text"} <= {*(table.fieldnames or ())}:
                    raise PhenoLIPError(f"{path}: no columns category and text; name them in its first line")
                yield from ((row["category"] or "", row["text"]) for row in table)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise PhenoLIPError(f"{path}: cannot be read as CSV ({error})") from None
    else:
        raise PhenoLIPError(f"{path}: no book; give a name that ends in .yaml or .csv")
