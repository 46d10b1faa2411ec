"""What stands behind a finding and is said of it: verbs, answers, signs and question marks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phenolip_lib.recognition.choices import BOX

REACH = 64
"""Characters from a finding to what is said of it."""
_JOIN = re.compile(r"\s*(?:,?\s*(?P<word>and/or|and|or|nor)\b|(?P<mark>[,/]))\s*(?:[\w-]+\s){0,2}", re.IGNORECASE)
"""Between two findings of one list; up to two words may go before the second: "and frank hypertelorism"."""
_PLURAL = re.compile(r"(?:is|was|has)\b", re.IGNORECASE)
_BESIDE = re.compile(
    r"[\s:=|(\[\-–—−?,…>.*\"]{0,16}|\s?[.…_·]{3,60}\s?|\s?\?\s*(?:a|answer|response|reply)\s?[:.]\s*", re.IGNORECASE
)
_VALUE = re.compile(r"\s*:[^,;:|\n]{1,30}")
_DONE = re.compile(r"\s*(?:$|[.,;:!?)\](/\n\t•|]|[-–—]\s|(?:and|but|or|in|at|on|since|until|to date|so far|now)\b)")
_FREE = re.compile(r"\s*(?:$|[.,;)]|(?:since|for|until|after|on|at|during|and|now|period|interval|with)\b)")
_ASKS = re.compile(
    r"\W*(?:any|does|do|did|is|are|has|have|had|was|were|can|could|what|which|history of)\b", re.IGNORECASE
)
_OTHER = re.compile(
    r"\b(?:tests?|testing|investigations?|work-?\s?up|panels?|screen(?:ing)?|stud(?:y|ies)|cultures?|evaluations?|exam"
    r"(?:ination)?s?|surgery|repair|medications?|treatments?|therapy|clinic|patients?|groups?|genes?|famil(?:y|ies))\b",
    re.IGNORECASE,
)
"""What stands between a finding and a verb that is not said of it: "seizure work-up was negative"."""
_ONWARD = re.compile(r"\s+(?:with|to\s+(?:have|be|show))\b")
_NOT = re.compile(r"\b(?:no|not|never|t)\b")
_AUXILIARY = frozenset("is was are were be been has have had being".split())
_MINUS = re.compile(r"[-–−☐✗✘]|\[ ?\]|\( \)")
_BOX = re.compile(BOX)
_MAX = 60
"""Findings of a list that are told together."""


def behind(walk, i: int) -> bool:
    """Apply a cue to the findings before it, if it is said of them; the walk then leaves it alone."""
    event = walk.events[i]
    for row in event.cue.rows:
        if row.direction not in ("backward", "both"):
            continue
        onward = row.reach == "subject" and _ONWARD.match(walk.text[event.end : event.end + 12])
        if not onward and (numbers := _targets(walk, i, row.reach)):
            for number in numbers:
                _say(walk.states[number], row.category)
            walk._hand_on(event)
            return row.reach != "pair"
    directions = {row.direction for row in event.cue.rows}
    if directions == {"backward"} and _NOT.search(event.cue.phrase):
        walk.open(i, row)  # "has not reported seizures", "was not found to have"
        return True
    return False


def _say(state, category: str) -> None:
    if category == "family":
        state.family = True
    else:
        state.negated, state.uncertain = category == "negated", category == "uncertain"


def _targets(walk, i: int, reach: str) -> list[int]:
    """Numbers of the findings that the cue at event `i` is said of."""
    event, text = walk.events[i], walk.text
    if not walk.mentions:
        return []
    last = walk.mentions[-1]
    end = walk.spans[last][1]
    if event.start - end > REACH or event.start < end:
        return []
    gap = text[end : event.start]
    if reach == "free":
        if gap not in ("-", " ", "‑", "‐") or not (gap != " " or _FREE.match(text[event.end : event.end + 12])):
            return []
    elif reach == "pair":
        return [] if len(gap) > 40 or "," in gap or walk.events[i - 1].kind == "cue" else [last]
    elif reach == "beside":
        if not _BESIDE.fullmatch(gap) or "," in gap:
            return []
    elif reach == "answer":
        if not (_BESIDE.fullmatch(gap) or _VALUE.fullmatch(gap)) or not _DONE.match(text[event.end : event.end + 12]):
            return []
        if "?" in gap:
            asked, walk.asked = walk.asked, len(walk.mentions)
            return walk.mentions[asked:]
        if ":" in gap:
            return list(listed(walk, last, everything=True))
    elif not _is_subject(walk, i, last, gap) or (
        reach == "closing" and not _DONE.match(text[event.end : event.end + 12])
    ):
        return []
    singular = bool(_PLURAL.match(text[event.start : event.end]))
    return list(listed(walk, last, singular))


def _is_subject(walk, i: int, last: int, gap: str) -> bool:
    """Whether the finding is the subject of the verb at event `i`."""
    if gap.count(",") == 1 or ";" in gap or _OTHER.search(gap):
        return False
    begin = walk.events[i].start
    for j in range(i - 1, -1, -1):
        event = walk.events[j]
        if event.kind == "mention":
            return True
        if event.kind == "cue" and event.cue.phrase in _AUXILIARY and begin - event.end <= 1:
            begin = event.start
            continue
        if event.kind == "cue" and event.of("verb", "end", "withheld", "negated"):
            return False
        if (
            event.kind == "cue"
            and event.of("and")
            and not walk.events[i].cue.phrase.startswith(("were", "are", "have"))
        ):
            return False
    return False


def listed(walk, last: int, singular: bool = False, everything: bool = False) -> Iterator[int]:
    """The finding `last` and those of the list it ends, if what follows is said of all.

    "Hepatomegaly or splenomegaly was not seen" is of both. An *and* may begin another clause instead ("has
    microcephaly and seizures were not seen"), so behind it the verb has to be of many, and none may go before.
    """
    yield last
    joins, numbers = [], []
    at = len(walk.mentions) - 1
    while at > 0 and len(numbers) < _MAX:
        earlier, later = walk.mentions[at - 1], walk.mentions[at]
        overlapping = walk.spans[later][0] <= walk.spans[earlier][1]
        between = None if overlapping else _JOIN.fullmatch(walk.text, walk.spans[earlier][1], walk.spans[later][0])
        if not (between or overlapping):
            break
        if between:
            joins.append((between["word"] or between["mark"]).lower())
        numbers.append(earlier)
        at -= 1
    if not joins:
        yield from numbers
        return
    many = not singular and not 0 <= walk.first_verb < walk.spans[numbers[-1]][0]
    if joins[0] in ("or", "nor", "and/or", "/") or (joins[0] == "and" and (many or everything)):
        yield from numbers


def question(walk, event) -> None:
    """A question mark: before a finding it doubts that one, behind it all that was asked."""
    text, new = walk.text, walk.mentions[walk.asked :]
    if not new:
        walk.doubt_next = event.end
        return
    numbers = new if _ASKS.match(text[walk.low : walk.low + 30]) else listed(walk, walk.mentions[-1], everything=True)
    for number in numbers:
        state = walk.states[number]
        state.uncertain = not state.negated


def sign(walk, i: int) -> None:
    """A sign such as (+), (−) or an empty box: of the finding before it, or in a text that begins so, of the next."""
    event, text = walk.events[i], walk.text
    said = "negated" if _MINUS.search(event.kind) else "affirmed"
    before = walk.mentions and _BESIDE.fullmatch(
        text[max(walk.spans[walk.mentions[-1]][1], event.start - 20) : event.start]
    )
    if _BOX.match(event.kind) and not walk.signs_first:
        # A row of boxes begins with one or ends with one.
        if not walk.row_ends:
            kinds = (other.kind for other in reversed(walk.events))
            walk.row_ends = next(kind for kind in kinds if kind == "mention" or _BOX.match(kind))
        walk.signs_first = walk.row_ends == "mention"
    if walk.signs_first or not walk.mentions:
        walk.signs_first = True
        walk.signed, walk.sign = event.end, said
    elif before:
        for number in [walk.mentions[-1]] if _BOX.match(event.kind) else listed(walk, walk.mentions[-1]):
            _say(walk.states[number], said)
