"""The ontology part of PhenoKG for graph tools: ``ontology.ttl`` (OWL classes) and ``ontology.graphml``.

Turtle names terms by their OBO PURLs (``HP:0001744`` is ``http://purl.obolibrary.org/obo/HP_0001744``)
and uses the annotation properties of OBO files: IAO:0000115 for definitions, oboInOwl for synonyms.
"""

from __future__ import annotations

from pathlib import Path

import networkx as nx

from phenolip_lib.core.storage import atomic_folder
from phenolip_lib.graph.graph import Graph

OBO = "http://purl.obolibrary.org/obo/"
OBO_IN_OWL = "http://www.geneontology.org/formats/oboInOwl#"
SYNONYMS = {
    "EXACT": "hasExactSynonym",
    "NARROW": "hasNarrowSynonym",
    "BROAD": "hasBroadSynonym",
    "RELATED": "hasRelatedSynonym",
}


def purl(curie: str) -> str:
    """The OBO PURL of a term."""
    return OBO + curie.replace(":", "_", 1)


def turtle(graph: Graph) -> str:
    """The phenotypes of the graph with their ``is_a`` ancestry as OWL classes in Turtle."""
    from rdflib import OWL, RDF, RDFS, Literal, Namespace, URIRef
    from rdflib import Graph as Triples  # needed by this function only, and slow to import

    obo, in_owl = Namespace(OBO), Namespace(OBO_IN_OWL)
    triples = Triples(bind_namespaces="none")
    for prefix, space in (("obo", obo), ("oboInOwl", in_owl), ("owl", OWL), ("rdfs", RDFS)):
        triples.bind(prefix, space)
    header = URIRef(f"{OBO}hp/phenolip.owl")
    triples.add((header, RDF.type, OWL.Ontology))
    triples.add((header, OWL.versionInfo, Literal(graph.onto.release)))
    synonyms = graph.onto.tables["synonyms"].groupby("hpo_id")
    for row in graph.nodes["phenotype"].itertuples(index=False):
        term = URIRef(purl(row.node_id))
        triples.add((term, RDF.type, OWL.Class))
        triples.add((term, RDFS.label, Literal(row.name)))
        triples.add((term, in_owl.id, Literal(row.node_id)))
        if row.definition:
            triples.add((term, obo.IAO_0000115, Literal(row.definition)))
        if row.node_id in synonyms.groups:
            own = synonyms.get_group(row.node_id)
            for synonym, scope in zip(own["synonym"], own["scope"], strict=True):
                triples.add((term, in_owl[SYNONYMS[scope]], Literal(synonym)))
    for child, parent in graph.edges["is_a"].itertuples(index=False):
        triples.add((URIRef(purl(child)), RDFS.subClassOf, URIRef(purl(parent))))
    return triples.serialize(format="turtle")


def network(graph: Graph) -> nx.DiGraph:
    """Phenotypes (name, own_images, images: with descendants) and their ``is_a`` edges, child to parent."""
    terms = graph.nodes["phenotype"]
    counts = graph.image_counts.loc[terms["node_id"]]
    result = nx.DiGraph()
    for node, name, own, images in zip(terms["node_id"], terms["name"], counts["own"], counts["images"], strict=True):
        result.add_node(node, name=name, own_images=int(own), images=int(images))
    result.add_edges_from(graph.edges["is_a"].itertuples(index=False, name=None), predicate="is_a")
    return result


def write(graph: Graph, folder: Path) -> None:
    """Write ``ontology.ttl`` and ``ontology.graphml`` into `folder`."""
    with atomic_folder(folder) as temporary:
        (temporary / "ontology.ttl").write_text(turtle(graph), encoding="utf-8")
        # The writer of the standard library, so that bytes do not depend on whether lxml is installed.
        nx.write_graphml_xml(network(graph), temporary / "ontology.graphml")
