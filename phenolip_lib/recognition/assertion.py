"""Who has a finding, and whether: negation, uncertainty, and the family's history around a mention.

Rules in the manner of NegEx and ConText (Chapman et al. 2001, 2009): cues open a scope, terminators
close it. All cue phrases are found in one pass over the text. A cue inside a mention is none:
"absent speech" is a phenotype and negates nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import ahocorasick

SCOPE = 160
"""Characters a cue reaches at most; enough for a list of eight findings."""
SHORT_SCOPE = 40
"""The same for "absent" and "absence of", which belong to the next noun only."""

TAIL = 64
"""Characters behind a mention that may say something of it."""

CUES = {
    # Look like a cue and are none.
    "pseudo": """not only; no (|further |significant |interval )(change|increase|decrease); not necessarily; gram
        negative; without (|any |further )(delay|difficulty); not (certain|sure) (if|whether); no longer than;
        if (present|any)""",
    "negated": """no; not; without; denies; denied; denying; free (of|from); negative for; lacked; lacks; lacking;
        neither; nor; never; none; (fail|fails|failed) to (show|reveal|demonstrate); ruled out; excluded;
        excludes; rather than; instead of; resolved; resolution of; disappearance of; no (evidence|sign|signs)
        of; non; didn t; doesn t; wasn t; isn t; hasn t""",
    "absent": "absent; absence of; lack of",
    "uncertain": """possible; possibly; probable; probably; suspected; suspecting; (suspicious|suspicion) (for|of);
        (may|might|could) (represent|be|indicate|reflect|have); (cannot|can not|could not) (exclude|rule out|be
        excluded|be ruled out); not (excluded|ruled out); questionable; question of; likely; unlikely; presumed;
        presumably; (concern|concerning) for; differential (diagnosis|diagnoses|considerations|consideration);
        to (rule out|exclude); rule out; versus; vs; r o;
        (screen|screened|screening|evaluate|evaluated|evaluation|test|tested) for; risk (of|for); if""",
    "family": """family history; (his|her|their|the|whose|s|maternal|paternal|affected)
        (mother|father|brother|sister|parents|parent|sibling|siblings|sib|sibs|aunt|uncle|cousin|cousins|grandmother|grandfather|relatives|twin);
        (mother|father|brother|sister) (has|had|with|was|is)""",
    "proband": """(the|our|this|he|she|his|her) (patient|proband|child|boy|girl|infant|baby)
        (had|has|was|is|showed|presented|developed); (he|she)
        (had|has|was|is|showed|shows|presented|developed|presents)""",
    "end": """but; however; although; though; except; apart from; aside from; other than; besides; yet; still;
        despite; because; since; secondary to; due to; who; which; where; whereas; while; with; as well as; and
        (has|had|have|is|was|were|are|show|shows|showed|developed|develops|presented|an|a|the|his|her|did|does|needs|requires);
        show; shows; showed; showing; reveal; reveals; revealed; revealing; demonstrate; demonstrates;
        demonstrated; presented; developed; there (is|was|are|were)""",
    "or": "or; nor",
    "and": "and",
}
"""Kinds of cues and their phrases; ``(a|b)`` stands for either."""

_AFTER = re.compile(
    r"\s{0,2}(?:(?:(?:is|are|was|were|has|have|had|has been|have been|had been|be|been)\s(?:now |since |completely )?)?"
    r"(?:not (?:seen|present|found|identified|noted|observed|detected|evident|visualized|appreciated|demonstrated)"
    r"|ruled out|excluded|denied|resolved)\b"
    r"|(?:is|are|was|were|has been|have been)\s(?:absent|negative|not|never)\b(?! only)"
    r"|(?:absent|negative)(?=\s*[.;,)]|\s*$)|:\s?(?:no|none|negative|absent|nil)\b|\(-\))",
    re.IGNORECASE,
)
_MAYBE_AFTER = re.compile(
    r"\s{0,2}(?:(?:is|are|was|were|seems|appears)\s(?:suspected|possible|probable|questionable|considered|likely|unlikely)\b"
    r"|(?:highly |very |thought )?unlikely\b|\(\?\)|\?)",
    re.IGNORECASE,
)
_FAMILY_AFTER = re.compile(
    r"\s{1,2}(?:in|of|affecting)\s(?:(?:the|his|her|their|an?|both|one|patient's|proband's|child's|maternal|paternal|older"
    r"|elder|younger|affected)\s){0,3}"
    r"(?:father|mother|parents?|brothers?|sisters?|siblings?|sibs?|aunts?|uncles?|cousins?|grand(?:mother|father|parents?)"
    r"|relatives?)\b",
    re.IGNORECASE,
)
_SAID_AFTER = (_AFTER, _MAYBE_AFTER, _FAMILY_AFTER)
_ANY_AFTER = re.compile("|".join(pattern.pattern for pattern in _SAID_AFTER), re.IGNORECASE)
_JOIN = re.compile(r"\s*(?:,?\s*(?P<word>and/or|and|or|nor)\b|(?P<comma>[,/]))\s*(?:[\w-]+\s){0,2}", re.IGNORECASE)
"""Between two findings of one list; up to two words may go before the second: "and frank hypertelorism"."""
_PLURAL = re.compile(r"\s{0,2}(?:are|were|have)\b", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:has|have|had|with|is|are|was|were|be|been|show(?:s|ed|ing)?|reveal(?:s|ed|ing)?|demonstrat(?:es?|ed|ing)|develop(?:s|ed)?"
    r"|present(?:s|ed)?|there|noted|consistent|due|because)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"[.!?;\n](?:(?<!\n)(?=\s)|(?<=\n)(?=\s*(?:[-*•\n]|\d+[.)]|[A-Z])))"
)  # one class first: quick to search
_ABBREVIATIONS = (" al", "Dr", " vs", " Fig", " fig", "e.g", "i.e", " approx", " No")


class Status(NamedTuple):
    """What the words around a mention say of it."""

    negated: bool
    uncertain: bool
    family: bool
    """It is said of a relative, not of the patient."""


def expand(phrases: str) -> Iterator[str]:
    """Every phrase of a ``;``-separated list, alternatives spelled out."""
    for phrase in phrases.split(";"):
        parts = re.split(r"\(([^)]*)\)", phrase)
        choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
        for words in product(*choices):
            yield " ".join("".join(words).split())


@cache
def _automaton() -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for kind, phrases in reversed(CUES.items()):  # a phrase of two kinds belongs to the first
        for phrase in expand(phrases):
            automaton.add_word(f" {phrase} ", (len(phrase), kind))
    automaton.make_automaton()
    return automaton


@cache
def _to_blanks() -> dict[int, str]:
    return {code: " " for code in range(0x250) if not chr(code).isalnum()}


def cues(text: str) -> list[tuple[int, int, str]]:
    """Start, end and kind of each cue of `text`, the longest where they overlap, in order."""
    plain = text.lower()
    if len(plain) != len(text):  # a few letters grow when lowered, and offsets would drift
        plain = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    plain = f" {plain.translate(_to_blanks())} "
    found = [(last - length - 1, last - 1, kind) for last, (length, kind) in _automaton().iter(plain)]
    found.sort(key=lambda cue: (cue[0], -cue[1]))
    kept, reached = [], -1
    for cue in found:
        if cue[0] >= reached:
            kept.append(cue)
            reached = cue[1]
    return kept


def sentence_ends(text: str) -> list[int]:
    """Offsets just behind each sentence (or line of a list) of `text`."""
    return [m.end() for m in _SENTENCE.finditer(text) if not text.endswith(_ABBREVIATIONS, 0, m.start())]


def statuses(text: str, spans: Sequence[tuple[int, int]]) -> list[Status]:
    """The status of each span of `text`; spans are sorted."""
    if not spans:
        return []
    ends, events = sentence_ends(text), cues(text)
    starts = [event[0] for event in events]
    inside = {i for start, end in spans for i in range(bisect_left(starts, start), bisect_left(starts, end))}
    events = [event for i, event in enumerate(events) if i not in inside]
    lows = [ends[at - 1] if (at := bisect_right(ends, start)) else 0 for start, _ in spans]
    found: list[Status] = []
    for low, (_, end), before in zip(lows, spans, _before(text, spans, lows, events), strict=True):
        found.append(before)
        tail = text[end : end + TAIL]
        if _ANY_AFTER.match(tail):
            said = Status(*(bool(cue.match(tail)) for cue in _SAID_AFTER))
            found[-1] = Status(*map(max, before, said))
            for i in _listed_before(text, spans[: len(found)], low, tail):
                found[i] = Status(*map(max, found[i], said))
    return found


def _listed_before(text: str, spans: Sequence[tuple[int, int]], low: int, tail: str) -> Iterator[int]:
    """Earlier mentions of the list that the last of `spans` ends; what is said behind it is said of all.

    "Hepatomegaly or splenomegaly was not seen" is of both. An *and* may begin another clause instead ("has
    microcephaly and seizures were not seen"), so behind it the verb has to be of many, and none may go before.
    """
    last, joins = len(spans) - 1, []
    for i in range(last - 1, -1, -1):
        between = _JOIN.fullmatch(text, spans[i][1], spans[i + 1][0])
        if spans[i][0] < low or not between:
            break
        joins.append((between["word"] or ",").lower())
    if not joins or joins[0] == ",":  # "effusion, pneumothorax was excluded": two clauses
        return
    first = last - len(joins)
    if joins[0] in ("or", "nor", "and/or") or (_PLURAL.match(tail) and not _VERB.search(text, low, spans[first][0])):
        yield from range(first, last)


def _before(
    text: str, spans: Sequence[tuple[int, int]], lows: Sequence[int], events: Sequence[tuple[int, int, str]]
) -> Iterator[Status]:
    """What the cues between the sentence's start and each mention say of it, all mentions in one pass."""
    begins = {start for start, _ in spans}
    upcoming = iter(events)
    event = next(upcoming, None)
    sentence = -1
    negated = uncertain = family = listed = False
    opened = absent = -1
    for (start, _), low in zip(spans, lows, strict=True):
        if low != sentence:
            sentence = low
            negated = uncertain = family = listed = False
            opened, absent = low, -1
        while event is not None and event[0] < start:
            begin, finish, kind = event
            event = next(upcoming, None)
            if begin < low:
                continue
            if kind == "negated" or (kind == "absent" and finish + 1 in begins):
                negated, listed, opened = True, False, finish
            elif kind == "absent":
                absent = finish  # of an organ: the list that follows is not absent
            elif kind == "uncertain":
                uncertain, opened = True, finish
            elif kind == "and" and not (listed and text[begin - 2 : begin].strip() == ","):
                absent = -1
            elif kind in ("end", "and"):
                negated = uncertain = listed = False
                absent = -1
            elif kind == "family":
                family = True
            elif kind == "proband":
                family = negated = uncertain = False
            elif kind == "or":
                listed = True
        near = start - opened <= SCOPE
        lacking = absent >= 0 and start - absent <= SHORT_SCOPE and "," not in text[absent:start]
        yield Status(lacking or (negated and near), uncertain and near, family)
