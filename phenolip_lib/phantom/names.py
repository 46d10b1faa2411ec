"""What captions of the atlas may call a phenotype: its HPO label and its usable synonyms."""

from __future__ import annotations

from collections.abc import Iterable

from phenolip_lib.ontology.ontology import Ontology

MAX_WORDS = 6


def caption_names(onto: Ontology, hpo_ids: Iterable[str]) -> dict[str, list[str]]:
    """For each phenotype its label, then its EXACT and NARROW synonyms of at most six words.

    Raises:
        KeyError: the release lacks one of the atlas's phenotypes.
    """
    table = onto.tables["synonyms"]
    table = table[table["scope"].isin(("EXACT", "NARROW"))]
    synonyms = table.groupby("hpo_id")["synonym"].apply(list).to_dict()
    names = {}
    for hpo_id in hpo_ids:
        label = onto[hpo_id].name
        short = [s for s in synonyms.get(onto.resolve(hpo_id), ()) if len(s.split()) <= MAX_WORDS]
        names[hpo_id] = list(dict.fromkeys([label, *(s for s in short if s.lower() != label.lower())]))
    return names
