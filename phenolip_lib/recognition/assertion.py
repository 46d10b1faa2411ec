"""Who has a finding, and whether: negation, uncertainty, and the family's history around a mention.

After NegEx and ConText (Chapman et al. 2001, Harkema et al. 2009): cues with a direction and a scope, here a table
(`cues.csv`). The text is first cut into sentences, list items and sections (`structure`); in each, one walk over cues,
marks and findings decides (`scopes`). A cue inside a finding is none: "absent speech" is a phenotype and negates
nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from phenolip_lib.recognition.cues import cues
from phenolip_lib.recognition.scopes import Event, State, Walk
from phenolip_lib.recognition.structure import segments

_MARKS = re.compile(
    r"\(\s?[+\-–−]\s?\)|\(\s?\?\s?\)|\[[ xX]?\]|[☐☒☑✓✗✘]|[,():?|\t]"
    r"|(?<=[\s:=])(?:[+\-–−]ve\b|[+\-–−](?=\s*(?:$|[,;.\n|])))"
)


class Status(NamedTuple):
    """What the words around a mention say of it."""

    negated: bool
    uncertain: bool
    family: bool
    """It is said of a relative, not of the patient."""


def statuses(text: str, spans: Sequence[tuple[int, int]]) -> list[Status]:
    """The status of each span of `text`; spans are sorted."""
    if not spans:
        return []
    states = [State() for _ in spans]
    events = _events(text, spans)
    starts = [event.start for event in events]
    carried: tuple[str, ...] = ()
    for segment in segments(text):
        if segment.fresh:
            carried = ()
        low, high = bisect_left(starts, segment.start), bisect_left(starts, segment.end)
        heads = text[max(segment.start, segment.end - 3) : segment.end].rstrip().endswith(":")
        inside = events[low:high]
        if heads or any(event.kind == "mention" for event in inside):
            walk = Walk(text, segment, inside, spans, states, carried)
            walk.run()
            if heads:
                carried = walk.left_open()
    return [Status(state.negated, state.uncertain, state.family) for state in states]


def _events(text: str, spans: Sequence[tuple[int, int]]) -> list[Event]:
    """Findings, and the cues and marks between them, in order."""
    found = [Event(start, end, "mention", i) for i, (start, end) in enumerate(spans)]
    inside = _Inside(spans)
    found += [Event(cue.start, cue.end, "cue", cue=cue) for cue in cues(text) if not inside(cue.start)]
    found += [Event(*m.span(), m.group()) for m in _MARKS.finditer(text) if not inside(m.start())]
    found.sort(key=lambda event: event.start)
    return found


class _Inside:
    """Whether a place is inside a span; places are asked for in order."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self.starts = [start for start, _ in spans]
        self.reach: list[int] = []
        for _, end in spans:
            self.reach.append(max(end, self.reach[-1] if self.reach else 0))

    def __call__(self, place: int) -> bool:
        at = bisect_left(self.starts, place + 1) - 1
        return at >= 0 and place < self.reach[at]
