"""What a release file states, the same for all formats: its terms, and what was not taken as it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

SCOPES = ("EXACT", "NARROW", "BROAD", "RELATED")
_HPO_ID = re.compile(r"(?:https?://\S+/)?HP[:_](\d+)", re.IGNORECASE)
_OBO_ID = re.compile(r"https?://purl\.obolibrary\.org/obo/([A-Za-z]+)_(\w+)")


class Report(NamedTuple):
    """Something of a file that was not taken, or not as it stands."""

    where: str
    """File name with line, or with the term's id in a format without lines."""
    text: str
    reason: str


@dataclass
class Entry:
    """One term of a file; what is not stated is empty."""

    hpo_id: str
    where: str
    """Its place in the file, for messages."""
    name: str = ""
    definition: str = ""
    comment: str = ""
    synonyms: list[tuple[str, str, str]] = field(default_factory=list)
    """Text, scope and kind."""
    xrefs: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    alternative_ids: list[str] = field(default_factory=list)
    obsolete: bool = False
    replaced_by: list[str] = field(default_factory=list)
    consider: list[str] = field(default_factory=list)


@dataclass
class Entries:
    """A file: its release, HPO terms in their order, and reports."""

    release: str
    terms: list[Entry]
    reports: list[Report]
    cut: bool = False
    """Whether the file ends as one does whose rest is missing."""


def curie(text: str) -> str:
    """``HP:0000118`` for that, for ``HP_0000118`` and for its address; other ids as CURIE if their address is OBO's.

    >>> curie("http://purl.obolibrary.org/obo/HP_0000118")
    'HP:0000118'
    """
    if match := _HPO_ID.fullmatch(text):
        return f"HP:{match[1]}"
    match = _OBO_ID.fullmatch(text)
    return f"{match[1]}:{match[2]}" if match else text


def shown(text: str) -> str:
    """A text of a file as it can stand in a message."""
    return text if len(text) <= 80 else text[:80] + "…"


def is_hpo(identifier: str) -> bool:
    """Whether an id is one of HPO."""
    return identifier.startswith("HP:")
