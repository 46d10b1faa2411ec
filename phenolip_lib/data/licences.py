"""Licences: free texts to SPDX ids, and what each licence allows.

The table is a declared reading for choosing data, not legal advice: an unknown licence allows nothing
beyond looking at what one already has.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from phenolip_lib.core.errors import PhenoLIPError

USES = ("any", "redistribution", "commercial")
"""``any``: research on one's own copy; ``redistribution``: passing adapted data on; ``commercial``: commercial use."""
UNKNOWN = "NOASSERTION"
"""SPDX's word for a licence nobody stated."""

_FREE = frozenset({"redistribution", "commercial"})
PERMISSIONS: dict[str, frozenset[str]] = {
    "CC0": _FREE,
    "CC-PDM": _FREE,
    "CC-BY": _FREE,
    "CC-BY-SA": _FREE,
    "CC-BY-NC": frozenset({"redistribution"}),
    "CC-BY-NC-SA": frozenset({"redistribution"}),
    # Crops, panels and rewritten captions are adaptations, which ND does not let one pass on.
    "CC-BY-ND": frozenset({"commercial"}),
    "CC-BY-NC-ND": frozenset(),
    "MIT": _FREE,
    "Apache": _FREE,
    "LicenseRef-public-domain": _FREE,
    "LicenseRef-NLM-MedPix": frozenset(),
    UNKNOWN: frozenset(),
}
"""Licence without its version -> uses it allows beside ``any``; one that is not here allows ``any`` alone."""

_CC_URL = re.compile(
    r"creativecommons\.org/(licen[cs]es|publicdomain)/([a-z+-]+(?:\s?-?\s?\b(?:nc|nd|sa)\b)*)(?:/\s?(\d\.\d))?",
    re.IGNORECASE,
)
_CC_SHORT = re.compile(
    r"\bCC[\s_-]*(BY(?:[\s_-]*(?:NC|ND|SA))*)(?![a-z])[\s_-]*(?:licen[cs]e)?[\s,]*(?:v(?:ersion)?\.?\s*)?([1-4](?:\.\d)?)?\b",
    re.IGNORECASE,
)
_CC0 = re.compile(r"\bCC[\s_-]?0\b|\bCC[\s_-]?zero\b|creative commons (?:zero|0)\b", re.IGNORECASE)
_VERSION = re.compile(r"\b([1-4]\.\d)\b")
_ORDER = ("NC", "ND", "SA")
_WORDS = {"NC": r"non[\s-]*commercial", "ND": r"non?[\s-]*deriv", "SA": r"share[\s-]*alike"}
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | {"\u00ad": None, "\u200b": None})
"""Other dashes as a hyphen: a condition that is not seen would free what it binds."""


def spdx(text: str | None) -> str:
    """The SPDX id a free text or address names.

    ``CC BY-NC-SA`` without a version stays without one (``CC-BY-NC-SA``): no version is made up.
    An id that is already one, also a ``LicenseRef-``, comes back as it is; what is not understood
    becomes ``NOASSERTION``.

    >>> spdx("https://creativecommons.org/licenses/by-nc/4.0/")
    'CC-BY-NC-4.0'
    >>> spdx("Creative Commons Attribution 4.0")
    'CC-BY-4.0'
    """
    text = " ".join(unquote(text or "").translate(_HYPHENS).split())
    if re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+|CC-PDM-1\.0", text):
        return text
    # Articles under an attribution licence often say that their data are CC0: attribution goes first.
    for match in sorted(_CC_URL.finditer(text), key=lambda m: m[1].lower() == "publicdomain"):
        kind, code, version = match[1].lower(), match[2].lower(), match[3]
        if kind == "publicdomain":
            return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}.get(code, UNKNOWN)
        return _creative_commons(code.upper(), version)
    if match := _CC_SHORT.search(text):
        return _creative_commons(match[1].upper(), match[2])
    if re.search(r"creative commons", text, re.IGNORECASE) and re.search(r"attribution", text, re.IGNORECASE):
        parts = [part for part, words in _WORDS.items() if re.search(words, text, re.IGNORECASE)]
        version = _VERSION.search(text)
        return _creative_commons("-".join(["BY", *parts]), version[1] if version else None)
    if _CC0.search(text):
        return "CC0-1.0"
    if re.search(r"(?<!\bnot )(?<!\bnot in )(?<!\bnot in the )\bpublic[\s-]domain\b", text, re.IGNORECASE):
        return "LicenseRef-public-domain"
    if re.fullmatch(r"(?:the )?MIT(?:[\s-]licen[cs]e)?", text, re.IGNORECASE):
        return "MIT"
    if re.fullmatch(r"Apache(?:[\s-]licen[cs]e)?(?:,? ?(?:v|version )?|-)2(?:\.0)?", text, re.IGNORECASE):
        return "Apache-2.0"
    return UNKNOWN


def _creative_commons(code: str, version: str | None) -> str:
    parts = set(re.findall(r"BY|NC|ND|SA", code))
    if "BY" not in parts or {"ND", "SA"} <= parts:
        return UNKNOWN
    if version and "." not in version:
        version += ".0"
    return "-".join(["CC-BY", *(p for p in _ORDER if p in parts), *([version] if version else [])])


def use_allowed(licence: str, use: str) -> bool:
    """Whether a licence allows a use; a CC or Apache id counts with any version, also without one.

    Raises:
        PhenoLIPError: the use is not one of `USES`.
    """
    if use not in USES:
        raise PhenoLIPError(f"unknown use {use!r} of data; there are {', '.join(USES)}")
    return use == "any" or use in PERMISSIONS.get(re.sub(r"-\d\.\d$", "", licence), frozenset())
