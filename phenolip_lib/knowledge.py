"""What the ontology says in words: attribute texts for stage 1, with some held out beforehand."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.ontology import PHENOTYPIC_ABNORMALITY, Ontology
from phenolip_lib.wording import normal_form

RELATION_FRAMES = ("{name} is a child phenotype of {parent}.", "{name} is a kind of {parent}.")


def _hold(seed: int, key: str, share: float) -> bool:
    """A keyed coin that falls the same way for the same key, whatever else is in the data."""
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:8], 16) / 16**8 < share


def attribute_texts(onto: Ontology, kinds: list[str], held_out_share: float, seed: int) -> pd.DataFrame:
    """Attribute texts of every phenotype.

    Of a share of the terms that have synonyms, one synonym (and its case and plural variants) is
    held out before anything is trained: it serves to test synonym -> term linking.

    Returns:
        table (hpo_id, kind, text, held_out), sorted by term; every term keeps at least its name.
    """
    rows = []
    for hpo_id in [PHENOTYPIC_ABNORMALITY, *onto.phenotypes]:
        term = onto[hpo_id]
        rows.append((hpo_id, "name", term.name, False))
        if "synonym" in kinds and term.synonyms:
            held = ""
            if _hold(seed, hpo_id, held_out_share):
                position = int(hashlib.sha256(f"{seed}:which:{hpo_id}".encode()).hexdigest(), 16)
                held = normal_form(term.synonyms[position % len(term.synonyms)])
                held = "" if held == normal_form(term.name) else held
            rows += [(hpo_id, "synonym", text, bool(held) and normal_form(text) == held) for text in term.synonyms]
        if "definition" in kinds and term.definition:
            rows.append((hpo_id, "definition", term.definition, False))
        if "comment" in kinds and term.comment:
            rows.append((hpo_id, "comment", term.comment, False))
        if "relation" in kinds:
            for i, parent in enumerate(onto.parents.get(hpo_id, ())):
                frame = RELATION_FRAMES[i % len(RELATION_FRAMES)]
                rows.append((hpo_id, "relation", frame.format(name=term.name, parent=onto[parent].name), False))
    table = pd.DataFrame(rows, columns=["hpo_id", "kind", "text", "held_out"])
    # A text that also stands for another term cannot test linking, and must not be held back there.
    form = table["text"].map(normal_form)
    shared = form.map(table.groupby(form)["hpo_id"].nunique()) > 1
    table["held_out"] &= ~shared
    return table


def related_terms(onto: Ontology, ids: list[str]) -> csr_matrix:
    """Symmetric boolean ``(n, n)``: pairs that are parent and child or share a parent.

    Their texts are nearly paraphrases, so in a contrastive batch they are false negatives.
    """
    position = {hpo_id: i for i, hpo_id in enumerate(ids)}
    rows, columns = [], []
    for child, parents in onto.parents.items():
        for parent in parents:
            if child in position and parent in position:
                rows.append(position[child])
                columns.append(position[parent])
    up = csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(len(ids), len(ids)))
    return ((up + up.T + (up.astype(np.int32) @ up.T.astype(np.int32)).astype(bool)) > 0).tocsr()
