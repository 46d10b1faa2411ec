"""Which texts name a phenotype: the one rule for labels, for recognition and for what users ask.

A BROAD synonym names something wider than its term ("big organ" of Splenomegaly) and so stands for no term.
"""

from __future__ import annotations

from collections.abc import Sequence

from phenolip_lib.ontology.ontology import Ontology

RANKS = {"EXACT": 1, "NARROW": 2, "RELATED": 3}
"""Scopes of synonyms that name their term, and how well; its own name has rank 0."""


def wordings(onto: Ontology, branches: Sequence[str] = ()) -> list[tuple[str, str, int]]:
    """HPO id, text and rank of every name and synonym of a phenotype, and of what is below the terms `branches`.

    Names first, then synonyms as the release has them.
    """
    ids = [*onto.phenotypes]
    for top in branches:
        ids += sorted(onto.descendants(top) - {top} - {*ids})
    table, inside = onto.tables["synonyms"], set(ids)
    return [(hpo_id, onto[hpo_id].name, 0) for hpo_id in ids] + [
        (hpo_id, text, RANKS[scope])
        for hpo_id, text, scope in zip(table["hpo_id"], table["synonym"], table["scope"], strict=True)
        if hpo_id in inside and scope in RANKS
    ]


def by_name(onto: Ontology) -> dict[str, str]:
    """The phenotype that a text in lower case names best; of several the one with the least id."""
    found: dict[str, str] = {}
    for hpo_id, text, _ in sorted(wordings(onto), key=lambda row: (row[2], row[0])):
        found.setdefault(text.lower(), hpo_id)
    return found
