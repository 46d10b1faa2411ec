"""Whether a name found in a text means the finding there: homographs, acronyms, compounds, headings."""

from __future__ import annotations

import re

from phenolip_lib.recognition.families import Form
from phenolip_lib.recognition.vocabulary import (
    AMBIGUOUS_ACRONYMS,
    FUNCTION_WORDS,
    HEADINGS,
    HOMOGRAPHS,
    MODIFIERS,
    NOT_OF_A_PATIENT,
)

NEAR = 48
"""Characters on each side that tell which sense of a word is meant."""
_ANSWERS = frozenset("no yes none nil absent present negative positive denied free".split())
_BEFORE_HYPHEN = frozenset("non sided onset grade stage".split()) | MODIFIERS | FUNCTION_WORDS
"""Beginnings of compounds that leave the rest its meaning: "bilateral-hydronephrosis", "non-dysmorphic"."""
_REFUSING = frozenset("anti pre pseudo post ante inter sub".split())
"""Beginnings that make something else of any noun: "anti-seizure", "pre-eclampsia"."""
_HYPHENS = ("-", "\u2013")
_left_part, _right_part = re.compile(r"([A-Za-z0-9]{1,24})[-\u2013]\Z"), re.compile(r"[-\u2013]([A-Za-z]{1,24})")
_likened = re.compile(r"\b([a-z]+)-(?:shaped|like|sized|colou?red|type|related|induced|associated)\b")
_adjectival = re.compile(r"(?:al|ar|ic|id|ous|ed)$")


def _sides(table: str) -> dict[str, tuple[re.Pattern[str], re.Pattern[str]]]:
    found = {}
    for row in " ".join(table.split()).split(";"):
        word, said = row.split(": ")
        before, after = said.split("_")
        found[word.strip()] = _side(before, True), _side(after, False)
    return found


def _side(words: str, before: bool) -> re.Pattern[str]:
    if not words.strip():
        return re.compile(r"(?!)")
    either = "|".join(r"[\s-]+".join(word.split()) for word in words.split(","))
    return re.compile(rf"\b(?:{either})[\s-]+\Z" if before else rf"[\s-]+(?:{either})\b", re.IGNORECASE)


_homographs = _sides(HOMOGRAPHS)
_elsewhere = re.compile(rf"\s+(?:{'|'.join(NOT_OF_A_PATIENT.split())})\b", re.IGNORECASE)
_artery = re.compile(r"\b(?:RCA|LAD|LCX|circumflex|coronary|dominan\w+|stent\w*|stenos\w+|descending|arises?|OM\d?)\b")


def means(form: Form, text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]``, worded like `form`, is that finding."""
    surface = text[start:end]
    if len(form.words) == 1:
        if not _as_written(form, text, start, end) or _is_heading(text, start, end, form.words[0]):
            return False
        if form.words[0] in _homographs:
            before, after = _homographs[form.words[0]]
            if before.search(text, max(start - NEAR, 0), start) or after.match(text, end):
                return False
    if surface == "PDA" and _artery.search(text, max(start - NEAR, 0), end + NEAR):
        return False  # the posterior descending artery
    return not (_elsewhere.match(text, end) or _cuts_compound(form, text, start, end))


def _cuts_compound(form: Form, text: str, start: int, end: int) -> bool:
    """Whether a finding is only a part of a compound that says something else: "swan-neck deformity"."""
    if text[start - 1 : start] in _HYPHENS and (before := _left_part.search(text, max(start - 25, 0), start)):
        left, beyond = before[1].lower(), any(mark.isspace() for mark in text[start:end])
        if left in _REFUSING or (beyond and not left.isdigit() and left not in _BEFORE_HYPHEN):
            return True
    if text[end : end + 1] in _HYPHENS and (behind := _right_part.match(text, end)):
        right = behind[1].lower()
        if right not in _ANSWERS and right not in MODIFIERS and not behind[1].isupper():
            return True
    if "-" not in text[start:end]:
        return False
    likened = _likened.search(text[start:end].lower())
    return bool(likened) and not (
        _adjectival.search(likened[1]) or likened[1] in re.findall(r"[a-z]+", form.original.lower())
    )


def _as_written(form: Form, text: str, start: int, end: int) -> bool:
    """Acronyms count only as written: "ALL" is a leukaemia, "all" is not, and "PICA" is an artery.

    Where all is in capitals, a short word may be just a word.
    """
    surface = text[start:end]
    if form.original.isupper():
        return surface.isupper() and surface not in AMBIGUOUS_ACRONYMS
    return len(surface) > 4 or not surface.isupper() or not _any_lower(text, start, end)


def _any_lower(text: str, start: int, end: int) -> bool:
    around = text[max(start - NEAR, 0) : start] + text[end : end + NEAR]
    return around.upper() != around


def _is_heading(text: str, start: int, end: int, word: str) -> bool:
    """Whether a word that is also a subject heading stands alone on its line, or before a colon."""
    if word not in HEADINGS:
        return False
    line = text[max(start - NEAR, 0) : start]
    before = line[line.rfind("\n") + 1 :]
    after = text[end : end + NEAR].partition("\n")[0].strip()
    return not before.strip(" -*\t") and (not after or after[0] in ":;,/|")
