"""PhenoKG as KGX: ``nodes.tsv`` and ``edges.tsv`` in terms of the Biolink model.

Format: https://github.com/biolink/kgx/blob/master/docs/kgx_format.md (multivalued fields joined by
``|``); categories, predicates, knowledge levels and agent types: Biolink model 4.4.6,
https://w3id.org/biolink. Biolink has no predicate for what a picture shows, so ``shows`` is written as
``biolink:mentions``; `original_predicate` keeps ours. Terms recognised in text carry the level and
agent Biolink gives to text mining.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from phenolip_lib.core.storage import atomic_folder
from phenolip_lib.graph.graph import Graph

CATEGORIES = {
    "phenotype": "biolink:PhenotypicFeature",
    "disease": "biolink:Disease",
    "image": "biolink:Publication",
    "caption": "biolink:Publication",
    "group": "biolink:Case",
    "source": "biolink:Dataset",
}
"""Biolink counts any published piece of information, and parts of one, as a publication."""

PREDICATES = {
    "is_a": ("biolink:subclass_of", "biolink:Association"),
    "shows": ("biolink:mentions", "biolink:InformationContentEntityToNamedThingAssociation"),
    "has_caption": ("biolink:related_to", "biolink:Association"),
    "mentions": ("biolink:mentions", "biolink:InformationContentEntityToNamedThingAssociation"),
    "part_of": ("biolink:part_of", "biolink:Association"),
    "from_source": ("biolink:part_of", "biolink:Association"),
    "has_phenotype": ("biolink:has_phenotype", "biolink:DiseaseToPhenotypicFeatureAssociation"),
}
CHUNK = 100_000
TEXT_MINED = ("not_provided", "text_mining_agent")
CURATED = ("knowledge_assertion", "manual_agent")
NODE_COLUMNS = ["id", "category", "name", "description", "synonym", "provided_by", "license", "xref"]
EDGE_COLUMNS = [
    "id",
    "subject",
    "predicate",
    "object",
    "category",
    "original_predicate",
    "primary_knowledge_source",
    "knowledge_level",
    "agent_type",
    "negated",
    "uncertain",
    "family",
    "field",
    "start",
    "end",
    "supporting_text",
]


def _plain(column: pd.Series) -> pd.Series:
    """Text without the characters that separate cells and lines."""
    return column.str.replace(r"\s+", " ", regex=True).str.strip()


def _multivalued(column: pd.Series) -> pd.Series:
    """Lists joined by ``|``, which the values themselves may not hold."""
    return column.map(lambda values: "|".join(" ".join(v.replace("|", "/").split()) for v in values))


def _infores(source: str) -> str:
    """The id of a data set as an information resource: Biolink wants ``infores:`` with small letters and hyphens."""
    name = unquote(source).removeprefix("phenolip:dataset/").lower()
    return f"infores:{re.sub(r'[^a-z0-9]+', '-', name).strip('-') or 'phenolip'}"


def _nodes(graph: Graph) -> list[pd.DataFrame]:
    tables = graph.nodes
    sources = graph.edges["from_source"].set_index("subject")["object"]
    images, groups, terms = tables["image"], tables["group"], tables["phenotype"]
    article = groups["kind"] == "article"
    parts = {
        "phenotype": {
            "name": terms["name"],
            "description": _plain(terms["definition"]),
            "synonym": _multivalued(terms["synonyms"]),
            "provided_by": "infores:hpo",
        },
        "disease": {"name": _plain(tables["disease"]["name"]), "provided_by": "infores:hpo-annotations"},
        "image": {
            "name": _plain(images["name"]),
            "provided_by": images["node_id"].map(sources).map(_infores),
            "license": images["licence"],
            "xref": _plain(images["url"]),
        },
        "caption": {
            "name": _plain(tables["caption"]["name"]),
            "description": _plain(tables["caption"]["text"]),
            "license": tables["caption"]["name"].map(images.set_index("name")["licence"]),
        },
        "group": {
            "name": _plain(groups["name"]),
            "xref": _multivalued(groups["articles"]),
            "category": np.where(article, "biolink:Article", CATEGORIES["group"]),
        },
        "source": {"name": _plain(tables["source"]["name"])},
    }
    return [
        pd.DataFrame({"id": tables[name]["node_id"], "category": CATEGORIES[name], **own})
        for name, own in parts.items()
    ]


def _edges(name: str, edges: pd.DataFrame, source_of: pd.Series) -> pd.DataFrame:
    """Some edges of one predicate; `source_of` gives the data set of an image or caption."""
    predicate, category = PREDICATES[name]
    source = {"is_a": "infores:hpo", "has_phenotype": "infores:hpo-annotations"}.get(name)
    level, agent = TEXT_MINED if name == "mentions" else CURATED
    table = edges.assign(
        predicate=predicate,
        category=category,
        original_predicate=f"phenolip:{name}",
        knowledge_level=level,
        agent_type=agent,
        primary_knowledge_source=source or edges["subject"].map(source_of).map(_infores),
    )
    if name == "shows":
        recognised = edges["evidence"] == "recognised"
        table.loc[recognised, ["knowledge_level", "agent_type"]] = TEXT_MINED
    key = table["subject"] + "\t" + table["original_predicate"] + "\t" + table["object"]
    if name == "mentions":
        table["supporting_text"] = _plain(edges["surface"])
        for flag in ("negated", "uncertain", "family"):
            table[flag] = np.where(edges[flag], "true", "false")
        key += "\t" + table["field"] + "\t" + table["start"].astype(str) + "\t" + table["end"].astype(str)
    table["id"] = [f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, k)}" for k in key]
    return table


def _chunks(graph: Graph) -> Iterator[tuple[str, pd.DataFrame]]:
    """Node tables, then edges a bearable number at a time."""
    for table in _nodes(graph):
        yield "nodes", table
    images = graph.edges["from_source"].set_index("subject")["object"]
    captions = graph.edges["has_caption"].assign(source=lambda t: t["subject"].map(images))
    source_of = pd.concat([images, captions.set_index("object")["source"]])
    for name in PREDICATES:
        edges = graph.edges[name]
        for start in range(0, len(edges), CHUNK):
            yield "edges", _edges(name, edges.iloc[start : start + CHUNK], source_of)


def write(graph: Graph, folder: Path) -> None:
    """Write ``nodes.tsv`` and ``edges.tsv`` into `folder`; edge ids are UUIDs of what the edge says."""
    columns = {"nodes": NODE_COLUMNS, "edges": EDGE_COLUMNS}
    with atomic_folder(folder) as temporary, ExitStack() as stack:
        files = {n: stack.enter_context(open(temporary / f"{n}.tsv", "w", encoding="utf-8")) for n in columns}
        for name, file in files.items():
            file.write("\t".join(columns[name]) + "\n")
        for name, table in _chunks(graph):
            cells = [table[c].astype(str).tolist() if c in table else repeat("") for c in columns[name]]
            # KGX's reader knows no quoting, so a quotation mark is written as it is.
            files[name].writelines("\t".join(row) + "\n" for row in zip(*cells, strict=False))
