"""Read text as characters, one a word: what makes recognition fast.

A chunk of text between blanks is turned once into the characters of its words and remembered, so that a
text costs one look-up a chunk and a join.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from phenolip_lib.recognition.lexicon import Lexicon
from phenolip_lib.recognition.morphology import lemma
from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS, MODIFIERS, PREFIXES

BREAK, LINE, COMMA, AND, OR, SKIP, OTHER, MODIFIER = "\x01\x02\x03\x04\x05\x06\x07\x08"
"""Characters of what is no word of the vocabulary; those from OTHER on are words."""
HALF = "\x0e"
"""Character of an unknown word that may be the beginning of the next one: "micro cephaly", "kypho scoliosis"."""
MAX_CHUNKS = 500_000
_callout = re.compile(r"([a-z]{4,})\d{1,3}")
_last, _first = re.compile(r"[A-Za-z]+\Z"), re.compile(r"[A-Za-z]{3,}")
_token = re.compile(r"[a-z0-9]+|[^\sa-z0-9]|\n")
_CONJUNCTIONS = {"and": AND, "or": OR, "nor": OR}
_NO_ADVERBS = frozenset("family assembly monthly weekly supply multiply".split())
_DASHES = ("-", "--", "–", "—")
_PUNCTUATION = {
    ".": BREAK,
    ";": BREAK,
    ":": BREAK,
    "!": BREAK,
    "?": BREAK,
    "(": BREAK,
    ")": BREAK,
    "[": BREAK,
    "]": BREAK,
    ",": COMMA,
    "\n": LINE,
    "/": OR,
    "&": AND,
    "+": SKIP,
}


class Word(NamedTuple):
    start: int
    end: int
    symbol: str


class Reader(dict):
    """Chunk of text -> its characters; filled as chunks are met, emptied when there are too many."""

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__()
        self._lexicon = lexicon
        self._words: dict[str, list[Word]] = {}

    def __missing__(self, chunk: str) -> str:
        if len(self) >= MAX_CHUNKS:
            self.clear()
            self._words.clear()
        words = self._words[chunk] = self.words(chunk)
        # Interned, since most chunks are of few kinds: what is read again and again then stays near.
        self[chunk] = symbols = sys.intern("".join(word.symbol for word in words))
        return symbols

    def joined(self, chunks: list[str]) -> list[str]:
        """`chunks`, those that are one word of the dictionary written as two put together."""
        found = [""]
        for chunk in chunks:
            half = found[-1].lower() in PREFIXES or self[found[-1]].endswith(HALF)
            if half and (rest := _first.match(chunk)):
                part = _last.search(found[-1])
                if part and self._lexicon.knows((part[0] + rest[0]).lower()):
                    found[-1] += " " + chunk
                    continue
            found.append(chunk)
        return found[1:]

    def span(self, chunk: str, position: int) -> tuple[int, int]:
        """Start and end of a chunk's word, by the position of its character."""
        words = self._words.get(chunk) or self.words(chunk)
        return words[position].start, words[position].end

    def words(self, chunk: str) -> list[Word]:
        """The words of a piece of text between blanks; offsets are relative to it."""
        # Lower-casing must not change the length, or offsets would drift (a Turkish letter would).
        lowered = chunk.lower()
        if len(lowered) != len(chunk):
            lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in chunk)
        if lowered in _DASHES:
            return [Word(0, len(chunk), BREAK)]
        found: list[Word] = []
        for start, end in self._cut(lowered):
            if symbol := self._symbol(lowered[start:end].replace("-", "").replace(" ", "")):
                found.append(Word(start, end, symbol))
        return found

    def _cut(self, chunk: str) -> Iterator[tuple[int, int]]:
        """Where each word and mark begins and ends: "pre-auricular" is a word if the dictionary has it as one."""
        spans, at = [m.span() for m in _token.finditer(chunk)], 0
        while at < len(spans):
            start, end = spans[at]
            at += 1
            if (
                chunk[end : end + 1] == " "
                and at < len(spans)
                and self._lexicon.knows(chunk[start:end] + chunk[slice(*spans[at])])
            ):
                end, at = spans[at][1], at + 1
            if at + 1 < len(spans) and chunk[slice(*spans[at])] == "-" and spans[at][0] == end:
                halves = chunk[start:end], chunk[slice(*spans[at + 1])]
                apart = halves[0] not in PREFIXES and all(map(self._lexicon.knows, halves))
                if not apart and self._lexicon.knows("".join(halves)):
                    end, at = spans[at + 1][1], at + 2
            callout = _callout.fullmatch(chunk, start, end)
            if callout and self._lexicon.knows(callout[1]) and not self._lexicon.knows(callout[0]):  # "ataxia12"
                yield callout.span(1)
                start = callout.end(1)
            yield start, end

    def _symbol(self, token: str) -> str:
        if not token.isalnum() or not token.isascii():
            return _PUNCTUATION.get(token, "")
        if token in _CONJUNCTIONS:
            return _CONJUNCTIONS[token]
        if token in FUNCTION_WORDS:
            return SKIP
        word = lemma(token)
        if word in self._lexicon.symbol:
            return self._lexicon.symbol[word]
        family = self._lexicon.families.family(word)
        if family is not None:
            return self._lexicon.kin[family]
        if len(token) > 4 and token.endswith("o"):
            return HALF
        adverb = token.endswith("ly") and len(token) > 5 and token not in _NO_ADVERBS
        return MODIFIER if adverb or token in MODIFIERS else OTHER
