"""Abbreviations a text defines for itself: "tethered cord (TC)", "TC (tethered cord)"."""

from __future__ import annotations

import re

from phenolip_lib.wording import FUNCTION_WORDS

Found = dict[tuple[int, int, str], None]
"""Start, end and HPO id of each mention, in insertion order."""

_abbreviation = re.compile(r"\(([A-Z][A-Za-z]{1,6})\)|\b([A-Z]{2,6}) \((?=[a-z])")


def expand_abbreviations(text: str, found: Found) -> Found:
    """Mentions with the abbreviations the text itself defines: "tethered cord syndrome (TCS)".

    A defined abbreviation means its long form wherever it stands, and nothing else: after
    "osteochondritis dissecans (OCD)" no OCD is an obsession, whatever the dictionary holds.
    """
    ends = {end: hpo_id for _, end, hpo_id in found}
    begins = {start: hpo_id for start, _, hpo_id in found}
    meaning: dict[str, str] = {}
    for match in _abbreviation.finditer(text):
        short, opened = match[1] or match[2], match.start() if match[1] else match.end()
        near = ends.get(len(text[:opened].rstrip())) if match[1] else begins.get(opened)
        if near is not None:
            meaning[short] = near
        elif match[1] and _initials(text[max(opened - 80, 0) : opened], short):
            meaning[short] = ""
    if not meaning:
        return found
    kept = {item: None for item in found if text[item[0] : item[1]] not in meaning}
    taken = {i for start, end, _ in kept for i in range(start, end)}
    for match in re.finditer(rf"\b(?:{'|'.join(map(re.escape, meaning))})\b", text):
        if meaning[match[0]] and match.start() not in taken:
            kept[match.start(), match.end(), meaning[match[0]]] = None
    return kept


def _initials(before: str, short: str) -> bool:
    """Whether the last words of `before` begin with the letters of `short`."""
    words = [w for w in re.findall(r"[A-Za-z]+", before) if w.lower() not in FUNCTION_WORDS][-len(short) :]
    return "".join(w[0] for w in words).lower() == short.lower()
