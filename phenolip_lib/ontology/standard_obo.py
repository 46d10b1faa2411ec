"""Read OBO with pronto, as far as the file keeps to the standard.

There are two readers. pronto, with the parser fastobo of the format's authors, is the one for standard files. It
refuses a whole file for one odd statement, though (or panics, which is no `Exception`), and it keeps silent where it
merges stanzas of one id, takes the last of two names, leaves out a parent that is the term itself, or reads a cut
file up to the cut. Such files go to `obo.read_obo`, which reads what can be read and reports or refuses the rest.
Both give the same tables for a standard file.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from phenolip_lib.core.runtime import log
from phenolip_lib.ontology.entries import Entries, Entry, curie, is_hpo
from phenolip_lib.ontology.obo import may_end, unescaped

if TYPE_CHECKING:
    from pronto import Term

_FIELDS = {
    **{"name": "name", "def": "definition", "comment": "comment", "is_obsolete": "obsolete", "synonym": "synonyms"},
    **{"xref": "xrefs", "is_a": "parents", "alt_id": "alternative_ids", "replaced_by": "replaced_by"},
    **{"consider": "consider"},
}
"""Statements that tables hold, and where an `Entry` has them."""
_OTHERWISE = re.compile(r"^(?:name|comment|data-version):.*[^\s\\]!|\\$|\\W", re.MULTILINE)
"""fastobo ends a text at an exclamation mark without a space before it, too, makes a space of a line carried on, and
of an escaped space the letter W."""


def read_standard_obo(text: str, name: str) -> Entries | None:
    """The terms of a file as pronto has them; None where it cannot read it or has not kept all that it states.

    Args:
        text: of the file, lines end with ``\\n``.
        name: of the file, for reports.
    """
    stated, lines, inside = Counter(dict.fromkeys(_FIELDS, 0)), [], False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("["):
            inside = line.startswith("[Term]")
            lines += [number] * inside
        elif inside and (tag := line.partition(":")[0]) in _FIELDS:
            stated[tag] += 1
    try:
        release, found = _parse(text)
        terms = [_entry(term, f"{name}, line {line}") for term, line in zip(found, lines, strict=True)]
    except BaseException as error:  # a panic of fastobo derives from no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        log.info("%s is read line by line: pronto cannot (%s)", name, " ".join(str(error).split())[:160])
        return None
    kept = Counter({tag: sum(_number(getattr(term, field)) for term in terms) for tag, field in _FIELDS.items()})
    if kept != stated or not text.endswith("\n") or _OTHERWISE.search(text) or (inside and not may_end(terms[-1])):
        log.info("%s is read line by line: pronto would not keep all that it states", name)
        return None
    return Entries(release, [term for term in terms if is_hpo(term.hpo_id)], [])


def _number(value: str | bool | list) -> int:
    """How many statements a field holds; an empty text counts as none."""
    return sum(bool(said[0]) for said in value) if isinstance(value, list) else bool(value)


def _parse(text: str) -> tuple[str, list[Term]]:
    from pronto import Ontology  # its import is slow and only this function needs it

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pronto warns of xref details that HPO is full of
        path = Path(folder) / "hp.obo"  # of an open file pronto guesses the encoding, whatever it is told
        # fastobo 0.14.2 panics at a line of remarks inside a stanza, and prints that past Python.
        path.write_text(re.sub(r"(?m)^[ \t]*!.*\n", "", text), encoding="utf-8", newline="\n")
        onto = Ontology(str(path), import_depth=0, encoding="utf-8", threads=1)
        return (onto.metadata.data_version or "").strip() or "unknown", list(onto.terms())


def _id(written: str) -> str:
    """An id of pronto's, which has it as a file would."""
    return curie(unescaped(written))


def _entry(term: Term, where: str) -> Entry:
    return Entry(
        _id(term.id),
        where,
        name=" ".join((term.name or "").split()),
        definition=str(term.definition or "").strip(),
        comment=(term.comment or "").strip(),
        synonyms=[
            (" ".join(said.description.split()), said.scope, _id(said.type.id) if said.type else "")
            for said in term.synonyms
        ],
        xrefs=[unescaped(xref.id) for xref in term.xrefs],
        parents=[_id(parent.id) for parent in term.superclasses(distance=1, with_self=False)],
        alternative_ids=[_id(old) for old in term.alternate_ids],
        obsolete=term.obsolete,
        replaced_by=[_id(new) for new in term.replaced_by.ids],
        consider=[_id(new) for new in term.consider.ids],
    )
