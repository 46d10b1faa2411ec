"""One sentence read from left to right: which cue reaches which finding.

A negation, a doubt or a relative opens a scope, and what follows may end it. Much comes down to one question, whether
the negation has found its finding. One that has ends with the next verb or clause; one that has not hands itself on
through verbs ("did not show"), and is spent by a noun that takes it upon itself ("no improvement of").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from phenolip_lib.recognition.behind import behind, question, sign
from phenolip_lib.recognition.clauses import ADVERBS, AHEAD, clause_ahead, is_aside, or_ahead
from phenolip_lib.recognition.cues import SCOPES, Row
from phenolip_lib.recognition.events import Event, Scope, State
from phenolip_lib.recognition.relatives import meet_patient, meet_relative, of_the_pregnancy
from phenolip_lib.recognition.structure import Segment

ITEM = 60
"""Characters from one finding of a list to the next, at most."""
OBJECT = 50
"""Characters from a negation to the word that takes it upon itself."""
_ANOTHER = re.compile(r"\s+(?:an?|the|his|her|their|its)\s")
_GRADE = re.compile(
    r"\s*(?:and\s)?(?:mild|moderate|severe|marked|slight|subtle|some|profound|occasional|intermittent|frequent)\b"
)
_GOVERNED = frozenset(("yet", "still", "only", "because", "because of", "due to", "secondary to"))
_SPENDING = ("no", "without", "den", "negative", "free", "lack")


def _of_family(events: Sequence[Event]) -> bool:
    """Whether a sentence behind "Family history: …" goes on with it: it names a relative, or is no whole sentence."""
    return any(event.of("relative", "family") for event in events) or not any(event.of("verb") for event in events)


class Walk:
    """A pass over the events of one sentence, which writes into `states`.

    Args:
        spans: places of all findings of the text, and `states` one for each.
        carried: what a heading says of the list below it ("Denies:").
    """

    def __init__(
        self,
        text: str,
        segment: Segment,
        events: Sequence[Event],
        spans: Sequence[tuple[int, int]],
        states: Sequence[State],
        carried: tuple[str, ...] = (),
    ) -> None:
        low, high = segment.start, segment.end
        self.text, self.low, self.high, self.section = text, low, high, segment.section
        self.events, self.spans, self.states = events, spans, states
        said = {segment.section, *carried}
        self.negation = Scope(low, high, standing=True) if "negated" in said else None
        self.doubt = Scope(low, high, standing=True) if "uncertain" in said else None
        self.base = self.family = "family" in said and (not segment.beside or _of_family(events))
        self.beside = segment.beside
        self.parked: Scope | None = None
        self.withheld = self.next_only = self.adjective = -1
        self.maternal = ""
        self.saved: list[tuple[Scope | None, Scope | None]] = []
        self.mentions: list[int] = []
        self.asked = 0
        """Mentions before the last answered question."""
        self.first_verb = -1
        self.signs_first = False
        self.row_ends = ""
        self.signed = self.doubt_next = -1
        self.sign = ""

    def left_open(self) -> tuple[str, ...]:
        """What a heading says of the list below it."""
        open_ = {"negated": self.negation and not self.negation.found, "uncertain": self.doubt and not self.doubt.found}
        return tuple(name for name, is_open in {**open_, "family": self.family}.items() if is_open)

    def run(self) -> None:
        for i, event in enumerate(self.events):
            if event.kind == "mention":
                self._mention(event)
            elif event.kind == "cue":
                if not (event.of("behind") and behind(self, i)):
                    for row in event.cue.rows:
                        self._forward(i, row)
                if self.first_verb < 0 and event.of("verb", "with"):
                    self.first_verb = event.start
            elif event.kind == ",":
                self._part(i)
            elif event.kind == "(":
                if len(self.saved) < 8:
                    self.saved.append((self.negation and replace(self.negation), self.doubt and replace(self.doubt)))
            elif event.kind == ")":
                if self.saved:
                    self.negation, self.doubt = self.saved.pop()
            elif event.kind in "|\t":
                self._close()
                self.family = self.base
            elif event.kind == "—":
                self._close()
            elif event.kind == ":":
                self.negation = self.negation and (None if self.negation.found else self.negation)
                self.doubt = self.doubt and (None if self.doubt.found else self.doubt)
            elif event.kind == "?":
                question(self, event)
            else:
                sign(self, i)

    # --- findings -------------------------------------------------------------------------------

    def _mention(self, event: Event) -> None:
        state = self.states[event.number]
        if self.withheld >= 0 and ADVERBS.fullmatch(self.text, self.withheld, event.start):
            self._negate(self.withheld, SCOPES["negated"])
        self.withheld, self.parked = -1, None
        state.negated |= self._reaches(self.negation, event) or 0 <= self.next_only >= event.start - 1
        state.uncertain |= self._reaches(self.doubt, event) or 0 <= self.doubt_next >= event.start - 2
        if 0 <= self.signed >= event.start - 12:
            state.negated, state.uncertain, self.signed = self.sign == "negated", False, -1
        state.family |= self.family or event.start <= self.adjective
        if state.family and not self.base and self.maternal == "she":
            state.family = not of_the_pregnancy(self.text[event.start : event.end])
        self.mentions.append(event.number)

    def _reaches(self, scope: Scope | None, event: Event) -> bool:
        if scope is None or event.start > scope.limit:
            return False
        if scope.noun and event.start <= scope.opened + 1:
            scope.noun, scope.limit = False, scope.opened + SCOPES["negated"]
        scope.found = True
        if not scope.noun:
            scope.limit = max(scope.limit, event.end + ITEM)
        return True

    # --- cues -----------------------------------------------------------------------------------

    def _forward(self, i: int, row: Row) -> None:
        event, category = self.events[i], row.category
        if row.direction == "backward" or (row.reach == "label" and not self._is_label(event)):
            return
        if category == "negated":
            if row.reach == "next":
                self.next_only = event.end
            else:
                self._negate(event.end, row.scope, noun=row.reach == "noun", item=self._within_list(i))
        elif category == "uncertain":
            self._doubt(i, row.scope)
        elif category == "affirmed":
            negation = self.negation
            if not (negation and not negation.found and not negation.parted and event.start - negation.opened <= 20):
                self._close()
        elif category == "withheld":
            self._verb(event)
            self.withheld = event.end
        elif category == "family":
            if row.reach == "noun":
                self.adjective = event.end + row.scope
            else:
                self.family = True
        elif category == "relative":
            meet_relative(self, i, row)
        elif category == "patient":
            meet_patient(self, event, row)
        elif category in ("verb", "informant"):
            self._verb(event, ends=category == "verb")
        elif category == "absorb":
            self._absorb(event)
        elif category == "with":
            self._hand_on(event)
        elif category == "and":
            self._part(i)
        elif category == "or":
            self._part(i, is_or=True)
        elif category == "end":
            self._end(i)

    def _negate(self, opened: int, scope: int, noun: bool = False, item: bool = False) -> None:
        self.negation = Scope(opened, opened + scope, noun=noun, lack=noun, item=item)
        self.withheld, self.parked = -1, None
        if self.doubt and self.doubt.found:
            self.doubt = None

    def _doubt(self, i: int, scope: int) -> None:
        opened = self.events[i].end
        if self.negation and self.negation.parted and self.negation.found:
            if or_ahead(self, i):
                return  # "no mass, suspicious nodule or effusion"
            self.negation = None
        if self.negation and self.negation.lack and self.negation.found:
            self.negation = None  # "absent reflexes suggest"
        if not (self.negation and not self.negation.found):
            self.doubt = Scope(opened, opened + scope)

    def open(self, i: int, row: Row) -> None:
        """Open a scope behind a cue that could be said of a finding before it, and is not."""
        if row.category == "negated":
            self._negate(self.events[i].end, row.scope)
        elif row.category == "uncertain":
            self._doubt(i, row.scope)

    def _is_label(self, event: Event) -> bool:
        return self.text[event.end : event.end + 2].lstrip(" *")[:1] == ":"

    def _within_list(self, i: int) -> bool:
        """Whether a negation stands behind a finding and a comma, so that the next finding is another item."""
        return i > 1 and self.events[i - 1].kind == "," and self.events[i - 2].kind in ("mention", ")")

    def _verb(self, event: Event, ends: bool = True) -> None:
        if self.withheld >= 0 and event.start - self.withheld <= SCOPES["withheld"]:
            self._negate(self.withheld, SCOPES["negated"] + event.end - self.withheld)
        elif ends:
            self._hand_on(event)
        self.withheld = -1

    def _hand_on(self, event: Event) -> None:
        """A scope that has found its finding ends; one that has not goes on behind the word."""
        if self.withheld >= 0:
            self._negate(self.withheld, SCOPES["negated"])
        self.end_found()
        if self.negation:
            self.negation.limit = max(self.negation.limit, event.end + AHEAD)

    def end_found(self) -> None:
        """End what has found its finding, or went by a comma: another predicate or subject begins."""
        for name in ("negation", "doubt"):
            scope = getattr(self, name)
            if scope and (scope.found or scope.parted) and not scope.standing:
                setattr(self, name, None)

    def _absorb(self, event: Event) -> None:
        negation = self.negation
        self.withheld = -1
        if negation and not (negation.found or negation.parted) and event.start - negation.opened <= OBJECT:
            word = self.text[max(self.low, negation.opened - 12) : negation.opened].lower()
            self.parked = negation if any(word.split()[-1:] and w in word for w in _SPENDING) else None
            self.negation = None
        if self.doubt and not self.doubt.found and event.start - self.doubt.opened <= OBJECT:
            self.doubt = None

    def _end(self, i: int) -> None:
        event = self.events[i]
        however = i and self.events[i - 1].kind == "," and is_aside(self, self.events[i - 1])
        opened = self.withheld if self.negation is None or self.negation.found else self.negation.opened
        if opened >= 0 and (however or (event.start - opened <= 1 and event.cue.phrase in _GOVERNED)):
            return  # "not yet", "does not, however, have"
        self._close()

    def _close(self) -> None:
        self.negation = self.doubt = self.parked = None
        self.withheld = self.adjective = -1

    def _part(self, i: int, is_or: bool = False) -> None:
        """A comma, an *and* or an *or*: the list goes on, or another clause begins."""
        event, self.adjective = self.events[i], -1
        if event.kind == "," and is_aside(self, event):
            return
        scopes = [scope for scope in (self.negation, self.doubt) if scope]
        if not (scopes or self.parked or self.family != self.base or self.withheld >= 0):
            return
        clause = "" if is_or else clause_ahead(self, i)
        if not clause and event.of("and") and self.negation:
            oxford = self.negation.either and i and self.events[i - 1].kind == ","
            clause = "verb" if oxford or (self.negation.found and _ANOTHER.match(self.text, event.end)) else ""
        if clause:
            self._close()
            if clause == "subject":
                self.family = self.base
            return
        if not is_or:
            self.withheld = -1
        if self.parked:
            self.negation, self.parked = replace(self.parked, found=True), None
        if self.negation and self.negation.noun:
            self.negation = None
        if self.negation and self.negation.found and not is_or and not self.negation.standing:
            own = self.negation.item or _GRADE.match(self.text, event.end)
            self.negation = None if own and not or_ahead(self, i) else self.negation
        for scope in scopes:
            scope.parted, scope.either = scope.parted or not is_or, scope.either or is_or
