"""PhenoKG as a typed graph, and the formats it is handed on in.

In come curated pairs and the ontology; out come nodes and edges that a schema has checked, and exports such as KGX,
RDF, Croissant and WebDataset shards.
"""
