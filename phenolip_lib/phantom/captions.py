"""Captions of the atlas: what a report would say about a picture, with the truth about its words.

A caption is put together from pieces, either plain text or the name of a phenotype, so that the place
of every name is known without searching for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import NamedTuple

import numpy as np

from phenolip_lib.phantom import frames
from phenolip_lib.phantom.domain import Domain

MIN_WORDS, MAX_WORDS = 8, 70
LABEL_SHARE = 0.0
"""How often the HPO label itself is written where there is a synonym; authors rarely use the label."""


class Mention(NamedTuple):
    """A phenotype named in a text: ``text[start:end]`` is its surface form."""

    start: int
    end: int
    hpo_id: str
    negated: bool


class Name(NamedTuple):
    """A piece of a text that names a phenotype."""

    hpo_id: str
    text: str
    negated: bool


Piece = str | Name
Names = Mapping[str, Sequence[str]]


# Proper names with which HPO names begin; they are capitalised wherever they stand.
EPONYMS = frozenset(
    ("Auer", "Beau", "Bitot", "Brushfield", "Cabot", "Coats", "Descemet", "Gottron", "Haab", "Heberden", "Heinz")
    + ("Koplik", "Lisch", "Madelung", "Mallory", "Mees", "Pappenheimer", "Roth", "Schwann", "Terry", "Vogt")
)
# Present or absent, or of a count: no author calls them mild.
_UNGRADED = re.compile(
    r"\d|\b(absent|absence|aplasia|situs|extra|supernumerary|multiple|increased|decreased|reduced|type|predominance)\b",
    re.IGNORECASE,
)


def in_sentence(name: str) -> str:
    """A name as written inside a sentence: lower case, but acronyms and proper names stay as they are."""
    first = re.match(r"[^\s,]*", name).group()
    stem = first.removesuffix("'s")
    if any(c.isupper() for c in first[1:]) or stem in EPONYMS or re.match(r"[A-Z]($|[-\d])", first):
        return name
    return name[:1].lower() + name[1:]


def compose(pieces: Iterable[Piece]) -> tuple[str, list[Mention]]:
    """Join pieces into a text; the mentions are its names, in order."""
    text, mentions = "", []
    for piece in pieces:
        if isinstance(piece, Name):
            mentions.append(Mention(len(text), len(text) + len(piece.text), piece.hpo_id, piece.negated))
            text += piece.text
        else:
            text += piece
    return text, mentions


def capitalised(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with the first letter of the first one in upper case."""
    first, *rest = (p for p in pieces if p != "")
    text = first.text if isinstance(first, Name) else first
    text = text[:1].upper() + text[1:]
    return [first._replace(text=text) if isinstance(first, Name) else text, *rest]


def write_caption(
    rng: np.random.Generator, domain: Domain, findings: Mapping[str, float], names: Names
) -> tuple[str, list[Mention]]:
    """Caption of one picture.

    Args:
        findings: HPO id -> severity in [0, 1] of what the picture shows; empty for a healthy subject.
        names: HPO id -> its label, then its usable synonyms, for every finding of the domain.

    Returns:
        `MIN_WORDS` to `MAX_WORDS` words and the phenotypes named in them, negated ones included.
    """
    story = _Story(rng, domain)
    sentences: list[list[Piece]] = []
    shown = list(rng.permutation(sorted(findings)))
    if not shown:
        sentences.append(story.fill(_pick(rng, frames.HEALTHY_FRAMES)))
    else:
        later = shown[1:] if len(shown) > 1 and rng.random() < 0.35 else []
        first = shown[: len(shown) - len(later)]
        sentences.append(story.fill(_pick(rng, frames.MAIN_FRAMES), _listed(rng, domain, first, findings, names)))
        if later:
            sentences.append(story.fill(_pick(rng, frames.EXTRA_FRAMES), _listed(rng, domain, later, findings, names)))
        elif rng.random() < 0.1 and not any(_UNGRADED.search(names[f][0]) for f in first):
            sentences.append([f"Overall degree: {_severity(max(findings.values()))}."])
    absent = _absent(domain, shown)
    if absent and rng.random() < 0.22:
        ruled_out = rng.permutation(absent)[: 1 + (rng.random() < 0.3)]
        ruled_out = _join([[_name(rng, f, names, negated=True)] for f in ruled_out])
        sentences.append(story.fill(_pick(rng, frames.NEGATED_FRAMES), ruled_out))

    # Real captions have a long tail of lengths; the rest is filled with what names no phenotype.
    wanted = min(max(MIN_WORDS, rng.lognormal(2.9, 0.5)), MAX_WORDS - 10)
    background = list(rng.permutation(frames.BACKGROUND))
    if rng.random() < 0.3 and _words(sentences) < wanted:
        sentences.insert(0, story.fill(background.pop()))
    fillers = [*background, *frames.ASIDES, *frames.TECHNIQUE[domain.modality]]
    if shown:
        fillers += [*frames.COURSE, _pick(rng, frames.REMARKS)]
    for frame in rng.permutation(fillers):
        if _words(sentences) >= wanted:
            break
        sentences.append(story.fill(frame))
    return compose(_text(sentences))


def phrase(rng: np.random.Generator, domain: Domain, findings: Mapping[str, float], names: Names) -> list[Piece]:
    """What a shared caption says about one panel: a phrase without a full stop, as pieces."""
    frame = _pick(rng, frames.PHRASES if findings else frames.HEALTHY_PHRASES)
    return _Story(rng, domain).fill(frame, _listed(rng, domain, sorted(findings), findings, names))


def reworded(rng: np.random.Generator, caption: str, mentions: Sequence[Mention]) -> tuple[str, list[Mention]]:
    """The caption of a picture that is printed again: the same, or with a few words around it."""
    before = _pick(rng, ("", "", "Representative image. ", "Original image. ", "From the same series. "))
    after = _pick(rng, ("", "", " Reproduced from the first report.", " Image adapted for print."))
    if len(f"{before}{caption}{after}".split()) > MAX_WORDS:
        before = after = ""
    shift = len(before)
    return before + caption + after, [m._replace(start=m.start + shift, end=m.end + shift) for m in mentions]


class _Story:
    """What stays the same within one caption (patient, view), and frames filled with it."""

    def __init__(self, rng: np.random.Generator, domain: Domain) -> None:
        view, person = _pick(rng, domain.views), _person(rng)
        known = _pick(rng, ("the proband", "the index case", "the patient", "a patient of our clinic"))
        self.fields = {
            "view": view,
            "a_view": _with_article(view),
            "person": person,
            "patient": known if rng.random() < 0.15 else person,
            "months": str(rng.integers(2, 24)),
            "years": str(rng.integers(2, 12)),
            "table": str(rng.integers(1, 4)),
            "power": str(rng.choice((100, 200, 400))),
        }

    def fill(self, frame: str, findings: Sequence[Piece] = ()) -> list[Piece]:
        pieces: list[Piece] = []
        for text, field, _, _ in Formatter().parse(frame):
            pieces.append(text)
            pieces.extend(findings if field == "findings" else [self.fields[field]] if field else [])
        return [p for p in pieces if p != ""]


def _pick(rng: np.random.Generator, options: Sequence):
    return options[int(rng.integers(len(options)))]


def _words(sentences: Iterable[Sequence[Piece]]) -> int:
    return sum(len(compose(sentence)[0].split()) for sentence in sentences)


def _text(sentences: Iterable[Sequence[Piece]]) -> list[Piece]:
    pieces: list[Piece] = []
    for sentence in sentences:
        pieces += [" ", *capitalised(sentence)] if pieces else capitalised(sentence)
    return pieces


def _with_article(noun: str) -> str:
    # An initialism is read letter by letter: "an X-ray", "an H&E-stained section".
    spelled = len(noun) > 1 and noun[0].isupper() and not noun[1].islower()
    vowel = noun[0] in "AEFHILMNORSX" if spelled else noun[0].lower() in "aeiou" and not noun.lower().startswith("uni")
    return f"{'an' if vowel else 'a'} {noun}"


def _person(rng: np.random.Generator) -> str:
    age = int(rng.integers(1, 85))
    male = rng.random() < 0.5
    noun = ("boy" if male else "girl") if age < 16 else ("man" if male else "woman")
    article = "an" if age in (8, 11, 18) or 80 <= age < 90 else "a"
    return f"{article} {age}-year-old {noun}"


def _severity(severity: float) -> str:
    return "mild" if severity < 0.4 else "moderate" if severity < 0.7 else "marked"


def _name(rng: np.random.Generator, hpo_id: str, names: Names, negated: bool = False) -> Name:
    label, *synonyms = names[hpo_id]
    text = _pick(rng, synonyms) if synonyms and rng.random() >= LABEL_SHARE else label
    return Name(str(hpo_id), in_sentence(text), negated)


def _listed(
    rng: np.random.Generator, domain: Domain, shown: Sequence[str], findings: Mapping[str, float], names: Names
) -> list[Piece]:
    """The findings, each with its degree and its site now and then, joined into one noun phrase."""
    items = []
    for hpo_id in shown:
        name = _name(rng, hpo_id, names)
        item: list[Piece] = [name]
        sites = domain.findings[hpo_id].sites
        # Two findings in one picture are at one place, so a place is named for a single one only.
        if sites and len(findings) == 1 and rng.random() < 0.4:
            item.append(f" {_at(_pick(rng, sites))}")
        if rng.random() < 0.4 and not _UNGRADED.search(name.text):
            degree = _severity(findings[hpo_id])
            item = [f"{degree} ", *item] if rng.random() < 0.7 else [*item, f" of {degree} degree"]
        items.append(item)
    return _join(items, _pick(rng, frames.LISTS))


def _at(site: str) -> str:
    """A site with its preposition, unless the domain gives one."""
    if re.match(r"(in|on|of|over|at|around|along|under|between|behind|near|within)\b", site):
        return site
    return f"on {site}" if site.startswith(("the ", "both ")) or site.endswith("s") else f"on the {site}"


def _join(items: Sequence[Sequence[Piece]], pattern: str = "{first} or {last}") -> list[Piece]:
    if not items:
        return []
    joint = pattern.removeprefix("{first}").removesuffix("{last}")
    pieces = list(items[0])
    for k, item in enumerate(items[1:], start=1):
        pieces += [joint if k == len(items) - 1 else ", ", *item]
    return pieces


def _absent(domain: Domain, shown: Sequence[str]) -> list[str]:
    """Findings a reader of this picture could rule out.

    Only those that could be seen beside what is shown, as nobody rules out a pleural effusion on a
    film of the hand; for a healthy subject all, unless the domain mixes views that exclude each other.
    """
    ids = sorted(domain.findings)
    if shown:
        return [f for f in ids if all(domain.compatible(f, s) for s in shown)]
    seen, stack = set(), ids[:1]
    while stack:
        current = stack.pop()
        if current not in seen:
            seen.add(current)
            stack += [f for f in ids if domain.compatible(current, f)]
    return ids if len(seen) == len(ids) else []
