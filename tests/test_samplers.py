"""Batches of stage 1: what an epoch covers, siblings as asked, and that a batch depends on nothing before it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from phenolip_lib.training.samplers import ConceptSampler


def rows_of(counts):
    """Rows of each concept in a table that is sorted by concept."""
    return np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])


def families(n, size):
    """Concepts in families of `size`, everyone near everyone of its family, ``(n, n)``."""
    family = np.arange(n) // size
    near = family[:, None] == family
    return csr_matrix(near & ~np.eye(n, dtype=bool))


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    concepts=st.integers(1, 12),
    texts=st.integers(2, 6),
    hard_share=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    epoch=st.integers(0, 3),
)
def test_every_batch_holds_different_concepts_with_texts_of_their_own(counts, concepts, texts, hard_share, epoch):
    rows = rows_of(counts)
    sampler = ConceptSampler(rows, concepts, texts, 7, hard_share, families(len(counts), 4))
    seen = set()
    for step in range(sampler.steps_per_epoch):
        chosen, drawn = sampler.batch(epoch, step)
        assert chosen.shape == (sampler.concepts,)
        assert drawn.shape == (sampler.concepts, texts)
        assert len(set(chosen.tolist())) == len(chosen)
        for concept, own in zip(chosen, drawn, strict=True):
            assert set(own) <= set(rows[concept])
            times = np.unique(own, return_counts=True)[1]
            assert len(times) == min(texts, counts[concept])
            assert times.max() - times.min() <= 1
        seen |= set(chosen.tolist())
    assert seen == {i for i, n in enumerate(counts) if n >= 2}


def test_without_hard_negatives_an_epoch_is_a_permutation():
    sampler = ConceptSampler(rows_of([3] * 40), 8, 2, seed=0)
    assert sampler.steps_per_epoch == 5
    drawn = np.concatenate([sampler.batch(0, step)[0] for step in range(5)])
    assert sorted(drawn) == list(range(40))
    assert drawn.tolist() != list(range(40))


def test_the_last_batch_is_filled_up_from_the_first():
    sampler = ConceptSampler(rows_of([2] * 10), 4, 2, seed=0)
    drawn = np.concatenate([sampler.batch(0, step)[0] for step in range(sampler.steps_per_epoch)])
    assert sorted(drawn[:10]) == list(range(10))
    assert drawn[10:].tolist() == drawn[:2].tolist()


@pytest.mark.parametrize("hard_share", [0.0, 0.5])
def test_a_batch_depends_on_seed_epoch_and_step_only(hard_share):
    def make(seed):
        return ConceptSampler(rows_of([5] * 60), 10, 3, seed, hard_share, families(60, 6))

    one, other = make(1), make(1)
    forwards = [one.batch(e, s) for e in range(2) for s in range(one.steps_per_epoch)]
    for (e, s), (chosen, drawn) in reversed(
        list(zip([(e, s) for e in range(2) for s in range(one.steps_per_epoch)], forwards, strict=True))
    ):
        again, texts = other.batch(e, s)
        np.testing.assert_array_equal(again, chosen)
        np.testing.assert_array_equal(texts, drawn)
    assert not np.array_equal(one.batch(0, 0)[0], one.batch(1, 0)[0])
    assert not np.array_equal(one.batch(0, 0)[0], make(2).batch(0, 0)[0])


@pytest.mark.parametrize("hard_share", [0.25, 0.5, 0.75])
def test_the_share_of_siblings_is_as_asked(hard_share):
    n, batch = 400, 40
    near = families(n, 5)
    sampler = ConceptSampler(rows_of([2] * n), batch, 2, 0, hard_share, near)
    assert sampler.steps_per_epoch == math.ceil(n / (batch * (1 - hard_share)))
    for step in range(sampler.steps_per_epoch):
        chosen, _ = sampler.batch(0, step)
        fresh, added = chosen[: sampler.fresh], chosen[sampler.fresh :]
        assert len(added) == round(hard_share * batch)
        has_sibling = near[added][:, fresh].sum(axis=1)
        # Ten fresh concepts in families of five have enough siblings for three quarters of the batch.
        assert (has_sibling > 0).all()


def test_siblings_are_brought_in_turn_not_by_the_largest_family():
    """One concept of a family of 200 and nine of families of two: each brings its one."""
    near = np.zeros((300, 300), dtype=bool)
    near[:200, :200] = True
    for i in range(200, 300, 2):
        near[i, i + 1] = near[i + 1, i] = True
    np.fill_diagonal(near, False)
    sampler = ConceptSampler(rows_of([2] * 300), 20, 2, 0, 0.5, csr_matrix(near))
    for step in range(sampler.steps_per_epoch):
        chosen, _ = sampler.batch(0, step)
        together = near[np.ix_(chosen, chosen)]
        small = chosen[: sampler.fresh] >= 200
        assert together[: sampler.fresh][small].any(axis=1).all()


def test_too_few_siblings_are_made_up_for_by_others():
    sampler = ConceptSampler(rows_of([2] * 30), 10, 2, 0, 0.5, csr_matrix((30, 30), dtype=bool))
    assert len(set(sampler.batch(0, 0)[0].tolist())) == 10


def test_each_text_is_drawn_as_often_as_the_others():
    sampler = ConceptSampler(rows_of([4] * 10), 10, 2, seed=0)
    counts = np.bincount(np.concatenate([sampler.batch(e, 0)[1].ravel() for e in range(1000)]), minlength=40)
    assert abs(counts / 500 - 1).max() < 0.15  # sd of a count is 16
