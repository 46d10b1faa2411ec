"""Which pairs the teaching cells take: by a rule, so that nobody chose them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.similarity import lin


def four_pairs(pairs: pd.DataFrame, onto: Ontology) -> np.ndarray:
    """Positions of four training pairs: two of one phenotype, one of a near phenotype and one of a distant one.

    All pairs are put in an order: first those whose licence allows to pass them on, then those with a caption of
    their own, with few phenotypes, with a short caption, at last by id. The first pair is the first that shares a
    phenotype with a later one of another group, which is the second pair. Among the pairs that share no phenotype
    with these, the third is the most similar one to the first by Lin, the fourth the least. Where nothing is
    shared, or everything, the next pair of the order is taken.

    Args:
        pairs: all pairs of a source.
        onto: for Lin's similarity.

    Returns:
        positions in `pairs` ``(4,)``.

    Raises:
        PhenoLIPError: fewer than four training pairs have a phenotype.
    """
    usable = pairs.assign(at=np.arange(len(pairs)))[(pairs["split"] == "train") & (pairs["phenotypes"].map(len) > 0)]
    if len(usable) < 4:
        raise PhenoLIPError(f"{len(usable)} training pairs have a phenotype; the examples take four: add images")
    kept = ~usable["licence"].map(lambda licence: use_allowed(licence, "redistribution"))
    order = usable.assign(kept=kept, n=usable["phenotypes"].map(len), length=usable["caption"].str.len())
    order = order.sort_values(["kept", "templated", "n", "length", "pair_id"], kind="stable")
    own, groups, places = list(map(set, order["phenotypes"])), order["group"].tolist(), range(len(order))
    twins = ((i, j) for i in places for j in places[i + 1 :] if own[i] & own[j] and groups[i] != groups[j])
    chosen = list(next(twins, (0, 1)))
    ids = sorted(set().union(*own))
    near = dict(zip(ids, lin(onto, sorted(own[chosen[0]]), ids).max(axis=0), strict=True))
    for best in (max, min):
        left = [i for i in places if i not in chosen]
        apart = [i for i in left if not own[i] & (own[chosen[0]] | own[chosen[1]])]
        chosen.append(best(apart or left, key=lambda i: max(near[hpo_id] for hpo_id in own[i])))
    return order["at"].to_numpy()[chosen]


def with_others(rows: np.ndarray, pairs: pd.DataFrame, n: int) -> pd.DataFrame:
    """The pairs with no more than `n` of them in training: `rows`, and others of the training pairs, evenly spread.

    The rest of the training pairs get the split ``unused``; other splits stay.
    """
    train = np.flatnonzero(pairs["split"] == "train")
    others = np.setdiff1d(train, rows)
    spread = np.unique(np.linspace(0, len(others) - 1, min(n - len(rows), len(others))).round().astype(int))
    out = np.setdiff1d(others, others[spread])
    return pairs.assign(split=np.where(np.isin(np.arange(len(pairs)), out), "unused", pairs["split"]))
