"""Who has a finding, and whether: negation, uncertainty, and the family's history around a mention.

After NegEx and ConText (Chapman et al. 2001, Harkema et al. 2009): cues with a direction and a scope, here a table
(`cues.csv`). The text is first cut into sentences, list items and sections (`structure`); in each, one walk over cues,
marks and findings decides (`scopes`). A cue inside a finding is none: "absent speech" is a phenotype and negates
nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from typing import NamedTuple

from phenolip_lib.recognition.choices import ANSWERS, choices
from phenolip_lib.recognition.cues import OPENING, cues, folded, opening, telling
from phenolip_lib.recognition.events import Event, State
from phenolip_lib.recognition.scopes import Walk
from phenolip_lib.recognition.structure import Segment, headings, segments

LONG = 500
"""Characters of a text that nearly always has something to tell, so that its sentences alone are asked."""
_NEUTRAL = frozenset(("mention", *",():|\t—"))
# Every alternative begins behind one character of few, which `re` finds fast.
_SIGNS = re.compile(r"[-?(\[☐☒☑✓✗✘+−](?:(?<![-(])|(?<=[( :=\t]-)|(?<=\()[ xX]\))")
_MARKS = re.compile(
    r"""[-☐☒☑✓✗✘,():?|\t—\[+–−](?:(?<=\()(?:\s?[-+–−]\s?|[ xX])\)|(?<=\[)[- xX+–−]?\]|(?<=[☐☒☑✓✗✘,():?|\t—])
    |(?<=[\s:=][-+–−])(?:ve\b|(?=\s*(?:$|[,;.\n|]))))""",
    re.VERBOSE,
)


class Status(NamedTuple):
    """What the words around a mention say of it."""

    negated: bool
    uncertain: bool
    family: bool
    """It is said of a relative, not of the patient."""


_PLAIN = Status(False, False, False)


def statuses(text: str, spans: Sequence[tuple[int, int]]) -> list[Status]:
    """The status of each span of `text`; spans are sorted."""
    if not spans:
        return []
    plain, carried = folded(text), ()
    if len(text) < LONG and not _tells(text, plain, 0, len(text)):
        return [_PLAIN] * len(spans)
    states = [State() for _ in spans]
    colons = ":" in text
    first = reached = 0  # the next span, and the end of those before
    for segment in segments(text):
        low, high, section, fresh, _ = segment
        if fresh:
            carried = ()
        after = first
        while after < len(spans) and spans[after][0] < high:
            after += 1
        heads = colons and text[max(low, high - 3) : high].rstrip().endswith(":")
        if heads or (after > first and (carried or section or _tells(text, plain, low, high))):
            events = _events(text, plain, segment, spans, first, after, reached)
            if carried or section or any(map(_opens, events)):
                walk = Walk(text, segment, events, spans, states, carried)
                walk.run()
                carried = walk.left_open() if heads else carried
        for _, end in spans[first:after]:
            if end > reached:
                reached = end
        first = after
    return [Status(state.negated, state.uncertain, state.family) for state in states]


@cache
def _telling() -> frozenset[str]:
    return telling([*opening(), *(name for name, kind in headings().items() if kind != "patient")])


def _tells(text: str, plain: str, low: int, high: int) -> bool:
    """Whether anything between two places could speak of findings; most sentences say plainly what is there."""
    return not _telling().isdisjoint(plain[low:high].split()) or _SIGNS.search(text, low, high) is not None


def _opens(event: Event) -> bool:
    """Whether anything can begin at an event that changes a status; most marks and cues only end it."""
    return not event.kinds.isdisjoint(OPENING) if event.kind == "cue" else event.kind not in _NEUTRAL


def _events(
    text: str, plain: str, segment: Segment, spans: Sequence[tuple[int, int]], first: int, after: int, reached: int
) -> list[Event]:
    """Findings of a segment, and the cues and marks between them, in order."""
    found = [Event(start, end, "mention", i) for i, (start, end) in enumerate(spans[first:after], first)]
    others = [(start, end, "cue", -1, cue, cue.kinds) for start, end, cue in cues(text, plain, *segment[:2])]
    others += [(*m.span(), m.group(), -1, None, frozenset()) for m in _MARKS.finditer(text, *segment[:2])]
    others.sort(key=itemgetter(0))
    answers = sum(event[2] == "cue" and event[4].phrase in ANSWERS for event in others)
    if answers > 1 or (answers and any(event[2][0] in "([☐☒☑✓✗✘" for event in others)):
        chosen = [(start, end, "cue", -1, cue, cue.kinds) for start, end, cue in choices(text, *segment[:2])]
        inside = [bisect_right(chosen, event[0], key=itemgetter(0)) - 1 for event in others]
        kept = [event for event, at in zip(others, inside, strict=True) if at < 0 or event[0] >= chosen[at][1]]
        others = sorted(kept + chosen, key=itemgetter(0))
    for event in others:
        while first < after and spans[first][0] <= event[0]:
            reached = max(reached, spans[first][1])
            first += 1
        if event[0] >= reached:
            found.append(tuple.__new__(Event, event))
    found.sort(key=itemgetter(0))
    return found
