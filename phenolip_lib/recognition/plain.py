"""Text as extraction from PDF and web pages leaves it, made plain, with the way back to the text as given.

Letters with accents, ligatures, curly quotes and wide blanks become ASCII where there is one; what cannot be seen,
mark-up and raised call-outs go; words and lines that a page's width broke are joined; a part of a word that is left to
its neighbour is said in full ("hypo- and hypertonia", "hypertonia and -reflexia").
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from html import unescape
from typing import NamedTuple

from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS

WRAPPED = 40
"""Characters of the shortest line that can be full."""
_GREEK = dict(
    zip(
        "αβγδεζηθκλμνπρστφχψω",
        "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu pi rho sigma tau phi chi psi omega".split(),
        strict=True,
    )
)
_SPECIAL = dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032", "'") | dict.fromkeys("\u201c\u201d\u201e", '"')
_SPECIAL |= dict.fromkeys("\u2010\u2011\u2212", "-") | dict.fromkeys("\f\v\x1c\x1d\x1e\x85\u2028\u2029", "\n")
_SPECIAL |= {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "Æ": "Ae", "Œ": "Oe", "Ø": "O", "Ł": "L"}
_BLOCKS = frozenset("br p li ul ol div tr td th table h1 h2 h3 h4 h5 h6".split())
_TAGS = "|".join(sorted({*_BLOCKS, *"a b i em u strong span font sub sup small mark html body".split()}, key=len)[::-1])
_OPEN_LINE = FUNCTION_WORDS | frozenset("and or nor no not without with including such than".split())
"""Words that no line of a list ends with."""
_ASKS = ("", *":=?|-\t.)]_☐☒☑✓✗✘")
"""What goes before an answer."""
_JOINING = r"and/or|and|or|nor|as\swell\sas|&"
# Every alternative begins behind one character of few, which `re` finds fast.
_odd = re.compile(
    rf"""[-<&\n\f\v\x1c-\x1e\x80-\U0010ffff](?:
    (?P<hyphen>(?<=[A-Za-z][-\u2010\u2011\u00ad])[ \t]{{0,3}}\r?\n[ \t]*(?!(?:and|or|nor)\s)(?=[A-Za-z]))
    |(?P<gone>(?<=[\u00ad\u0300-\u036f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0f\ufeff])
      |(?<=<)su[pb]>[\d\s,*–-]{{1,20}}</su[pb]>
      |(?<=[A-Za-z]{{4}}[\u00b9\u00b2\u00b3\u2070\u2074-\u2079])[\u00b9\u00b2\u00b3\u2070\u2074-\u2079,\u207b–-]*)
    |(?P<tag>(?<=<)/?(?:{_TAGS})(?:\s[^<>]{{0,200}})?/?>)
    |(?P<entity>(?<=&)(?:\#\d{{1,6}}|\#[xX][0-9a-fA-F]{{1,5}}|[A-Za-z]\w{{1,24}});)
    |(?P<begun>(?<=[A-Za-z]{{2}}[-\u2010\u2011–])(?=\s?[,/]|\s(?:{_JOINING})\s))
    |(?P<ended>(?<=[\s/][-\u2010\u2011–])(?=[a-z]{{3}}))
    |(?P<wrap>(?<=\n)[ \t]*(?=[\w(]))
    |(?P<letter>(?<=[\f\v\x1c-\x1e\x80-\U0010ffff])))""",
    re.VERBOSE,
)
_line_end = re.compile(r"(?<=[\w,;)])[ \t]{0,3}\r?\Z")
_word_before, _word_behind = re.compile(r"[A-Za-z]{1,30}\Z"), re.compile(r"[A-Za-z]{1,30}")


_suspends = re.compile(rf"-(?:(?=\s?[,/]|\s(?:{_JOINING})\s)|(?<=[\s/]-)[a-z]{{3}})")
_join = rf"(?:\s?[,/])?(?:\s?(?:{_JOINING})(?=\s))?\s?"
_whole_behind = re.compile(
    rf"(?:{_join}[A-Za-z]{{2,15}}[-\u2010\u2011–](?=[\s,/])){{0,4}}{_join}([A-Za-z]{{4,30}}(?:-[a-z]{{3,30}})?)"
)
_whole_before = re.compile(rf"([A-Za-z]{{5,30}})(?:\s?[,/]|\s(?:{_JOINING})(?=\s))\s?\Z")


class Plain(NamedTuple):
    """A plain text and where its pieces come from."""

    text: str
    starts: list[int]
    """Where each replaced piece begins in the plain text."""
    pieces: list[tuple[int, int, int]]
    """Its length there, and its start and end in the text as given."""

    def given(self, start: int, end: int) -> tuple[int, int]:
        """The span of the text as given that a span of the plain text comes from."""
        return self._at(start), self._at(end - 1, last=True)

    def _at(self, position: int, last: bool = False) -> int:
        at = bisect_right(self.starts, position) - 1
        # A piece that went leaves no characters: what stands there comes from behind it.
        if at < 0:
            return position + last
        length, start, end = self.pieces[at]
        if position < self.starts[at] + length:
            return end if last else start
        return position - self.starts[at] - length + end + last


def plain(text: str, known: Callable[[str], bool]) -> Plain:
    """A text made plain.

    Args:
        known: whether a word is one of the dictionary, to tell "hypo-/tonia" from "low-/set" at a line's end.
    """
    simple = text.isascii() and "\n" not in text and "&" not in text and "<" not in text
    if simple and not ("-" in text and _suspends.search(text)):
        return Plain(text, [], [])
    pieces, starts, kept, reached, length = [], [], [], 0, 0
    for start, end, new in _replacements(text, known):
        kept += (text[reached:start], new)
        length += start - reached
        starts.append(length)
        pieces.append((len(new), start, end))
        length, reached = length + len(new), end
    return Plain("".join((*kept, text[reached:])), starts, pieces) if pieces else Plain(text, [], [])


def _replacements(text: str, known: Callable[[str], bool]) -> Iterator[tuple[int, int, str]]:
    widest = max(map(len, text.split("\n"))) if "\n" in text else 0
    for match in _odd.finditer(text):
        start, end = match.span()
        piece = match.group()
        if match.lastgroup == "letter":
            new = _ascii(piece)
        elif match.lastgroup == "hyphen":
            first, second = _word_before.search(text, max(start - 30, 0), start), _word_behind.match(text, end)
            halves = first[0].lower(), second[0].lower()
            named = first[0][-1].islower() and second[0][0].isupper()  # Dandy-Walker
            new = "-" if named or (all(map(known, halves)) and not known("".join(halves))) else ""
        elif match.lastgroup == "wrap":
            # blanks before a line end
            if not (before := _line_end.search(text, max(start - 5, 0), start)):
                continue
            start = before.start()
            new = " " if _wraps(text, start, end, widest) else piece
        elif match.lastgroup in ("begun", "ended"):
            new = _left_out(text, start, end, known, match.lastgroup == "begun")
            new = new or (piece if piece.isascii() else _ascii(piece))
        elif match.lastgroup == "tag":
            new = "\n" if re.search(r"\w+", piece)[0] in _BLOCKS else ""
        elif match.lastgroup == "entity":
            new = "".join(map(_ascii, unescape(piece)))
        else:
            new = ""
        if new != piece:
            yield start, end, new


def _left_out(text: str, start: int, end: int, known: Callable[[str], bool], begun: bool) -> str:
    """What the hyphen between two places stands for, by the neighbour that is written in full; nothing if none fits.

    The longest part of the neighbour counts that makes a word of the dictionary: "hypo- and hyperpigmentation".
    """
    if begun:
        part, whole = _word_before.search(text, max(start - 30, 0), start), _whole_behind.match(text, end)
    else:
        part, whole = _word_behind.match(text, end), _whole_before.search(text, max(start - 50, 0), start)
    if not (part and whole):
        return ""
    own, other = part[0].lower(), whole[1].lower().replace("-", "")
    cuts = range(1, len(other) - 2) if begun else range(len(other) - 2, 2, -1)
    pieces = (other[cut:] if begun else other[:cut] for cut in cuts)
    return next((piece for piece in pieces if known(own + piece if begun else piece + own)), "")


def _wraps(text: str, start: int, end: int, widest: int) -> bool:
    """Whether the line end between `start` and `end` is one of the page only, not of an item or a paragraph."""
    begin = text.rfind("\n", 0, start) + 1
    last = _word_before.search(text, max(start - 30, begin), start)
    if last and last[0].lower() in _OPEN_LINE:
        # "Seizures: no" and a line that says no more than "No" are answers.
        return not (last[0].lower() in ("no", "not") and text[begin : last.start()].rstrip(" ")[-1:] in _ASKS)
    full = start - begin >= max(WRAPPED, 0.75 * widest)
    return full and not text[end].isupper()


@lru_cache(4096)
def _ascii(character: str) -> str:
    """A character's nearest in ASCII, itself if there is none."""
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character in _GREEK:
        return _GREEK[character]
    if character.isascii():
        return character
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return plain if plain.isascii() else character
