"""The cues of `cues.csv`, a table in the manner of ConText (Harkema et al. 2009), and where they stand in a text."""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import ahocorasick

SCOPES = {"negated": 110, "uncertain": 110, "affirmed": 110, "family": 400, "withheld": 30}
"""Characters from a cue to the next finding at most, by category; a row may say otherwise."""
OPENING = frozenset(("negated", "uncertain", "withheld", "family", "relative"))
"""Categories without one of which a sentence affirms."""
_COMMON = frozenset(
    "a an and to for of the were is was been have has had be in on that with by are well patient his her their our this"
    " up than due out about as at it its he she there".split()
)
_NUMERO = re.compile(r"(?:o\.|o|os\.)[^\S\n]?\d+(?![\w%])", re.IGNORECASE)
_ANSWERS = re.compile(r"[:=?]\s*$")
_GAP = re.compile(
    r"(?P<blanks>[^\S\n]{2,}(?:\n[^\S\n]*)?|\n[^\S\n]+|[^\S\n]\n[^\S\n]*)|(?<=\s)(?P<word>also|ever|[a-z]{3,14}ly)\s"
)
"""What a phrase may go over: blanks that count as one, and adverbs that count as nothing."""
_BLANKS = re.compile(r"\s(?:(?<!\n)\s|(?<=\n)[^\S\n])")


class Row(NamedTuple):
    """A row of the table; its columns are explained in the file."""

    category: str
    direction: str
    reach: str
    scope: int


class Cue(NamedTuple):
    """A phrase of the table with every row it has there."""

    phrase: str
    rows: tuple[Row, ...]
    kinds: frozenset[str]
    """The categories of the rows, and ``behind`` where one may be said of a finding before it."""


def expand(phrase: str) -> Iterator[str]:
    """Every wording of a phrase with alternatives: ``(no|any) sign`` gives two."""
    parts = re.split(r"\(([^)]*)\)", phrase)
    for words in product(*(part.split("|") if i % 2 else [part] for i, part in enumerate(parts))):
        yield " ".join(" ".join(words).split())


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file beside this module, comments left out."""
    with (Path(__file__).parent / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@cache
def table() -> dict[str, Cue]:
    """Phrase -> its cue, the rows in the order of the file."""
    rows: dict[str, list[Row]] = {}
    for line in read_table("cues.csv"):
        category = line["category"]
        row = Row(category, line["direction"], line["reach"], int(line["scope"] or SCOPES.get(category, 0)))
        for phrase in expand(line["phrase"]):
            if row not in rows.setdefault(phrase, []):
                rows[phrase].append(row)
    return {phrase: Cue(phrase, tuple(found), frozenset(_kinds(found))) for phrase, found in rows.items()}


def _kinds(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield row.category
        if row.direction in ("backward", "both"):
            yield "behind"


@cache
def _automaton() -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for phrase, cue in table().items():
        if "adverb" not in cue.kinds:
            automaton.add_word(f" {phrase} ", (len(phrase), cue))
    automaton.make_automaton()
    return automaton


@cache
def _adverbs() -> frozenset[str]:
    return frozenset(phrase for phrase, cue in table().items() if "adverb" in cue.kinds)


def opening() -> list[str]:
    """Phrases without one of which a sentence affirms."""
    return [phrase for phrase, cue in table().items() if not cue.kinds.isdisjoint(OPENING)]


def telling(phrases: Iterable[str]) -> frozenset[str]:
    """Few words such that every phrase holds one: a quick test for all phrases."""
    phrases = [phrase.split() for phrase in phrases]
    chosen = {words[0] for words in phrases if len(words) == 1}
    rest = [words for words in phrases if chosen.isdisjoint(words)]
    counts = Counter(word for words in rest for word in words if word not in _COMMON)
    return frozenset(chosen.union(max(words, key=lambda word: (counts[word], word)) for words in rest))


@cache
def _to_blanks() -> dict[int, str]:
    marks = [*range(0x250), *range(0x2000, 0x2070), 0x2212, 0x2BC, 0xFEFF]
    return {code: " " for code in marks if not chr(code).isalnum()}


def folded(text: str) -> str:
    """`text` in lower case, of the same length, with a blank for every mark."""
    plain = text.lower()
    if len(plain) != len(text):  # a few letters grow when lowered, and offsets would drift
        plain = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return plain.translate(_to_blanks())


def cues(text: str, plain: str, low: int, high: int) -> list[tuple[int, int, Cue]]:
    """The cues between two places of `text` with start and end, the longest where they overlap, in order.

    A phrase may go over a line end.

    Args:
        plain: `text` as `folded`.
    """
    pieces, places, shifts, at, gone = [" "], [0], [0], low, low
    gaps = _BLANKS.search(text, low, high) or not _adverbs().isdisjoint(plain[low:high].split())
    for gap in _GAP.finditer(text, low, high) if gaps else ():
        if gap["word"] and gap["word"] not in _adverbs():
            continue
        blank = " " if gap["blanks"] else ""
        pieces += (plain[at : gap.start()], blank)
        at, gone = gap.end(), gone + gap.end() - gap.start() - len(blank)
        places.append(at - gone)
        shifts.append(gone)
    shifts[0] = low
    pieces += (plain[at:high], " ")
    found = [(last - length - 1, 1 - last, cue) for last, (length, cue) in _automaton().iter("".join(pieces))]
    found.sort()
    kept, reached, whole = [], -1, len(places) == 1
    for start, minus_end, cue in found:
        if start >= reached:
            first = start + (low if whole else shifts[bisect_right(places, start) - 1])
            last = -minus_end - 1
            if cue.phrase != "no" or not is_numero(text, first):
                kept.append((first, last + 1 + (low if whole else shifts[bisect_right(places, last) - 1]), cue))
                reached = -minus_end
    return kept


def is_numero(text: str, start: int) -> bool:
    """Whether a "no" is a number's: "patient No. 3"."""
    return bool(_NUMERO.match(text, start + 1)) and not _ANSWERS.search(text[max(start - 4, 0) : start])
