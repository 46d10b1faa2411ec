"""Looking ahead from a comma or an *and*: does the list go on, or does another clause begin?"""

from __future__ import annotations

import re

from phenolip_lib.recognition.events import Event

AHEAD = 80
"""Characters a rule looks ahead."""
ADVERBS = re.compile(r"\s*(?:(?:\w+ly|ever|yet|even|also|currently|usually|always)\s+)?")
_ASIDE = re.compile(r"\s*(?:however|therefore|of course|in fact|then|at present|to date|so far|though|at least)\s*,")
_PLURAL = re.compile(r"(?:are|were|have)\b")
_UNFINISHED = frozenset("shown been being be having showing revealing demonstrating developing presenting am".split())


def is_aside(walk, comma: Event) -> bool:
    """Whether a comma begins or ends an aside: "does not, however, have"."""
    before = walk.text.rfind(",", max(walk.low, comma.start - 20), comma.start)
    return bool(
        _ASIDE.match(walk.text, comma.end) or (before >= 0 and _ASIDE.fullmatch(walk.text, before + 1, comma.end))
    )


def or_ahead(walk, i: int) -> bool:
    for event in walk.events[i + 1 : i + 13]:
        if event.of("or"):
            return True
        if event.of("end", "verb", "negated"):
            return False
    return False


def clause_ahead(walk, i: int) -> str:
    """Whether a clause begins behind event `i`: ``verb`` (of the same subject), ``subject``, or nothing."""
    begin = at = walk.events[i].end
    found = 0
    for event in walk.events[i + 1 : i + 9]:
        if event.start - begin > AHEAD:
            return ""
        bare = at == begin and ADVERBS.fullmatch(walk.text, begin, event.start)
        if event.kind == "mention":
            found += 1
        elif event.kind == ":":
            return "subject" if found else ""
        elif event.kind != "cue" or event.of("or", "and", "end", "with"):
            return ""
        elif event.of("verb", "withheld") and event.cue.phrase not in _UNFINISHED:
            if bare:
                return "verb"
            return "" if _same_list(walk, i, event, found) else "subject"
        elif event.of("informant") and bare:
            return "verb"
        elif any(row.reach == "subject" for row in event.cue.rows):
            return "" if _same_list(walk, i, event, found) else "subject"
        elif event.of("patient", "relative") or (event.of("negated", "uncertain", "affirmed") and bare):
            return ""
        at = event.end
    return ""


def _same_list(walk, i: int, verb: Event, found: int) -> bool:
    """Whether the verb is of a list that the negation began: "No effusion and pneumothorax were seen"."""
    if walk.events[i].kind == "," or not found or not _PLURAL.match(walk.text[verb.start : verb.end].lower()):
        return False
    scope = walk.negation or walk.doubt
    return bool(scope and scope.found) and not any(
        e.of("verb") for e in walk.events[max(0, i - 8) : i] if e.start < scope.opened
    )
