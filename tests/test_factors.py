"""A factorial design: every combination once, and the worth of the first change within each of them."""

import itertools

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import parse_params
from phenolip_lib.evaluation.results import Result, outcomes, write_result
from phenolip_lib.experiments import crossval
from phenolip_lib.reporting import factors as report

AXES = {
    "teacher": {"without": {"stage2.lambda_kd": 0.0}, "with": {}},
    "tower": {"a": {}, "b": {"encoders.student": "phenolip-tiny-random-text"}},
    "captions": {"10": {"stage2.train_share": 0.1}, "100": {}},
}


def with_axes(params, axes):
    section = {"seeds": [0], "folds": 0, "axes": axes}
    return parse_params(params.model_dump(mode="json") | {"factors": section})


def test_every_combination_changes_what_its_levels_say(params):
    own = with_axes(params, AXES)
    assert list(own.factors.combinations) == ["-".join(c) for c in itertools.product(*AXES.values())]
    changed = own.combination("without-b-10")
    assert (changed.stage2.lambda_kd, changed.stage2.train_share) == (0.0, 0.1)
    assert changed.encoders.student == "phenolip-tiny-random-text"
    assert own.combination("with-a-100").stage2 == own.stage2


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"teacher": {"with": {}}}, "give it two levels"),
        ({}, "give it two levels"),
        (AXES | {"again": {"x": {"stage2.train_share": 0.5}}}, "two axes change 'stage2.train_share'"),
        ({"a": {"1-2": {}, "1": {}}, "b": {"3": {}, "2-3": {}}}, "two combinations of levels have one name"),
        ({"a": {"..": {}, "1": {}}}, "is no name"),
    ],
)
def test_axes_that_cannot_be_crossed_are_refused(params, axes, said):
    with pytest.raises(PhenoLIPError, match=said):
        with_axes(params, axes)


def test_the_worth_is_the_mean_difference_within_a_combination_for_seen_and_held_out(params, tmp_path):
    own = with_axes(params, AXES)
    rng = np.random.default_rng(0)
    groups = pd.Series([f"g{i}" for i in range(60)])
    expected = {}
    for number, cell in enumerate(own.factors.combinations):
        for split, task in ((crossval.TEST, "retrieval"), (crossval.UNSEEN, "training_images")):
            dataset = "" if split == crossval.TEST else "0"
            # A phenotype that asks is its own group, an image is of its case.
            queries = pd.Series([f"HP:{i:07d}" for i in range(60)]) if split == crossval.UNSEEN else "q" + groups
            values = (rng.random(60) < 0.2 + 0.08 * number).astype(float)
            facts = {"source": "phantom", "method": cell, "seed": 0, "n_train": 9, "provenance": {}}
            rows = pd.concat([outcomes(metric, queries, groups, values, task, dataset) for metric in report.METRICS])
            write_result(tmp_path / split, task, Result(rows), facts)
            expected[cell, split] = 100 * values.mean()
    (tmp_path / crossval.HELD_OUT).write_text('{"phenotypes": ["HP:0000001", "HP:0000002", "HP:0000007"]}')
    found = crossval.by_asked(tmp_path)
    assert set(found["held out"]["query"].str[:10]) == {"HP:0000001", "HP:0000002", "HP:0000007"}
    table = report.worth(found, own)
    assert list(table.columns[:3]) == ["tower", "captions", "queries of"]
    assert len(table) == 2 * 2 * 2 * len(report.METRICS)
    for row in table[table["queries of"] == "seen"].itertuples():
        pair = (expected[f"{level}-{row.tower}-{row.captions}", crossval.TEST] for level in ("with", "without"))
        assert row.difference == pytest.approx(next(pair) - next(pair), abs=0.01)
        assert row.low <= row.difference <= row.high
    drawn = report.figure(table, own)
    assert len(drawn.axes) == 2 * len(report.METRICS)
    points = drawn.axes[0].collections[0].get_paths()  # error bars of the first panel: one a level of the last axis
    assert len(points) == 2
