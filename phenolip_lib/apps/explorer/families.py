"""What the page's search knows of words: which are one word in other forms, and which may stand for another.

These are the recogniser's word families (`recognition.families`), written for the words of the page.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.families import Families, forms
from phenolip_lib.recognition.morphology import IRREGULAR, lemma
from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS, SAME

_word = re.compile(r"[^\W_]+")
_UNSAID = ""
"""Family of the words without meaning; it sorts first."""


def word_families(onto: Ontology, texts: Iterable[str]) -> dict[str, Any]:
    """Families of the words of `texts`, and of those that the recogniser knows without the ontology.

    A word that is in no group is a family of its own.

    Returns:
        ``groups``: words of a family, joined by blanks; the first group holds the words without meaning.
        ``stands``: [family, price in hundredths, families of a name that it may stand for, families one of which
        the name must hold as well]; the last list is empty where the company does not matter.
    """
    families = Families(forms(onto))
    members: dict[str, set[str]] = defaultdict(set)
    for word in {*_words(texts), *IRREGULAR, *_word.findall(SAME), *FUNCTION_WORDS}:
        members[_UNSAID if word in FUNCTION_WORDS else families.family(lemma(word)) or lemma(word)].add(word)
    stands = [each for each in _stands(families) if {each[0], *each[2]} <= members.keys()]
    said = {name for one, _, others, beside in stands for name in (one, *others, *beside)}
    kept = [name for name in sorted(members) if name in said or len(members[name]) > 1]
    number = {name: i for i, name in enumerate(kept)}
    return {
        "groups": [" ".join(sorted(members[name])) for name in kept],
        "stands": [
            [number[one], price, [number[name] for name in others], sorted(number[name] for name in beside)]
            for one, price, others, beside in stands
        ],
    }


def _words(texts: Iterable[str]) -> set[str]:
    """The words of the texts as the page folds them: in lower case, without accents."""
    plain = unicodedata.normalize("NFD", "\n".join(texts))
    return set(_word.findall("".join(c for c in plain if not unicodedata.category(c).startswith("M")).lower()))


def _stands(families: Families) -> list[tuple[str, int, tuple[str, ...], frozenset[str]]]:
    """Every family that may be said in place of one of a name, or of two, sorted."""

    def each() -> Iterator[tuple[str, int, tuple[str, ...], frozenset[str]]]:
        for named, options in families.replaces.items():
            for said, (price, beside) in options.items():
                if len(said) == 1:
                    yield said[0], round(100 * price), (named,), frozenset(beside or ())
        for two, (one, price, beside) in families.shortens.items():
            yield one, round(100 * price), tuple(sorted(two)), frozenset(beside)

    return sorted(each(), key=lambda one: one[:3])
