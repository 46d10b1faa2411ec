"""Abbreviations a text defines for itself: "tethered cord (TC)", "TC (tethered cord)"."""

from __future__ import annotations

import re

from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS

Found = dict[tuple[int, int, str], None]
"""Start, end and HPO id of each mention, in insertion order."""

EXAMINATIONS = frozenset("CT MR MRI US XR CXR PET EEG ECG EKG EMG".split())
"""Examinations; in brackets behind a finding they say how it was seen: "pleural effusion (CT)"."""

_bracket = re.compile(r"\((?:([A-Z][A-Za-z]{1,6})\)|(?=[a-z]))")
_short = re.compile(r"[A-Z](?<!\w[A-Z])[A-Za-z]{1,6}\b")
_capitals = re.compile(r"\b([A-Z]{2,6}) \Z")


def expand_abbreviations(text: str, found: Found) -> Found:
    """Mentions with the abbreviations the text itself defines: "tethered cord syndrome (TCS)".

    A defined abbreviation means its long form wherever it stands, and nothing else: after
    "osteochondritis dissecans (OCD)" no OCD is an obsession, whatever the dictionary holds.
    What stands in brackets beside a mention without abbreviating it, as in "scoliosis (AP)", defines nothing.
    """
    ends = {end: (start, hpo_id) for start, end, hpo_id in found}
    begins = {start: (end, hpo_id) for start, end, hpo_id in found}
    meaning: dict[str, str] = {}
    for match in _bracket.finditer(text):
        opened = match.start() if match[1] else match.end()
        named = match if match[1] else _capitals.search(text, max(opened - 8, 0), opened - 1)
        if named is None or (short := named[1]) in EXAMINATIONS:
            continue
        before = opened
        while before and text[before - 1].isspace():
            before -= 1
        bound, hpo_id = ends.get(before, (0, "")) if match[1] else begins.get(opened, (0, ""))
        surface = text[bound:before] if match[1] else text[opened:bound]
        wide = match[1] and len(short) > 2 and _initials(text[max(opened - 120, 0) : opened], short, 2)
        if hpo_id and (wide or abbreviates(short, surface)):
            meaning[short] = hpo_id
        elif match[1] and _initials(text[max(opened - 80, 0) : opened], short):
            meaning[short] = ""
    if not meaning:
        return found
    kept = {item: None for item in found if text[item[0] : item[1]] not in meaning}
    taken = {i for start, end, _ in kept for i in range(start, end)}
    for match in _short.finditer(text):
        if meaning.get(match[0]) and match.start() not in taken:
            kept[match.start(), match.end(), meaning[match[0]]] = None
    return kept


def abbreviates(short: str, surface: str) -> bool:
    """Whether `short` can stand for `surface`: its letters in order, the first at the start of a word.

    The rule of Schwartz and Hearst (2003), a plural s aside, and read forwards: any word may be the first.
    """
    letters, surface = re.sub(r"(?<=[A-Z])s$", "", short).lower(), surface.lower()
    starts = [m.start() for m in re.finditer(r"\b" + re.escape(letters[0]), surface)]
    return any(_in_order(letters, surface[start:]) for start in starts)


def _in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _initials(before: str, short: str, spare: int = 0) -> bool:
    """Whether the last words of `before` begin with the letters of `short`, `spare` words left out."""
    words = [w for w in re.findall(r"[A-Za-z]+", before) if w.lower() not in FUNCTION_WORDS][-len(short) - spare :]
    return _in_order(short.lower(), "".join(w[0] for w in words).lower())
