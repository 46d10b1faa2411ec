"""Clean captions by rules: what is of the page goes, what is of the picture stays."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?(?:i|b|u|em|strong|bold|italic|sup|sub|p|br|span|sc|xref)\b[^<>]*>", re.IGNORECASE)
_LABEL = re.compile(
    r"^\W*(?:(?:supplementary|supplemental|extended data|online) )?"
    r"(?:fig(?:ure|\.)?s?\.?\s*[A-Z]?\d+[a-z]?\b(?:\s*[.:|–—-])*"
    r"|(?:plate|image)\.?\s*[A-Z]?\d+[a-z]?\b(?:\s*[.:|–—-]+(?=\s|$)|\s*$))"  # "Image 3 weeks later" is no label
    r"\s*",
    re.IGNORECASE,
)
_AUTHORS = r"(?:(?:van|von|de|der|den|el) )*[A-Z][\w’'-]+(?: [A-Z]{1,2})? et al\b\.?,?(?: \d{4}[a-z]?)?"
_CITATION = re.compile(
    r"\s*\[\s*\d+(?:\s*[-–,;]\s*\d+)*\s*\]"
    rf"|\s*\((?:(?:see|e\.g\.,?|(?:adapted |modified |reproduced )?from) )?{_AUTHORS}(?:[;,] {_AUTHORS})*\)"
)
_LETTER = r"(?:[A-KM-QS-Za-z]|[ivx]{1,4})"
_PANELS = re.compile(rf"\({_LETTER}(?:\s*(?:[-–,&]|and|to)\s*{_LETTER})*\)[:.]?\s*|(?:^|(?<=[.;]\s))[A-Za-h][:)]\s+")
_BRACKETS = re.compile(r"\s*\(([^()]*)\)")
_POINTERS = frozenset("arrow arrows arrowhead arrowheads asterisk asterisks star stars circle circles * ** † #".split())
_POINTER_WORDS = _POINTERS | frozenset(
    "white black red yellow blue green orange open closed solid dashed dotted thick thin long short large small curved "
    "straight double single head heads and or in on with left right upper lower panel panels the both".split()
)
_NOTES = frozenset("bar bars magnification magnifications stain staining text".split())
_REFERENCES = _NOTES | frozenset("see cf fig figs figure figures table tables supplementary appendix".split())
_PAGE_WORDS = (
    _REFERENCES
    | _POINTER_WORDS
    | frozenset(
        "scale original objective please also refer main for more further details detail explanation information of "
        "above below supplemental supporting is are equal equals represent represents indicate indicates denote "
        "denotes all each length nm µm μm um mm cm micron microns micrometer micrometers hematoxylin haematoxylin "
        "eosin he periodic acid schiff pas masson trichrome giemsa wright gomori may grünwald grunwald".split()
    )
)
"""Words of remarks on the page or the preparation; one other word, and the remark stays."""
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=\S)")


def clean_caption(text: str) -> str:
    """A caption without what is of the page and not of the picture; findings stay.

    Removes HTML, figure labels, panel letters, citations, remarks such as "(see text)" and "(arrow)",
    and sentences of scale bars, magnification and stain alone. Cleaning twice changes nothing more; what
    is left may be empty.
    """
    before = None
    while text != before:
        before, text = text, _cleaned(text)
    return text


def _cleaned(text: str) -> str:
    text = _TAG.sub("", html.unescape(text))
    text = _LABEL.sub("", " ".join(text.split()))
    text = _CITATION.sub("", text)
    text = _PANELS.sub("", text)
    text = _BRACKETS.sub(lambda m: "" if _is_aside(m.group(1)) else m.group(), text)
    text = re.sub(r"[,;]\s*(?:scale )?bars?\W*\d[\d.]*\s*[nµμcm]?m\b", "", text, flags=re.IGNORECASE)
    text = " ".join(s for s in _SENTENCE.split(text) if not _of_page(s, _NOTES))
    text = re.sub(r"\s+([,.;:])", r"\1", " ".join(text.split()))
    text = re.sub(r"([,;:])(?=[.;])|(?<=\.)\.(?!\.)(?<!\.\.\.)", "", text).strip(" ,;:|")
    text = re.sub(r"^[.)\]]+\s*|;$", "", text)
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\b", text) else text


def _is_aside(inner: str) -> bool:
    return not inner.strip(" ,;.") or _of_page(inner, _REFERENCES | _POINTERS)


def _of_page(text: str, marks: frozenset[str]) -> bool:
    """Whether a text has one of some marks, or a magnification, and no word that could be of the picture."""
    words = re.findall(r"[^\W_]+|[*†#]", text.lower())
    marked = not marks.isdisjoint(words) or re.search(r"[x×]\s?\d{2,}|\d{2,}\s?[x×](?!\w)", text.lower())
    return bool(marked) and all(w in _PAGE_WORDS or len(w) == 1 or re.fullmatch(r"[sx]?\d+\w{0,2}", w) for w in words)
