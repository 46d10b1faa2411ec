"""Retrieval metrics against slow, obvious oracles, and their properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import balanced_accuracy_score

from phenolip_lib.evaluation import metrics
from phenolip_lib.evaluation.metrics import incidence, mean_per_class_recall, mutual_ranks


def unit(rng, n, dim):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def naive_rank(scores, correct):
    """Sort all items, wrong ones first where scores tie, and look for the first correct one."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], correct[i]))
    return next(rank for rank, i in enumerate(order, start=1) if correct[i])


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 15), st.integers(1, 5))
def test_ranks_equal_the_naive_oracle(seed, n_queries, n_items, block):
    rng = np.random.default_rng(seed)
    # Few distinct integer values make many ties.
    queries = rng.integers(-1, 2, (n_queries, 3)).astype(np.float32)
    items = rng.integers(-1, 2, (n_items, 3)).astype(np.float32)
    correct = rng.random((n_queries, n_items)) < 0.3
    correct[np.arange(n_queries), rng.integers(0, n_items, n_queries)] = True
    expected = [naive_rank(q @ items.T, c) for q, c in zip(queries, correct, strict=True)]
    np.testing.assert_array_equal(mutual_ranks(queries, items, csr_matrix(correct), block=block)[0], expected)


def test_equal_scores_everywhere_give_the_worst_rank():
    queries, items = np.ones((2, 4), np.float32), np.ones((10, 4), np.float32)
    correct = incidence([[3], [1, 2]], list(range(10)))
    np.testing.assert_array_equal(mutual_ranks(queries, items, correct)[0], [10, 9])


def test_random_embeddings_score_at_chance():
    rng = np.random.default_rng(0)
    n = 4000
    ranks, _ = mutual_ranks(
        unit(rng, n, 8), unit(rng, 500, 8), incidence([[int(i)] for i in rng.integers(0, 500, n)], range(500))
    )
    assert (ranks <= 50).mean() == pytest.approx(0.1, abs=0.02)


def test_a_perfect_model_is_always_first():
    x = unit(np.random.default_rng(1), 50, 16)
    assert (mutual_ranks(x, x, incidence([[i] for i in range(50)], range(50)))[0] == 1).all()


def test_block_size_changes_nothing():
    rng = np.random.default_rng(2)
    queries, items = unit(rng, 37, 8), unit(rng, 20, 8)
    correct = incidence([[i % 20] for i in range(37)], range(20))
    for small, whole in zip(*(mutual_ranks(queries, items, correct, block=n) for n in (5, 1000)), strict=True):
        np.testing.assert_array_equal(small, whole)


def test_nan_is_refused():
    x = np.ones((2, 3), np.float32)
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        mutual_ranks(x, x, incidence([[0], [1]], [0, 1]))


def test_balanced_accuracy_equals_scikit_learn():
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    assert mean_per_class_recall(predicted, truth) == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_incidence_ignores_unknown_and_repeated_items():
    np.testing.assert_array_equal(
        incidence([["a", "a", "z"], []], ["a", "b"]).toarray(), [[True, False], [False, False]]
    )


def test_ranks_do_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(4)
    queries, items = unit(rng, 1300, 32), unit(rng, 90, 32)
    correct = incidence([[i % 90, i % 7] if i % 3 else [] for i in range(1300)], range(90))
    monkeypatch.setattr(metrics, "SERIAL", 0)
    found = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(metrics.os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        seen = np.zeros((1300, 90), np.float32)
        found.append((*metrics.mutual_ranks(queries, items, correct, seen.__setitem__), seen))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(found[0][2], queries @ items.T, atol=1e-6)
