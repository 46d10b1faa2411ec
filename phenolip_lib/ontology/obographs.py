"""Write the ontology as OBO Graphs JSON, the format fenominal and hpo-toolkit read.

https://github.com/geneontology/obographs; only what the ontology tables hold is written: live terms
with label, definition, comment, synonyms and alternative ids, and ``is_a`` edges.
"""

from __future__ import annotations

from pathlib import Path

from phenolip_lib.core.storage import write_json
from phenolip_lib.ontology.ontology import Ontology

PURL = "http://purl.obolibrary.org/obo/"
PREDICATES = {
    "EXACT": "hasExactSynonym",
    "NARROW": "hasNarrowSynonym",
    "BROAD": "hasBroadSynonym",
    "RELATED": "hasRelatedSynonym",
}
ALTERNATIVE_ID = "http://www.geneontology.org/formats/oboInOwl#hasAlternativeId"


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
