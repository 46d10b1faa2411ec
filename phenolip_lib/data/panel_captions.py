"""Cut the caption of a compound figure into what it says about each panel.

`panel_labels` finds the markers; a caption is left whole rather than cut wrongly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from phenolip_lib.data.panel_labels import CLAUSE, LEADS, LETTERS, Found, plain, runs


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
    caption = plain(caption)
    for run in runs(caption):
        chunks = _chunks(caption, run)
        if len(chunks) > 1:
            return chunks
    return {}


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


def _chunks(caption: str, run: list[Found]) -> dict[str, str]:
    """Chunk of each panel; sentences whose markers lead their phrases, and those where they follow, are cut apart."""
    starts = {0, len(caption) + 1, *(m.end() for m in _SENTENCE.finditer(caption))}
    starts |= {
        one.start for one in run if CLAUSE.search(caption[: one.start]) and not _ENDS_PHRASE.match(caption[one.end :])
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
        markers = [Found(one.panels, one.start - start, one.end - start) for _, found in own for one in found]
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


def _follow(caption: str, markers: list[Found]) -> bool:
    """Whether the markers of a sentence follow what they belong to ("a heart (a) and a hand (b)")."""
    for one in markers:
        before, after = caption[: one.start], caption[one.end :]
        if caption[one.start] != "(" or LEADS.search(before):
            return False
        if _ENDS_PHRASE.match(after):
            return True
        if _LEADS_ON.search(before):
            return False
        if _GOES_ON.match(after):
            return True
    return False


def _before(text: str, run: list[Found]) -> _Part:
    """Chunks that follow their markers."""
    ends = [*(one.start for one in run[1:]), len(text)]
    pieces = [_tidy(text[one.end : end]) for one, end in zip(run, ends, strict=True)]
    pieces[-1], closing = _closing(pieces[-1])
    preamble = re.sub(r"(?:^|\s)(?:and|or)$", "", text[: run[0].start].strip())
    return _Part(preamble, [(one.panels, piece) for one, piece in zip(run, pieces, strict=True)], closing)


def _behind(text: str, run: list[Found]) -> _Part:
    """Chunks that precede their markers; what follows the last sentence of them is said of all panels."""
    starts = [0, *(m.end() for m in _SENTENCE.finditer(text)), len(text)]
    preamble: list[str] = []
    pieces: list[tuple[list[int], str]] = []
    later: list[str] = []
    latest = 0
    for start, end in pairwise(starts):
        own = [Found(one.panels, one.start - start, one.end - start) for one in run if start <= one.start < end]
        sentence = text[start:end].strip()
        if own:
            # Sentences between two with markers go on about the panels before them.
            pieces[latest:] = [(panels, " ".join([piece, *later])) for panels, piece in pieces[latest:]]
            latest, later = len(pieces), []
            pieces += _phrases(sentence, own)
        else:
            (later if pieces else preamble).append(sentence)
    return _Part(" ".join(preamble), pieces, " ".join(later))


def _phrases(sentence: str, run: list[Found]) -> list[tuple[list[int], str]]:
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
