"""OBO Graphs JSON (https://github.com/geneontology/obographs): read ``hp.json``, and write what others read.

HPO publishes each release in this format too, and fenominal and hpo-toolkit read no other. Written is what the
tables hold: live terms with label, definition, comment, synonyms and alternative ids, and ``is_a`` edges.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import DamagedError
from phenolip_lib.core.storage import write_json
from phenolip_lib.ontology.entries import Entries, Entry, Report, curie, is_hpo, shown
from phenolip_lib.ontology.ontology import Ontology

PURL = "http://purl.obolibrary.org/obo/"
PREDICATES = {
    "EXACT": "hasExactSynonym",
    "NARROW": "hasNarrowSynonym",
    "BROAD": "hasBroadSynonym",
    "RELATED": "hasRelatedSynonym",
}
OBO_IN_OWL = "http://www.geneontology.org/formats/oboInOwl#"
ALTERNATIVE_ID = OBO_IN_OWL + "hasAlternativeId"
REPLACED_BY, REASON, MERGED = PURL + "IAO_0100001", PURL + "IAO_0000231", PURL + "IAO_0000227"
YES = (True, "true")
"""Of a node that is obsolete. One that was merged is in OBO no term, only an alternative id of its successor."""
IS_A = ("is_a", "subClassOf", "http://www.w3.org/2000/01/rdf-schema#subClassOf")


def purl(curie: str) -> str:
    """``HP:0000118`` -> ``http://purl.obolibrary.org/obo/HP_0000118``."""
    return PURL + curie.replace(":", "_", 1)


def write_obographs(onto: Ontology, path: Path) -> Path:
    """Write `onto` to `path`; equal ontologies give equal bytes."""
    synonyms: dict[str, list[dict]] = {}
    for row in onto.tables["synonyms"].itertuples(index=False):
        synonyms.setdefault(row.hpo_id, []).append({"pred": PREDICATES[row.scope], "val": row.synonym})
    old: dict[str, list[dict]] = {}
    for old_id, hpo_id in sorted(onto.replaced.items()):
        old.setdefault(hpo_id, []).append({"pred": ALTERNATIVE_ID, "val": old_id})
    nodes = []
    for row in onto.tables["terms"].itertuples(index=False):
        meta = {
            "definition": {"val": row.definition},
            "comments": [row.comment],
            "synonyms": synonyms.get(row.hpo_id, []),
            "basicPropertyValues": old.get(row.hpo_id, []),
        }
        meta = {key: value for key, value in meta.items() if value not in ([], [""], {"val": ""})}
        nodes.append({"id": purl(row.hpo_id), "lbl": row.name, "type": "CLASS", "meta": meta})
    edges = [
        {"sub": purl(row.child), "pred": "is_a", "obj": purl(row.parent)}
        for row in onto.tables["edges"].itertuples(index=False)
    ]
    graph = {
        "id": PURL + "hp.json",
        "meta": {"version": PURL + f"hp/releases/{onto.release.rpartition('/')[2]}/hp.json"},
        "nodes": nodes,
        "edges": edges,
    }
    write_json(path, {"graphs": [graph]})
    return path


def read_obographs(text: str, name: str) -> Entries:
    """The terms of ``hp.json``, as `obo.read_obo` gives those of the same release in OBO.

    Args:
        text: of the file.
        name: of the file, for reports and messages.

    Raises:
        DamagedError: cut, no JSON, or no OBO Graphs document.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise DamagedError(f"{name}: the file ends in the middle; it is truncated, fetch it again") from None
        raise DamagedError(f"{name}: no valid JSON, line {error.lineno} ({error.msg})") from None
    except (RecursionError, ValueError):  # a number of thousands of digits is a ValueError
        raise DamagedError(f"{name}: no JSON that can be read") from None
    graphs = [graph for graph in _list(document, "graphs") if isinstance(graph, dict)]
    if not graphs:
        raise DamagedError(f"{name}: is JSON but no OBO Graphs document; take hp.json or hp.obo of a release")
    found = Entries("unknown", [], [])
    terms: dict[str, Entry] = {}
    stated: dict[str, dict] = {}
    merged: list[tuple[str, str]] = []
    for graph in graphs:
        if found.release == "unknown":
            found.release = _release(_dict(graph, "meta"))
        for node in _list(graph, "nodes"):
            identifier = curie(_text(node, "id"))
            if not is_hpo(identifier) or _text(node, "type").upper() not in ("", "CLASS"):
                continue
            if identifier in stated and (len(graphs) > 1 or node == stated[identifier]):
                found.reports.append(Report(f"{name}, {shown(identifier)}", _text(node, "lbl"), "stated a second time"))
                continue
            stated[identifier] = node
            where = f"{name}, {shown(identifier)}"
            facts = _facts(_dict(node, "meta"))
            if _dict(node, "meta").get("deprecated") in YES and MERGED in facts.get(REASON, ()):
                merged += [(identifier, curie(new)) for new in facts.get(REPLACED_BY, ())]
                continue
            terms[identifier] = _entry(node, identifier, where, facts, found.reports)
            found.terms.append(terms[identifier])
    for graph in graphs:
        for edge in _list(graph, "edges"):
            child, parent = curie(_text(edge, "sub")), curie(_text(edge, "obj"))
            if _text(edge, "pred") not in IS_A or not is_hpo(child):
                continue
            if child not in stated:
                found.reports.append(Report(name, shown(f"{child} is_a {parent}"), "the file has no node of this id"))
            elif child in terms:
                if not parent:
                    raise DamagedError(
                        f"{name}, {shown(child)}: an is_a edge to nothing, and the graph would be wrong without it"
                    )
                terms[child].parents.append(parent)
    for old, new in merged:
        if new in terms:
            terms[new].alternative_ids.append(old)
        else:
            found.terms.append(Entry(old, f"{name}, {old}", obsolete=True, replaced_by=[new]))
    return found


def _entry(node: dict, identifier: str, where: str, facts: dict[str, list[str]], reports: list[Report]) -> Entry:
    meta = _dict(node, "meta")
    if meta.get("deprecated") not in (None, False, "false", *YES):
        told = shown(repr(meta["deprecated"]))
        raise DamagedError(
            f"{where}: deprecated {told} is neither true nor false, and the graph would be wrong without it"
        )
    reports += _odd(node, where)
    comments = [c for c in _list(meta, "comments") if isinstance(c, str)]
    entry = Entry(
        identifier,
        where,
        name=" ".join(_text(node, "lbl").split()),
        definition=_text(_dict(meta, "definition"), "val").strip(),
        comment=" ".join(filter(None, map(str.strip, comments))),
        xrefs=[xref for x in _list(meta, "xrefs") if (xref := _text(x, "val").split(" ")[0])],
        obsolete=meta.get("deprecated") in YES,
        alternative_ids=[curie(i) for i in facts.get(ALTERNATIVE_ID, ())],
        replaced_by=[curie(i) for i in facts.get(REPLACED_BY, ())],
        consider=[curie(i) for i in facts.get(OBO_IN_OWL + "consider", ())],
    )
    scopes = {predicate: scope for scope, predicate in PREDICATES.items()}
    for synonym in _list(meta, "synonyms"):
        text, predicate = " ".join(_text(synonym, "val").split()), _text(synonym, "pred").rpartition("#")[2]
        if not text:
            reports.append(Report(where, json.dumps(synonym, ensure_ascii=False), "an empty synonym"))
            continue
        if predicate not in scopes:
            reports.append(Report(where, text, f"{predicate or 'nothing'} is no scope; the synonym is kept as related"))
        kind = _text(synonym, "synonymType")
        kind = kind.rpartition("#")[2] if "#" in kind else curie(kind)
        entry.synonyms.append((text, scopes.get(predicate, "RELATED"), kind))
    return entry


def _odd(node: dict, where: str) -> list[Report]:
    """What stands where the format has something else, and is not read."""
    meta = _dict(node, "meta")
    lists = ("comments", "synonyms", "xrefs", "basicPropertyValues")
    odd = {key: meta.get(key) for key in lists if not isinstance(meta.get(key) or [], list)}
    odd |= {"meta": node["meta"]} if not isinstance(node.get("meta") or {}, dict) else {}
    odd |= {"definition": meta["definition"]} if meta.get("definition") and not _text(meta["definition"], "val") else {}
    parts = [("xrefs", x) for x in _list(meta, "xrefs") if not _text(x, "val").strip()]
    parts += [("comments", c) for c in _list(meta, "comments") if not isinstance(c, str)]
    return [
        Report(where, shown(json.dumps(value, ensure_ascii=False)), f"not of the form in which the format has {key}")
        for key, value in [*odd.items(), *parts]
    ]


def _facts(meta: dict) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for value in _list(meta, "basicPropertyValues"):
        if text := _text(value, "val"):
            found.setdefault(_text(value, "pred"), []).append(text)
    return found


def _release(meta: dict) -> str:
    """``hp/releases/2025-01-16``, as OBO has it, of the address of a version."""
    version = _text(meta, "version").removeprefix(PURL)
    stated = _facts(meta).get("http://www.w3.org/2002/07/owl#versionInfo", ["unknown"])[0]
    head, _, last = version.rpartition("/")
    return (head if last.startswith("hp") and head else version) or stated


def _text(thing: Any, key: str) -> str:
    value = thing.get(key) if isinstance(thing, dict) else None
    return value if isinstance(value, str) else ""


def _list(thing: Any, key: str) -> list:
    value = thing.get(key) if isinstance(thing, dict) else None
    return value if isinstance(value, list) else []


def _dict(thing: Any, key: str) -> dict:
    value = thing.get(key) if isinstance(thing, dict) else None
    return value if isinstance(value, dict) else {}
