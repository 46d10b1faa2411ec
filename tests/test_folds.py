"""Folds: whole groups, even sizes, phenotypes shared out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.folds import group_folds
from phenolip_lib.data.splits import check_no_leakage


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(2, 5), st.integers(0, 3), st.booleans())
def test_groups_stay_whole_and_no_fold_is_empty(groups, k, seed, stratified):
    labels = [[f"p{g % 3}", f"p{i % 4}"] for i, g in enumerate(groups)] if stratified else None
    if len(set(groups)) < k:
        with pytest.raises(PhenoLIPError, match="cannot make"):
            group_folds(groups, k, seed, labels)
        return
    folds = group_folds(groups, k, seed, labels)
    check_no_leakage(pd.DataFrame({"group": groups, "split": folds}))
    sizes = np.bincount(folds, minlength=k)
    assert sizes.sum() == len(groups)
    assert (sizes > 0).all()
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()
    np.testing.assert_array_equal(folds, group_folds(groups, k, seed, labels))


def test_folds_share_out_the_phenotypes():
    rng = np.random.default_rng(15)
    weight = 1 / np.arange(1, 201)
    groups = rng.integers(0, 600, 1800)
    labels = [list(rng.choice(200, rng.integers(0, 4), p=weight / weight.sum())) for _ in groups]
    labels = [[f"HP:{i:07d}" for i in own] for own in labels]

    def spread(folds):
        table = pd.DataFrame({"fold": folds, "label": [sorted(set(own)) for own in labels]}).explode("label").dropna()
        counts = table.groupby(["label", "fold"]).size().unstack(fill_value=0).to_numpy()
        counts = counts[counts.sum(axis=1) >= 10]
        return (np.abs(counts / counts.sum(axis=1, keepdims=True) - 0.2)).mean()

    plain, balanced = group_folds(groups, 5), group_folds(groups, 5, stratify=labels)
    assert spread(balanced) < 0.6 * spread(plain)
    for folds in (plain, balanced):
        assert np.bincount(folds).max() - np.bincount(folds).min() <= 10
    assert (group_folds(groups, 5, seed=1) != plain).any()
