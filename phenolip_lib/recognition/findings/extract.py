"""Findings of a report by rules: words from the tables and the recogniser, polarity from the status engine."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, Protocol

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.assertion import Status, statuses
from phenolip_lib.recognition.cues import folded
from phenolip_lib.recognition.findings.sentence import Candidate, Sentence
from phenolip_lib.recognition.findings.vocabulary import OTHER, by_hpo, categories, hits, within
from phenolip_lib.recognition.plain import plain
from phenolip_lib.recognition.recognizer import Recognizer
from phenolip_lib.recognition.structure import headings, segments
from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS

Polarity = Literal["present", "absent", "uncertain"]
ENGLISH = 0.12
"""Share of such words below which a text is not taken for English; the least of 993 reports of Open-i is .13."""
_SECTION = re.compile(r"(?:^[ \t]*|[.;][ \t]+)([A-Za-z][A-Za-z /]{2,30}?)[ \t]*:", re.MULTILINE)
_BLANKS = re.compile(r" {2,}")
_UNNAMED = re.compile(
    r"\s(?:in|of|overlying|along|within)\s(?:the\s)?((?:[a-z-]{2,20}\s?){1,3})(?=[.,;]|$)", re.IGNORECASE
)
_NO_PLACE = frozenset(
    "time interval patient setting keeping nature origin etiology size extent number exam examination study side view"
    " film today degree significance age prior left right lungs film images image note this question severity".split()
)


@dataclass(frozen=True)
class Location:
    """Where a finding is."""

    organ: str = ""
    """The organ or region, as in `anatomy.csv`; ``other`` for one that is not in it."""
    parts: tuple[str, ...] = ()
    """Parts of it, such as ``upper lobe``; sorted."""
    side: str = ""
    """``left``, ``right``, ``bilateral`` or nothing."""
    text: str = ""
    """The report's words of a place that the table does not name."""

    @property
    def names(self) -> frozenset[str]:
        """Places and side as one set, organs of named parts left out."""
        organ = {self.organ} if self.organ and not self.parts else set()
        return frozenset({*organ, *self.parts, *([self.side] if self.side else [])})


@dataclass(frozen=True)
class Finding:
    """One finding of a report; ``report[start:end] == text``."""

    category: str
    """A name of `categories.csv`, the HPO term's name, or ``other``."""
    hpo_id: str | None
    location: Location
    severity: str
    descriptors: tuple[str, ...]
    polarity: Polarity
    start: int
    end: int
    text: str
    section: str = ""
    """The known heading it stands under, in lower case."""
    family: bool = False
    """Said of a relative, not of the patient."""

    def row(self) -> dict:
        """As JSON holds it."""
        row = asdict(self)
        row["span"] = [row.pop("start"), row.pop("end")]
        return row


@dataclass(frozen=True)
class Extraction:
    """What became of a report."""

    findings: tuple[Finding, ...] = ()
    status: Literal["read", "empty", "failed"] = "read"
    reasons: tuple[str, ...] = ()
    """Why it failed, which findings of a model were refused, or what makes the result doubtful."""

    def row(self, name: str) -> dict:
        return {
            "document": name,
            "status": self.status,
            "reasons": list(self.reasons),
            "findings": [finding.row() for finding in self.findings],
            "report": report_view(self.findings),
        }

    @classmethod
    def of_row(cls, row: dict) -> Extraction:
        """What `row` gave."""
        found = []
        for own in row["findings"]:
            place, span = own["location"], own["span"]
            rest = {key: value for key, value in own.items() if key != "span"} | {"start": span[0], "end": span[1]}
            rest["location"] = Location(**place | {"parts": tuple(place["parts"])})
            found.append(Finding(**rest | {"descriptors": tuple(own["descriptors"])}))
        return cls(tuple(found), row["status"], tuple(row["reasons"]))


class Extractor(Protocol):
    """What makes findings of reports: `Rules`, or `model.ModelExtractor`."""

    def __call__(self, texts: Sequence[str]) -> list[Extraction]:
        """One extraction a text, in order."""


@dataclass
class Rules:
    """The extractor by rules.

    Args:
        onto: the ontology whose terms are found beside the categories of the tables.
    """

    onto: Ontology
    recognizer: Recognizer = field(init=False)

    def __post_init__(self) -> None:
        self.recognizer = Recognizer(self.onto)

    def __call__(self, texts: Sequence[str]) -> list[Extraction]:
        return [self.extract(text) for text in texts]

    def extract(self, text: str) -> Extraction:
        """Findings of one text, in order."""
        if not text.strip():
            return Extraction(status="empty", reasons=("the report is empty",))
        narrow, given = _squeezed(text)
        read = plain(narrow, self.recognizer.lexicon.knows)
        found = self._findings(read.text)
        if read.pieces or narrow != text:
            spans = [given(*read.given(f.start, f.end)) for f in found]
            found = [replace(f, start=a, end=b, text=text[a:b]) for f, (a, b) in zip(found, spans, strict=True)]
        return Extraction(tuple(found), reasons=() if is_english(read.text) else ("may not be English",))

    def _findings(self, text: str) -> list[Finding]:
        low = folded(text)
        named, found = hits(low), []
        mentions = [
            Candidate(m.start, m.end, by_hpo().get(m.hpo_id, self.onto[m.hpo_id].name.lower()), m.hpo_id)
            for m in self.recognizer(text)
        ]
        hit = mention = 0
        for segment in segments(text):
            first, begin = hit, mention
            while hit < len(named) and named[hit].start < segment.end:
                hit += 1
            while mention < len(mentions) and mentions[mention].start < segment.end:
                mention += 1
            found += Sentence(text, low, named[first:hit], mentions[begin:mention]).candidates
        marks = [(m.start(), name) for m in _SECTION.finditer(text) if (name := m[1].lower().strip()) in headings()]
        states = statuses(text, [(c.start, c.end) for c in found])
        return [
            finding
            for candidate, state in zip(found, states, strict=True)
            for finding in _made(text, candidate, state, marks)
        ]


def _made(text: str, candidate: Candidate, state: Status, marks: Sequence[tuple[int, str]]) -> Iterable[Finding]:
    known = categories().get(candidate.category)
    at = bisect_right(marks, candidate.start, key=lambda mark: mark[0])
    polarity = "absent" if state.negated else "uncertain" if state.uncertain else "present"
    match = None if any(places for places, _ in candidate.places) else _UNNAMED.match(text, candidate.end)
    unnamed = match[1].strip() if match and match[1].split()[-1].lower() not in _NO_PLACE else ""
    for places, side in candidate.places or ((frozenset(), ""),):
        location = (
            Location(OTHER, (), side, unnamed) if unnamed else located(places, side, known.place if known else "")
        )
        yield Finding(
            category=candidate.category,
            # A pulmonary nodule is no term for one in the pancreas.
            hpo_id=candidate.hpo_id or (known.hpo_id if known and not (unnamed and known.place) else None),
            location=location,
            severity=candidate.severity,
            descriptors=candidate.descriptors,
            polarity=polarity,
            start=candidate.start,
            end=candidate.end,
            text=text[candidate.start : candidate.end],
            section=marks[at - 1][1] if at else "",
            family=state.family,
        )


def _squeezed(text: str) -> tuple[str, Callable[[int, int], tuple[int, int]]]:
    """A text with one blank for several within a line, and the way back of a span."""
    ends, gone = [0], [0]
    for run in _BLANKS.finditer(text):
        gone.append(gone[-1] + len(run[0]) - 1)
        ends.append(run.end() - gone[-1])
    narrow = _BLANKS.sub(" ", text)

    def given(start: int, end: int) -> tuple[int, int]:
        return start + gone[bisect_right(ends, start) - 1], end - 1 + gone[bisect_right(ends, end - 1) - 1] + 1

    return narrow, given


def located(places: Iterable[str], side: str, default: str = "") -> Location:
    """A location from names of `anatomy.csv` and a side; `default` where there is no name."""
    places = set(places) or ({default} if default else set())
    tops = sorted(place for place in places if not within().get(place))
    parts = sorted(place for place in places if within().get(place))
    above = sorted({min(within()[part], key=lambda name: len(within()[name])) for part in parts})
    organ = (above or tops or [""])[0]
    return Location(organ, (*parts, *(top for top in tops if top != organ)), side)


def is_english(text: str, least: int = 12) -> bool:
    """Whether a text has English's small words, places and grades; names of findings are much the same everywhere.

    Few words are not judged.
    """
    low = folded(text[:20_000])
    words = low.split()
    plain = [hit for hit in hits(low) if any(term.kind != "category" for term in hit.terms)]
    known = sum(word in FUNCTION_WORDS for word in words) + len(plain)
    return len(words) < least or known >= ENGLISH * len(words)


def report_view(findings: Iterable[Finding]) -> dict[str, str]:
    """Category -> ``present``, ``absent``, ``uncertain`` or ``contradictory``, for the whole report and the patient.

    A denial contradicts a finding that it covers: "no effusion" covers "small left effusion", "no large effusion"
    does not, nor "no effusion on the right".
    """
    own: dict[str, list[Finding]] = {}
    for finding in findings:
        if not finding.family and finding.category != OTHER:
            own.setdefault(finding.category, []).append(finding)
    view = {}
    for category, group in sorted(own.items()):
        said = {polarity: {_claim(f) for f in group if f.polarity == polarity} for polarity in ("present", "absent")}
        clash = any(denied <= claimed for denied in said["absent"] for claimed in said["present"])
        default = "uncertain" if any(f.polarity == "uncertain" for f in group) else "absent"
        view[category] = "contradictory" if clash else "present" if said["present"] else default
    return view


def _claim(finding: Finding) -> frozenset[str]:
    """What a finding says of itself, the more the narrower."""
    place = categories()[finding.category].place if finding.category in categories() else ""
    return (finding.location.names - {place}) | {*finding.descriptors} | ({finding.severity} - {""})
