"""One sentence of a report: which words are findings, and which places, grades and descriptors belong to which.

Words belong to what is near: distance is counted in words, and a comma, an *and* or another finding between makes it
longer. Each finding looks at few neighbours, so that the time is linear in the words also where no sentence ends.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from phenolip_lib.recognition.findings.places import Place, group, is_tissue, special
from phenolip_lib.recognition.findings.vocabulary import OTHER, Hit, Term, categories, within

REACH = 8
"""Distance of the farthest place of a finding."""
GRADE_REACH = 6
"""Distance of the farthest grade or descriptor."""
NEIGHBOURS = 3
_PREPOSITIONS = frozenset(
    "in of at within overlying along involving on near over projecting throughout to adjacent overlies overlie"
    " projects about around for from".split()
)
_DENIALS = frozenset(("no", "without"))
_SPLITS = frozenset("and or with without but".split())

_READS = frozenset(
    "represent represents representing compatible consistent suggest suggests suggesting suggestive reflect reflects"
    " reflecting versus vs or favored favor due related associated likely possibly probably".split()
)
"""Between a finding and what it is taken for, which is in the same place."""


@dataclass
class Candidate:
    """Words that name a finding; `hpo_id` where the recogniser found it."""

    start: int
    end: int
    category: str
    hpo_id: str | None = None
    severity: str = ""
    descriptors: tuple[str, ...] = ()
    places: tuple[tuple[frozenset[str], str], ...] = ()
    """Each location it has: places and a side."""
    inner: frozenset[str] = frozenset()
    """Places that its own words name."""
    side: str = ""
    """The side that its own words tell."""


class Sentence:
    """The candidates of one sentence, read when it is made.

    Args:
        text, folded: the whole text, and as `cues.folded`.
        found: phrases of the tables in the sentence; mentions: candidates that the recogniser found there.
    """

    def __init__(self, text: str, folded: str, found: Sequence[Hit], mentions: Sequence[Candidate]) -> None:
        self.text, self.folded = text, folded
        self.groups = group(text, folded, found)
        self.candidates: list[Candidate] = []
        self.starts: list[int] = []
        named = [[(h, t) for t in h.terms if t.kind == "category"] for h in found]
        plain = [own[0] for own in named if own and not any(term.needs for _, term in own)]
        plain = [(hit, term) for hit, term in plain if term.value != OTHER or text[hit.end : hit.end + 1] != ":"]
        self._set(_merged([_candidate(hit, term) for hit, term in plain], mentions))
        taken = [c for own in named if any(term.needs for _, term in own) and (c := self._needy(own))]
        over = _Overlaps(taken)
        self._set([*(c for c in self.candidates if not over(c)), *taken])
        self._grade([h for h in found if h.of("severity") or h.of("descriptor") or is_tissue(h)])
        for i, candidate in enumerate(self.candidates):
            candidate.places = self._places(i)

    def _set(self, candidates: Iterable[Candidate]) -> None:
        self.candidates = sorted(candidates, key=lambda c: c.start)
        self.starts = [c.start for c in self.candidates]

    # --- places ---------------------------------------------------------------------------------

    def _near(self, start: int, end: int) -> list[tuple[float, int]]:
        """The nearest places of some words: distance and number, the nearest first."""
        at = bisect_left(self.groups, start, key=lambda group: group.start)
        low, high = max(at - NEIGHBOURS, 0), min(at + NEIGHBOURS, len(self.groups))
        costs = [(self._distance(start, end, self.groups[k]), k) for k in range(low, high)]
        return sorted(cost for cost in costs if cost[0] <= REACH)

    def _distance(self, start: int, end: int, group: Place) -> float:
        behind = group.start >= end
        low, high = (end, group.start) if behind else (group.end, start)
        if high - low > 120:
            return REACH + 1
        words = self.folded[low:high].split()
        cost = len(words) + 4 * len(re.findall(r"[,:(;]", self.text[low:high])) + 2 * len(_SPLITS.intersection(words))
        if behind:
            cost += -1 if words and not _PREPOSITIONS.isdisjoint(words[:3]) else 3 if words else 0.5
        between = self._between(low, high)
        if between:
            cost += 1 if behind and not _PREPOSITIONS.isdisjoint(words) else 3 * between
        of_another = not behind and bool(words) and self._governed(group)
        if of_another:
            cost += 6
        if not behind and not _DENIALS.isdisjoint(words) and (of_another or between or "," in self.text[low:high]):
            cost += REACH  # "opacity in the left base, no effusion"
        return cost

    def _between(self, low: int, high: int) -> int:
        return bisect_left(self.starts, high) - bisect_left(self.starts, low)

    def _governed(self, group: Place) -> bool:
        """Whether a place follows a finding and a preposition, so that it belongs to that finding."""
        before = self.folded[max(group.start - 20, 0) : group.start].split()
        return not _PREPOSITIONS.isdisjoint(before[-2:]) and self._between(group.start - 40, group.start) > 0

    def _places(self, i: int) -> tuple[tuple[frozenset[str], str], ...]:
        """Where a finding is: the nearest place, and those that are listed with it."""
        candidate = self.candidates[i]
        known = categories().get(candidate.category)
        near = self._near(candidate.start, candidate.end)
        near = [(cost, k) for cost, k in near if known is None or known.allows(self.groups[k].places)]
        if not near:
            read = self._read_as(i)
            own = ((candidate.inner, candidate.side),) if candidate.inner or candidate.side else ()
            return tuple((places | candidate.inner, side) for places, side in read) or own
        low = high = near[0][1]
        while (
            low and high - low < REACH and self.groups[low - 1].listed and self.groups[low - 1].start >= candidate.end
        ):
            low -= 1
        while low and high - low < REACH and self.groups[low - 1].listed and self.groups[high].end <= candidate.start:
            low -= 1
        while high + 1 < len(self.groups) and self.groups[high].listed and high - low < REACH:
            if self.groups[high].end <= candidate.start < self.groups[high + 1].start:
                break
            high += 1
        sides: dict[frozenset[str], list[str]] = {}
        for own in self.groups[low : high + 1]:
            if known is None or known.allows(own.places):
                places = special(own.places | candidate.inner)
                sides.setdefault(places, []).append(candidate.side or own.side)
        found = []
        for places, own in sides.items():
            own = ["bilateral"] if {"left", "right"} <= set(own) else list(dict.fromkeys(own))
            found += [(places, side) for side in own]
        return tuple(found)

    def _read_as(self, i: int) -> tuple[tuple[frozenset[str], str], ...]:
        """The places of the finding before, if this one says what that is ("opacities in the bases, likely scars")."""
        if not i:
            return ()
        before, own = self.candidates[i - 1], self.candidates[i]
        between = self.folded[before.end : own.start].split() if own.start - before.end < 120 else []
        known, other = categories().get(own.category), categories().get(before.category)
        alike = known and other and known.place in ("", other.place, "lung") and not known.bound
        return before.places if alike and not _READS.isdisjoint(between) else ()

    # --- findings that need a place -------------------------------------------------------------

    def _needy(self, named: Sequence[tuple[Hit, Term]]) -> Candidate | None:
        """A finding whose words mean it of some organs only, if one of those is the nearest place."""
        hit = named[0][0]
        for _, term in named:
            for need in term.needs:
                if need.startswith("+") and (other := self._partner(hit, need[1:])):
                    return Candidate(min(hit.start, other.start), max(hit.end, other.end), term.value)
        if near := self._near(hit.start, hit.end):
            exact = self.groups[near[0][1]].places
            for places in (exact, exact.union(*(within()[place] for place in exact))):
                for _, term in named:
                    if not places.isdisjoint(term.needs):
                        return _candidate(hit, term)
        return next((_candidate(hit, term) for _, term in named if not term.needs), None)

    def _partner(self, hit: Hit, category: str) -> Candidate | None:
        at = bisect_left(self.starts, hit.start)
        for candidate in self.candidates[max(at - 1, 0) : at + 2]:
            low, high = min(candidate.end, hit.end), max(candidate.start, hit.start)
            near = high - low < 60 and "," not in self.text[low:high] and len(self.folded[low:high].split()) <= 6
            if candidate.category == category and near:
                return candidate
        return None

    # --- grades ---------------------------------------------------------------------------------

    def _grade(self, found: Sequence[Hit]) -> None:
        """Give each grade and descriptor to the nearest finding, rather to one behind it."""
        starts = self.starts
        for hit in found:
            at = bisect_left(starts, hit.start)
            costs = []
            for candidate in self.candidates[max(at - 1, 0) : at + 1]:
                behind = candidate.start >= hit.end
                if not behind and candidate.end > hit.start:
                    costs.append((0.0, candidate))
                    continue
                low, high = (hit.end, candidate.start) if behind else (candidate.end, hit.start)
                if high - low <= 80:
                    words = self.folded[low:high].split()
                    cost = len(words) + 3 * self.text[low:high].count(",") + 2 * len(_SPLITS.intersection(words))
                    costs.append((cost + (0 if behind else 2.5), candidate))
            cost, candidate = min(costs, key=lambda pair: pair[0], default=(GRADE_REACH + 1, None))
            if candidate is None or cost > GRADE_REACH:
                continue
            for term in hit.terms:
                if term.kind == "severity":
                    candidate.severity = candidate.severity or term.value
                elif term.kind == "place":
                    candidate.inner |= {term.value}
                elif term.kind == "descriptor" and term.value not in candidate.descriptors:
                    candidate.descriptors += (term.value,)


def _candidate(hit: Hit, term: Term) -> Candidate:
    return Candidate(hit.start, hit.end, term.value, inner=frozenset(term.inner), side=term.side)


class _Overlaps:
    """Which of some findings lie over the words of another; they overlap each other little, so neighbours do."""

    def __init__(self, own: Sequence[Candidate]) -> None:
        self.own = sorted(own, key=lambda c: c.start)
        self.starts = [c.start for c in self.own]

    def __call__(self, other: Candidate) -> list[Candidate]:
        high = bisect_left(self.starts, other.end)
        low = max(bisect_left(self.starts, other.start) - 2, 0)
        return [c for c in self.own[low:high] if c.end > other.start]


def _merged(own: Sequence[Candidate], mentions: Sequence[Candidate]) -> list[Candidate]:
    """Findings of the tables and of the recogniser together.

    Over the same words the longer is the finding; one of ours that ends a mention, or is of its category, keeps its
    words (they leave out what decides its status) and takes the mention's id.
    """
    over, gone, kept = _Overlaps(own), set(), []
    for mention in mentions:
        same = over(mention)
        head = [c for c in same if c.category == mention.category or c.end == mention.end]
        if head:
            head[-1].hpo_id = mention.hpo_id
        elif all(mention.start <= c.start and c.end <= mention.end for c in same):
            gone.update(map(id, same))
            kept.append(mention)
    return [*(c for c in own if id(c) not in gone), *kept]
