"""The tables of the page as plain columns: lists of texts and whole numbers, ready for JSON.

A term is its position in ``onto.ids``; similarities and information content are in thousandths.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from phenolip_lib.apps.explorer import images as pictures
from phenolip_lib.apps.explorer import neighbours as near
from phenolip_lib.apps.explorer.families import word_families
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.graph.graph import Graph
from phenolip_lib.ontology.entries import SCOPES
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, Ontology

K = 8
"""Neighbours of a term on either side."""


def ontology(onto: Ontology) -> dict[str, Any]:
    """Terms, their names, and the ids that lead to them."""
    terms, synonyms, obsolete = (onto.tables[name] for name in ("terms", "synonyms", "obsolete"))
    old = sorted(onto.replaced)
    kinds = sorted(synonyms["kind"].unique())
    dead = obsolete[~obsolete["hpo_id"].isin(onto.replaced)]
    return {
        "words": word_families(onto, [*terms["name"], *synonyms["synonym"]]),
        "release": onto.release,
        "id": _numbers(onto.ids),
        "name": terms["name"].tolist(),
        "definition": terms["definition"].tolist(),
        "comment": terms["comment"].tolist(),
        "parents": [[onto.index[parent] for parent in onto.parents.get(hpo_id, ())] for hpo_id in onto.ids],
        "depth": [onto.depth[hpo_id] for hpo_id in onto.ids],
        "ic": _thousandths(onto.information_content),
        "diseases": dict(zip(("own", "below"), diseases(onto), strict=True)),
        "systems": [onto.index[top] for top in sorted(onto.children.get(PHENOTYPIC_ABNORMALITY, ()))],
        "synonyms": {
            "term": synonyms["hpo_id"].map(onto.index).tolist(),
            "text": synonyms["synonym"].tolist(),
            "scope": synonyms["scope"].map(SCOPES.index).tolist(),
            "kind": synonyms["kind"].map(kinds.index).tolist(),
            "scopes": [scope.lower() for scope in SCOPES],
            "kinds": [kind.replace("_", " ") for kind in kinds],
        },
        "old": {"id": _numbers(old), "term": [onto.index[onto.replaced[hpo_id]] for hpo_id in old]},
        "obsolete": {
            "id": _numbers(dead["hpo_id"]),
            "name": dead["name"].tolist(),
            "consider": [_numbers(re.findall(r"HP:\d{7}", hints)) for hints in dead["hints"]],
        },
    }


def diseases(onto: Ontology) -> tuple[list[int], list[int]]:
    """Diseases annotated with each term, and with it or a descendant."""
    annotated = onto.tables["annotations"].groupby("disease_id")["hpo_id"].agg(list)
    own, below = pictures.counts(onto, annotated)
    return own.tolist(), below.tolist()


def neighbourhoods(onto: Ontology, names: tuple[list[str], np.ndarray] | None) -> dict[str, Any]:
    """The `K` nearest terms of every term, by Lin's similarity and, with `names`, by cosine, each with both values."""
    found, lin = near.lin_neighbours(onto, K)
    if names is None:
        return {"lin": _neighbours(found, lin, None), "cosine": None}
    ids, embeddings = names
    if len(ids) != len(embeddings) or len(set(ids)) != len(ids) or not set(ids) <= set(onto.index):
        raise PhenoLIPError(
            f"the embedded names are not those of HPO {onto.release}: they need one row for each live id; "
            "train stage 1 again with `dvc repro`"
        )
    row = np.full(len(onto), near.ABSENT)
    position = np.array([onto.index[hpo_id] for hpo_id in ids], dtype=int)
    row[position] = np.arange(len(ids))
    cosine = _between(found, lambda a, b: _cosines(embeddings, row[a], row[b]))
    rows, cosines = near.cosine_neighbours(embeddings, K)
    close, close_cosine = np.full((len(onto), K), near.ABSENT), np.zeros((len(onto), K))
    close[position] = np.where(rows == near.ABSENT, near.ABSENT, position[rows])
    close_cosine[position] = cosines
    close_lin = _between(close, lambda a, b: near.lin_of_pairs(onto, a, b))
    return {"lin": _neighbours(found, lin, cosine), "cosine": _neighbours(close, close_lin, close_cosine)}


def _cosines(embeddings: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of pairs of rows; NaN where a term has none."""
    there = (a != near.ABSENT) & (b != near.ABSENT)
    values = np.full(len(a), np.nan)
    values[there] = near.cosine_of_pairs(embeddings, a[there], b[there])
    return values


def _between(found: np.ndarray, measure) -> np.ndarray:
    """`measure` of each term with its neighbours, in the shape of `found`."""
    term, place = np.nonzero(found != near.ABSENT)
    values = np.zeros(found.shape)
    values[term, place] = measure(term, found[term, place])
    return values


def _neighbours(found: np.ndarray, lin: np.ndarray, cosine: np.ndarray | None) -> dict[str, Any]:
    there = found != near.ABSENT
    table = {"count": there.sum(axis=1).tolist(), "term": found[there].tolist(), "lin": _thousandths(lin[there])}
    return table | {"cosine": None if cosine is None else _thousandths(cosine[there])}


def graph_counts(graph: Graph) -> dict[str, Any]:
    """Images of every term that has any: `own`, and `below` with those of descendants."""
    table = graph.image_counts
    return _sparse(table["own"].to_numpy(), table["images"].to_numpy())


def images(onto: Ontology, chosen: pictures.Chosen, lengths: list[int] | None) -> dict[str, Any]:
    """What the page says of pictures; `lengths` are those of the thumbnails' texts, None without pictures."""
    shown = chosen.shown
    table: dict[str, Any] = {"pair": shown["pair_id"].tolist(), "caption": shown["caption"].tolist(), "length": lengths}
    table["asserted"] = shown["asserted"].astype(int).tolist()
    shows = pictures.incidence(onto, shown["phenotypes"])
    table["terms"] = [shows.indices[a:b].tolist() for a, b in pairwise(shows.indptr)]
    for column in ("licence", "split", "modality", "dataset", "url"):
        codes, values = pd.factorize(shown[column], sort=True)
        table[column] = {"values": list(values), "code": codes.tolist()}
    groups = [("licence", licence, own) for licence, own in chosen.withheld.items()]
    groups += [("size", "", chosen.beyond)] if len(chosen.beyond) else []
    left_out = [
        {"reason": reason, "licence": licence, "total": len(own), **_sparse(*pictures.counts(onto, own["phenotypes"]))}
        for reason, licence, own in groups
    ]
    return table | {"left_out": left_out, "plain": chosen.plain}


def _sparse(own: np.ndarray, below: np.ndarray) -> dict[str, list[int]]:
    there = np.flatnonzero(below)
    return {"term": there.tolist(), "own": own[there].tolist(), "below": below[there].tolist()}


def _numbers(ids) -> list[int]:
    """HPO ids without prefix and leading zeros."""
    return [int(hpo_id[3:]) for hpo_id in ids]


def _thousandths(values: np.ndarray) -> list[int | None]:
    return [None if np.isnan(v) else int(v) for v in np.rint(1000 * np.asarray(values, dtype=float))]
