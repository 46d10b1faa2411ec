"""Phenotype labels as people write them: ids, addresses, names, names with ids, and lists of any of these.

``HP:0001640``, ``HP_0001640``, ``HP0001640``, ``http://purl.obolibrary.org/obo/HP_0001640``, ``Cardiomegaly``,
``Cardiomegaly (HP:0001640)``, ``HP:0001640 ! Cardiomegaly``, separated by ``;``, ``|``, line breaks or commas. Names of
phenotypes hold commas themselves ("Intellectual disability, mild"), so what commas mean is decided with an ontology:
the longest run of parts that is a name is one. So are parts between slashes or "and", where each is a name. What is
denied (``NOT HP:0001640``, ``HP:0001640 (absent)``) is no label.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phenolip_lib.ontology.ontology import Ontology

_ID = re.compile(
    # Also at the end of an address, or of one that is quoted within another; what follows there belongs to it.
    r"(?P<address><?https?://[^\s<>,;|]{0,300}?|\bobo:)?(?:(?<![A-Za-z0-9])|(?<=%2F)|(?<=252F))"
    r"HPO?[:_ -]?(?P<id>\d{7})(?!\d)(?(address)[^\s<>,;|)\]\"']*>?)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]")
_EDGE = " \t\"'`[](){}<>!-–—:=.*•"
_DENIAL = re.compile(
    r"^(?:no|not|without|absent|absence of|excluded|denie[sd]|negative(?: for)?|ruled out)\b"
    r"|\b(?:no|not present|absent|excluded|denied|negative|ruled out|false|0)$",
    re.IGNORECASE,
)
_AND = re.compile(r"\s*[/&+]\s*|\s+and\s+", re.IGNORECASE)
MOST_COMMAS = 8
"""Parts that one name is looked for in; HPO's longest names have fewer."""
_WORDS = """
na, n/a, n / a, n.a, nan, nat, none, null, nil, unk, unknown, unspecified, undefined, missing, tbd, empty, blank, xx,
xxx, xxxx, n/k, n.k, n/d, n.d, no data, no id, no patient, no information, none given, none stated, none recorded,
withheld, redacted, removed, masked, anon, anonymous, anonymised, anonymized, deidentified, de-identified,
unidentified, undisclosed, not available, not applicable, not known, not stated, not specified, not provided, not
reported, not recorded, not given, not documented, not determined, not disclosed
"""
UNSTATED = frozenset(" ".join(_WORDS.split()).split(", ")) | {""}
"""What tables hold where nothing is known, in lower case and without marks around it."""


def stated(text: str) -> str:
    """A cell without white space around it; empty if it says that nothing is known, as ``NA``, ``(none)`` or ``?`` do.

    As a patient or group such a word would make one group of all whose patient is unknown.
    """
    text = text.strip()
    plain = text.casefold().strip(f"{_EDGE}#?_,;")
    return "" if plain in UNSTATED else text


def split_labels(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """HPO ids, and texts with names of phenotypes for `read_labels`, each sorted, of labels that may be either."""
    ids: set[str] = set()
    names: set[str] = set()
    for text in texts:
        for part in re.split(r"[;|\t\r\n]+", unicodedata.normalize("NFKC", text)):
            rest = _ID.sub(" ", part)
            if _WORD.search(rest):
                if any(stated(one) for one in rest.split(",")):
                    names.add(" ".join(part.split()))
            else:
                ids.update(_ids(part))
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
        ids = _ids(part)
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
        elif name and start == last and _denies(name, live, named):
            yield "", f"{part.strip()!r} says that it is absent; labels name what is there"
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
            several = [_look([one], named) for one in _AND.split(parts[start])]
            if all(several):
                yield from ((str(hpo_id), "") for hpo_id in several)
            elif stated(parts[start]):
                name = parts[start].strip(" \t\"'[]")
                yield "", f"{name!r} names no phenotype of {release}"
            start += 1


def _ids(text: str) -> list[str]:
    return [f"HP:{match['id']}" for match in _ID.finditer(text)]


def _denies(name: str, hpo_id: str, named: Mapping[str, str]) -> bool:
    """Whether words beside an id deny it: ``NOT``, ``absent``, ``= 0``, alone or with the phenotype's own name.

    A name that only sounds so, as "no ear lobe" does, is none of this id's names without its denial.
    """
    rest = _DENIAL.sub("", name)
    return rest != name and (not rest.strip(_EDGE) or _look([rest], named) == hpo_id)


def _look(parts: list[str], named: Mapping[str, str]) -> str | None:
    """The phenotype that parts between commas name together, with or without brackets and marks around them."""
    text = ", ".join(" ".join(part.split()) for part in parts).lower()
    return named.get(text, named.get(text.strip(_EDGE)))
