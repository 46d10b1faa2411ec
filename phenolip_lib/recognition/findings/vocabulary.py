"""The words of radiology reports, from three tables beside this module, and where they stand in a text.

`categories.csv` names findings, `anatomy.csv` places and `modifiers.csv` sides, severity and descriptors; each merges
variants of wording. All are searched in one pass (Aho and Corasick 1975), the longest where they overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import ahocorasick

from phenolip_lib.recognition.cues import expand, read_table

_PART = "(?:upper|middle|mid|lower)"
_ELLIPSIS = re.compile(f"(?<= )({_PART})(?=(?: +(?:and |or )?{_PART}){{1,4}} +((?:lung )?(?:lobe|zone|field)s?) )")
"""What is left of a place in a list of several: "upper" in "upper, middle and lower lobes"."""
OTHER = "other"
"""The category of a finding, and the place of one, that the tables do not name."""


class Term(NamedTuple):
    """What a phrase of the tables names."""

    kind: str
    """``category``, ``place``, ``side``, ``severity`` or ``descriptor``."""
    value: str
    needs: tuple[str, ...] = ()
    """Of a category: one of these must be the nearest place, or with ``+`` the finding it is said of."""
    side: str = ""
    """The side that its wording tells."""
    inner: tuple[str, ...] = ()
    """Of a category: parts of its place that its wording names ("interstitial edema")."""


class Category(NamedTuple):
    """A finding of `categories.csv`."""

    name: str
    hpo_id: str | None
    """The HPO term that means the same."""
    place: str
    """Where it is when no place is named; empty where it can be anywhere."""
    bound: str = ""
    """``=`` if it is the whole of its place, ``<`` if it is that or a part; other places near it are not its own."""

    def allows(self, places: Iterable[str]) -> bool:
        """Whether it can be at places named together."""
        own = within().get(self.place, frozenset()) | {self.place}
        if self.bound == "=":
            return own.issuperset(places)
        return not self.bound or all(place in own or self.place in within()[place] for place in places)


class Hit(NamedTuple):
    """A phrase of the tables in a text."""

    start: int
    end: int
    terms: tuple[Term, ...]

    def of(self, kind: str) -> Term | None:
        return next((term for term in self.terms if term.kind == kind), None)


@cache
def categories() -> dict[str, Category]:
    """The categories by name."""
    found: dict[str, Category] = {}
    for row in read_table("findings/categories.csv"):
        place = row["place"].lstrip("=<")
        bound = row["place"].removesuffix(place)
        found.setdefault(row["category"], Category(row["category"], row["hpo"] or None, place, bound))
    return found


@cache
def by_hpo() -> dict[str, str]:
    """The category of an HPO id that has one."""
    rows = read_table("findings/categories.csv")
    return {row["hpo"]: row["category"] for row in reversed(rows) if row["hpo"]}


@cache
def within() -> dict[str, frozenset[str]]:
    """Every place of the table, and the places that it is part of."""
    parent = {row["place"]: row["within"] for row in read_table("findings/anatomy.csv")}
    found = {}
    for place in parent:
        above, at = set(), parent[place]
        while at:
            above.add(at)
            at = parent[at]
        found[place] = frozenset(above)
    return found


@cache
def phrases() -> dict[str, tuple[Term, ...]]:
    """Phrase -> what it names; one phrase may be a finding of several organs, and a descriptor besides."""
    found: dict[str, list[Term]] = {}

    def add(phrase: str, term: Term) -> None:
        for wording in filter(None, expand(phrase)):
            for form in (wording, *plurals(wording)):
                if term not in found.setdefault(form, []):
                    found[form].append(term)

    for row in read_table("findings/anatomy.csv"):
        add(row["phrase"], Term("place", row["place"], side=row["side"]))
    parts = {phrase: terms[0].value for phrase, terms in found.items()}
    for row in read_table("findings/categories.csv"):
        needs, place = tuple(filter(None, row["needs"].split("|"))), categories()[row["category"]].place
        for wording in expand(row["phrase"]):
            named = {parts[word] for word in wording.split() if word in parts}
            inner = tuple(sorted(part for part in named if place in within()[part]))
            add(wording, Term("category", row["category"], needs, row["side"], inner))
    for row in read_table("findings/modifiers.csv"):
        add(row["phrase"], Term(row["kind"], row["value"]))
    return {phrase: tuple(terms) for phrase, terms in found.items()}


def plurals(word: str) -> tuple[str, ...]:
    """
    >>> plurals("opacity"), plurals("mass"), plurals("left")
    (('opacities',), ('masses',), ('lefts',))
    """
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return (f"{word[:-1]}ies",)
    return (f"{word}es",) if word.endswith(("s", "x", "ch", "sh")) else (f"{word}s",)


@cache
def _automaton() -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for phrase in phrases():
        automaton.add_word(f" {phrase} ", phrase)
    automaton.make_automaton()
    return automaton


def hits(folded: str, low: int = 0, high: int | None = None) -> list[Hit]:
    """The phrases of the tables in a text as `cues.folded`, the longest where they overlap, in order."""
    piece = f" {folded[low:high]} "
    found = [(last - len(phrase) - 1, -len(phrase), phrase) for last, phrase in _automaton().iter(piece)]
    found += [(one.start() - 1, -len(one[1]), f"{one[1]} {one[2]}") for one in _ELLIPSIS.finditer(piece)]
    kept, reached = [], -1
    for start, minus, phrase in sorted(found):
        if start >= reached:
            kept.append(Hit(low + start, low + start - minus, phrases()[phrase]))
            reached = start - minus
    return kept
