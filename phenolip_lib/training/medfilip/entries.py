"""Entries: the findings of each pair as texts, and how alike two of them are.

A finding becomes the text "severity location category", with the book's sentence on what the category looks like
behind it (`findings.book`). The same text of several pairs is one entry here, read once by the text tower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phenolip_lib.core.systems import MedFILIP
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.similarity import lin
from phenolip_lib.recognition.findings.book import Book, entry_text
from phenolip_lib.recognition.findings.extract import Extraction, Finding
from phenolip_lib.recognition.findings.vocabulary import OTHER

NONE = -1
"""Fills the rows of `Entries.members` to one length."""


@dataclass(frozen=True)
class Entries:
    """The entries of pairs.

    Attributes:
        strings: what the text tower reads of each entry, ``(n_entries,)``.
        labels: what tells how alike two entries are, ``(n_entries,)``.
        category: of each, a position in `weight`, ``(n_entries,)``.
        denied: whether it says that the finding is not there, ``(n_entries,)``.
        weight: how alike two categories are, float32 in 0..1, ``(n_categories, n_categories)``.
        members: entries of each pair, filled with `NONE`, ``(n_pairs, most)``.
        counts: findings by what became of them.
    """

    strings: np.ndarray
    labels: np.ndarray
    category: np.ndarray
    denied: np.ndarray
    weight: np.ndarray
    members: np.ndarray
    counts: dict[str, int]


def build(extractions: Sequence[Extraction], onto: Ontology, book: Book, p: MedFILIP) -> Entries:
    """Entries of pairs from what was found in their texts.

    What the text doubts, or says of a relative, is no entry; nor, unless ``denied`` says so, what it denies. All of
    these are counted.

    Args:
        extractions: one a pair.
        onto: for Lin's similarity between categories that have an HPO term.
        book: of appearances.
        p: ``book`` puts its sentence into the text of an entry, ``book_in_labels`` into what tells likeness;
            ``likeness`` says how alike two categories are.
    """
    place: dict[tuple[str, str, bool], int] = {}
    texts: list[tuple[str, str]] = []
    names: dict[str, str | None] = {}
    counts: Counter[str] = Counter()
    own: list[list[int]] = []
    for extraction in extractions:
        found = []
        for finding in extraction.findings:
            counts[fate := _fate(finding, p)] += 1
            if fate not in ("present", "denied"):
                continue
            category = finding.text.lower() if finding.category == OTHER else finding.category
            key = entry_text(finding), category, fate == "denied"
            if key not in place:
                place[key] = len(place)
                names.setdefault(category, finding.hpo_id)
                texts.append((entry_text(finding, book if p.book else None), _label(finding, book, p)))
            found.append(place[key])
        own.append(sorted(set(found)))
    counts["pairs without an entry"] = sum(not found for found in own)
    order = sorted(names)
    index = {name: i for i, name in enumerate(order)}
    members = np.full((len(own), max([1, *map(len, own)])), NONE, dtype=np.int64)
    for row, found in enumerate(own):
        members[row, : len(found)] = found
    keys = list(place)
    return Entries(
        strings=np.array([text for text, _ in texts], dtype=object),
        labels=np.array([label for _, label in texts], dtype=object),
        category=np.array([index[category] for _, category, _ in keys], dtype=np.int64),
        denied=np.array([denied for *_, denied in keys], dtype=bool),
        weight=_weight([names[name] for name in order], onto, p.likeness),
        members=members,
        counts=dict(sorted(counts.items())),
    )


def _fate(finding: Finding, p: MedFILIP) -> str:
    if finding.family:
        return "of a relative"
    if finding.polarity == "uncertain":
        return "doubted"
    if finding.polarity == "absent":
        return "denied" if p.denied == "opposed" else "denied and dropped"
    return "present"


def _label(finding: Finding, book: Book, p: MedFILIP) -> str:
    """What tells likeness: always the affirmed wording, since polarity is told by the sign."""
    return entry_text(Finding(**{**vars(finding), "polarity": "present"}), book if p.book_in_labels else None)


def _weight(terms: Sequence[str | None], onto: Ontology, likeness: str) -> np.ndarray:
    """Likeness of categories by their HPO terms; a category without one is like itself alone."""
    weight = np.eye(len(terms), dtype=np.float32)
    known = [i for i, term in enumerate(terms) if term is not None and term in onto]
    if likeness == "lin" and known:
        ids = [terms[i] for i in known]
        weight[np.ix_(known, known)] = lin(onto, ids, ids)
        np.fill_diagonal(weight, 1.0)
    return weight
