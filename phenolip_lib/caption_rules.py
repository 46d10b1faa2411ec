"""Clean captions by rules: what is of the page goes, what is of the picture stays."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?(?:i|b|u|em|strong|bold|italic|sup|sub|p|br|span|sc|xref)\b[^<>]*>", re.IGNORECASE)
_LABEL = re.compile(
    r"^\W*(?:(?:supplementary|supplemental|extended data|online) )?"
    r"(?:fig(?:ure|\.)?s?|plate|image)\.?\s*[A-Z]?\d+[a-z]?\b"
    r"(?:\s*[.:|–—-])*\s*",
    re.IGNORECASE,
)
_CITATION = re.compile(r"\s*\[\s*\d+(?:\s*[-–,;]\s*\d+)*\s*\]|\s*\([^()]*\bet al\b[^()]*\)")
_LETTER = r"(?:[A-KM-QS-Za-z]|[ivx]{1,4})"
_PANELS = re.compile(rf"\({_LETTER}(?:\s*(?:[-–,&]|and|to)\s*{_LETTER})*\)[:.]?\s*|(?:^|(?<=[.;]\s))[A-Za-h][:)]\s+")
_BRACKETS = re.compile(r"\s*\(([^()]*)\)")
_POINTERS = frozenset("arrow arrows arrowhead arrowheads asterisk asterisks star stars circle circles * ** † #".split())
_POINTER_WORDS = _POINTERS | frozenset(
    "white black red yellow blue green orange open closed solid dashed dotted thick thin long short large small curved "
    "straight double single head heads and or in on with left right upper lower panel panels the both".split()
)
_ASIDE = re.compile(
    r"(?:please )?(?:see|cf\.?|refer to) (?:also )?(?:the )?(?:main )?"
    r"(?:text|fig|table|panel|supp|appendix|below|above|ref).*"
    r"|(?:supplementary )?(?:figs?|figures?|tables?)\.? ?s?\d.*|(?:scale )?bars?\b[^a-z]*(?:[nµμm]?m|microns?)?.*\d.*",
    re.IGNORECASE,
)
_DROPPED = re.compile(
    r"(?:(?:scale )?bars?\b\W*(?:(?:is|are|equals?|represents?|indicates?|denotes?|in (?:all|both) panels)\W*)*\d.*"
    r"|(?:please )?(?:see|refer to) (?:the )?(?:main )?text\b.*)$",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=\S)")


def clean_caption(text: str) -> str:
    """A caption without what is of the page and not of the picture; findings stay.

    Removes HTML, figure labels, panel letters, citations, remarks such as "(see text)" and "(arrow)",
    and sentences about scale bars. Cleaning twice changes nothing more; what is left may be empty.
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
    text = " ".join(s for s in _SENTENCE.split(text) if not _DROPPED.match(s))
    text = re.sub(r"\s+([,.;:])", r"\1", " ".join(text.split()))
    text = re.sub(r"([,;:])(?=[.;])|(?<=\.)\.(?!\.)(?<!\.\.\.)", "", text).strip(" ,;:|")
    text = re.sub(r"^[.)\]]+\s*|;$", "", text)
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\b", text) else text


def _is_aside(inner: str) -> bool:
    words = re.findall(r"[\w*†#]+", inner.lower())
    pointing = not _POINTERS.isdisjoint(words) and all(w in _POINTER_WORDS or len(w) == 1 for w in words)
    return not inner.strip(" ,;.") or pointing or _ASIDE.fullmatch(inner.strip()) is not None
