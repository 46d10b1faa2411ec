"""Text of JATS elements as one would read it: call-outs apart from words, exponents marked, blocks apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from xml.etree.ElementTree import Element

_APART = {"supplementary-material", "sub-article", "response", "fig", "fig-group"}
"""What holds no paragraph about a figure of the text."""
_ASIDE = _APART | {
    *("table-wrap", "table-wrap-group", "tex-math", "annotation", "annotation-xml", "object-id", "alt-text"),
    *("long-desc", "index-term", "permissions", "attrib", "graphic", "media"),
}
"""What stands within a paragraph and is not its text; a formula's TeX repeats its MathML."""
_BLOCKS = {
    *("p", "title", "subtitle", "list", "list-item", "def-list", "def-item", "term", "def", "break", "disp-formula"),
    *("disp-quote", "td", "th", "tr", "sec", "label", "fn", "boxed-text", "statement", "verse-line", "simple-para"),
    *("para", "abstract", "trans-title", "code", "preformat"),
}
_CALLS = {"bibr", "fn", "table-fn", "author-notes", "corresp", "contrib", "other-ref", "bib", "reference"}
"""Values of ``ref-type`` of what refers to a note or to the literature."""
_WORD = re.compile(r"[^\W\d_]{4,}[)\]]?$")
_NUMBERS = re.compile(r"\d{1,3}(?:\s*[,;–−‒-]\s*\d{1,3})*|[a-z*†‡§](?:\s*,\s*[a-z*†‡§])*")
_RANGE = re.compile(r"\s*[)\]]?\s*(?:[-–—‒−]|to|through)\s*[(\[]?\s*")
_POWER = re.compile(r"[-−–+]?\d+(?:[.,]\d+)?")


def text_of(element: Element | None) -> str:
    """The text of an element on one line.

    A reference that follows a word without a space becomes ``scoliosis [12]``, a power ``10^9/L``.
    """
    if element is None:
        return ""
    writer = _Writer()
    _write(writer, element)
    return writer.text()


class _Writer:
    """Collects pieces and knows the last characters."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.last = ""
        self.apart = False
        """Whether a word that comes next needs a space before it."""

    def add(self, piece: str | None) -> None:
        if not piece:
            return
        if self.apart and piece[0].isalnum():
            self.pieces.append(" ")
        self.apart = False
        self.pieces.append(piece)
        self.last = (self.last + piece[-40:])[-40:]

    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


def _write(writer: _Writer, element: Element) -> None:
    writer.add(element.text)
    for child in element:
        _write_part(writer, child)
        writer.add(child.tail)


def _write_part(writer: _Writer, part: Element) -> None:
    """One element without what follows it."""
    if part.tag in _ASIDE:
        return
    if part.tag in ("sup", "xref"):
        _call_out(writer, part)
    elif part.tag == "msup" and len(part) == 2:
        writer.add(f"{text_of(part[0])}^{text_of(part[1])}")
    else:
        gap = " " if part.tag in _BLOCKS else ""
        writer.add(gap)
        _write(writer, part)
        writer.add(gap)


def _call_out(writer: _Writer, element: Element) -> None:
    """A reference or a superscript, kept apart from the word before it unless it belongs to it (``CD4+``, ``cm2``)."""
    inner, before = text_of(element), writer.last
    if not inner:
        return
    kind = element.get("ref-type", "")
    raised = element.tag == "sup" or any(child.tag == "sup" for child in element)
    refers = raised and (element.tag == "xref" or any(child.tag == "xref" for child in element))
    glued = before[-1:].isalnum() or before[-1:] in tuple(".,;:)%\"'”’")
    if element.tag == "sup" and not refers:
        if before[-1:].isdigit() and _POWER.fullmatch(inner):
            writer.add(f"^{inner}")
            return
        worded = _WORD.search(before.rstrip(".,;:"))
        if not (worded and before.strip()):
            writer.add(inner)
            return
        refers = bool(_NUMBERS.fullmatch(inner))
        if not refers and not inner[0].isalnum():
            writer.add(inner)
            return
    elif element.tag == "xref" and not raised:
        series = re.search(r"\][,;–−-]?$", before)
        refers = kind in _CALLS and bool(series or (glued and inner[0].isalnum()))
        if not refers:
            gap = " " if re.search(r"[^\W\d_]{2,}$", before) and inner[0].isalnum() else ""
            writer.add(gap + inner)
            return
    gap = " " if before and not before[-1].isspace() and before[-1] not in "([–-/" else ""
    bare = not refers or inner[0] in "[(" or before[-1:] in ("[", "(")
    writer.add(gap + (inner if bare else f"[{inner}]"))
    writer.apart = True


def caption_of(captions: list[tuple[Element, str]], language: str) -> tuple[str, str]:
    """Title and paragraphs as sentences, and the language that they are in.

    Args:
        captions: the caption elements of one figure, each with the language of its surroundings.
        language: the one that is taken where there are several, as ISO 639 code; else the first is.
    """
    blocks = [block for caption, around in captions for block in _blocks(caption, around)]
    spoken = list(dict.fromkeys(code for code, text in blocks if text))
    taken = language if language in spoken else (spoken[0] if spoken else "")
    parts = [text for code, text in blocks if code == taken and text]
    ended = [part if part[-1] in ".:;!?" else f"{part}." for part in parts[:-1]]
    return " ".join([*ended, *parts[-1:]]), taken


def contexts_of(article: Element) -> dict[str, list[str]]:
    """Paragraphs by the id of the figure (or group) they refer to, those inside a range ("Figs 1-3") too."""
    order = [name for figure in article.iter("fig") if (name := figure.get("id"))]
    position = {name: at for at, name in reversed(list(enumerate(order)))}
    named: dict[Element, tuple[dict[str, None], list[tuple[int, int]]]] = {}

    def visit(element: Element, paragraph: Element | None) -> None:
        opened = ""  # the figure a range begins with
        for child in element:
            if child.tag in _APART:
                continue
            if child.tag == "xref" and child.get("ref-type", "fig").lower().startswith("fig") and paragraph is not None:
                names = child.get("rid", "").split()
                explicit, ranges = named.setdefault(paragraph, ({}, []))
                explicit.update(dict.fromkeys(names))
                if opened in position and names and names[0] in position:
                    ranges.append((position[opened] + 1, position[names[0]]))
                opened = names[-1] if names and _RANGE.fullmatch(child.tail or "") else ""
            visit(child, child if child.tag == "p" else paragraph)

    visit(article, None)
    found: dict[str, list[str]] = defaultdict(list)
    for paragraph, (explicit, ranges) in named.items():
        text, reached = text_of(paragraph), 0
        for start, end in sorted(ranges):  # overlapping ranges are walked once
            explicit.update(dict.fromkeys(order[max(start, reached) : end]))
            reached = max(reached, end)
        for name in explicit:
            found[name].append(text)
    return found


def language_of(element: Element, around: str) -> str:
    """The two or three letters of ``xml:lang``, or the language of the surroundings."""
    return re.split(r"[-_]", element.get("lang", "").strip().lower())[0] or around


def _blocks(caption: Element, around: str) -> Iterator[tuple[str, str]]:
    """Language and text of each block; text outside of paragraphs is a block too, a label is none."""
    code = language_of(caption, around)
    loose = _Writer()
    loose.add(caption.text)
    for child in caption:
        if child.tag in _BLOCKS or child.get("lang"):
            yield code, loose.text()
            loose = _Writer()
            if child.tag != "label":
                yield language_of(child, code), text_of(child)
        else:
            _write_part(loose, child)
        loose.add(child.tail)
    yield code, loose.text()
