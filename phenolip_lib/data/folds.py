"""Case-grouped folds: every image is a test image once, and no group is in two folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError


def group_folds(groups: Sequence, k: int, seed: int = 0, stratify: Sequence[Sequence[str]] | None = None) -> np.ndarray:
    """A fold for each image so that groups stay whole and each image is a test image once.

    Groups are taken from large to small, equal ones in the order of a keyed hash. Without `stratify`
    each goes to the smallest fold. With it, each goes to the fold, among those that its size
    still fits, that adds least to ``sum_l sum_f n_lf^2 / n_l``, n_lf the number of images of fold f
    with label l.

    Args:
        groups: group of each image ``(n_images,)``.
        k: number of folds.
        seed: keys the hash.
        stratify: labels of each image, such as its phenotypes.

    Returns:
        int ``(n_images,)``, from 0 to k - 1.

    Raises:
        PhenoLIPError: k below 2, or fewer groups than folds.
    """
    codes, names = pd.factorize(np.asarray(groups), sort=True)
    if not 2 <= k <= len(names):
        raise PhenoLIPError(f"cannot make {k} folds of {len(names)} groups: 2 folds at least, a group each")
    sizes = np.bincount(codes)
    keys = [hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in names]
    order = sorted(range(len(names)), key=lambda g: (-sizes[g], keys[g]))
    labels, counts = _label_counts(codes, len(names), stratify)
    n_labels = max((own.max(initial=-1) for own in labels), default=-1) + 1
    totals = np.bincount(np.concatenate(labels), np.concatenate(counts), minlength=n_labels)
    filled, held = np.zeros(k), np.zeros((k, n_labels))
    fold = np.empty(len(names), dtype=int)
    for g in order:
        own, n = labels[g], counts[g]
        cost = (n * held[:, own] / totals[own]).sum(axis=1)
        # Half a group may stick out, so that the shares stay right on the average.
        fits = filled + sizes[g] / 2 <= len(codes) / k
        fold[g] = min(range(k), key=lambda f: (not fits[f], cost[f] if fits[f] else 0, filled[f], f))
        filled[fold[g]] += sizes[g]
        held[fold[g], own] += n
    return fold[codes]


def _label_counts(
    codes: np.ndarray, n_groups: int, stratify: Sequence[Sequence[str]] | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each group which labels its images have, as integers, and how many images have each."""
    empty = np.empty(0, dtype=int)
    if stratify is None:
        return [empty] * n_groups, [empty] * n_groups
    table = pd.DataFrame({"group": codes, "label": [sorted(set(own)) for own in stratify]}).explode("label").dropna()
    table["label"] = pd.factorize(table["label"], sort=True)[0]
    found = table.groupby(["group", "label"], sort=True).size().rename("n").reset_index()
    parts = dict(iter(found.groupby("group")))
    return (
        [parts[g]["label"].to_numpy() if g in parts else empty for g in range(n_groups)],
        [parts[g]["n"].to_numpy() if g in parts else empty for g in range(n_groups)],
    )
