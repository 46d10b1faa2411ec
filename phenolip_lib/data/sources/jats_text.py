"""Text of JATS elements as one would read it: call-outs apart from words, exponents marked, blocks apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from html.entities import html5
from xml.etree.ElementTree import Element

_APART = {"supplementary-material", "sub-article", "response", "fig", "fig-group"}
"""What holds no paragraph about a figure of the text."""
_ASIDE = _APART | {
    *("table-wrap", "table-wrap-group", "annotation", "annotation-xml", "object-id", "alt-text", "long-desc"),
    *("index-term", "permissions", "attrib", "graphic", "media"),
}
"""What stands within a paragraph and is not its text."""
_BLOCKS = {
    *("p", "title", "subtitle", "list", "list-item", "def-list", "def-item", "term", "def", "break", "disp-formula"),
    *("disp-quote", "td", "th", "tr", "sec", "label", "fn", "boxed-text", "statement", "verse-line", "simple-para"),
    *("para", "abstract", "trans-title", "code", "preformat", "legend"),
}
_MATHS = {"msup": ("", "^"), "mfrac": ("", "/"), "msubsup": ("", "", "^")}
"""What stands before each part of a formula's piece that would else run together."""
_LEGEND = frozenset({"p", "legend", "list", "def-list", "disp-quote"})
"""What a figure says outside of a caption."""
_TWO_LETTERS = dict(
    pair.split(":")
    for pair in "eng:en spa:es por:pt fre:fr fra:fr ger:de deu:de ita:it dut:nl nld:nl rus:ru ukr:uk pol:pl cze:cs "
    "ces:cs tur:tr chi:zh zho:zh jpn:ja kor:ko ara:ar per:fa fas:fa heb:he hun:hu swe:sv dan:da fin:fi".split()
)
"""ISO 639-2, which some publishers write, to ISO 639-1."""
_CALLS = {"bibr", "fn", "table-fn", "author-notes", "corresp", "contrib", "other-ref", "bib", "reference"}
"""Values of ``ref-type`` of what refers to a note or to the literature."""
_WORD = re.compile(r"([^\W\d_]{2,})[)\]]?$")
_NAME = re.compile(r"[^\W\d_]{2,}[-‐‑]?\d+$")
"""A word that ends in a number, such as ``COVID-19``: what is raised after it is no power of it."""
_UNIT = re.compile(r"[kcdmµμunpf]?(?:m|g|l|L|s|Pa)|ft|in|yd|mi|sec|min|hr|Hz|cc|log|sin|cos|tan|chi|eta|CD|[A-Z][a-z]")
"""What is no word of its own: a number raised after it is its power, or the mass or charge of an element."""
_DASHES = "-–—‒−‐‑"
_NUMBERS = re.compile(rf"\d{{1,3}}(?:\s*[,;{_DASHES}]\s*\d{{1,3}})*|[a-z*†‡§](?:\s*,\s*[a-z*†‡§])*")
_RANGE = re.compile(r"\s*[)\]]?\s*(?:[-–—‒−]|to|through)\s*[(\[]?\s*")
_POWER = re.compile(r"[-−–+]?\s*(?:\d+(?:\.\d+)?|[nxk])")
_POWER_OF_TEN = re.compile(r"(?<![\d.,])10\0[-−–+]?\s*\d")


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
        if child.tag != "tex-math" or element.find("math") is None:  # else it says the same again
            _write_part(writer, child)
        writer.add(child.tail)


def _write_part(writer: _Writer, part: Element) -> None:
    """One element without what follows it."""
    if part.tag in _ASIDE:
        return
    if part.tag in ("sup", "xref"):
        _call_out(writer, part)
    elif part.tag in _MATHS and len(part) == len(_MATHS[part.tag]):
        writer.add("".join(sign + text_of(piece) for sign, piece in zip(_MATHS[part.tag], part, strict=True)))
    elif part.tag == "tex-math":
        writer.add(_tex("".join(part.itertext())))
    else:
        gap = " " if part.tag in _BLOCKS else ""
        writer.add(gap)
        _write(writer, part)
        writer.add(gap)


def _tex(text: str) -> str:
    """A formula in TeX as text: its document around it, braces and fonts go, names of characters are these."""
    text = text.rpartition(r"\begin{document}")[2].partition(r"\end{document}")[0]
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\([A-Za-z]+)\s*", lambda match: html5.get(f"{match[1]};", ""), text)
    return re.sub(r"[${}_\\]", "", re.sub(r"\\[,;:! ]|~", " ", text)).strip()


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
        named = _NAME.search(before.rstrip(".,;:"))
        number = before[-1:].isdigit() and not named
        if number and (_POWER.fullmatch(inner) or _POWER_OF_TEN.search(f"{before}\0{inner}")):
            writer.add(f"^{inner.replace(' ', '')}")
            return
        word = _WORD.search(before.rstrip(".,;:"))
        after = named or before[-1:] in tuple(".,;:") or (word and not _UNIT.fullmatch(word[1]))
        refers = bool(_NUMBERS.fullmatch(inner.strip("()[]")) and (after or (number and len(inner) > 1)))
        if not refers and not (word and len(word[1]) > 3 and inner[0].isalnum()):
            writer.add(inner)
            return
    elif element.tag == "xref" and not raised:
        series = re.search(r"\][,;–−-]?$", before)
        refers = kind in _CALLS and bool(series or (glued and inner[0].isalnum()))
        if not refers:
            whole = inner[0].isalnum() and re.search(r"[^\W\d_]{2,}$", before)
            writer.add(" " * bool(whole or (inner[0].isdigit() and before[-1:].isdigit())) + inner)
            return
    gap = " " if before and not before[-1].isspace() and before[-1] not in "([–-/" else ""
    bare = not refers or inner[0] in "[(" or before[-1:] in ("[", "(")
    writer.add(gap + (inner if bare else f"[{inner}]"))
    writer.apart = True


def caption_of(figure: Element, around: str, language: str) -> tuple[str, str]:
    """Title and paragraphs as sentences, and the language that they are in.

    They are those of the captions of a figure, group or picture, then what it says outside of them.

    Args:
        around: the language of its surroundings.
        language: the one that is taken where there are several, as ISO 639 code; else the first is.
    """
    captions = [block for caption in figure.findall("caption") for block in _blocks(caption, around)]
    blocks = captions + list(_blocks(figure, around, _LEGEND))
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
    """The language of ``xml:lang``, in two letters where there are such, or that of the surroundings."""
    code = re.split(r"[-_]", element.get("lang", "").strip().lower())[0]
    return _TWO_LETTERS.get(code, code) or around


def _blocks(element: Element, around: str, only: frozenset[str] | None = None) -> Iterator[tuple[str, str]]:
    """Language and text of each block; text outside of paragraphs is a block too, a label is none.

    Args:
        only: the elements that are read; of a figure not its graphics and whatever else it holds.
    """
    code = language_of(element, around)
    loose = _Writer()
    loose.add(element.text)
    for child in element:
        if only is not None and child.tag not in only:
            loose.add(" ")
        elif child.tag in _BLOCKS:
            yield code, loose.text()
            loose = _Writer()
            if child.tag != "label":
                yield language_of(child, code), text_of(child)
        else:
            _write_part(loose, child)
        loose.add(child.tail)
    yield code, loose.text()
