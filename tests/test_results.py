"""Result files: names, means of outcomes, and what is read back."""

import json

import pandas as pd
import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.results import Result, load_outcomes, load_results, write_result

FACTS = {"source": "phantom", "method": "ssm_ontology", "seed": 2, "n_train": 5, "provenance": {"torch": "x"}}


@pytest.fixture
def folder(tmp_path):
    rows = [("i2t_recall@10", "a", 1.0), ("i2t_recall@10", "b", 0.0), ("i2p_recall@10", "a", 1.0)]
    outcomes = pd.DataFrame(rows, columns=["metric", "query", "value"]).assign(task="retrieval", dataset="", group="g")
    outcomes = outcomes[["task", "dataset", "metric", "query", "group", "value"]]
    result = Result(outcomes, {"": {"n_images": 2, "auc": float("nan")}, "chest x/ray": {"acc1": 0.5}})
    write_result(tmp_path, "retrieval", result, FACTS)
    return tmp_path


def test_a_json_a_data_set_with_clip_benchmarks_names(folder):
    place = folder / "ssm_ontology-seed2" / "retrieval"
    assert sorted(path.name for path in place.iterdir()) == ["all.json", "chest_x_ray.json", "outcomes.parquet"]
    found = json.loads((place / "all.json").read_text())
    assert found["metrics"] == {"i2p_recall@10": 1.0, "n_images": 2, "text_retrieval_recall@10": 0.5}
    assert (found["task"], found["seed"], found["provenance"]) == ("retrieval", 2, {"torch": "x"})


def test_what_is_read_is_what_was_written(folder):
    table = load_results(folder).set_index(["dataset", "metric"])["value"]
    assert table["", "i2t_recall@10"] == 0.5
    assert table["chest x/ray", "acc1"] == 0.5
    outcomes = load_outcomes(folder)
    assert outcomes["method"].unique().tolist() == ["ssm_ontology"]
    assert outcomes["value"].tolist() == [1.0, 0.0, 1.0]


def test_no_results_are_said_so(tmp_path):
    with pytest.raises(PhenoLIPError, match="no results of retrieval; run `dvc repro`"):
        load_outcomes(tmp_path, ["retrieval"])
