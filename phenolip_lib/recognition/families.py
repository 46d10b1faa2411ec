"""Which words of a phenotype's name can stand for each other, mined from the ontology.

Synonyms of one term that differ in a single word ("renal cyst", "kidney cyst") tell that the two
words mean the same. Words that also look alike ("tibia", "tibial") form a family; other pairs that
many terms agree on ("decreased", "low") may replace each other at a price.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phenolip_lib.core.union_find import UnionFind
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.wordings import wordings
from phenolip_lib.recognition.vocabulary import (
    ABNORMAL,
    ADDED_FORMS,
    DECLARED,
    DECLARED_PRICE,
    DIMENSIONS,
    FILLERS,
    KEPT_APART,
    PARTS,
    SAME,
    lemma,
    root,
    words,
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


def forms(onto: Ontology) -> list[Form]:
    """Every text that names a phenotype, see `wordings`.

    Fracture terms have synonyms without the fracture ("bone nose" for Fractured nose), which are left out.
    """
    inside = set(onto.phenotypes)
    added = [(hpo_id, text, 0) for hpo_id, texts in ADDED_FORMS.items() if hpo_id in inside for text in texts]
    taken = {tuple(words(text)) for _, text, _ in added}
    found = [Form(h, tuple(words(t)), rank, t) for h, t, rank in wordings(onto) if not t.startswith("bone ")]
    return [form for form in found if form.words and form.words not in taken] + [
        Form(h, tuple(words(t)), rank, t) for h, t, rank in added
    ]


def mined_pairs(all_forms: Iterable[Form]) -> Counter:
    """How many terms have two names that differ in just this pair of words.

    Names must share at least one other word, so "fever" and "pyrexia" tell nothing about words.
    """
    by_term: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for form in all_forms:
        if form.rank <= 1:
            by_term[form.hpo_id].add(form.words)
    support: Counter = Counter()
    for own in by_term.values():
        bags = [Counter(form) for form in sorted(own)]
        found = set()
        for i, first in enumerate(bags):
            for second in bags[i + 1 :]:
                only_first, only_second = first - second, second - first
                if only_first.total() == only_second.total() == 1 and first.total() > 1:
                    found.add(tuple(sorted((*only_first, *only_second))))
        support.update(found)
    return support


def _akin(first: str, second: str) -> bool:
    """Whether two words look like forms of one word (tibia, tibial), by their common beginning."""
    if any(first.endswith(end) != second.endswith(end) for end in ("itis", "ly")) or {first, second} & KEPT_APART:
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
        for (first, second), _ in sorted(support.items()):
            if _akin(first, second):
                union.union(first, second)
        known = set(self.vocabulary)
        for group in (*map(str.split, SAME.split(";")), sorted(ABNORMAL)):
            inside = [word for word in map(lemma, group) if word in known]
            for word in inside[1:]:
                union.union(word, inside[0])
        self.of = {word: union.find(word) for word in self.vocabulary}
        self.shortens: dict[frozenset[str], tuple[str, float]] = {}
        self.replaces = self._replacements(all_forms, support)

    def _replacements(self, all_forms: list[Form], support: Counter) -> dict[str, dict[tuple[str, ...], float]]:
        """For each family what may stand in its place: one family or two, and the price of it."""
        together: Counter = Counter()
        for (first, second), n in support.items():
            a, b = sorted((self.of[first], self.of[second]))
            if a != b:
                together[a, b] += n
        beside: Counter = Counter()
        for form in all_forms:
            own = sorted({self.of[w] for w in form.words})
            beside.update((a, b) for i, a in enumerate(own) for b in own[i + 1 :])
        dimension = {self.of[w]: i for i, group in enumerate(DIMENSIONS) for w in group.split() if w in self.of}
        parts = {self.of[w] for w in PARTS if w in self.of}
        found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        for (a, b), n in together.items():
            # Words that stand side by side ("bone fracture") complete each other rather than replace each other.
            if n < MIN_SUPPORT or {a, b} & NEVER or 4 * beside[a, b] > n or (a in parts and b in parts):
                continue
            if a in dimension and b in dimension and dimension[a] != dimension[b]:
                continue
            found[a][(b,)] = found[b][(a,)] = 1 / (1 + math.log(n))
        for word, others in DECLARED.items():
            if word in self.of:
                known = sorted(self.of[other] for other in others.split() if other in self.of)
                found[self.of[word]] = {(other,): DECLARED_PRICE for other in known}
        for one, two, n in self._phrases(all_forms):
            if one not in parts:
                found[one][two] = 1 / (1 + math.log(n))
                self.shortens[frozenset(two)] = (one, 1 / (1 + math.log(n)))
        return found

    def _phrases(self, all_forms: list[Form]) -> Iterator[tuple[str, tuple[str, str], int]]:
        """Words that stand for a pair of words in many terms (leg, lower limb)."""
        by_term: dict[str, set[frozenset[str]]] = defaultdict(set)
        for form in all_forms:
            if form.rank <= 1:
                by_term[form.hpo_id].add(frozenset(self.of[w] for w in form.words if w not in FILLERS))
        counts: Counter = Counter()
        for own in by_term.values():
            counts.update(
                {(*(a - b), *sorted(b - a)) for a in own for b in own if a & b and len(a - b) == 1 and len(b - a) == 2}
            )
        for (one, *two), n in sorted(counts.items()):
            if n >= MIN_SUPPORT_PHRASE:
                yield one, tuple(two), n

    def family(self, word: str) -> str | None:
        """The family of a lemma; an unknown word joins the family of its stem, if there is one."""
        if word in self.of:
            return self.of[word]
        known = self._by_stem.get(root(word))
        return None if known is None else self.of[known]
