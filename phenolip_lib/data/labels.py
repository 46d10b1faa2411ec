"""Phenotype labels as people write them: ids, addresses, names, names with ids, and lists of any of these.

``HP:0001640``, ``HP_0001640``, ``HP0001640``, ``http://purl.obolibrary.org/obo/HP_0001640``, ``Cardiomegaly``,
``Cardiomegaly (HP:0001640)``, ``HP:0001640 ! Cardiomegaly``, separated by ``;``, ``|``, line breaks or commas. Names of
phenotypes hold commas themselves ("Intellectual disability, mild"), so what commas mean is decided with an ontology:
the longest run of parts that is a name is one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phenolip_lib.ontology.ontology import Ontology

_ID = re.compile(r"(?:<?https?://[^\s<>,;|]*?/|\bobo:)?(?<![A-Za-z0-9])HP[:_ ]?(\d{7})(?!\d)>?", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]")
_EDGE = " \t\"'`[](){}<>!-–—:=.*•"
MOST_COMMAS = 8
"""Parts that one name is looked for in; HPO's longest names have fewer."""
UNSTATED = frozenset(
    (
        "",
        "-",
        "--",
        "---",
        ".",
        "?",
        "na",
        "n/a",
        "n / a",
        "n.a.",
        "n.a",
        "#n/a",
        "nan",
        "<na>",
        "nat",
        "none",
        "null",
        "nil",
    )
    + ("unk", "unknown", "unspecified", "undefined", "missing", "tbd", "not available", "not applicable", "not known")
    + ("not stated", "not specified", "not provided", "not reported", "–", "—")
)
"""What tables hold where nothing is known, in lower case."""


def stated(text: str) -> str:
    """A cell without white space around it; empty if it says that nothing is known, as ``NA`` does.

    As a patient or group such a word would make one group of all whose patient is unknown.
    """
    text = text.strip()
    return "" if text.casefold() in UNSTATED else text


def split_labels(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """HPO ids, and texts with names of phenotypes for `read_labels`, each sorted, of labels that may be either."""
    ids: set[str] = set()
    names: set[str] = set()
    for text in texts:
        for part in re.split(r"[;|\r\n]+", unicodedata.normalize("NFKC", text)):
            rest = _ID.sub(" ", part)
            if _WORD.search(rest):
                if any(stated(one.strip(_EDGE)) for one in rest.split(",")):
                    names.add(" ".join(part.split()))
            else:
                ids.update(f"HP:{match[1]}" for match in _ID.finditer(part))
    return tuple(sorted(ids)), tuple(sorted(names))


def read_labels(text: str, onto: Ontology, named: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(live HPO id, "") of each phenotype that a text of `split_labels` names, or ("", why not).

    Args:
        named: HPO id by name in lower case, as `ontology.wordings.by_name` gives it.
    """
    release = f"HPO {onto.release}"
    if (whole := named.get(text.lower())) is not None:  # also where its name holds a bracket
        yield whole, ""
        return
    waiting: list[str] = []
    for part in text.split(","):
        ids = [f"HP:{match[1]}" for match in _ID.finditer(part)]
        if not ids:
            waiting.append(part)
            continue
        live = onto.resolve(ids[0]) if ids[0] in onto else ""
        name = " ".join(_ID.sub(" ", part).split()).strip(_EDGE)
        own = [*waiting, name] if name else waiting
        last = len(own) - bool(name)
        # The name before an id may hold commas itself: it begins where the longest name of this id does.
        starts = range(max(0, len(own) - MOST_COMMAS), len(own))
        start = next((i for i in starts if live and _look(own[i:], named) == live), last)
        other = _look(own[last:], named) if start == last else None
        yield from _names(own[:start], named, release)
        if len(ids) == 1 and live and other not in (None, live):
            yield "", f"{part.strip()!r} contradicts itself: {ids[0]} is {onto[live].name}"
        else:
            yield from ((onto.resolve(i), "") if i in onto else ("", f"{i} is not in {release}") for i in ids)
        waiting = []
    yield from _names(waiting, named, release)


def _names(parts: list[str], named: Mapping[str, str], release: str) -> Iterator[tuple[str, str]]:
    """The names that parts between commas make up, longest first."""
    start = 0
    while start < len(parts):
        for end in range(min(len(parts), start + MOST_COMMAS), start, -1):
            if (hpo_id := _look(parts[start:end], named)) is not None:
                yield hpo_id, ""
                start = end
                break
        else:
            if stated(parts[start].strip(_EDGE)):
                name = parts[start].strip(" \t\"'[]")
                yield "", f"{name!r} names no phenotype of {release}"
            start += 1


def _look(parts: list[str], named: Mapping[str, str]) -> str | None:
    """The phenotype that parts between commas name together, with or without brackets and marks around them."""
    text = ", ".join(" ".join(part.split()) for part in parts).lower()
    return named.get(text, named.get(text.strip(_EDGE)))
