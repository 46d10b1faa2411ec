"""From result files to tables."""

import pandas as pd
import pytest

from phenolip_lib import tables
from phenolip_lib.storage import write_json


@pytest.fixture
def results(tmp_path):
    base = {"untrained": 0.1, "clip": 0.5, "phenolip": 0.6}
    for method, value in base.items():
        for seed in range(3):
            scores = dict.fromkeys(tables.RETRIEVAL, value + 0.01 * seed) | {"n_images": 40}
            zero = {"acc1": value, "mean_per_class_recall": value, "majority_acc1": 0.2, "chance_acc1": 0.05}
            write_json(
                tmp_path / f"{method}-{seed}.json",
                {"source": "phantom", "method": method, "seed": seed, "n_train": 100, "provenance": {},
                 "tasks": {"retrieval": scores, "zero_shot": {"radiology": zero, "face": zero}}},
            )  # fmt: skip
    return tables.load_results(tmp_path)


def test_retrieval_table_has_mean_spread_source_scale_and_seeds(results):
    table = tables.retrieval_table(results)
    assert list(table["method"]) == ["Untrained alignment", "Plain contrastive", "PhenoLIP"]
    assert list(table.columns[1:9]) == ["I2T R@10", "I2T R@50", "T2I R@10", "T2I R@50",
                                        "I2P R@10", "I2P R@50", "P2I R@10", "P2I R@50"]  # fmt: skip
    assert table["I2P R@10"].iat[2] == "61.0 ± 1.0"
    assert (table["source"].iat[0], table["train_pairs"].iat[0], table["seeds"].iat[0]) == ("phantom", 100, 3)


def test_zero_shot_table_has_chance_majority_and_average(results):
    table = tables.zero_shot_table(results).set_index("method")
    assert list(table.index[:2]) == ["Chance", "Majority class"]
    assert table.loc["Majority class", "average"] == "20.0 ± 0.0"
    assert table.loc["PhenoLIP", "radiology"] == "60.0 ± 0.0"


def test_differences_are_paired_by_seed(results):
    table = tables.difference_table(results, "clip", ["i2p_recall@10"]).set_index("method")
    row = table.loc["phenolip"]
    assert row["difference"] == pytest.approx(10.0)
    assert row["sd"] == pytest.approx(0.0, abs=1e-6)  # the seed moves both methods alike
    assert row["seed_spread"] == pytest.approx(1.0)
    assert row["exceeds_spread"]


def test_a_difference_within_the_spread_is_not_called_one(results):
    noisy = results.copy()
    mask = (noisy["method"] == "phenolip") & (noisy["metric"] == "i2p_recall@10")
    noisy.loc[mask, "value"] = [0.45, 0.52, 0.58]
    row = tables.difference_table(noisy, "clip", ["i2p_recall@10"]).set_index("method").loc["phenolip"]
    assert not row["exceeds_spread"]


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
