"""Score extracted findings of chest film reports against the manual codes of Open-i, field by field.

A code such as ``Calcified Granuloma/lung/upper lobe/right`` becomes an entry (category, places and side, severity) by
`mesh.csv`; findings become entries of the same form. Both sides are then put in one form: a place says the organ it is
part of, a finding without a place is where its category is, left and right of the same make bilateral, and an entry
that another of the report says more fully goes. Not scored are ``normal`` (the report stays, with no entry),
technical quality (no finding of the patient), and reports coded ``No Indexing`` or not at all. Findings outside the
coding standard (such as `other`) cannot be right and are counted apart. Heads that name the same thing share a category
(Emphysema and Pulmonary Emphysema), or one with different places (degenerative Spine and Thoracic Vertebrae).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from phenolip_lib.evaluation.resampling import RESAMPLES, group_bootstrap
from phenolip_lib.recognition.assertion import statuses
from phenolip_lib.recognition.cues import folded
from phenolip_lib.recognition.findings.book import entry_text
from phenolip_lib.recognition.findings.documents import FILM, Report
from phenolip_lib.recognition.findings.extract import Extraction, Finding, Rules, located
from phenolip_lib.recognition.findings.vocabulary import by_hpo, categories, phrases, plurals, within
from phenolip_lib.recognition.recognizer import Recognizer
from phenolip_lib.recognition.structure import segments

LEVELS = ("category", "category + location", "category + location + severity")
UNCODED = "No Indexing"
SCORED = ("present",)
"""Polarities that count; what a report doubts is coded less often than not (chosen on the development half)."""


class Entry(NamedTuple):
    """A finding as it is scored."""

    category: str
    names: frozenset[str] = frozenset()
    """Places and side."""
    severity: str = ""


Read = Callable[[str], Iterable[Entry]]


def half(name: str) -> str:
    """``development`` for ``CXR<n>`` with n // 2 odd, else ``test``: every n of the public copy at hand is even."""
    return "development" if int(name.removeprefix("CXR")) // 2 % 2 else "test"


@cache
def _codes() -> list[dict[str, str]]:
    with (Path(__file__).parent / "mesh.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def entry(code: str) -> Entry | None:
    """The entry of a code; None for one that names no finding; a code that `mesh.csv` does not know stays a miss."""
    head, *rest = [part.strip() for part in code.split("/")]
    row = next((r for r in _codes() if r["head"] == head and (not r["qualifier"] or r["qualifier"] in rest)), None)
    if row is None:
        return Entry(code)
    if not row["category"]:
        return None
    terms = [term for part in rest for term in phrases().get(part.lower(), ())]
    places = {part.lower() for part in rest if part.lower() in within()} | ({row["place"]} - {""})
    side = next((t.value for t in terms if t.kind == "side"), "")
    severity = next((t.value for t in terms if t.kind == "severity"), "")
    return made(row["category"], places, side, severity)


def made(category: str, places: Iterable[str], side: str, severity: str) -> Entry:
    """An entry in the one form."""
    default = categories()[category].place if category in categories() else ""
    places = set(places) - {"bone"} or {"bone"} & set(places)
    if side == "left" and "middle lobe" in places:  # the left lung's is the lingula
        places = places - {"middle lobe"} | {"lingula"}
    side = "" if "lingula" in places else side
    places = places - {default} or places
    special = places.difference(*(within().get(place, ()) for place in places))
    return Entry(category, located(special, side, default).names, severity)


def of_finding(finding: Finding) -> Entry:
    location = finding.location
    return made(
        finding.category,
        [*location.parts, *([] if location.parts else [location.organ])] if location.organ else [],
        location.side,
        finding.severity,
    )


def whole(entries: Iterable[Entry]) -> set[Entry]:
    """Entries of a report in the one form: left and right joined, what another says more fully left out."""
    found = set(entries)
    for one in sorted(found, key=repr):
        other = one._replace(names=one.names - {"left"} | {"right"})
        if "left" in one.names and {one, other} <= found:
            found -= {one, other}
            found.add(one._replace(names=one.names - {"left"} | {"bilateral"}))
    return {a for a in found if not any(_fuller(b, a) for b in found)}


def _fuller(a: Entry, b: Entry) -> bool:
    wide = a.names.union(*(within().get(name, ()) for name in a.names))
    return a != b and a.category == b.category and wide >= b.names and b.severity in ("", a.severity)


def gold(reports: Iterable[Report]) -> dict[str, set[Entry]]:
    """The entries of every report that was coded."""
    found = {}
    for report in reports:
        if report.codes and UNCODED not in report.codes:
            found[report.name] = whole(filter(None, map(entry, report.codes)))
    return found


@cache
def standard() -> frozenset[str]:
    """The categories that the coding standard has."""
    return frozenset(row["category"] for row in _codes()) - {""}


def entries(extraction: Extraction, polarities: Sequence[str] = SCORED) -> list[Entry]:
    """What an extraction says is there."""
    return [of_finding(f) for f in extraction.findings if f.polarity in polarities and not f.family]


# --- peers ---------------------------------------------------------------------------------------


def readers(rules: Rules) -> dict[str, Read]:
    """The extractor and its peers: the recogniser alone and a dictionary of MeSH heads, with and without polarity."""
    return {
        "findings": lambda text: entries(rules.extract(text)),
        "recogniser alone": lambda text: _recognised(rules.recognizer, text),
        "MeSH heads": lambda text: _heads(text, polarity=False),
        "MeSH heads, polarity": lambda text: _heads(text, polarity=True),
    }


def _recognised(recognizer: Recognizer, text: str) -> list[Entry]:
    return [
        made(by_hpo()[m.hpo_id], (), "", "")
        for m in recognizer(text)
        if m.hpo_id in by_hpo() and not (m.negated or m.uncertain or m.family)
    ]


@cache
def _head_patterns() -> list[tuple[re.Pattern, re.Pattern | None, dict[str, str]]]:
    """A pattern of each head, as written and turned ("Fractures, Bone", "bone fractures"), and of its qualifier."""
    found = []
    for row in _codes():
        if not row["category"]:
            continue
        turned = " ".join(reversed(row["head"].lower().split(", ")))
        words = {folded(row["head"]), turned, turned.removesuffix("s")}
        words |= {form for word in words for form in plurals(word)}
        head = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, words), key=len)[::-1])})\b")
        found.append((head, re.compile(rf"\b{row['qualifier']}\b") if row["qualifier"] else None, row))
    return found


def _heads(text: str, polarity: bool) -> list[Entry]:
    """Entries by plain match of heads; a head that is an organ needs its qualifier in the same sentence.

    Places, sides and severity are those whose names stand in the sentence.
    """
    low, found = folded(text), []
    for part in segments(text):
        sentence = low[part.start : part.end]
        words = set(sentence.split())
        places = {place for place in within() if place in words or f" {place} " in f" {sentence} "}
        said = {
            kind: [t.value for w in sorted(words) for t in phrases().get(w, ()) if t.kind == kind and t.value == w]
            for kind in ("side", "severity")
        }
        for head, qualifier, row in _head_patterns():
            for match in head.finditer(sentence):
                if qualifier and not (match := qualifier.search(sentence)):
                    break
                span = (part.start + match.start(), part.start + match.end())
                own = made(row["category"], places | ({row["place"]} - {""}), *((said[k] or [""])[0] for k in said))
                found.append((span, own))
    found.sort(key=lambda item: item[0])
    states = statuses(text, [span for span, _ in found]) if polarity else [None] * len(found)
    return [own for (_, own), s in zip(found, states, strict=True) if s is None or not any(s)]


# --- scores --------------------------------------------------------------------------------------


def counts(reports: Sequence[Report], read: Read) -> dict[str, pd.DataFrame]:
    """For each level a table (report, right, found, coded, outside), one row a coded report."""
    coded, rows = gold(reports), {level: [] for level in LEVELS}
    for report in reports:
        if report.name not in coded:
            continue
        everything = list(read(report.text(*FILM)))
        inside = whole(e for e in everything if e.category in standard())
        outside = len({e.category for e in everything} - standard())
        for level, fields in zip(LEVELS, (1, 2, 3), strict=True):
            ours, theirs = ({e[:fields] for e in part} for part in (inside, coded[report.name]))
            rows[level].append((report.name, len(ours & theirs), len(ours), len(theirs), outside))
    return {level: pd.DataFrame(own, columns="report right found coded outside".split()) for level, own in rows.items()}


def scores(reports: Sequence[Report], reads: dict[str, Read], resamples: int = RESAMPLES) -> pd.DataFrame:
    """Micro-averaged precision, recall and F1 of each reader at each level, with BCa intervals by report.

    Returns:
        table (reader, level, reports, codes, found, outside, precision, recall, f1, low, high), in percent; the
        bounds are those of F1.
    """
    rows = []
    for name, read in reads.items():
        for level, table in counts(reports, read).items():
            right, found, coded = (table[[c]].to_numpy(float) for c in ("right", "found", "coded"))
            used = (found + coded)[:, 0] > 0  # a normal report of which nothing is said weighs nothing
            f1, low, high = group_bootstrap(2 * right[used], (found + coded)[used], resamples)
            share = [100 * right.sum() / max(n.sum(), 1) for n in (found, coded)]
            total = [len(table), int(coded.sum()), int(found.sum()), int(table["outside"].sum())]
            rows.append((name, level, *total, *share, *(100 * float(x[0]) for x in (f1, low, high))))
    columns = "reader level reports codes found outside precision recall f1 low high".split()
    return pd.DataFrame(rows, columns=columns)


def complexity(reports: Sequence[Report], rules: Rules) -> pd.DataFrame:
    """Words and distinct words per report of findings and impression, before and after: as the entries that are there.

    Returns:
        table (text, reports, words, distinct words), means per report.
    """
    rows = []
    for report in reports:
        text = report.text(*FILM)
        told = " ".join(dict.fromkeys(entry_text(f) for f in rules.extract(text).findings if f.polarity != "absent"))
        rows.append([n for part in (text, told) for n in (len(part.split()), len(set(folded(part).split())))])
    means = np.array(rows, float).reshape(-1, 2, 2).mean(axis=0) if rows else np.zeros((2, 2))
    table = pd.DataFrame(means, columns=["words", "distinct words"])
    table.insert(0, "text", ["report", "entries"])
    table.insert(1, "reports", len(rows))
    return table
