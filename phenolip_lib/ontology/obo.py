"""Read OBO (format 1.0 to 1.4) that is not standard, line by line; `standard_obo` says why there are two readers.

https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html

Releases of sixteen years and hand-edited files are read as far as they can be: a statement that cannot be is
reported with its line, and the file is refused only where the graph would be wrong without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from phenolip_lib.core.errors import DamagedError
from phenolip_lib.ontology.entries import SCOPES, Entries, Entry, Report, curie, is_hpo, shown
from phenolip_lib.ontology.ontology import ROOT

_HEADER = re.compile(r"\[\s*(\w+)\s*\]\s*(?:!.*)?")
_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"(.*)', re.DOTALL)
_QUALIFIERS = re.compile(r'\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*=(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}\s*')
_REMARK = re.compile(r"(?<!\\)(?:\s!|^!).*$", re.DOTALL)
_ESCAPES = {"n": "\n", "W": " ", "t": "\t"}

GRAPH = {"id", "is_a", "is_obsolete"}
"""Statements that decide which terms there are and how they hang together."""
_LISTS = {"is_a": "parents", "alt_id": "alternative_ids", "replaced_by": "replaced_by", "consider": "consider"}
_NO_STATEMENT = "no statement of the form `tag: value`"
_OLD_SYNONYMS = {f"{scope.lower()}_synonym": scope for scope in SCOPES}
_UNUSED = {
    *("namespace", "is_anonymous", "subset", "intersection_of", "union_of", "equivalent_to", "disjoint_from"),
    *("relationship", "created_by", "creation_date", "modified_by", "modification_date", "property_value", "builtin"),
    *("use_term", "instance_of", "inverse_of", "transitive_over", "domain", "range"),
}
"""Statements of the format that no table holds."""


def read_obo(text: str, name: str) -> Entries:
    """The terms of a file.

    Args:
        text: of the file, lines end with ``\\n``.
        name: of the file, for reports and messages.

    Raises:
        DamagedError: a statement of the graph cannot be read; one line that says where.
    """
    found = Entries("unknown", [], [])
    kinds: set[str] = set()
    stanza, term, complete = "", None, True
    for number, line in _lines(text):
        where = f"{name}, line {number}"
        if line.startswith("["):
            header = _HEADER.fullmatch(line)
            if header is None:
                raise DamagedError(f"{where}: {shown(line)!r} begins no stanza that can be read")
            stanza, term, complete = header[1].lower(), None, False
            if stanza == "term":
                term = Entry("", where)
                found.terms.append(term)
            continue
        tag, value = _statement(line)
        if term is None:
            complete = True
            if not stanza and not tag:
                found.reports.append(Report(where, line, _NO_STATEMENT))
            elif not stanza and tag == "data-version":
                found.release = _plain(value) or "unknown"
            elif not stanza and tag == "synonymtypedef" and value.split():
                kinds.add(curie(value.split()[0]))
            continue
        reason, complete = _take(term, tag, value, kinds), True
        if reason and (is_hpo(term.hpo_id) or not term.hpo_id):
            if tag in GRAPH or line.split()[0].rstrip(":") in GRAPH:
                raise DamagedError(f"{where}: {shown(line)!r}: {reason}, and the graph would be wrong without it")
            found.reports.append(Report(where, line, reason))
            complete = False
    found.reports += [Report(t.where, t.name, "a term without an id") for t in found.terms if not t.hpo_id]
    last = found.terms[-1] if stanza == "term" else None
    found.terms = [t for t in found.terms if is_hpo(t.hpo_id)]
    found.cut = not ((last is None or may_end(last)) and (complete or text.endswith("\n")))
    return found


def may_end(last: Entry) -> bool:
    """Whether a file can end with this term: without typedefs after it, it has a name and a parent or needs none."""
    return last.obsolete or bool(last.name and (last.parents or last.hpo_id == ROOT))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Statements with the number of their (first) line; a backslash at the end carries on to the next."""
    begun, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        start = start or number
        line = begun + line.strip()
        if (len(line) - len(line.rstrip("\\"))) % 2:
            begun = line[:-1]
            continue
        if line and not line.startswith("!"):
            yield start, line
        begun, start = "", 0
    if begun:
        yield start, begun


def _statement(line: str) -> tuple[str, str]:
    tag, colon, value = line.partition(":")
    return (tag.strip(), value.strip()) if colon and not re.search(r"\s", tag.strip()) else ("", "")


def _take(term: Entry, tag: str, value: str, kinds: set[str]) -> str:
    """Add one statement to its term; returns why it could not be, or could not as it stands."""
    if not tag:
        return _NO_STATEMENT
    if tag in _UNUSED:
        return ""
    if tag in ("def", "synonym", *_OLD_SYNONYMS):
        quoted = _QUOTED.match(value)
        if quoted is None:
            return "a text that is not between two quotation marks"
        said = unescaped(quoted[1]).strip()
        if tag != "def":
            return _add_synonym(term, said, quoted[2], _OLD_SYNONYMS.get(tag), kinds)
        if term.definition:
            return "a second definition"
        term.definition = said
        return ""
    if tag in ("name", "comment"):
        said = _plain(value)
        if tag == "comment":
            term.comment = " ".join(filter(None, (term.comment, said.strip())))
        elif term.name:
            return "a second name"
        else:
            term.name = " ".join(said.split())
        return ""
    word = _word(value)
    if not word:
        return "nothing follows"
    if tag == "id":
        if term.hpo_id:
            return "a second id in one stanza"
        term.hpo_id = curie(word)
    elif tag == "is_obsolete":
        if word.lower() not in ("true", "false", "1", "0"):
            return "neither true nor false"
        if term.obsolete and word.lower() in ("false", "0"):
            return "it was said to be true before"
        term.obsolete = word.lower() in ("true", "1")
    elif tag == "xref" or tag.startswith("xref_"):
        term.xrefs.append(word)
    elif tag in _LISTS:
        getattr(term, _LISTS[tag]).append(curie(word))
    else:
        return f"{tag} is no statement of the OBO format"
    return ""


def _add_synonym(term: Entry, text: str, rest: str, scope: str | None, kinds: set[str]) -> str:
    """`rest` is what follows the text: scope, kind and sources; a synonym without a scope is a related one."""
    text = " ".join(text.split())
    if not text:
        return "an empty synonym"
    words = re.match(r"[^\[{]*", _REMARK.sub("", rest))[0].split()
    if words and words[0].upper() in SCOPES:
        scope = words.pop(0).upper()
    kind = curie(words[0]) if words else ""
    term.synonyms.append((text, scope or "RELATED", kind))
    return f"the file does not declare the synonym type {kind}; the synonym is kept" if {kind} - kinds - {""} else ""


def _word(value: str) -> str:
    """The first word, without a remark or qualifiers."""
    return unescaped(re.match(r"(?:\\.|[^\s!{])*", value)[0])


def _plain(value: str) -> str:
    """A text without quotes: qualifiers in braces at its end and a remark after `` !`` do not belong to it."""
    value = _REMARK.sub("", value)
    start = value.rfind("{")
    if start >= 0 and _QUALIFIERS.fullmatch(value, start):
        value = value[:start]
    return unescaped(value).strip()


def unescaped(text: str) -> str:
    """A text or an id with each escaped character as that character."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text) if "\\" in text else text
