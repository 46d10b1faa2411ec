"""Captions for pictures that come with labels only, written from HPO's own texts."""

from __future__ import annotations

import hashlib

from phenolip_lib.ontology.ontology import Ontology

VIEWS = {
    "dermatology": "Skin photograph",
    "pathology": "Tissue section",
    "radiology": "Radiological image",
    "hematology": "Peripheral blood smear",
    "histology": "Biopsy section",
    "ophthalmology": "Fundus photograph",
    "face": "Facial photograph",
    "other": "Medical image",
}
FRAMES = ("{view} showing {name}.", "{view} with {name}.", "{name} on a {lower_view}.", "{view}: {name}.")


def templated_caption(onto: Ontology, record_id: str, labels: list[str], modality: str) -> str:
    """A caption that says what the labels say.

    One of the term's names (so that the label is not the only word for it) in one of a few frames,
    then its definition; chosen by a hash of the record id, so it never changes.
    """
    key = int(hashlib.sha256(record_id.encode()).hexdigest(), 16)
    names = []
    for hpo_id in labels:
        term = onto[hpo_id]
        forms = (term.name, *(s for s in term.synonyms if len(s.split()) <= 5))
        names.append(forms[key % len(forms)])
    name = " and ".join(n if n[1:2].isupper() else n[0].lower() + n[1:] for n in names)
    view = VIEWS[modality]
    text = FRAMES[key // 97 % len(FRAMES)].format(view=view, lower_view=view.lower(), name=name)
    definition = onto[labels[key // 9973 % len(labels)]].definition
    return f"{text[0].upper()}{text[1:]} {definition}".strip()
