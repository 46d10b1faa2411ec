"""The dictionary of phenotype recognition: every way the ontology lets a phenotype be worded.

A surface form becomes a key: the sorted set of its content words, each replaced by its word family.
"Thinning of the corpus callosum" and "thin corpus callosum" share a key, as do "tibial bowing" and
"bowed tibiae". Words that may replace each other give further keys, at a price.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.families import Families, Form, forms
from phenolip_lib.recognition.morphology import lemma, words
from phenolip_lib.recognition.vocabulary import BLOCKED, FILLERS, SIZES, UNSAID

MAX_VARIANTS = 12
FIRST_SYMBOL = 0x100
FILLER_PRICE = 0.1
GROUPED = frozenset(["aplasia", "hypoplasia"])
"""Words of grouping terms ("Aplasia/Hypoplasia of ..."), which stand behind either finding's own term."""
SUREST_PRICE = 0.4
"""The dearest replacement that a key of two words may hold."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key stands for: the wording it was made from and how far it is from it."""

    cost: float
    form: Form


class Lexicon:
    """All keys of the ontology, words as characters.

    Attributes:
        symbol: lemma of the vocabulary -> its character.
        kin: family -> character of a word of the text that only its stem puts there.
        to_family: translation table from a lemma's character to its family's: a text, which stays near when read often.
        entries: key (sorted characters of families) -> its cheapest entries.
        single: character of a lemma -> entries of one-word forms, where a family would be too wide.
        together: character of a family -> those it shares a key with.
    """

    def __init__(self, onto: Ontology, stop: frozenset[str] = frozenset(), branches: Sequence[str] = ()) -> None:
        phenotypes = set(onto.phenotypes)
        self.forms = [
            form
            for form in forms(onto, branches)
            if len(form.words) > 1 or not _unusable(form, stop if form.hpo_id in phenotypes else frozenset())
        ]
        self.families = Families(self.forms)
        self.symbol = {word: chr(FIRST_SYMBOL + i) for i, word in enumerate(self.families.vocabulary)}
        names = sorted(set(self.families.of.values()))
        self.kin = {name: chr(FIRST_SYMBOL + len(self.symbol) + i) for i, name in enumerate(names)}
        marks = map(chr, range(FIRST_SYMBOL))
        self.to_family = "".join([*marks, *(self.symbol[self.families.of[w]] for w in self.symbol)])
        self.to_family += "".join(self.symbol[name] for name in self.kin)
        keys: dict[str, dict[str, Entry]] = defaultdict(dict)
        single: dict[str, dict[str, Entry]] = defaultdict(dict)
        for form in self.forms:
            if len(form.words) == 1:
                _keep_cheaper(single[self.symbol[form.words[0]]], Entry(0.0, form))
            for key, cost in self._keys(form).items():
                _keep_cheaper(keys[key], Entry(cost, form))
        for phrase in BLOCKED:
            keys.pop(
                "".join(sorted({self.symbol[self.families.of[w]] for w in words(phrase) if w in self.families.of})),
                None,
            )
        self.entries = {key: _cheapest(found.values()) for key, found in keys.items()}
        self.single = {word: _cheapest(found.values()) for word, found in single.items()}
        self.together: dict[str, set[str]] = defaultdict(set)
        for key in self.entries:
            for character in key:
                self.together[character].update(key)

    def knows(self, word: str) -> bool:
        """Whether a word in lower case is one of the vocabulary."""
        return lemma(word) in self.symbol

    def _keys(self, form: Form) -> dict[str, float]:
        """Keys of one form with two content words or more, and their cost."""
        whole = [self.families.of[w] for w in form.words]
        unsaid = FILLERS | {UNSAID[word] for word in form.words if word in UNSAID}
        if not SIZES.isdisjoint(form.words):
            unsaid |= {"abnormally"}
        core = [family for family, word in zip(whole, form.words, strict=True) if word not in unsaid]
        found: dict[str, float] = {}
        for base, cost in ((whole, 0.0), (core, FILLER_PRICE)):
            base = list(dict.fromkeys(base))
            if len(base) < 2:
                continue
            if GROUPED.issubset(form.words):
                cost += FILLER_PRICE
            variants = [(base, cost)]
            for i, family in enumerate(base):
                options = [
                    (price, others)
                    for others, (price, beside) in self.families.replaces.get(family, {}).items()
                    if beside is None or not beside.isdisjoint(base)
                ]
                variants += [
                    ([*base[:i], *others, *base[i + 1 :]], cost + price)
                    for price, others in sorted(options)[:MAX_VARIANTS]
                    if len(base) > 2 or price <= SUREST_PRICE
                ]
            variants += [
                ([f for f in base if f not in two] + [one], cost + price)
                for two, (one, price, beside) in self.families.shortens.items()
                if len(base) > 2 and two <= set(base) and not beside.isdisjoint(base)
            ]
            for variant, price in variants:
                if len(set(variant)) == len(variant) > 1:  # a replacement may not swallow another word
                    key = "".join(sorted({self.symbol[f] for f in variant}))
                    found[key] = min(price, found.get(key, math.inf))
        return found


def _keep_cheaper(found: dict[str, Entry], entry: Entry) -> None:
    """Keep one entry a term, the cheapest of the best synonym scope."""
    held = found.get(entry.form.hpo_id)
    if held is None or (entry.cost, entry.form.rank) < (held.cost, held.form.rank):
        found[entry.form.hpo_id] = entry


def _cheapest(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    entries = sorted(entries, key=lambda e: (e.cost, e.form.rank, e.form.hpo_id))
    return tuple(e for e in entries if e.cost <= entries[0].cost + 1e-9)


def _unusable(form: Form, stop: frozenset[str]) -> bool:
    word = form.words[0]
    return len(word) < 3 or word in stop or (form.rank > 0 and len(word) < 4 and not form.original.isupper())
