"""Calibration against slow loops, scikit-learn and, where it is installed, torchmetrics."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.tasks.calibration import (
    SCALES,
    adaptive_ece,
    calibration,
    ece,
    fit_scale,
    per_image,
    reliability,
)
from phenolip_lib.evaluation.tasks.zero_shot import problems
from tests.task_case import bench_of, embedded_of, pairs_of


@pytest.fixture(scope="module")
def case(full):
    pairs = pairs_of(400)
    return bench_of(pairs, full), embedded_of(pairs, full)


def slow_ece(confidence, correct, bins):
    total = 0.0
    for b in range(bins):
        own = [i for i, c in enumerate(confidence) if b / bins < c <= (b + 1) / bins or (b == 0 and c == 0)]
        if own:
            gap = np.mean([correct[i] for i in own]) - np.mean([confidence[i] for i in own])
            total += len(own) / len(confidence) * abs(gap)
    return total


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 20))
def test_ece_equals_a_slow_loop(seed, n, bins):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n), (rng.random(n) < 0.6).astype(float)
    assert ece(confidence, correct, bins) == pytest.approx(slow_ece(confidence, correct, bins))


def test_ece_equals_torchmetrics():
    rng = np.random.default_rng(0)
    p, truth = softmax(2 * rng.standard_normal((200, 6)), axis=1), rng.integers(0, 6, 200)
    expected = multiclass_calibration_error(torch.tensor(p), torch.tensor(truth), 6, n_bins=15, norm="l1")
    assert ece(p.max(axis=1), p.argmax(axis=1) == truth) == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 20))
def test_adaptive_ece_has_bins_of_equal_count(seed, n, bins):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n), (rng.random(n) < 0.6).astype(float)
    order = np.argsort(confidence)
    parts = [part for part in np.array_split(order, bins) if len(part)]
    expected = sum(len(part) / n * abs(correct[part].mean() - confidence[part].mean()) for part in parts)
    assert adaptive_ece(confidence, correct, bins) == pytest.approx(expected)


def test_adaptive_ece_does_not_know_the_order_of_ties():
    confidence, correct = np.repeat([0.5, 0.9], 10), np.tile([0.0, 1.0], 10)
    order = np.argsort(correct, kind="stable")
    assert adaptive_ece(confidence, correct, 4) == pytest.approx(adaptive_ece(confidence[order], correct[order], 4))
    assert adaptive_ece(confidence, correct, 4) == pytest.approx(0.2)


def test_a_calibrated_model_has_no_error():
    confidence = np.repeat([0.25, 0.75], 40)
    correct = np.concatenate([np.arange(40) % 4 == 0, np.arange(40) % 4 != 0]).astype(float)
    assert ece(confidence, correct) == pytest.approx(0)
    assert adaptive_ece(confidence, correct) < 0.1


@pytest.mark.parametrize("confidence", [[], [1.2], [np.nan]])
def test_what_is_no_confidence_is_refused(confidence):
    with pytest.raises(PhenoLIPError, match="between 0 and 1"):
        ece(np.array(confidence), np.ones(len(confidence)))


def test_per_image_equals_scikit_learn():
    rng = np.random.default_rng(1)
    cosines, truth = rng.uniform(-1, 1, (60, 5)), rng.integers(0, 5, 60)
    values = per_image(cosines, truth, 7.0)
    p = softmax(7 * cosines, axis=1)
    assert values["nll"].mean() == pytest.approx(log_loss(truth, p, labels=range(5)))
    assert values["brier"].mean() == pytest.approx(
        np.mean([((p[i] - np.eye(5)[t]) ** 2).sum() for i, t in enumerate(truth)])
    )
    np.testing.assert_array_equal(values["correct"], cosines.argmax(axis=1) == truth)
    np.testing.assert_allclose(values["confidence"], p.max(axis=1))


def test_ties_are_wrong():
    values = per_image(np.full((3, 4), 0.5), np.arange(3), 10.0)
    assert values["correct"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(values["confidence"], 0.25)


def test_fitted_scale_is_best_on_a_grid_and_recovers_the_truth():
    rng = np.random.default_rng(2)
    cosines = rng.uniform(-1, 1, (4000, 6))
    truth = np.array([rng.choice(6, p=p) for p in softmax(8 * cosines, axis=1)])
    fitted = fit_scale(cosines, truth)
    assert fitted == pytest.approx(8, rel=0.1)
    grid = np.geomspace(*SCALES, 400)
    losses = [per_image(cosines, truth, s)["nll"].mean() for s in grid]
    assert per_image(cosines, truth, fitted)["nll"].mean() <= min(losses) + 1e-9


def test_a_model_that_is_always_right_stops_at_the_bound():
    assert fit_scale(0.1 * np.eye(5), np.arange(5)) == pytest.approx(SCALES[1], rel=1e-3)


def test_order_of_classes_does_not_matter():
    rng = np.random.default_rng(3)
    cosines, truth = rng.uniform(-1, 1, (50, 5)), rng.integers(0, 5, 50)
    order = rng.permutation(5)
    turned = per_image(cosines[:, order], np.argsort(order)[truth], 9.0)
    for metric, value in per_image(cosines, truth, 9.0).items():
        np.testing.assert_allclose(turned[metric], value, err_msg=metric)


def test_result_is_of_images_with_one_class(case):
    bench, embedded = case
    result = calibration(bench, embedded, 30.0)
    problem = problems(bench)[0]
    alone = problem.rows[np.diff(problem.truth.indptr) == 1]
    own = result.outcomes[(result.outcomes["dataset"] == "radiology")]
    assert set(own["query"]) == set(bench.pairs["pair_id"].iloc[alone])
    assert len(alone) < len(problem.rows)
    numbers = result.metrics()["radiology"]
    assert numbers["n_images"] == len(alone)
    parts = {metric: part["value"].to_numpy() for metric, part in own.groupby("metric")}
    for suffix in ("", "_scaled"):
        expected = slow_ece(parts["confidence" + suffix], parts["correct" + suffix], 15)
        assert numbers["ece" + suffix] == pytest.approx(expected)
    assert numbers["nll"] == pytest.approx(parts["nll"].mean())
    assert numbers["scale"] == 30


def test_temperature_scaling_helps_a_model_of_a_wrong_scale(case):
    numbers = calibration(*case, 100.0).metrics()["ham10000"]
    assert numbers["fitted_scale"] < 50
    for metric in ("nll", "brier", "ece"):
        assert numbers[f"{metric}_scaled"] < numbers[metric]


def test_reliability_adds_up_to_the_calibration_error(case):
    result = calibration(*case, 30.0)
    table = reliability(result.outcomes)
    for (dataset, scaled), part in table.groupby(["dataset", "scaled"]):
        gap = (part["count"] * (part["accuracy"] - part["confidence"]).abs()).sum() / part["count"].sum()
        assert gap == pytest.approx(result.numbers[dataset]["ece_scaled" if scaled else "ece"])
        assert ((part["low"] < part["confidence"]) & (part["confidence"] <= part["high"])).all()
    models = [result.outcomes.assign(method=m, seed=s) for m in ("a", "b") for s in (0, 1)]
    both = reliability(pd.concat(models))
    assert both[both["method"] == "a"]["count"].sum() == 2 * table["count"].sum()


def test_too_few_validation_images_are_left_out(full):
    pairs = pairs_of(400)
    pairs.loc[pairs["split"] == "val", "split"] = "train"
    assert calibration(bench_of(pairs, full), embedded_of(pairs, full), 10.0).metrics() == {}


@pytest.mark.parametrize("scale", [0.0, -2.0, float("nan"), float("inf")])
def test_a_scale_must_be_positive(case, scale):
    with pytest.raises(PhenoLIPError, match="positive"):
        calibration(*case, scale)


def test_a_bad_embedding_is_refused(case):
    bench, embedded = case
    images = np.full_like(embedded.images, np.nan)
    with pytest.raises(PhenoLIPError, match="not finite"):
        calibration(bench, SimpleNamespace(images=images, text=embedded.text), 10.0)
