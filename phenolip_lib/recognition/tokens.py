"""Read text as characters, one a word: what makes recognition fast.

A chunk of text between blanks is turned once into the characters of its words and remembered, so that a
text costs one look-up a chunk and a join.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from phenolip_lib.recognition.lexicon import Lexicon
from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS, MODIFIERS, lemma

BREAK, COMMA, AND, OR, SKIP, OTHER, MODIFIER = "\x01\x02\x03\x04\x05\x06\x07"
"""Characters of what is no word of the vocabulary; those from OTHER on are words."""
MAX_CHUNKS = 500_000
_token = re.compile(r"[a-z0-9]+|[^\sa-z0-9]|\n")
_ACCENTS = str.maketrans("àáâãäåçèéêëìíîïñòóôõöùúûüýÿ", "aaaaaaceeeeiiiinooooouuuuyy")
_CONJUNCTIONS = {"and": AND, "or": OR, "nor": OR}
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
    "\n": COMMA,
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
        self[chunk] = symbols = "".join(word.symbol for word in words)
        return symbols

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
        if not lowered.isascii():
            lowered = lowered.translate(_ACCENTS)
        if lowered in _DASHES:
            return [Word(0, len(chunk), BREAK)]
        found = (Word(m.start(), m.end(), self._symbol(m.group())) for m in _token.finditer(lowered))
        return [word for word in found if word.symbol]

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
        return MODIFIER if token in MODIFIERS else OTHER
