"""Changes of the training split: only of it, nested, without a caption that stays its own."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.training.subset import UNUSED, Order, prepared


@pytest.fixture(scope="module")
def pairs():
    n = 400
    return pd.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "group": [f"g{i // 2}" for i in range(n)],
            "split": np.where(np.arange(n) // 2 % 5 == 0, "test", "train"),
            "caption": [f"word{i} a b c d" for i in range(n)],
            "phenotypes": [["common"] if i % 10 else ["common", "rare"] for i in range(n)],
        },
        index=np.arange(n) + 7,
    )


def change(params, pairs, **values):
    return prepared(pairs, params.with_overrides({f"stage2.{k}": v for k, v in values.items()}).stage2)


def test_nothing_asked_is_nothing_done(params, pairs):
    assert change(params, pairs) is pairs


@pytest.mark.parametrize("values", [{"train_share": 0.3}, {"caption_noise": 0.5}, {"caption_words": 2}])
def test_other_splits_stay_as_they_are(params, pairs, values):
    changed = change(params, pairs, **values)
    test = pairs["split"] == "test"
    pd.testing.assert_frame_equal(changed[test], pairs[test])
    assert not changed[~test].equals(pairs[~test])


def test_a_share_is_of_whole_groups_and_part_of_every_larger_one(params, pairs):
    used = {}
    for share in (0.1, 0.3, 0.6):
        changed = change(params, pairs, train_share=share)
        kept = changed[changed["split"] == "train"]
        assert set(changed["split"]) == {"train", "test", UNUSED}
        assert not set(kept["group"]) & set(changed["group"][changed["split"] == UNUSED])
        assert len(kept) / (pairs["split"] == "train").sum() == pytest.approx(share, abs=0.12)
        used[share] = set(kept["pair_id"])
    assert used[0.1] < used[0.3] < used[0.6]


def test_noise_exchanges_as_many_captions_as_asked_and_loses_none(params, pairs):
    train = pairs["split"] == "train"
    changed = change(params, pairs, caption_noise=0.25)
    assert (changed["caption"] != pairs["caption"]).sum() == round(0.25 * train.sum())
    assert sorted(changed["caption"]) == sorted(pairs["caption"])


def test_captions_are_cut_to_words(params, pairs):
    changed = change(params, pairs, caption_words=2)
    assert changed["caption"].iat[10] == "word10 a" or changed["split"].iat[10] == "test"
    assert changed["caption"][changed["split"] == "train"].str.split().str.len().max() == 2


def test_balanced_order_draws_rare_phenotypes_more_often(pairs):
    rows = np.arange(100, 300)
    own = [pairs["phenotypes"].iat[r] for r in rows]
    plain, balanced = (Order(rows, own, kind, seed=3) for kind in ("uniform", "balanced"))
    assert sorted(plain.epoch(0)) == rows.tolist()
    assert not np.array_equal(plain.epoch(0), plain.epoch(1))
    drawn = np.concatenate([balanced.epoch(e) for e in range(200)])
    assert len(balanced.epoch(0)) == len(rows)
    assert set(drawn) == set(rows.tolist())
    rare = np.mean([len(pairs["phenotypes"].iat[r]) == 2 for r in drawn])
    # Counts are 20 rare of 200: a weight of 20 ** -0.5 against 200 ** -0.5.
    weight = 20 * 20**-0.5
    assert rare == pytest.approx(weight / (weight + 180 * 200**-0.5), abs=0.01)
    assert np.array_equal(balanced.epoch(4), Order(rows, own, "balanced", seed=3).epoch(4))
