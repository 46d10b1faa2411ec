"""Nested validation: no image that a fold tests on has a part in its choice."""

import json

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.data.folds import group_folds
from phenolip_lib.evaluation.results import Result, outcomes, write_result
from phenolip_lib.experiments import choose
from phenolip_lib.training.subset import UNUSED
from tests.conftest import ROOT


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    n = 300
    groups = rng.integers(0, 90, n)
    return pd.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "group": [f"g{g}" for g in groups],
            "article": "",
            "patient": "",
            "phenotypes": [[f"HP:{i % 7:07d}"] for i in range(n)],
            "split": rng.choice(["train", "val", "test"], n),
        }
    )


def test_a_fold_chooses_without_its_test_images_and_without_a_group_on_both_sides(pairs):
    number = group_folds(pairs["group"], 5, 7, pairs["phenotypes"].map(list))
    found = choose.inner_splits(pairs, 5, 4, 7)
    assert list(found) == [f"fold{k}" for k in range(5)]
    for k, table in enumerate(found.values()):
        assert ((table["split"] == UNUSED) == (number == k)).all()
        judges, trains = (set(table["group"][table["split"] == split]) for split in ("test", "train"))
        assert judges
        assert trains
        assert not judges & trains
        assert 0.15 < (table["split"] == "test").sum() / (table["split"] != UNUSED).sum() < 0.35


def test_without_folds_the_validation_split_judges(pairs):
    (name, table), *others = choose.inner_splits(pairs, 0, 4, 7).items()
    assert (name, others) == ("val", [])
    expected = pairs["split"].map({"train": "train", "val": "test", "test": UNUSED})
    assert (table["split"] == expected).all()


def test_each_fold_chooses_the_setting_of_the_highest_mean(tmp_path):
    values = {"fold0": {"a": 0.2, "b": 0.6}, "fold1": {"a": 0.9, "b": 0.1}, "fold2": {"a": 0.3, "b": 0.8}}
    for fold, own in values.items():
        for setting, value in own.items():
            for seed, shift in ((0, -0.1), (1, 0.1)):
                facts = {"source": "open", "method": setting, "seed": seed, "n_train": 9, "provenance": {}}
                for task, dataset, metric in choose.NUMBERS.values():
                    rows = outcomes(metric, pd.Series(["q"]), pd.Series(["g"]), [value + shift], task, dataset or "x")
                    write_result(tmp_path / fold / metric.replace("@", "") / task, task, Result(rows), facts)
    table = choose.judged(tmp_path, list(values), ["a", "b"], [0, 1])
    assert table["seeds"].eq(2).all()
    assert set(table[table["chosen"]][["setting", "fold"]].itertuples(index=False, name=None)) == {
        ("b", "fold0"),
        ("a", "fold1"),
        ("b", "fold2"),
    }
    first, second = choose.summary(table).itertuples(index=False)
    assert (first.setting, first[-1], second.setting, second[-1]) == ("b", 2, "a", 1)
    assert first.score == "50.0"


def test_what_an_earlier_run_left_there_does_not_count(tmp_path):
    def write(setting, seed, value):
        facts = {"source": "open", "method": setting, "seed": seed, "n_train": 9, "provenance": {}}
        for task, dataset, metric in choose.NUMBERS.values():
            rows = outcomes(metric, pd.Series(["q"]), pd.Series(["g"]), [value], task, dataset or "x")
            write_result(tmp_path / "val" / metric.replace("@", "") / task, task, Result(rows), facts)

    write("a", 0, 0.2)
    write("b", 0, 0.6)
    write("a", 1, 1.0)  # of a run with two seeds
    table = choose.judged(tmp_path, ["val"], ["a", "b"], [0]).set_index("setting")
    assert table["score"].to_dict() == pytest.approx({"a": 0.2, "b": 0.6})
    assert table["seeds"].eq(1).all()


def test_a_setting_that_no_run_could_use_is_refused_by_name(params, tmp_path):
    path = tmp_path / "params.yaml"
    tree = params.model_dump(mode="json") | {"choice": {"seeds": [0], "inner_folds": 2, "settings": {"odd": {}}}}
    for key, said in (("stage2.epoch", "unknown parameter"), ("phenokg.seed", "may not change")):
        tree["choice"]["settings"]["odd"] = {key: 1}
        path.write_text(json.dumps(tree), encoding="utf-8")
        with pytest.raises(PhenoLIPError, match=rf"setting 'odd': .*{said}"):
            load_params(path, check_ablations=True)


def test_an_unknown_setting_is_refused_before_anything_is_read(params, tmp_path):
    with pytest.raises(PhenoLIPError, match="unknown parameter 'choice.settings.plane'; did you mean 'plain'"):
        choose.run(params, "open", Paths(ROOT), tmp_path, ["plane"])
