"""Find the markers of panels in the caption of a compound figure.

A caption marks its panels by one convention, such as ``(a)``, ``B:``, ``(ii)`` or ``upper left``; the
conventions are tried from the least ambiguous on, and one counts only if its markers run from the first
panel without a gap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")


class _Convention(NamedTuple):
    marker: re.Pattern
    order: Callable[[str], list[int]]
    """Number of each panel that a label names, from 0; empty if it is no label."""


class Found(NamedTuple):
    """A marker in a caption, and the numbers of the panels it names, from 0."""

    panels: list[int]
    start: int
    end: int


def plain(caption: str) -> str:
    """A caption without the figure's number, and with groups of markers written in one way."""
    return _detach(_join(re.sub(_FIGURE, "", " ".join(caption.split()))))


def runs(caption: str) -> Iterator[list[Found]]:
    """Markers of each convention that a `plain` caption follows, in order; the least ambiguous convention first."""
    return filter(None, (_run(caption, convention) for convention in _CONVENTIONS))


_SEPARATOR = r"\s*(?:[-–—,&/]|,?\s*\b(?:and|to|through)\b)\s*"
_GROUP = rf"(?:{{0}})(?:{_SEPARATOR}(?:{{0}})){{{{0,12}}}}"
_UPPER, _LOWER, _DIGIT = (_GROUP.format(c) for c in ("[A-Z]", "[a-z]", "[1-9]"))
_NUMERAL = _GROUP.format("|".join(sorted(_ROMAN, key=len, reverse=True)))
_LABEL = f"{_UPPER}|{_LOWER}|{_DIGIT}"
_START = r"(?:^|(?<=[.;:!?])\s+)"
_INSIDE = rf"(?:{_START}|(?<=,)\s+|(?<=\band)\s+|(?<=\bwhile)\s+|(?<=\bwhereas)\s+)"
_SPOT = (
    r"(?:(?:upper|top|lower|bottom)[ -]?(?:left|right|middle|cent(?:er|re))?"
    r"|(?:far )?left|right|middle|cent(?:er|re))"
)
_PART = r"(?: (?:panel|image|picture|photograph|side|row|column)s?)"
_FIGURE = re.compile(r"^(?:supplementary )?fig(?:ure|\.)? ?S?\d+\b[.:|]?\s+", re.IGNORECASE)


def _numbers(label: str) -> list[int]:
    """``A, C-E`` -> 0, 2, 3, 4; Roman numerals and digits count as letters."""

    def number(text: str) -> int:
        return int(text) - 1 if text.isdigit() else _ROMAN.index(text) if len(text) > 1 else LETTERS.index(text)

    panels: list[int] = []
    for part in re.split(r"\s*(?:[,&/]|\band\b)\s*", label.lower()):
        ends = [number(c) for c in re.split(r"\s*(?:[-–—]|\bto\b|\bthrough\b)\s*", part) if c]
        if ends:
            panels += range(ends[0], ends[-1] + 1)
    return panels


def _numerals(label: str) -> list[int]:
    """``i-iii`` -> 0, 1, 2."""
    return _numbers(re.sub(r"\b[ivx]+\b", lambda m: str(_ROMAN.index(m.group()) + 1), label.lower()))


def _spot(label: str) -> list[int]:
    """Row and column of a position as one number; `_run` counts them in reading order."""
    words = label.lower()
    row = 2 if "lower" in words or "bottom" in words else 0
    row += "upper" not in words and "top" not in words and row == 0
    column = 0 if "left" in words else 2 if "right" in words else 1
    return [3 * row + column]


_CONVENTIONS = (
    # The sign of copyright, "(c) 2019", is no panel.
    _Convention(re.compile(rf"(?!\(c\) ?(?:19|20)\d\d\b)\(({_LABEL})\)"), _numbers),
    _Convention(re.compile(rf"\(({_NUMERAL})\)", re.IGNORECASE), _numerals),
    _Convention(re.compile(rf"{_START}\[({_UPPER}|{_LOWER})\]"), _numbers),
    _Convention(re.compile(rf"{_INSIDE}(?:[Pp]anels? )?({_LABEL})\s?(?:[:)=](?!\d)|[-–—](?=\s))"), _numbers),
    _Convention(re.compile(rf"{_START}({_NUMERAL})[:)]", re.IGNORECASE), _numerals),
    _Convention(re.compile(rf"{_INSIDE}[Pp]anels? ({_LABEL})\b[,.]?"), _numbers),
    _Convention(re.compile(rf"{_START}({_UPPER}|{_LOWER}),\s"), _numbers),
    _Convention(re.compile(rf"{_START}({_UPPER})\.\s(?=[A-Z\d(])"), _numbers),
    _Convention(re.compile(rf"{_START}({_UPPER}|{_LOWER})\s+(?=[A-Z])"), _numbers),
    # An "a" is an article more often than a panel, so a "b" has to follow somewhere.
    _Convention(
        re.compile(rf"(?:{_START}(a)|{_INSIDE}([b-z](?:{_SEPARATOR}[b-z]){{0,12}})) (?!and\b|or\b)(?=\w\w)"), _numbers
    ),
    _Convention(re.compile(rf"\(({_SPOT}){_PART}?\)", re.IGNORECASE), _spot),
    _Convention(re.compile(rf"{_START}(?:the )?({_SPOT})(?:{_PART}?[:,]|{_PART}\b)", re.IGNORECASE), _spot),
    _Convention(re.compile(rf"{_INSIDE}(?:the )?({_SPOT}) (?:panel|image|picture)s?\b[:,]?", re.IGNORECASE), _spot),
)
_REFERENCE = re.compile(
    r"\b(?:in|from|as|see|than|of|to|with|arrows?|arrowheads?|panels?|figs?\.?|figures?)[\s(,]*$", re.IGNORECASE
)
CLAUSE = re.compile(r"(?:^|[.;:,!?])\s*(?:(?:and|or)\s+)?$")
LEADS = re.compile(r"(?:^|[.;:,!?]|\b(?:and|or))\s*$")
_NAMED = re.compile(r"\b(?:group|type|grade|stage|class|vitamin|hepatitis|influenza)s?\s*$", re.IGNORECASE)
_HOLE = 3
"""A label this far behind the last one tells that one between was not understood."""


def _join(caption: str) -> str:
    """``(a)-(c)`` as ``(a-c)`` and ``(a), (b) and (c)`` as ``(a, b, c)``."""
    for between, joint in ((r"\s*(?:[-–—]|to|through)\s*", "-"), (r"(?:\s*[,&]\s*|\s+)(?:and\s+)?", ", ")):
        label = rf"{_LABEL}|{_NUMERAL}"
        pair = re.compile(rf"\(({label})\){between}\(({label})\)")
        while (joined := pair.sub(rf"(\1{joint}\2)", caption)) != caption:
            caption = joined
    return caption


def _detach(caption: str) -> str:
    """``(a, arrows)`` as ``(a) (arrows)``, where such markers run on from the first panel."""
    detailed = re.compile(rf"\(({_LABEL})(?:[,;:] ([^()]+))?\)")
    run = _run(caption, _Convention(detailed, _numbers))
    if len(run) < 2:
        return caption
    starts = {one.start for one in run}

    def rewrite(m: re.Match) -> str:
        return f"({m[1]}) ({m[2]})" if m.start() in starts and m[2] else m[0]

    return detailed.sub(rewrite, caption)


def _run(caption: str, convention: _Convention) -> list[Found]:
    """Markers that run on from the first panel, and those that come back to one at the start of a clause.

    Anything else ("see (a)", "group (x)") is part of the text; none if a panel would be lost.
    """
    found = [
        Found(convention.order(next(filter(None, m.groups()))), m.start(), m.end())
        for m in convention.marker.finditer(caption)
    ]
    if convention.order is _spot:
        places = sorted({f.panels[0] for f in found})
        found = [Found([places.index(f.panels[0])], f.start, f.end) for f in found]
        # "Left" and "right" are also sides of a body; as panels each comes once.
        return found if len(found) == len(places) else []
    run: list[Found] = []
    seen: set[int] = set()
    lost: set[int] = set()
    for k, one in enumerate(found):
        before = caption[: one.start]
        if _NAMED.search(before):
            continue
        expected = next(n for n in range(len(seen) + 1) if n not in seen)
        refers = _REFERENCE.search(before) is not None
        if one.panels and min(one.panels) == expected and seen.isdisjoint(one.panels):
            # "... shown in (b)" names a panel that is described later on.
            if refers and any(f.panels == one.panels and CLAUSE.search(caption[: f.start]) for f in found[k + 1 :]):
                continue
            run.append(one)
            seen.update(one.panels)
        elif run and one.panels and seen.issuperset(one.panels) and LEADS.search(before):
            run.append(one)
        elif not refers:
            lost.update(one.panels)
    last = max(seen, default=-1)
    if seen != set(range(last + 1)) or last >= len(LETTERS):
        return []
    return [] if any(last < panel <= last + _HOLE for panel in lost) else run
