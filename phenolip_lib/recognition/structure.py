"""The parts of a text before its words: sentences, items of lists, and the sections they stand in.

Clinical text is half prose and half form. A line end is a break in a list and none in hard-wrapped prose; "No." ends
an answer and begins a number. Everything here is one pass over marks and lines, each looking a bounded distance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from phenolip_lib.recognition.choices import BOX
from phenolip_lib.recognition.cues import expand, folded, is_numero, read_table

NARROW = 50
"""Characters; shorter lines are not taken for wrapped prose unless their words say so."""
_NEAR = 80
_STOP = re.compile(r"[.!?;•\n](?:(?<=[;•\n])|(?=[\s\"')\]”’A-Z\d]|$))")
_ABBREVIATIONS = (
    *(" al", " vs", "Fig", " fig", "Figs", " figs", "e.g", "i.e", " approx", " St", " ca", " cf", "(cf", " resp"),
    *("Dr", "Mr", "Mrs", "Ms", "Prof", " wt", " neg", " pos", " hx", " Hx", " var", " incl", " esp", "Pt", " pt"),
)
_SAID = (
    rf"(?:(?:a|answer|response|reply)\s?[:.]\s*)?(?:{BOX}\s?)?(?:yes|no|none|never|nil|y|n|unknown|unsure|denie[sd]"
    rf"|negative|positive|absent|present|not \w+|normal)\s*(?=[.,;\n]|{BOX}|$)"
)
_ANSWER = re.compile(rf"\s*{_SAID}", re.IGNORECASE)
_ANSWER_LINE = re.compile(rf"[\s>*–-]{{0,12}}{_SAID}(?P<more>.*)", re.IGNORECASE)
_ASKED = re.compile(r"[?:][ *\"]*$")
_GLUED = re.compile(r"[A-Z][a-z]|\d{1,2}[.)]\s?[A-Z]")
_ENTITY = re.compile(r"&#?\w{1,8}$")
_ITEM = re.compile(r"\s*(?:[-*–+]\s|[•▪▫◦‣·☐☒☑✓✗|#]|\[[ xX]?\]|\(?\d{1,2}[.)]\s?(?=\D)|\(?[a-z][.)]\s|o\s(?=[A-Z]))")
_OPEN_END = re.compile(
    r"(?:(?:^|\s)(?:of|or|and|nor|(?<![:=?|-]\s)no|not|the|an?|with|without|for|in|on|to|by|from|at|is|are|was|were|has"
    r"|have|had|be|been|any|his|her|their|its|that|which|who|than|as|into|between|versus|vs|either|neither|both|shows?"
    r"|showed|new|reveal(?:s|ed)?|other|acute|significant|evidence|like|such|including|about)|,|\()\s*$",
    re.IGNORECASE,
)
_OPEN_START = re.compile(r"\s*(?:or|and|nor|of|with|but|which|who|that)\b")
_LABEL = re.compile(r"[\s\-*•#\d.)(>]{0,12}(?P<name>[^\W\d_][^\n:.;,?!|]{0,50}?)[ *]{0,4}:(?P<rest>[^\n]{0,3})")
_TITLE = re.compile(r"[\s*#]{0,12}(?P<name>[A-Za-z][A-Za-z /&'-]{1,40}?)[\s*#]*$")


class Segment(NamedTuple):
    """A sentence, or an item of a list, with its leading blanks."""

    start: int
    end: int
    section: str
    """What its section says of a finding: ``family``, ``negated``, ``uncertain`` or nothing."""
    fresh: bool
    """Whether a blank line goes before, or a heading begins it."""
    beside: bool
    """Whether its section's heading stands in the same line before another sentence: the section may be over."""


@cache
def headings() -> dict[str, str]:
    """Known headings in lower case, and the kind of each."""
    return {name: row["kind"] for row in read_table("headings.csv") for name in expand(row["name"])}


def segments(text: str) -> list[Segment]:
    """The sentences and list items of `text`, in order, without gaps."""
    found: list[Segment] = []
    colons = ":" in text
    low, section, inline, blank, line = 0, "", False, True, True
    for end, blank_next, line_next in _breaks(text):
        if section and ((inline and line) or (blank and section != "family")):
            section = ""
        if section and inline and section != "family" and text[low - 1] != ";":
            section = ""
        kind, alone = "", False
        if (colons and text.find(":", low, low + _NEAR) >= 0) or (line and line_next and end - low < _NEAR):
            kind, alone = _heading(text, low, end, line and line_next, blank, section)
        if kind:
            section, inline = kind.replace("patient", ""), not alone
        found.append(Segment(low, end, section, blank or bool(kind), inline and not kind))
        low, blank, line = end, blank_next, line_next
    return found


def _heading(text: str, low: int, end: int, whole: bool, blank: bool, section: str) -> tuple[str, bool]:
    """The kind of the heading that a segment begins with, if any, and whether it stands alone on its line.

    A heading that is not known ends a section when it looks like one: alone before its colon, in capitals, or a few
    words between a blank line and a line end.
    """
    colon = text.find(":", low, min(end, low + _NEAR)) >= 0
    if colon and (label := _LABEL.match(text, low, min(end, low + _NEAR))):
        alone = not label["rest"].strip()
        kind = headings().get(_name(label), "")
        if not kind and section and (alone or label["name"].isupper()):
            kind = "patient"
        if kind == "family" and not alone and _name(label) in _members():
            kind = ""  # "Mother: migraine" is an item, and says nothing of the next line
        return kind, alone
    title = _TITLE.match(text, low, end) if whole and end - low < _NEAR else None
    if not title:
        return "", False
    kind = headings().get(_name(title), "")
    if not kind and section and blank and len(title["name"].split()) <= 4:
        kind = "patient"
    return kind, True


def _name(match: re.Match) -> str:
    return " ".join(folded(match["name"]).split())


@cache
def _members() -> frozenset[str]:
    return frozenset(("siblings", "parents", "mother", "father", "brother", "sister", "relatives", "family members"))


def _breaks(text: str) -> Iterator[tuple[int, bool, bool]]:
    """Where each segment ends, whether a blank line follows, and whether a line ends there."""
    lines = text.split("\n")
    wrapped = list(_wrapped(lines))
    for asked, answered in _answers(lines):
        wrapped[asked : answered + 1] = [True] * (answered - asked) + [False]
    low = number = read = 0
    ink = False
    for stop in _STOP.finditer(text):
        at, mark = stop.start(), stop.group()
        ink = ink or bool(text[read:at].strip())
        read = at
        if mark == "\n":
            number += 1
            if ink and not wrapped[number - 1]:
                yield at + 1, not lines[number].strip(), True
                low, ink = at + 1, False
        elif mark == "•":
            if ink:
                yield at, False, False
                low, ink = at, False
        elif _ends(text, at, mark):
            end = at + 1
            while end < len(text) and text[end] in "\"')]”’":
                end += 1
            after = text[end : end + 1] == "\n"
            yield end, after and not lines[number + 1].strip(), after or end == len(text)
            low, read, ink = end, end, False
    if text[low:].strip():
        yield len(text), True, True


def _answers(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Numbers of each line that asks and of the line that answers it, the next or one behind a blank line."""
    last = -1
    for number in range(1, len(lines)):
        answer = _ANSWER_LINE.match(lines[number][:_NEAR])
        if not answer:
            continue
        before = number - 1 if lines[number - 1].strip() else max(number - 2, 0)
        line = lines[before].rstrip()
        if before == last or not line:
            continue
        # What asks in so many words may be answered in more than one; a bare label or a gap between takes no more.
        bare = not answer["more"].strip(" \r.*")
        label = len(line) < NARROW and before == number - 1 and bare and not _OPEN_END.search(line[-_NEAR:])
        if _ASKED.search(line[-_NEAR:]) or (label and line[-1] not in ".;!"):
            last = number
            yield before, number


def _ends(text: str, at: int, mark: str) -> bool:
    """Whether the mark at `at` ends a sentence."""
    following = text[at + 1 : at + 2]
    if mark == ";":
        return not _ENTITY.search(text[max(at - 10, 0) : at])
    if mark == "?" and (not following.isspace() or _ANSWER.match(text[at + 1 : at + _NEAR])):
        return following == ""
    if mark == "?" and not text[max(at - 2, 0) : at].strip(" \n:(,"):
        return False
    if following and not following.isspace() and following not in "\"')]”’":
        return mark == "." and text[max(at - 2, 0) : at].isalpha() and bool(_GLUED.match(text[at + 1 : at + 6]))
    if mark == ".":
        if text[max(at - 2, 0) : at].strip() in ("A", "Q"):
            return False  # "Q. Any seizures?"
        if text.endswith(_ABBREVIATIONS, max(at - 8, 0), at):
            return False
        return not (text.endswith(("No", "no"), max(at - 2, 0), at) and is_numero(text, at - 2))
    return True


def _wrapped(lines: list[str]) -> Iterator[bool]:
    """For each line whether its sentence goes on in the next one.

    A writer's line end comes where the next word would still have fitted; a wrap comes where it would not.
    """
    low = 0
    while low < len(lines):
        high = low
        while high < len(lines) and lines[high].strip():
            high += 1
        width = max((len(line.rstrip()) for line in lines[low:high]), default=0)
        full = [
            len(a.rstrip()) + 1 + len(b.strip()[:NARROW].split(" ", 1)[0]) > width
            for a, b in zip(lines[low : high - 1], lines[low + 1 : high], strict=False)
        ]
        prose = width >= NARROW and len(full) > 1 and 10 * sum(full) >= 7 * len(full)
        for i, filled in enumerate(full):
            yield _goes_on(lines[low + i], lines[low + i + 1], filled, prose)
        if high > low:
            yield False
        low = high
        if low < len(lines):
            yield False
            low += 1


def _goes_on(line: str, following: str, filled: bool, prose: bool) -> bool:
    end, start = line.rstrip()[-_NEAR:], following.strip()[:_NEAR]
    if _ITEM.match(following[:_NEAR]) or end.endswith((":", ".", "!", "?", ";")):
        return False
    if _OPEN_END.search(end):
        return True
    if (label := _LABEL.match(start)) and len(label["name"].split()) <= 5:
        return False
    if _OPEN_START.match(start) or (filled and prose):
        return True
    sentence = ". " in line[-NARROW:] or following.rstrip().endswith(".")
    return filled and not start[:1].isupper() and (len(line) >= NARROW or sentence)
