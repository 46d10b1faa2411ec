"""Which phenotypes a picture of a modality can show at all.

Recognition finds whatever a text affirms: fever, pain or a laboratory value too, which no radiograph
shows. Tables of ontology branches in ``visibility.json`` decide; a term is judged by the branches it lies in:

- branches that no picture shows, less exceptions within them (edema is filed under homeostasis);
- for radiology and tissue sections, further branches that these hide;
- for the other modalities, the only branches they show.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from phenolip_lib.core.storage import read_json
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.ontology.ontology import Ontology

_TABLES = read_json(Path(__file__).with_name("visibility.json"))
NEVER_SEEN: dict[str, str] = _TABLES["never_seen"]
"""Branches of what is felt, heard, measured or observed over time; HPO id -> name, as in all these tables."""
SEEN_NEVERTHELESS: dict[str, str] = _TABLES["seen_nevertheless"]
"""Branches within these that leave something to see."""
HIDDEN: dict[str, dict[str, str]] = {
    modality: branches for modalities, branches in _TABLES["hidden"].items() for modality in modalities.split()
}
"""Branches that a modality hides, besides those that no picture shows."""
DEEP: dict[str, str] = _TABLES["deep"]
"""Branches within the hidden ones of a modality that it does show: they reach below the surface."""
SHOWN: dict[str, dict[str, str]] = _TABLES["shown"]
"""The only branches a modality shows; a modality that is not named shows all."""


def visible_terms(onto: Ontology, modality: str) -> frozenset[str]:
    """All phenotypes that a picture of the modality can show; computed once for an ontology.

    Raises:
        ValueError: no such modality.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality {modality!r} is not one of {MODALITIES}")
    tables = _tables.setdefault(onto, {})
    if modality not in tables:
        shown = set(onto.phenotypes) - (_below(onto, NEVER_SEEN) - _below(onto, SEEN_NEVERTHELESS))
        shown -= _below(onto, HIDDEN.get(modality, ())) - _below(onto, DEEP)
        if modality in SHOWN:
            shown &= _below(onto, SHOWN[modality])
        tables[modality] = frozenset(shown)
    return tables[modality]


def visible(onto: Ontology, hpo_id: str, modality: str) -> bool:
    """Whether a picture of the modality can show the phenotype.

    Raises:
        KeyError: the ontology does not know the id.
    """
    return onto.resolve(hpo_id) in visible_terms(onto, modality)


def filter_visible(onto: Ontology, hpo_ids: Iterable[str], modality: str) -> tuple[list[str], list[str]]:
    """The phenotypes that a picture of the modality can show, and those it cannot, in their order."""
    kept: list[str] = []
    removed: list[str] = []
    for hpo_id in hpo_ids:
        (kept if visible(onto, hpo_id, modality) else removed).append(hpo_id)
    return kept, removed


_tables: WeakKeyDictionary[Ontology, dict[str, frozenset[str]]] = WeakKeyDictionary()


def _below(onto: Ontology, branches: Iterable[str]) -> set[str]:
    """Terms of the branches; one that the release lacks has none."""
    return {term for branch in branches if branch in onto for term in onto.descendants(branch)}
