"""Find HPO terms in free text: the dictionary tier.

A text is read as characters, one a word (`tokens`). Windows of content words are looked up in the
`Lexicon` by their word families, whatever their order; the longest match wins.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence, Set
from functools import cached_property
from itertools import accumulate, compress, repeat
from operator import contains, ne
from typing import NamedTuple

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.storage import digest
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition import coordination
from phenolip_lib.recognition.abbreviations import expand_abbreviations
from phenolip_lib.recognition.assertion import statuses
from phenolip_lib.recognition.families import NEVER
from phenolip_lib.recognition.lexicon import Entry, Lexicon
from phenolip_lib.recognition.plain import plain
from phenolip_lib.recognition.senses import means
from phenolip_lib.recognition.tokens import AND, BREAK, COMMA, HALF, LINE, MODIFIER, OR, OTHER, SKIP, Reader
from phenolip_lib.recognition.vocabulary import (
    ABNORMAL,
    DEFORMED,
    DIRECTIONS,
    FILLERS,
    MODIFIERS,
    PREFIXES,
    SIZES,
    STOP_FORMS,
    VAGUE,
)

MAX_WORDS = 8
"""Content words of the longest window."""
_ADJECTIVAL = ("al", "ar", "ic", "ary", "ous", "ive", "oid")
_MARKS = BREAK + LINE + COMMA + AND + OR
_mark = re.compile(f"[{_MARKS}]")


class Mention(NamedTuple):
    """One phenotype in a text; ``text[start:end] == surface``."""

    start: int
    end: int
    hpo_id: str
    surface: str
    negated: bool
    uncertain: bool
    family: bool = False
    """Said of a relative, not of the patient."""


_Match = tuple[tuple[int, ...], int, tuple[Entry, ...]]
"""A key found over some words of a text: their positions; how many words at the beginning (positive) or end (negative)
the other side of an "and" has too; and the key's entries."""


class Recognizer:
    """Dictionary tier of phenotype recognition.

    Args:
        onto: the ontology; terms below Phenotypic abnormality are found.
        branches: ids of other terms; what is below them is found too.
    """

    def __init__(self, onto: Ontology, branches: Sequence[str] = ()) -> None:
        self.lexicon = Lexicon(onto, STOP_FORMS, branches)
        self._reader = Reader(self.lexicon)
        of, symbol, together = self.lexicon.families.of, self.lexicon.symbol, self.lexicon.together
        self._skippable = {MODIFIER, *(symbol[of[w]] for w in MODIFIERS | FILLERS if w in of)}
        self._negations = {symbol[w] for w in NEVER if w in symbol}
        self._sizes = {symbol[w] for w in SIZES if w in symbol}
        self._direct = {symbol[w] for w in VAGUE | ABNORMAL if w in symbol}
        self._lemma = {character: word for word, character in symbol.items()}
        # What may follow the first word of a window, by code, for every character a text can hold.
        codes, skippable = {character: ord(character) for character in self._lemma}, set(map(ord, self._skippable))
        self._follows: list[Set[int]] = [frozenset()] * len(self.lexicon.to_family)
        for first, partners in together.items():
            self._follows[ord(first)] = skippable.union(map(codes.__getitem__, partners))
        self._single = re.compile(f"[{''.join(self.lexicon.single)}]" if self.lexicon.single else r"(?!)")
        self._exact = self._names_with_punctuation()
        before, after = ("".join(sorted({around[i] for around in self._exact})) for i in (0, 2))
        self._exact_mark = re.compile(f"[{_MARKS}](?<=[{before}].)(?=[{after}])" if before else r"(?!)", re.DOTALL)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the rules and of the dictionary, for cache keys."""
        return digest(code_digest(__name__), [(f.hpo_id, f.original) for f in self.lexicon.forms])

    def _names_with_punctuation(self) -> dict[str, list[tuple[str, int, Entry]]]:
        """Names that windows would be cut in ("Abnormal CD4:CD8 ratio"), by their first mark and the words around it.

        Each as a sequence of families, with the place of the mark in it.
        """
        best: dict[str, Entry] = {}
        for form in self.lexicon.forms:
            symbols = "".join(map(self._reader.__getitem__, form.original.split(" ")))
            sequence = symbols.translate(self.lexicon.to_family).strip(_MARKS + SKIP)
            if _mark.search(sequence) and OTHER not in sequence and HALF not in sequence:
                held = best.get(sequence)
                if held is None or (form.rank, form.hpo_id) < (held.form.rank, held.form.hpo_id):
                    best[sequence] = Entry(0.0, form)
        found: dict[str, list[tuple[str, int, Entry]]] = {}
        for sequence, entry in best.items():
            at = _mark.search(sequence).start()
            found.setdefault(sequence[at - 1 : at + 2], []).append((sequence, at, entry))
        return found

    # --- text -----------------------------------------------------------------------------------

    def __call__(self, text: str) -> list[Mention]:
        """Mentions in `text`, in order, longest match first where they overlap."""
        read = plain(text, self.lexicon.knows)
        found = self._find(read.text)
        if not read.pieces:
            return found
        spans = [read.given(m.start, m.end) for m in found]
        return [
            m._replace(start=start, end=end, surface=text[start:end])
            for m, (start, end) in zip(found, spans, strict=True)
        ]

    def _find(self, text: str) -> list[Mention]:
        """Mentions in a plain text."""
        chunks = text.split(" ")
        pieces = list(map(self._reader.__getitem__, chunks))
        symbols = "".join(pieces)
        if HALF in symbols or not PREFIXES.isdisjoint(chunks):
            chunks = self._reader.joined(chunks)
            pieces = list(map(self._reader.__getitem__, chunks))
            symbols = "".join(pieces)
        families = symbols.translate(self.lexicon.to_family)
        single = self.lexicon.single
        matches: list[_Match] = [((m.start(),), 0, single[m.group()]) for m in self._single.finditer(symbols)]
        windows = self._windows(families)
        matches += windows
        for mark in self._exact_mark.finditer(families):
            at = mark.start()
            for sequence, before, entry in self._exact.get(families[at - 1 : at + 2], ()):
                if before <= at and families.startswith(sequence, at - before):
                    matches.append((tuple(range(at - before, at - before + len(sequence))), 0, (entry,)))
        if windows:
            positions = [match[0] for match in windows]
            for chosen, n_shared in coordination.shared(families, positions, self.lexicon.together, self._sizes):
                key = _key(families, chosen)
                if len(key) == len(chosen) and (entries := self.lexicon.entries.get(key)):
                    matches.append((chosen, n_shared, entries))
        return self._mentions(text, chunks, pieces, symbols, matches) if matches else []

    def _windows(self, families: str) -> list[_Match]:
        """Matches of two content words or more that nothing but modifiers part."""
        matches: list[_Match] = []
        words = families.replace(SKIP, "")
        codes = memoryview(words.encode(f"utf-32-{sys.byteorder[0]}e", "surrogatepass")).cast("I").tolist()
        starts = list(compress(range(len(words)), map(contains, map(self._follows.__getitem__, codes), codes[1:])))
        if not starts:
            return matches
        entries, together, skippable = self.lexicon.entries, self.lexicon.together, self._skippable
        places = range(len(words))
        if len(words) < len(families):
            places = list(compress(range(len(families)), map(ne, families, repeat(SKIP))))
        follows, end = self._follows, len(words)
        codes.append(ord(BREAK))
        for at in starts:
            first, second = words[at], words[at + 1]
            partners = together[first]
            if codes[at + 2] not in follows[codes[at]]:  # two words, most often
                if second in partners and (found := entries.get(first + second if first < second else second + first)):
                    matches.append(((places[at], places[at + 1]), 0, found))
                continue
            # `core` leaves out what may be left out ("left", "mild"), `whole` only what no key has.
            whole, core = [at], None if first in skippable else [at]
            for j in range(at + 1, end):
                character = words[j]
                known, skipped = character in partners, character in skippable
                if not (known or skipped):
                    break
                if known:
                    whole.append(j)
                    if len(whole) > MAX_WORDS:
                        break
                    if found := entries.get(_key(words, whole)):
                        matches.append((tuple([places[k] for k in whole]), 0, found))
                if core and not skipped:
                    core.append(j)
                    if len(core) < len(whole) and (found := entries.get(_key(words, core))):
                        matches.append((tuple([places[k] for k in core]), 0, found))
        return matches

    # --- choice ---------------------------------------------------------------------------------

    def _mentions(
        self, text: str, chunks: list[str], pieces: list[str], symbols: str, matches: list[_Match]
    ) -> list[Mention]:
        """Longest matches first, none twice over the same words, with what the context says of them."""
        matches.sort(key=lambda match: (match[1] != 0, -len(match[0]), match[2][0].cost, match[0]))
        first_symbol = list(accumulate(map(len, pieces), initial=0))
        first_character = list(accumulate(map(len, chunks), initial=0))  # blanks between chunks left out

        def span(position: int) -> tuple[int, int]:
            at = bisect_right(first_symbol, position) - 1
            start, end = self._reader.span(chunks[at], position - first_symbol[at])
            return first_character[at] + at + start, first_character[at] + at + end

        taken: set[int] = set()
        kept: dict[tuple[int, int, str], None] = {}
        for positions, shared, entries in matches:
            # What no other mention may have: one that shares words has the others only.
            first, last = positions[0], positions[-1]
            own = (positions[shared:] if shared > 0 else positions[:shared]) if shared else range(first, last + 1)
            if not taken.isdisjoint(own):
                continue
            start, end = span(first)
            if last != first:
                end = span(last)[1]
            entry = entries[0]
            if len(entries) > 1:
                entry = self._best(entries, positions, symbols, text[start:end].lower())
            if self._dangling(positions, entry, symbols) or self._turned(positions, entry, symbols):
                continue
            if not means(entry.form, text, start, end):
                continue
            taken.update(own)
            kept[start, end, entry.form.hpo_id] = None
        if "(" in text:
            kept = expand_abbreviations(text, kept)
        spans = sorted(kept)
        states = statuses(text, [(start, end) for start, end, _ in spans])
        return [
            Mention(start, end, hpo_id, text[start:end], *state)
            for (start, end, hpo_id), state in zip(spans, states, strict=True)
        ]

    def _dangling(self, positions: Sequence[int], entry: Entry, symbols: str) -> bool:
        """Whether a match ends in an adjective whose noun follows outside it ("aplasia of the ulnar nerve")."""
        last = positions[-1]
        if len(positions) == 1 or last + 1 >= len(symbols) or symbols[last + 1] < OTHER:
            return False
        word, form = self._lemma.get(symbols[last], ""), entry.form
        if symbols[last + 1] in self._negations or (word == form.words[-1] and "," not in form.original):
            return False
        return word.endswith(_ADJECTIVAL) or symbols[last] in self._sizes

    def _turned(self, positions: Sequence[int], entry: Entry, symbols: str) -> bool:
        """Whether a text says that something is abnormal and the name how, or in which direction."""
        if self._direct.isdisjoint([symbols[i] for i in positions]):
            return False
        said = {self._lemma.get(symbols[i], "") for i in positions}
        if not said.isdisjoint(VAGUE):
            return ABNORMAL.union(VAGUE).isdisjoint(entry.form.words) or not DEFORMED.isdisjoint(entry.form.words)
        if said.isdisjoint(ABNORMAL) or not said.isdisjoint(DIRECTIONS):
            return False
        return not DIRECTIONS.isdisjoint(entry.form.words)

    def _best(self, entries: Sequence[Entry], positions: Sequence[int], symbols: str, surface: str) -> Entry:
        """The entry whose wording is nearest to the text's, among those that share the key."""
        found = tuple([self._lemma.get(symbols[i], "") for i in positions])
        return min(
            entries,
            key=lambda e: (
                e.form.original.lower() != surface,
                e.form.words != found,
                -len({*e.form.words} & {*found}),
                e.form.rank,
                e.form.hpo_id,
            ),
        )


def _key(families: str, chosen: Sequence[int]) -> str:
    """The dictionary's key of some words."""
    if len(chosen) == 2:  # most often, and twice as fast
        first, second = families[chosen[0]], families[chosen[1]]
        return first + second if first < second else second + first if second < first else first
    return "".join(sorted({families[k] for k in chosen}))


def asserted(mentions: Iterable[Mention]) -> list[str]:
    """Ids of the phenotypes a text affirms of the patient, sorted."""
    return sorted({m.hpo_id for m in mentions if not (m.negated or m.uncertain or m.family)})
