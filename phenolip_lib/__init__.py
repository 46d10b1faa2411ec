"""PhenoLIP: phenotype-ontology-informed vision-language pretraining in medicine."""

__version__ = "0.1.0"
