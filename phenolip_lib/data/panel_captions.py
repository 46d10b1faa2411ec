"""Cut the caption of a compound figure into what it says about each panel.

A caption marks its panels by one convention, such as ``(a)``, ``B:``, ``(ii)`` or ``upper left``; the
conventions are tried from the least ambiguous on, and one counts only if its markers run from the first
panel without a gap. A caption is left whole rather than cut wrongly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")


class _Convention(NamedTuple):
    marker: re.Pattern
    order: Callable[[str], list[int]]
    """Number of each panel that a label names, from 0; empty if it is no label."""


class _Found(NamedTuple):
    panels: list[int]
    start: int
    end: int


class _Part(NamedTuple):
    """What a stretch of a caption says: of all its panels before and after, and of each marker's panels."""

    preamble: str
    pieces: list[tuple[list[int], str]]
    closing: str


def split_caption(caption: str) -> dict[str, str]:
    """What a caption says about each panel.

    Understands ``(a)``, ``(A, B)``, ``(a-c)``, ``(a)-(c)``, ``(a, arrows)``, ``[A]``, ``A, B:``, ``a)``, ``A =``,
    ``a,``, ``A.``, ``Panel A``, ``a Chest film``, numbers and Roman numerals as letters (``(1)`` and ``(i)`` are
    panel a), and positions (``Left:``, ``upper right panel``), which are lettered in reading order. Markers in
    parentheses may also follow what they belong to (``a heart (a) and a hand (b)``).

    Returns:
        lower-case panel letter -> its chunk, with what the caption says of all panels: the preamble
        before, and a closing sentence about arrows, scale bars or all panels after it. From ``a``
        without a gap, no chunk empty; empty if there are no such markers.
    """
    caption = _detach(_join(re.sub(_FIGURE, "", " ".join(caption.split()))))
    for convention in _CONVENTIONS:
        run = _run(caption, convention)
        chunks = _chunks(caption, run) if run else {}
        if len(chunks) > 1:
            return chunks
    return {}


# --- labels --------------------------------------------------------------------------------------

_SEPARATOR = r"\s*(?:[-–—,&/]|,?\s*\b(?:and|to|through)\b)\s*"
_GROUP = rf"(?:{{0}})(?:{_SEPARATOR}(?:{{0}})){{{{0,12}}}}"
_UPPER, _LOWER, _DIGIT = (_GROUP.format(c) for c in ("[A-Z]", "[a-z]", "[1-9]"))
_NUMERAL = _GROUP.format("|".join(sorted(_ROMAN, key=len, reverse=True)))
_LABEL = f"{_UPPER}|{_LOWER}|{_DIGIT}"
_START = r"(?:^|(?<=[.;:!?])\s+)"
_INSIDE = rf"(?:{_START}|(?<=,)\s+|(?<=\band)\s+|(?<=\bwhile)\s+|(?<=\bwhereas)\s+)"
_SPOT = (
    r"(?:(?:upper|top|lower|bottom)[ -]?(?:left|right|middle|cent(?:er|re))?"
    r"|(?:far )?left|right|middle|cent(?:er|re))"
)
_PART = r"(?: (?:panel|image|picture|photograph|side|row|column)s?)"
_FIGURE = re.compile(r"^(?:supplementary )?fig(?:ure|\.)? ?S?\d+\b[.:|]?\s+", re.IGNORECASE)


def _numbers(label: str) -> list[int]:
    """``A, C-E`` -> 0, 2, 3, 4; Roman numerals and digits count as letters."""

    def number(text: str) -> int:
        return int(text) - 1 if text.isdigit() else _ROMAN.index(text) if len(text) > 1 else LETTERS.index(text)

    panels: list[int] = []
    for part in re.split(r"\s*(?:[,&/]|\band\b)\s*", label.lower()):
        ends = [number(c) for c in re.split(r"\s*(?:[-–—]|\bto\b|\bthrough\b)\s*", part) if c]
        if ends:
            panels += range(ends[0], ends[-1] + 1)
    return panels


def _numerals(label: str) -> list[int]:
    """``i-iii`` -> 0, 1, 2."""
    return _numbers(re.sub(r"\b[ivx]+\b", lambda m: str(_ROMAN.index(m.group()) + 1), label.lower()))


def _spot(label: str) -> list[int]:
    """Row and column of a position as one number; `_run` counts them in reading order."""
    words = label.lower()
    row = 2 if "lower" in words or "bottom" in words else 0
    row += "upper" not in words and "top" not in words and row == 0
    column = 0 if "left" in words else 2 if "right" in words else 1
    return [3 * row + column]


_CONVENTIONS = (
    # The sign of copyright, "(c) 2019", is no panel.
    _Convention(re.compile(rf"(?!\(c\) ?(?:19|20)\d\d\b)\(({_LABEL})\)"), _numbers),
    _Convention(re.compile(rf"\(({_NUMERAL})\)", re.IGNORECASE), _numerals),
    _Convention(re.compile(rf"{_START}\[({_UPPER}|{_LOWER})\]"), _numbers),
    _Convention(re.compile(rf"{_INSIDE}(?:[Pp]anels? )?({_LABEL})\s?(?:[:)=](?!\d)|[-–—](?=\s))"), _numbers),
    _Convention(re.compile(rf"{_START}({_NUMERAL})[:)]", re.IGNORECASE), _numerals),
    _Convention(re.compile(rf"{_INSIDE}[Pp]anels? ({_LABEL})\b[,.]?"), _numbers),
    _Convention(re.compile(rf"{_START}({_UPPER}|{_LOWER}),\s"), _numbers),
    _Convention(re.compile(rf"{_START}({_UPPER})\.\s(?=[A-Z\d(])"), _numbers),
    _Convention(re.compile(rf"{_START}({_UPPER}|{_LOWER})\s+(?=[A-Z])"), _numbers),
    # An "a" is an article more often than a panel, so a "b" has to follow somewhere.
    _Convention(
        re.compile(rf"(?:{_START}(a)|{_INSIDE}([b-z](?:{_SEPARATOR}[b-z]){{0,12}})) (?!and\b|or\b)(?=\w\w)"), _numbers
    ),
    _Convention(re.compile(rf"\(({_SPOT}){_PART}?\)", re.IGNORECASE), _spot),
    _Convention(re.compile(rf"{_START}(?:the )?({_SPOT})(?:{_PART}?[:,]|{_PART}\b)", re.IGNORECASE), _spot),
    _Convention(re.compile(rf"{_INSIDE}(?:the )?({_SPOT}) (?:panel|image|picture)s?\b[:,]?", re.IGNORECASE), _spot),
)
_REFERENCE = re.compile(
    r"\b(?:in|from|as|see|than|of|to|with|arrows?|arrowheads?|panels?|figs?\.?|figures?)[\s(,]*$", re.IGNORECASE
)
_CLAUSE = re.compile(r"(?:^|[.;:,!?])\s*(?:(?:and|or)\s+)?$")
_LEADS = re.compile(r"(?:^|[.;:,!?]|\b(?:and|or))\s*$")
_NAMED = re.compile(r"\b(?:group|type|grade|stage|class|vitamin|hepatitis|influenza)s?\s*$", re.IGNORECASE)
_HOLE = 3
"""A label this far behind the last one tells that one between was not understood."""


def _join(caption: str) -> str:
    """``(a)-(c)`` as ``(a-c)`` and ``(a), (b) and (c)`` as ``(a, b, c)``."""
    for between, joint in ((r"\s*(?:[-–—]|to|through)\s*", "-"), (r"(?:\s*[,&]\s*|\s+)(?:and\s+)?", ", ")):
        label = rf"{_LABEL}|{_NUMERAL}"
        pair = re.compile(rf"\(({label})\){between}\(({label})\)")
        while (joined := pair.sub(rf"(\1{joint}\2)", caption)) != caption:
            caption = joined
    return caption


def _detach(caption: str) -> str:
    """``(a, arrows)`` as ``(a) (arrows)``, where such markers run on from the first panel."""
    detailed = re.compile(rf"\(({_LABEL})(?:[,;:] ([^()]+))?\)")
    run = _run(caption, _Convention(detailed, _numbers))
    if len(run) < 2:
        return caption
    starts = {one.start for one in run}

    def rewrite(m: re.Match) -> str:
        return f"({m[1]}) ({m[2]})" if m.start() in starts and m[2] else m[0]

    return detailed.sub(rewrite, caption)


def _run(caption: str, convention: _Convention) -> list[_Found]:
    """Markers that run on from the first panel, and those that come back to one at the start of a clause.

    Anything else ("see (a)", "group (x)") is part of the text; none if a panel would be lost.
    """
    found = [
        _Found(convention.order(next(filter(None, m.groups()))), m.start(), m.end())
        for m in convention.marker.finditer(caption)
    ]
    if convention.order is _spot:
        places = sorted({f.panels[0] for f in found})
        found = [_Found([places.index(f.panels[0])], f.start, f.end) for f in found]
        # "Left" and "right" are also sides of a body; as panels each comes once.
        return found if len(found) == len(places) else []
    run: list[_Found] = []
    seen: set[int] = set()
    lost: set[int] = set()
    for k, one in enumerate(found):
        before = caption[: one.start]
        if _NAMED.search(before):
            continue
        expected = next(n for n in range(len(seen) + 1) if n not in seen)
        refers = _REFERENCE.search(before) is not None
        if one.panels and min(one.panels) == expected and seen.isdisjoint(one.panels):
            # "... shown in (b)" names a panel that is described later on.
            if refers and any(f.panels == one.panels and _CLAUSE.search(caption[: f.start]) for f in found[k + 1 :]):
                continue
            run.append(one)
            seen.update(one.panels)
        elif run and one.panels and seen.issuperset(one.panels) and _LEADS.search(before):
            run.append(one)
        elif not refers:
            lost.update(one.panels)
    last = max(seen, default=-1)
    if seen != set(range(last + 1)) or last >= len(LETTERS):
        return []
    return [] if any(last < panel <= last + _HOLE for panel in lost) else run


# --- chunks --------------------------------------------------------------------------------------

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(*])")
_SHARED = re.compile(
    r"(?:the )?(?:(?:(?:white|black|yellow|red|blue|green) )?(?:arrows|arrowheads|asterisks|stars|(?:scale )?bars?)\b"
    r"|(?:all|both) (?:of the )?(?:panels|images|pictures|photographs|scans|sections|films|scale)\b"
    r"|in (?:all|both|each)\b|abbreviations\b|original magnifications?\b|(?:reproduced|adapted|reprinted)\b)",
    re.IGNORECASE,
)
_ASIDE = r"\s*(?:\[[^\]]*\]|\([^()]*\))?\s*"
_ENDS_PHRASE = re.compile(rf"{_ASIDE}(?:[,.;:]|(?:and|or|but|while|whereas)\b|$)")
_LEADS_ON = re.compile(
    r"\b(?:an?|the|in|of|with|from|to|at|on|for|by|as|is|are|was|were|and|or|than|after|before|between|both|either"
    r"|given|taken|shown|seen|\w+ing|\w+ed|shows?)\s+$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\s*(?:of|in|at|on|from|with|without|for|by|to|before|after|during|is|are|was|were|has|had|that|which"
    r"|show\w*|reveal\w*|demonstrat\w*|indicat\w*|display\w*|illustrat\w*|confirm\w*"
    r"|images?|views?|scans?|radiographs?|photographs?|sections?|films?)\b"
)
_JOINT = re.compile(r"\s*(?:,\s*(?:and|or)\b|[,;]|\b(?:and|or)\b)\s*")


def _chunks(caption: str, run: list[_Found]) -> dict[str, str]:
    """Chunk of each panel; sentences whose markers lead their phrases, and those where they follow, are cut apart."""
    starts = {0, len(caption) + 1, *(m.end() for m in _SENTENCE.finditer(caption))}
    starts |= {
        one.start for one in run if _CLAUSE.search(caption[: one.start]) and not _ENDS_PHRASE.match(caption[one.end :])
    }
    sentences = []
    for start, end in pairwise(sorted(starts)):
        own = [one for one in run if start <= one.start < end]
        if own:
            sentences.append((start, own))
    parts: list[_Part] = []
    groups = [(behind, list(g)) for behind, g in groupby(sentences, key=lambda s: _follow(caption, s[1]))]
    for k, (behind, own) in enumerate(groups):
        start = own[0][0] if k else 0
        end = groups[k + 1][1][0][0] if k + 1 < len(groups) else len(caption)
        markers = [_Found(one.panels, one.start - start, one.end - start) for _, found in own for one in found]
        parts.append((_behind if behind else _before)(caption[start:end], markers))
    texts: dict[int, list[str]] = {}
    for k, part in enumerate(parts):
        for panels, piece in part.pieces:
            if not _says_something(piece):
                return {}
            more = [part.preamble, piece] if k else [piece]
            if k + 1 < len(parts):
                more.append(part.closing)
            for panel in panels:
                texts.setdefault(panel, []).extend(more)
    shared = parts[0].preamble, parts[-1].closing
    return {LETTERS[panel]: " ".join(filter(None, (shared[0], *texts[panel], shared[1]))) for panel in sorted(texts)}


def _follow(caption: str, markers: list[_Found]) -> bool:
    """Whether the markers of a sentence follow what they belong to ("a heart (a) and a hand (b)")."""
    for one in markers:
        before, after = caption[: one.start], caption[one.end :]
        if caption[one.start] != "(" or _LEADS.search(before):
            return False
        if _ENDS_PHRASE.match(after):
            return True
        if _LEADS_ON.search(before):
            return False
        if _GOES_ON.match(after):
            return True
    return False


def _before(text: str, run: list[_Found]) -> _Part:
    """Chunks that follow their markers."""
    ends = [*(one.start for one in run[1:]), len(text)]
    pieces = [_tidy(text[one.end : end]) for one, end in zip(run, ends, strict=True)]
    pieces[-1], closing = _closing(pieces[-1])
    preamble = re.sub(r"(?:^|\s)(?:and|or)$", "", text[: run[0].start].strip())
    return _Part(preamble, [(one.panels, piece) for one, piece in zip(run, pieces, strict=True)], closing)


def _behind(text: str, run: list[_Found]) -> _Part:
    """Chunks that precede their markers; what follows the last sentence of them is said of all panels."""
    starts = [0, *(m.end() for m in _SENTENCE.finditer(text)), len(text)]
    preamble: list[str] = []
    pieces: list[tuple[list[int], str]] = []
    later: list[str] = []
    latest = 0
    for start, end in pairwise(starts):
        own = [_Found(one.panels, one.start - start, one.end - start) for one in run if start <= one.start < end]
        sentence = text[start:end].strip()
        if own:
            # Sentences between two with markers go on about the panels before them.
            pieces[latest:] = [(panels, " ".join([piece, *later])) for panels, piece in pieces[latest:]]
            latest, later = len(pieces), []
            pieces += _phrases(sentence, own)
        else:
            (later if pieces else preamble).append(sentence)
    return _Part(" ".join(preamble), pieces, " ".join(later))


def _phrases(sentence: str, run: list[_Found]) -> list[tuple[list[int], str]]:
    """What a sentence says before each of its markers; the rest of it is said of all of them."""
    texts = [
        sentence[a:b] for a, b in zip([0, *(one.end for one in run)], [*(one.start for one in run), None], strict=True)
    ]
    whole = _tidy(re.sub(r"\s+(?=[,.;:])", "", " ".join(text.strip() for text in texts)))
    if len(run) == 1:
        return [(run[0].panels, whole)]
    pieces = [texts[0]]
    for text in texts[1:-1]:
        aside = re.match(_ASIDE, text).group()
        joints = list(_JOINT.finditer(text))
        cut = joints[0] if joints and joints[0].start() <= len(aside) else joints[-1] if joints else None
        pieces[-1] += f" {text[: cut.start()] if cut else ''}"
        pieces.append(text[cut.end() :] if cut else text)
    aside = re.match(_ASIDE, texts[-1]).group()
    pieces[-1] += f" {aside.strip()}"
    rest = _tidy(texts[-1].removeprefix(aside))
    found = []
    for one, piece in zip(run, map(_tidy, pieces), strict=True):
        # "Patients 1 (a) and 2 (b)": a number alone is no chunk, the sentence is.
        number = re.fullmatch(r"[\W\d_]+", piece)
        found.append((one.panels, whole if number else f"{piece} {rest}".strip() if piece else ""))
    return found


def _closing(chunk: str) -> tuple[str, str]:
    """The last panel's chunk and the sentences after it that speak of all panels."""
    for cut in _SENTENCE.finditer(chunk):
        if _SHARED.match(chunk[cut.end() :]):
            return chunk[: cut.start()].strip(), chunk[cut.end() :]
    return chunk, ""


def _tidy(chunk: str) -> str:
    return re.sub(r"(?:[\s;,]+(?:and|or)?|[\s;,]+)\s*$", "", " ".join(chunk.split())).lstrip(" .,;:").rstrip(" ,;:")


def _says_something(piece: str) -> bool:
    return re.search(r"\w{2}|\d\s?\w", re.sub(r"^(?:and|or)$", "", piece)) is not None


# --- scores --------------------------------------------------------------------------------------


def caption_scores(predicted: Sequence[Mapping[str, str]], truth: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """How well captions are cut; both hold panel letter -> chunk for each figure.

    A chunk is right if it is the true one up to case, blanks and closing marks; a preamble may stand
    before it, the same for all chunks of the figure, and does not count in the F1 either.

    Returns:
        ``letters``: share of figures with the right panel letters; ``exact``: with all chunks right too;
        ``token_f1``: mean of `token_f1` over the chunks of the truth, 0 where a letter is missing.
    """
    letters = exact = n_truth = 0
    overlap = 0.0
    for found, real in zip(predicted, truth, strict=True):
        texts = {
            letter: (_folded(found[letter]), _folded(real[letter])) for letter in sorted(found.keys() & real.keys())
        }
        prefixes = [text.removesuffix(wanted) for text, wanted in texts.values() if text.endswith(wanted)]
        preamble = min(prefixes, key=len, default="")
        letters += found.keys() == real.keys()
        exact += found.keys() == real.keys() and prefixes == [preamble] * len(texts)
        n_truth += len(real)
        overlap += sum(token_f1(text.removeprefix(preamble), wanted) for text, wanted in texts.values())
    n = max(len(truth), 1)
    return {"letters": letters / n, "exact": exact / n, "token_f1": overlap / max(n_truth, 1)}


def token_f1(text: str, wanted: str) -> float:
    """F1 of the words of two texts in lower case, each counted as often as it occurs; 1 if neither has any."""
    words, real = (Counter(re.findall(r"\w+", t.lower())) for t in (text, wanted))
    if not words and not real:
        return 1.0
    return 2 * (words & real).total() / (words.total() + real.total())


def _folded(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(" .;,")
