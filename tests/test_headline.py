"""What `dvc metrics` shows: the numbers of the committed tables, of a source with folds and of one without."""

import json

import pandas as pd
import pytest

from phenolip_lib.core.params import load_params
from phenolip_lib.pipeline.headline import RECALL, ZERO_SHOT, numbers
from phenolip_lib.reporting.tables import METHOD_NAMES
from tests.committed import committed
from tests.conftest import ROOT

CELLS = ["20.4 [18.2, 22.9]", "26.9 [23.8, 30.4]", "8.7 [7.3, 10.5]", "19.3 [16.9, 22.3]"]


def written(folder, name, cells, columns=RECALL):
    rows = [[METHOD_NAMES["clip"], *cells], ["Something else", *["1.0 [0.0, 2.0]"] * len(cells)]]
    pd.DataFrame(rows, columns=["method", *columns]).to_csv(folder / f"{name}.csv", index=False)


def test_folds_come_before_the_test_split_and_what_is_not_there_is_left_out(tmp_path):
    assert numbers(tmp_path, ["clip"]) == {}
    written(tmp_path, "retrieval_intervals", ["9.9 [9.0, 9.9]"] * 4)
    assert set(numbers(tmp_path, ["clip"])["Plain contrastive"].values()) == {9.9}
    written(tmp_path, "crossval", CELLS)
    written(tmp_path, "zero_shot", ["44.4"], ["average"])  # of a single seed, which has no spread
    found = numbers(tmp_path, ["clip", "phenolip"])
    assert found == {"Plain contrastive": dict(zip((*RECALL, ZERO_SHOT), (20.4, 26.9, 8.7, 19.3, 44.4), strict=True))}


@pytest.mark.parametrize("source", ["phantom", "open"])
def test_committed_metrics_are_those_of_the_tables_beside_them(source):
    folder, params = committed() / "reports" / source, load_params(ROOT / "params.yaml")
    said = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    methods = [params.evaluation.baseline, params.tour.methods[-1]]
    assert said == numbers(folder / "tables", methods)
    assert sorted(said) == sorted(METHOD_NAMES[method] for method in methods)
    assert all(len(own) == len(RECALL) + 1 for own in said.values())
