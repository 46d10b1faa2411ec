"""Phenotypes that training saw rarely or never: scores by number of training images, and held-out leaves.

A knowledge of the ontology should matter most where images are few. `by_training_images` and
`by_system` split the same outcomes by phenotype; `hold_out_leaves` makes phenotypes unseen on purpose, so
that no image and no caption of training tells of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import TIE, mutual_ranks
from phenolip_lib.evaluation.results import COLUMNS, TOP_K, no_outcomes, outcomes
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.ontology.ontology import Ontology

BUCKETS = {"0": (0, 0), "1-4": (1, 4), "5-19": (5, 19), "20+": (20, np.inf)}
"""Numbers of training images, by the name they have in the column `dataset`."""


# --- scores by phenotype --------------------------------------------------------------------------


def phenotype_outcomes(bench: Benchmark, embedded: Embedded) -> pd.DataFrame:
    """P2I and I2P as one outcome a phenotype, and an image and phenotype.

    For I2P each phenotype of an image is a query of its own, ``pair_id|HPO id``, for which the image's
    other phenotypes are no candidates. P2I is that of `retrieval`.

    Returns:
        outcomes with a further column ``hpo_id``; see `retrieval` for the rest and what is raised.
    """
    rows, truth = bench.rows, bench.truth
    if not truth.nnz:
        return no_outcomes("hpo_id")
    table, names = bench.pairs.iloc[rows], bench.names(embedded, bench.candidates)
    images = bench.images(embedded, rows)
    ids = np.array(bench.candidates)
    alone, p2i = _ranks_alone(images, names, truth)
    calibrated, _ = _ranks_alone(*bench.calibrated(embedded, images, names), truth)
    owner = np.repeat(np.arange(len(rows)), np.diff(truth.indptr))
    own = pd.Series(ids[truth.indices])
    asked = np.flatnonzero(p2i)
    phenotype = pd.Series(ids[asked])
    pair_id, group = (table[column].iloc[owner].reset_index(drop=True) for column in ("pair_id", "group"))
    parts = []
    for k in TOP_K:
        for task, ranks in (("i2p", alone), ("i2p_calibrated", calibrated)):
            parts.append(outcomes(f"{task}_recall@{k}", pair_id + "|" + own, group, ranks <= k).assign(hpo_id=own))
        parts.append(outcomes(f"p2i_recall@{k}", phenotype, phenotype, p2i[asked] <= k).assign(hpo_id=phenotype))
    return pd.concat(parts, ignore_index=True)


def _ranks_alone(images: np.ndarray, names: np.ndarray, truth: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """`ranks_alone` of all images, by blocks, and the rank of each name's best image as of `mutual_ranks`."""
    ranks = np.zeros(truth.nnz, dtype=np.int64)

    def visit(part: slice, scores: np.ndarray) -> None:
        bounds = truth.indptr[part.start : part.stop + 1]
        ranks[bounds[0] : bounds[-1]] = ranks_alone(scores, truth[part])

    return ranks, mutual_ranks(images, names, truth, visit)[1]


def ranks_alone(scores: np.ndarray, correct: csr_matrix) -> np.ndarray:
    """Rank of each correct item among the wrong ones alone, ties against it.

    Args:
        scores: ``(n_queries, n_items)``.
        correct: boolean of the same shape.

    Returns:
        int64 ``(correct.nnz,)`` in the order of its entries.
    """
    owner = np.repeat(np.arange(len(scores)), np.diff(correct.indptr))
    bar = scores[owner, correct.indices] - scores.dtype.type(TIE)
    wrong = scores.copy()
    wrong[owner, correct.indices] = -np.inf
    return np.count_nonzero(wrong[owner] >= bar[:, None], axis=1) + 1


def training_images(pairs: pd.DataFrame) -> pd.Series:
    """Number of training images of each phenotype that has one."""
    found = pairs.loc[pairs["split"] == "train", "phenotypes"].map(set).explode().dropna()
    return found.value_counts().sort_index()


def by_training_images(found: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Outcomes by how many training images the phenotype has.

    Args:
        found: of `phenotype_outcomes`.
        pairs: the pairs the model was trained on.

    Returns:
        outcomes, task ``training_images``, dataset one of `BUCKETS`.
    """
    n = found["hpo_id"].map(training_images(pairs)).fillna(0)
    parts = [found[n.between(*bounds)].assign(dataset=name) for name, bounds in BUCKETS.items()]
    return pd.concat(parts, ignore_index=True).assign(task="training_images")[COLUMNS]


def by_system(found: pd.DataFrame, onto: Ontology) -> pd.DataFrame:
    """Outcomes by organ system, task ``systems``; a phenotype of two systems counts in both."""
    systems = found["hpo_id"].map(lambda hpo_id: onto.systems.get(onto.resolve(hpo_id), ()))
    table = found.assign(dataset=systems).explode("dataset").dropna(subset="dataset")
    return table.assign(task="systems")[COLUMNS].sort_values("dataset", kind="stable").reset_index(drop=True)


# --- phenotypes held out of training --------------------------------------------------------------


class HeldOut(NamedTuple):
    """What `hold_out_leaves` chose."""

    split: pd.Series
    """The changed split of each pair, same index."""
    phenotypes: list[str]
    """The phenotypes that training no longer sees, sorted."""


def hold_out_leaves(
    pairs: pd.DataFrame,
    onto: Ontology,
    *,
    share: float | None = None,
    count: int | None = None,
    seed: int = 0,
    mentions: pd.DataFrame | None = None,
) -> HeldOut:
    """Take leaf phenotypes out of training and validation altogether.

    The leaves are drawn, by a keyed hash, among those that a pair of the table shows. Each pair that
    shows one, or whose caption mentions one (also if negated), becomes a test pair with its whole
    group, so that no group is in two splits.

    Args:
        pairs: the pairs table with a split.
        onto: the ontology.
        share, count: how many of those leaves; one of the two, and at least one leaf is taken.
        seed: keys the hash.
        mentions: ``mentions.parquet`` of the same build; without it only `phenotypes` tell what a
            caption says.

    Raises:
        PhenoLIPError: not exactly one of `share` and `count`; more leaves than there are; nothing left
            to train on.
    """
    if (share is None) == (count is None):
        raise PhenoLIPError("hold_out_leaves needs either share or count")
    shown = {onto.resolve(hpo_id) for own in pairs["phenotypes"] for hpo_id in own}
    leaves = [hpo_id for hpo_id in onto.leaves if hpo_id in shown]
    wanted = max(round(share * len(leaves)), 1) if share is not None else count
    if not 1 <= wanted <= len(leaves):
        raise PhenoLIPError(f"cannot hold out {wanted} leaf phenotypes: the pairs show {len(leaves)}")
    leaves.sort(key=lambda hpo_id: hashlib.sha256(f"{seed}:{hpo_id}".encode()).hexdigest())
    chosen = sorted(leaves[:wanted])
    groups = set(pairs.loc[_tells(pairs, onto, chosen, mentions), "group"])
    split = pairs["split"].mask(pairs["group"].isin(groups), "test")
    if not (split == "train").any():
        raise PhenoLIPError(f"holding out {wanted} leaf phenotypes leaves nothing to train on: take fewer")
    return HeldOut(split, chosen)


def check_held_out(
    pairs: pd.DataFrame, onto: Ontology, phenotypes: Iterable[str], mentions: pd.DataFrame | None = None
) -> None:
    """Raise `PhenoLIPError` that names a training or validation pair which tells of a held-out phenotype."""
    left = pairs[_tells(pairs, onto, phenotypes, mentions) & (pairs["split"] != "test")]
    if len(left):
        first = left.iloc[0]
        raise PhenoLIPError(
            f"{len(left)} pairs outside test tell of held-out phenotypes, {first['pair_id']} ({first['split']}) "
            "for one: use the split of hold_out_leaves"
        )


def _tells(pairs: pd.DataFrame, onto: Ontology, phenotypes: Iterable[str], mentions: pd.DataFrame | None) -> pd.Series:
    """Which pairs show one of the phenotypes or mention it in their caption."""
    ids = {onto.resolve(hpo_id) for hpo_id in phenotypes}
    tells = pairs["phenotypes"].map(lambda own: any(onto.resolve(hpo_id) in ids for hpo_id in own)).astype(bool)
    if mentions is not None:
        said = mentions[(mentions["field"] == "caption") & mentions["hpo_id"].isin(ids)]
        tells |= pairs["pair_id"].isin(said["pair_id"])
    return tells
