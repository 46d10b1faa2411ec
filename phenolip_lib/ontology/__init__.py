"""The Human Phenotype Ontology: a release as tables, as a graph in memory, and as similarity of its terms.

In come an OBO file and disease annotations; they are parsed, checked and indexed; out come the tables of `hpo`, an
`Ontology`, and measures between terms or sets of terms that `oracles` holds against other libraries.
"""
