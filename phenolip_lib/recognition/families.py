"""Which words of a phenotype's name can stand for each other, mined from the ontology.

Synonyms of one term that differ in a single word ("renal cyst", "kidney cyst") tell that the two
words mean the same. Words that also look alike ("tibia", "tibial") form a family; other pairs that
many terms agree on ("decreased", "low") may replace each other at a price, beside the words that the
ontology has them beside: "recurrent" and "multiple" infections are one term, such seizures are not.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from phenolip_lib.core.union_find import UnionFind
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.wordings import wordings
from phenolip_lib.recognition.morphology import lemma, root, words
from phenolip_lib.recognition.vocabulary import (
    ABNORMAL,
    ADDED_FORMS,
    COMMON,
    DECLARED,
    DECLARED_PRICE,
    DIMENSIONS,
    FILLERS,
    KEPT_APART,
    NO_SYNONYMS,
    PARTS,
    SAME,
    SYNONYMS,
    VOLUME_LOSS,
)

MIN_SUPPORT = 3
"""Terms that must agree before two words may stand for each other."""
MIN_SUPPORT_PHRASE = 6
NEVER = frozenset(["no", "not", "without", "non"])
"""Words nothing may stand for."""


@dataclass(frozen=True, slots=True)
class Form:
    """One wording of a phenotype."""

    hpo_id: str
    words: tuple[str, ...]
    rank: int
    """0 name, 1 exact, 2 narrow, 3 related synonym."""
    original: str


def forms(onto: Ontology, branches: Sequence[str] = ()) -> list[Form]:
    """Every text that names a phenotype or a term of the `branches`, see `wordings`.

    Fracture terms have synonyms without the fracture ("bone nose" for Fractured nose), which are left out.
    """
    inside = set(onto.phenotypes)
    added = [(hpo_id, text, 0) for hpo_id, texts in ADDED_FORMS.items() if hpo_id in inside for text in texts]
    taken = {tuple(words(text)) for _, text, _ in added}
    found = [Form(h, tuple(words(t)), rank, t) for h, t, rank in wordings(onto, branches) if not t.startswith("bone ")]
    return [form for form in found if form.words and form.words not in taken] + [
        Form(h, tuple(words(t)), rank, t) for h, t, rank in added
    ]


def mined_pairs(all_forms: Iterable[Form]) -> dict[tuple[str, str], list[set[str]]]:
    """Pairs of words in which two names of a term differ, each with the words both names have, one set a term.

    Names must share at least one other word, so "fever" and "pyrexia" tell nothing about words.
    """
    by_term: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for form in all_forms:
        if form.rank <= 1:
            by_term[form.hpo_id].add(form.words)
    support: dict[tuple[str, str], list[set[str]]] = defaultdict(list)
    for own in by_term.values():
        bags = [Counter(form) for form in sorted(own)]
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for i, first in enumerate(bags):
            for second in bags[i + 1 :]:
                only_first, only_second = first - second, second - first
                if only_first.total() == only_second.total() == 1 and first.total() > 1:
                    found[min(*only_first, *only_second), max(*only_first, *only_second)].update(first & second)
        for pair, shared in found.items():
            support[pair].append(shared)
    return support


_APART = {frozenset(map(lemma, pair.split())) for pair in NO_SYNONYMS.split(";")}


def _apart(first: str, second: str) -> bool:
    return frozenset((first, second)) in _APART


def _akin(first: str, second: str) -> bool:
    """Whether two words look like forms of one word (tibia, tibial), by their common beginning."""
    if any(first.endswith(end) != second.endswith(end) for end in ("itis", "ly")) or {first, second} & KEPT_APART:
        return False
    if _apart(first, second):
        return False
    shared = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return shared >= 4 and shared >= 0.6 * min(len(first), len(second))


class Families:
    """Word families of the vocabulary, and which families may replace each other."""

    def __init__(self, all_forms: list[Form]) -> None:
        self.vocabulary = sorted({w for form in all_forms for w in form.words})
        support = mined_pairs(all_forms)
        union = UnionFind()
        for word in self.vocabulary:
            union.find(word)
        self._by_stem: dict[str, str] = {}
        for word in self.vocabulary:
            stem = root(word)
            if len(stem) > 3:
                union.union(word, self._by_stem.setdefault(stem, word))
        for first, second in sorted(support):
            if _akin(first, second):
                union.union(first, second)
        known, unknown = set(self.vocabulary), {}
        for group in (*map(str.split, SAME.split(";")), sorted(ABNORMAL)):
            inside = [word for word in map(lemma, group) if word in known]
            for word in inside[1:]:
                union.union(word, inside[0])
            unknown |= {word: inside[0] for word in map(lemma, group) if inside and word not in known}
        self._unknown = {word: union.find(other) for word, other in unknown.items()}
        """Words no name holds, though one of their meaning."""
        self.of = {word: union.find(word) for word in self.vocabulary}
        self.shortens: dict[frozenset[str], tuple[str, float, set[str]]] = {}
        self.replaces = self._replacements(all_forms, support)

    def _replacements(
        self, all_forms: list[Form], support: dict[tuple[str, str], list[set[str]]]
    ) -> dict[str, dict[tuple[str, ...], tuple[float, set[str] | None]]]:
        """For each family what may stand in its place (one family or two), its price, and beside which families.

        None is beside any.
        """
        common = {self.of[w] for w in FILLERS | ABNORMAL | COMMON if w in self.of}
        together: Counter = Counter()
        company: dict[tuple[str, str], set[str]] = defaultdict(set)
        for (first, second), shared in support.items():
            a, b = sorted((self.of[first], self.of[second]))
            if a != b and not _apart(first, second):
                together[a, b] += len(shared)
                company[a, b] |= {self.of[w] for own in shared for w in own} - common
        beside: Counter = Counter()
        for form in all_forms:
            own = sorted({self.of[w] for w in form.words})
            beside.update((a, b) for i, a in enumerate(own) for b in own[i + 1 :])
        dimension = {self.of[w]: i for i, group in enumerate(DIMENSIONS) for w in group.split() if w in self.of}
        parts = {self.of[w] for w in PARTS if w in self.of}
        anywhere = {
            frozenset((self.of[a], self.of[b]))
            for group in SYNONYMS.split(";")
            for a in map(lemma, group.split())
            for b in map(lemma, group.split())
            if a in self.of and b in self.of
        }
        found: dict[str, dict[tuple[str, ...], tuple[float, set[str] | None]]] = defaultdict(dict)
        for (a, b), n in together.items():
            # Words that stand side by side ("bone fracture") complete each other rather than replace each other.
            if n < MIN_SUPPORT or {a, b} & NEVER or 4 * beside[a, b] > n or (a in parts and b in parts):
                continue
            if a in dimension and b in dimension and dimension[a] != dimension[b]:
                continue
            where = None if frozenset((a, b)) in anywhere else company[a, b]
            found[a][(b,)] = found[b][(a,)] = 1 / (1 + math.log(n)), where
        for word, others in DECLARED.items():
            if word in self.of:
                known = sorted(self.of[other] for other in map(lemma, others.split()) if other in self.of)
                found[self.of[word]] = {(other,): (DECLARED_PRICE, None) for other in known}
        shrinking = {self.of[w] for w in VOLUME_LOSS.split() if w in self.of}
        for lost in ("loss", "decreased"):
            if {"atrophy", "volume", lost} <= self.of.keys():
                found[self.of["atrophy"]][self.of["volume"], self.of[lost]] = DECLARED_PRICE, shrinking
        for one, two, own in self._phrases(all_forms):
            if one not in parts:
                price = 1 / (1 + math.log(len(own)))
                company[one, two] = set().union(*own) - common
                found[one][two] = price, company[one, two]
                self.shortens[frozenset(two)] = one, price, company[one, two]
        return found

    def _phrases(self, all_forms: list[Form]) -> Iterator[tuple[str, tuple[str, str], list[frozenset[str]]]]:
        """Words that stand for a pair of words in many terms (leg, lower limb), with the other words of each."""
        by_term: dict[str, set[frozenset[str]]] = defaultdict(set)
        for form in all_forms:
            if form.rank <= 1:
                by_term[form.hpo_id].add(frozenset(self.of[w] for w in form.words if w not in FILLERS))
        found: dict[tuple[str, ...], list[frozenset[str]]] = defaultdict(list)
        for own in by_term.values():
            shared: dict[tuple[str, ...], frozenset[str]] = defaultdict(frozenset)
            for a in own:
                for b in own:
                    if a & b and len(a - b) == 1 and len(b - a) == 2:
                        shared[(*(a - b), *sorted(b - a))] |= a & b
            for phrase, others in shared.items():
                found[phrase].append(others)
        for (one, *two), own in sorted(found.items()):
            if len(own) >= MIN_SUPPORT_PHRASE:
                yield one, tuple(two), own

    def family(self, word: str) -> str | None:
        """The family of a lemma; an unknown word joins the family of its stem, if there is one."""
        if word in self.of:
            return self.of[word]
        if word in self._unknown:
            return self._unknown[word]
        known = self._by_stem.get(root(word))
        return None if known is None else self.of[known]
