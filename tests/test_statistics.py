"""Intervals and tests over groups against simulated truth, scipy and plain loops; folds and their properties."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation import resampling
from phenolip_lib.evaluation.resampling import group_bootstrap, holm, sign_flip_p
from phenolip_lib.evaluation.statistics import differences, intervals


def outcomes(values, groups=None, method="m", seed=0, metric="r"):
    """One score; `values` by query."""
    n = len(values)
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "task": "retrieval",
            "dataset": "",
            "metric": metric,
            "query": [f"q{i:03d}" for i in range(n)],
            "group": [f"q{i:03d}" for i in range(n)] if groups is None else [f"g{g:03d}" for g in groups],
            "value": np.asarray(values, dtype=float),
        }
    )


def clustered(rng, n_groups, p=0.1, correlation=0.3):
    """Hits of groups of unequal size; the group's own rate is beta distributed around p."""
    sizes = 1 + rng.geometric(0.4, n_groups)
    rate = rng.beta(p * (1 / correlation - 1), (1 - p) * (1 / correlation - 1), n_groups)
    return rng.random(sizes.sum()) < np.repeat(rate, sizes), np.repeat(np.arange(n_groups), sizes)


def by_group(values, groups):
    return np.bincount(groups, values)[:, None], np.bincount(groups)[:, None].astype(float)


# --- intervals ----------------------------------------------------------------------------------


def test_the_interval_covers_the_truth_as_often_as_it_says():
    hits = 0
    for i in range(400):
        _, low, high = group_bootstrap(*by_group(*clustered(np.random.default_rng(i), 60)), resamples=800, seed=i)
        hits += low[0] <= 0.1 <= high[0]
    assert 0.91 <= hits / 400 <= 0.98


def test_ungrouped_intervals_equal_scipys():
    values = np.random.default_rng(0).gamma(1.0, size=50)
    expected = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(3))
    found = intervals(outcomes(values), resamples=2000, seed=3).iloc[0]
    assert found["mean"] == pytest.approx(values.mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.confidence_interval), rel=1e-9)


def test_blocks_of_resamples_change_nothing(monkeypatch):
    sums, counts = by_group(*clustered(np.random.default_rng(1), 40))
    whole = group_bootstrap(sums, counts, resamples=300)
    monkeypatch.setattr(resampling, "CELLS", 7 * 40)
    np.testing.assert_array_equal(group_bootstrap(sums, counts, resamples=300), whole)


def test_resampling_equals_a_plain_loop_over_groups():
    values, groups = clustered(np.random.default_rng(2), 12)
    rng = np.random.default_rng(5)
    loop = []
    for _ in range(200):
        picked = [values[groups == g] for g in rng.integers(0, 12, 12)]
        loop.append(np.concatenate(picked).mean())
    left_out = [values[groups != g].mean() for g in range(12)]
    low, high = resampling._bca(np.array([values.mean()]), np.array(loop)[:, None], np.array(left_out)[:, None], 0.95)
    found = group_bootstrap(*by_group(values, groups), resamples=200, seed=5)
    np.testing.assert_allclose([found[1], found[2]], [low, high])


def test_intervals_over_groups_are_wider_when_groups_agree():
    rng = np.random.default_rng(4)
    values = np.repeat(rng.random(60) < 0.4, 5)
    grouped = intervals(outcomes(values, np.repeat(np.arange(60), 5)), 2000).iloc[0]
    single = intervals(outcomes(values), 2000).iloc[0]
    ratio = (grouped["high"] - grouped["low"]) / (single["high"] - single["low"])
    assert ratio == pytest.approx(np.sqrt(5), rel=0.12)  # the design effect of five copies


def test_seeds_are_averaged_within_a_query_and_reported_beside_it():
    rng = np.random.default_rng(6)
    values = rng.random((3, 30))
    table = pd.concat([outcomes(v, seed=s) for s, v in enumerate(values)])
    found = intervals(table, 500).iloc[0]
    alone = intervals(outcomes(values.mean(axis=0)), 500).iloc[0]
    assert found[["mean", "low", "high"]].tolist() == pytest.approx(alone[["mean", "low", "high"]].tolist())
    assert found["seed_sd"] == pytest.approx(values.mean(axis=1).std(ddof=1))
    assert found[["seeds", "queries", "groups"]].tolist() == [3, 30, 30]
    assert np.isnan(alone["seed_sd"])


def test_no_hit_at_all_is_no_certainty():
    found = intervals(outcomes(np.zeros(30)), 100).iloc[0]
    expected = stats.binomtest(0, 30).proportion_ci(0.95)  # Clopper-Pearson
    assert (found["low"], found["high"]) == pytest.approx((0, expected.high))
    found = intervals(outcomes(np.ones(30)), 100).iloc[0]
    assert (found["low"], found["high"]) == pytest.approx((stats.binomtest(30, 30).proportion_ci(0.95).low, 1))
    assert intervals(outcomes([1.0, 0.0], [0, 0])).iloc[0][["low", "high"]].isna().all()


def test_the_order_of_rows_changes_nothing():
    values, groups = clustered(np.random.default_rng(8), 30)
    table = pd.concat([outcomes(values, groups), outcomes(~values, groups, method="other")])
    shuffled = table.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(intervals(table, 200), intervals(shuffled, 200))
    pd.testing.assert_frame_equal(differences(table, "m", 200), differences(shuffled, "m", 200))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "q000 is given twice"),
        (lambda t: t.iloc[1:], "q000 lacks a seed"),
        (lambda t: t.assign(group=[f"g{i}" for i in range(len(t))]), "q000 is in two groups"),
        (lambda t: t.assign(value=np.nan), "not finite"),
    ],
)
def test_broken_outcomes_are_refused_by_name(spoil, message):
    table = pd.concat([outcomes([0.0, 1.0], seed=0), outcomes([0.0, 1.0], seed=1)], ignore_index=True)
    with pytest.raises(PhenoLIPError, match=message):
        intervals(spoil(table))


def test_no_outcomes_give_empty_tables():
    table = outcomes([0.0, 1.0])
    assert intervals(table.iloc[:0]).empty
    assert differences(table, "m").empty


# --- differences --------------------------------------------------------------------------------


def test_p_values_equal_scipys():
    rng = np.random.default_rng(9)
    for n in (8, 12):
        x = rng.normal(0.3, 1, n)
        expected = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=10_000).pvalue
        assert sign_flip_p(x[:, None])[0] == pytest.approx(expected)
    x = rng.normal(0.15, 1, 150)
    expected = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=10_000, rng=rng).pvalue
    assert sign_flip_p(x[:, None])[0] == pytest.approx(expected, abs=0.015)


def test_p_values_are_level_under_the_null():
    rng = np.random.default_rng(10)
    p = sign_flip_p(rng.standard_t(3, (40, 1500)), resamples=999)
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / 1500))


def test_equal_methods_do_not_differ_and_opposite_ones_do():
    values, groups = clustered(np.random.default_rng(11), 40)
    table = pd.concat(
        [outcomes(values, groups, "base"), outcomes(values, groups, "same"), outcomes(values + 1.0, groups, "better")]
    )
    found = differences(table, "base", 999).set_index("method")
    assert found.loc["same", ["difference", "low", "high", "p", "p_holm"]].tolist() == [0, 0, 0, 1, 1]
    assert found.loc["better", ["difference", "low", "high"]].tolist() == [1, 1, 1]
    assert found.loc["better", "p"] == pytest.approx(1 / 1000)
    assert found.loc["better", "p_holm"] == pytest.approx(2 / 1000)


def test_differences_are_paired_by_query_and_tested_by_group():
    rng = np.random.default_rng(12)
    values, groups = clustered(rng, 50, p=0.5)
    other = np.where(rng.random(len(values)) < 0.2, True, values)
    table = pd.concat([outcomes(values, groups, "base"), outcomes(other, groups, "new").sample(frac=1, random_state=1)])
    found = differences(table, "base", 3000).iloc[0]
    delta = other.astype(float) - values
    assert found["difference"] == pytest.approx(delta.mean())
    sums, counts = by_group(delta, groups)
    _, low, high = group_bootstrap(sums, counts, 3000)
    assert (found["low"], found["high"]) == pytest.approx((low[0], high[0]))
    assert found["p"] == pytest.approx(sign_flip_p(sums, 3000)[0])
    assert found[["queries", "groups"]].tolist() == [len(values), 50]
    apart = [intervals(table, 3000).set_index("method").loc[m] for m in ("base", "new")]
    assert found["high"] - found["low"] < max(a["high"] - a["low"] for a in apart)  # pairing pays


def test_seed_spread_of_a_difference_is_paired_by_seed():
    rng = np.random.default_rng(13)
    shared, own = rng.random((4, 1)), rng.random(20)
    base = shared + own
    new = base + np.array([[0.1], [0.2], [0.3], [0.4]])
    table = pd.concat(
        [outcomes(v, seed=s, method=m) for m, all_ in (("base", base), ("new", new)) for s, v in enumerate(all_)]
    )
    found = differences(table, "base", 200).iloc[0]
    assert found["seed_sd"] == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1))
    assert found["seeds"] == 4


def test_a_score_that_only_one_has_is_left_out_and_other_queries_are_refused():
    table = pd.concat(
        [outcomes([0, 1], method="a"), outcomes([1, 1], method="b"), outcomes([1], method="b", metric="x")]
    )
    assert differences(table, "a", 10)["metric"].tolist() == ["r"]
    with pytest.raises(PhenoLIPError, match="different queries of r"):
        differences(pd.concat([outcomes([0, 1], method="a"), outcomes([1, 1, 0], method="b")]), "a")
    with pytest.raises(PhenoLIPError, match="different queries of r"):
        differences(pd.concat([outcomes([0, 1, 1], method="a"), outcomes([1, 1], method="b")]), "a")
    with pytest.raises(PhenoLIPError, match="no outcomes of the baseline 'z'; there are: a, b"):
        differences(table, "z")


def test_holm_by_hand():
    # 4 * .01, 3 * .013, 2 * .03, 1 * .5, made monotone
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.5, 0.013])), [0.06, 0.04, 0.5, 0.04])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
