"""What the ontology says in words: attribute texts for stage 1, with some held out beforehand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, Ontology
from phenolip_lib.recognition.morphology import normal_form

ANNOTATION_FRAME = "{name} is seen in {disease}."
ANNOTATIONS_PER_TERM = 2
RELATION_FRAMES = ("{name} is a child phenotype of {parent}.", "{name} is a kind of {parent}.")


def _hold(seed: int, key: str, share: float) -> bool:
    """A keyed coin that falls the same way for the same key, whatever else is in the data."""
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:8], 16) / 16**8 < share


def attribute_texts(
    onto: Ontology, kinds: list[str], held_out_share: float, seed: int, held_out_definitions: float = 0.0
) -> pd.DataFrame:
    """Attribute texts of every phenotype.

    Kinds are ``name``, ``synonym``, ``definition``, ``comment``, ``relation`` (a sentence for each
    parent) and ``annotation`` (a sentence for each of a few diseases the term is seen in).

    Before anything is trained, texts are held out to test linking with: of a share of the terms
    that have synonyms one synonym (and its case and plural variants), of another share the
    definition. Each term's two coins are keyed by its id alone, so they fall the same way in every
    release and for every choice of kinds. A comment repeats what the definition says and is held
    out with it. A text that also stands for another term cannot test linking and is not held out; a
    definition or comment that says no more than another text of its term is left out altogether.

    Returns:
        table (hpo_id, kind, text, held_out), sorted by term, no text of a term twice; every term
        keeps at least its name.
    """
    rows = []
    diseases = _diseases(onto) if "annotation" in kinds else {}
    for hpo_id in [PHENOTYPIC_ABNORMALITY, *onto.phenotypes]:
        term = onto[hpo_id]
        rows.append((hpo_id, "name", term.name, False))
        held = ""
        if "synonym" in kinds and term.synonyms:
            if _hold(seed, hpo_id, held_out_share):
                position = int(hashlib.sha256(f"{seed}:which:{hpo_id}".encode()).hexdigest(), 16)
                held = normal_form(term.synonyms[position % len(term.synonyms)])
                held = "" if held == normal_form(term.name) else held
            rows += [(hpo_id, "synonym", text, bool(held) and normal_form(text) == held) for text in term.synonyms]
        unseen = bool(term.definition) and _hold(seed, f"definition:{hpo_id}", held_out_definitions)
        if "definition" in kinds and term.definition:
            rows.append((hpo_id, "definition", term.definition, unseen))
        if "comment" in kinds and term.comment:
            rows.append((hpo_id, "comment", term.comment, unseen))
        if "relation" in kinds:
            for i, parent in enumerate(onto.parents.get(hpo_id, ())):
                frame = RELATION_FRAMES[i % len(RELATION_FRAMES)]
                rows.append((hpo_id, "relation", frame.format(name=term.name, parent=onto[parent].name), False))
        told = [form for form in (normal_form(term.name), held) if form]
        for disease in _telling(diseases.get(hpo_id, ()), told):
            rows.append((hpo_id, "annotation", ANNOTATION_FRAME.format(name=term.name, disease=disease), False))
    table = pd.DataFrame(rows, columns=["hpo_id", "kind", "text", "held_out"])
    table = table.drop_duplicates(["hpo_id", "text"])
    table["form"] = table["text"].map(normal_form)
    # A definition or comment that repeats a held-out synonym would tell it in training.
    repeated = table.duplicated(["hpo_id", "form"], keep=False) & table["kind"].isin(["definition", "comment"])
    table = table[~repeated].reset_index(drop=True)
    comment = table["kind"] == "comment"
    table.loc[~comment, "held_out"] &= table.groupby("form")["hpo_id"].transform("nunique") == 1
    unseen = set(table["hpo_id"][table["held_out"] & (table["kind"] == "definition")])
    table.loc[comment, "held_out"] &= table["hpo_id"].isin(unseen)
    return table.drop(columns="form")


def _diseases(onto: Ontology) -> dict[str, list[str]]:
    """Names of the diseases of each term, those with the fewest annotations first.

    Such a disease is most specific: the term makes up more of what is known of it.
    """
    table = onto.tables["annotations"].drop_duplicates(["disease_id", "hpo_id"])
    size = table.groupby("disease_id")["hpo_id"].transform("size")
    table = table.assign(size=size).sort_values(["hpo_id", "size", "disease_id"])
    return table.groupby("hpo_id")["disease"].apply(list).to_dict()


def _telling(diseases: Iterable[str], told: list[str]) -> list[str]:
    """The first few diseases that differ in more than a number or the order of words.

    One whose name holds a name of the term itself says nothing, or gives a held-out synonym away.
    """
    found: dict[frozenset[str], str] = {}
    for disease in diseases:
        words = set(re.findall(r"[^\W\d_]{4,}", disease.casefold())) - {"type", "susceptibility"} or {disease}
        if frozenset(words) not in found and not any(form in normal_form(disease) for form in told):
            found[frozenset(words)] = disease
        if len(found) == ANNOTATIONS_PER_TERM:
            break
    return list(found.values())


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
