"""From result files to tables."""

import pandas as pd
import pytest

from phenolip_lib.evaluation.results import Result, load_results, write_result
from phenolip_lib.reporting import tables


@pytest.fixture
def results(tmp_path):
    base = {"untrained": 0.1, "clip": 0.5, "phenolip": 0.6}
    for method, value in base.items():
        for seed in range(3):
            scores = dict.fromkeys(tables.RETRIEVAL, value + 0.01 * seed) | {"n_images": 40}
            zero = {"acc1": value, "mean_per_class_recall": value, "majority_acc1": 0.2, "chance_acc1": 0.05}
            facts = {"source": "phantom", "method": method, "seed": seed, "n_train": 100, "provenance": {}}
            write_result(tmp_path, "retrieval", Result(numbers={"": scores}), facts)
            write_result(tmp_path, "zero_shot", Result(numbers={"radiology": zero, "face": zero}), facts)
    return load_results(tmp_path)


def test_retrieval_table_has_mean_spread_source_scale_and_seeds(results):
    table = tables.retrieval_table(results)
    assert list(table["method"]) == ["Untrained alignment", "Plain contrastive", "PhenoLIP"]
    assert list(table.columns[1:9]) == [
        "I2T R@10",
        "I2T R@50",
        "T2I R@10",
        "T2I R@50",
        "I2P R@10",
        "I2P R@50",
        "P2I R@10",
        "P2I R@50",
    ]
    assert table["I2P R@10"].iat[2] == "61.0 ± 1.0"
    assert (table["source"].iat[0], table["train_pairs"].iat[0], table["seeds"].iat[0]) == ("phantom", 100, 3)


def test_methods_of_ones_own_come_after_the_known_ones():
    assert tables.method_order(["zeta", "phenolip", "alpha", "clip"]) == ["clip", "phenolip", "alpha", "zeta"]


@pytest.fixture
def differences():
    rows = [
        ("phenolip", "", "i2p_recall@10", 0.031, 0.012, 0.05, 0.004),
        ("phenolip", "", "i2p_steps@1", -0.4, -0.6, -0.2, 0.001),
        ("ssm", "", "i2p_recall@10", 0.02, 0.001, 0.05, 0.2),
    ]
    table = pd.DataFrame(rows, columns=["method", "dataset", "metric", "difference", "low", "high", "p_holm"])
    return table.assign(seed_sd=0.01, queries=50, groups=20, beyond_chance=tables.beyond_chance(table, 0.5))


def test_differences_are_points_and_steps_stay_steps(differences):
    table = tables.difference_table(differences, ["i2p_recall@10", "i2p_steps@1"])
    assert table["difference"].tolist() == [2.0, 3.1, -0.4] or table["difference"].tolist() == [3.1, -0.4, 2.0]
    assert "dataset" not in table
    by = table.set_index(["method", "metric"])["beyond_chance"]
    assert by["phenolip", "i2p_recall@10"]
    assert by["phenolip", "i2p_steps@1"]
    assert not by["ssm", "i2p_recall@10"], "an interval without zero is not enough"


@pytest.mark.parametrize(
    ("low", "high", "drift", "beyond"),
    [
        (0.4, 5.0, 0.5, False),
        (-5.0, -0.4, 0.5, False),
        (1.0, 5.0, 0.5, False),
        (1.004, 5.0, 0.5, False),  # printed as 1.00
        (1.01, 5.0, 0.5, True),
        (-5.0, -1.01, 0.5, True),
        (-1.01, 5.0, 0.5, False),
        (0.01, 5.0, 0.0, True),
        (0.004, 5.0, 0.0, False),
        (0.0, 0.0, 0.0, False),
        (float("nan"), float("nan"), 0.0, False),
    ],
)
def test_a_difference_is_beyond_chance_only_at_twice_the_drift_between_processors(low, high, drift, beyond):
    rows = [("i2p_recall@10", low / 100, high / 100, p) for p in (0.001, 0.05)]
    table = pd.DataFrame(rows, columns=["metric", "low", "high", "p_holm"])
    assert tables.beyond_chance(table, drift).tolist() == [beyond, False]
    steps = table.assign(metric="i2p_steps@1", low=low, high=high)  # no percentages, and no drift
    assert tables.beyond_chance(steps, drift).tolist() == tables.beyond_chance(table, 0.0).tolist()


def test_interval_table_has_percent_and_steps():
    rows = [("phenolip", "i2p_recall@10", 0.5, 0.4, 0.625), ("phenolip", "i2p_steps@1", 4.5, 4.0, 5.0)]
    intervals = pd.DataFrame(rows, columns=["method", "metric", "mean", "low", "high"])
    table = tables.interval_table(intervals, ["i2p_recall@10", "i2p_steps@1", "absent"])
    assert table.to_dict("records") == [
        {"method": "PhenoLIP", "I2P R@10": "50.0 [40.0, 62.5]", "I2P steps@1": "4.50 [4.00, 5.00]"}
    ]


def test_three_renderings_agree(tmp_path):
    table = pd.DataFrame({"name": ["a|b", "c"], "value": [1 / 3, float("nan")], "n": [1, 2]})
    tables.write_table(table, tmp_path, "t", "Caption 5%.")
    assert (tmp_path / "t.csv").read_text() == "name,value,n\na|b,0.3333,1\nc,-,2\n"
    assert "| a\\|b | 0.3333 | 1 |" in (tmp_path / "t.md").read_text()
    latex = (tmp_path / "t.tex").read_text()
    assert "0.3333" in latex
    assert r"\label{tab:t}" in latex


def test_single_seed_shows_no_spread():
    assert tables.percent(0.5, 0.0, 1) == "50.0"


def test_data_sets_that_are_numbers_go_by_size():
    rows = [(m, d, "r", 0.5 + i / 10, 0.25, 0.75) for i, m in enumerate(("clip", "phenolip")) for d in ("1000", "90")]
    found = pd.DataFrame(rows, columns=["method", "dataset", "metric", "mean", "low", "high"])
    table = tables.dataset_table(found, "r", "candidates")
    assert table.columns.tolist() == ["method", "candidates: 90", "candidates: 1000"]
    assert table["candidates: 90"].tolist() == ["50.0 [25.0, 75.0]", "60.0 [25.0, 75.0]"]
    turned = tables.dataset_table(found, "r", "candidates", transposed=True)
    assert turned.columns.tolist() == ["candidates", "Plain contrastive", "PhenoLIP"]
    assert turned["candidates"].tolist() == ["90", "1000"]


def test_names_of_metrics_as_printed():
    assert tables.metric_name("i2p_recall@10") == "I2P R@10"
    assert tables.metric_name("i2p_hierarchical_recall@1") == "I2P hierarchical recall@1"
    assert tables.metric_name("i2p_ndcg@50") == "I2P nDCG@50"
    assert tables.metric_name("i2p_calibrated_recall@10") == "I2P calibrated R@10"
    assert tables.metric_name("acc1") == "acc1"
