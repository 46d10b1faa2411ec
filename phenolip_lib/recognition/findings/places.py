"""Places in a sentence: which words name one location together, and which locations are items of one list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from phenolip_lib.recognition.findings.vocabulary import Hit, Term, within

_FILLERS = frozenset(
    "the of a an its his her this aspect portion region area areas zone zones field fields side lateral medial anterior"
    " posterior anteriorly posteriorly superior inferior mid upper lower central peripheral silhouette contour level"
    " on in at within size more most old known small mild minimal xxxx".split()  # xxxx: a word that was made anonymous
)
_JOINS = frozenset("and or as well both in at the of a with within possibly also to".split())
_TISSUES = frozenset(("interstitial", "bronchovascular", "pulmonary alveoli"))
"""Parts that say of what a finding is rather than where."""


@dataclass
class Place:
    """Words that name one location: places, the most special ones only, and a side."""

    start: int
    end: int
    places: set[str] = field(default_factory=set)
    side: str = ""
    listed: bool = False
    """Whether the next location is another item of the list it stands in."""

    def take(self, term: Term) -> None:
        if term.kind == "side":
            self.side = term.value
        else:
            self.places.add(term.value)
            self.side = self.side or term.side


def special(places: set[str]) -> frozenset[str]:
    """`places` without those that another of them is part of.

    >>> sorted(special({"lung", "base"}))
    ['base']
    """
    return frozenset(places).difference(*(within().get(place, ()) for place in places))


def is_tissue(hit: Hit) -> bool:
    term = hit.of("place")
    return term is not None and term.value in _TISSUES


def group(text: str, folded: str, found: Sequence[Hit]) -> list[Place]:
    """The locations that places and sides among `found` name, in order; tissues are none."""
    groups: list[Place] = []
    for hit in found:
        term = hit.of("place") or hit.of("side")
        if term is None or is_tissue(hit):
            continue
        last = groups[-1] if groups else None
        side = term.value if term.kind == "side" else term.side
        if last and not (last.side and side) and _filled(text, folded, last.end, hit.start):
            last.end = hit.end
        else:
            groups.append(last := Place(hit.start, hit.end))
        last.take(term)
    for before, after in pairwise(groups):
        between = folded[before.end : after.start].split() if after.start - before.end < 40 else ["?"]
        if len(between) > 4 or not _JOINS.issuperset(between):
            continue
        said = {*between, *folded[before.start : before.end].split()[-1:]}
        before.listed = "," in text[before.end : after.start] or not said.isdisjoint(("and", "or"))
        if not before.places and after.places and after.side:  # "the left and right bases"
            before.places = set(after.places)
        elif before.side and not after.side and _siblings(before, after):  # "the right middle and lower lobes"
            after.side = before.side
    return groups


def _filled(text: str, folded: str, start: int, end: int) -> bool:
    """Whether nothing that parts stands between two places."""
    if end - start > 60 or re.search(r"[,;:/().]", text[start:end]):
        return False
    between = folded[start:end].split()
    if folded.endswith((" and", " or"), start - 4, start):  # "the left upper and" is a phrase of the table
        return False
    return len(between) <= 5 and _FILLERS.issuperset(between)


def _siblings(a: Place, b: Place) -> bool:
    above = {name for place in a.places for name in within()[place]}
    return any(not above.isdisjoint(within()[place]) for place in b.places)
