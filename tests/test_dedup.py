"""Pairs of look-alikes by features, against the plain double loop; hashes are tested with curation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenolip_lib.curation.duplicates import embedding_pairs


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(0, 25), st.integers(1, 9), st.sampled_from([-1.0, 0.0, 0.5, 0.9]), st.integers(0, 99))
def test_pairs_equal_a_double_loop(n, block, least, seed):
    features = unit(np.random.default_rng(seed).normal(size=(n, 4))) if n else np.zeros((0, 4))
    found = {(i, j): cosine for i, j, cosine in embedding_pairs(features, least, block)}
    slow = {(i, j): float(features[i] @ features[j]) for i in range(n) for j in range(i + 1, n)}
    slow = {pair: cosine for pair, cosine in slow.items() if cosine >= least}
    assert found == pytest.approx(slow)


def test_a_copy_is_found_and_others_are_not():
    features = unit(np.random.default_rng(0).normal(size=(40, 64)))
    copy = unit(features[7:8] + 0.01)
    assert [(i, j) for i, j, _ in embedding_pairs(np.vstack([features, copy]), 0.95, block=16)] == [(7, 40)]


def test_features_must_be_normalised():
    with pytest.raises(ValueError, match="normalised"):
        list(embedding_pairs(np.ones((3, 4)), 0.5))
