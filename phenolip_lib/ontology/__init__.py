"""The Human Phenotype Ontology: a release as tables, as a graph in memory, and as similarity of its terms.

In come a release as OBO or OBO Graphs JSON and disease annotations; they are parsed, checked and indexed; out come the
tables of `hpo`, an `Ontology`, and measures between (sets of) terms that `oracles` holds against other libraries.
"""
