"""What `dvc metrics` shows: the numbers of the committed tables, of a source with folds and of one without."""

import json

import pandas as pd
import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.pipeline.headline import RECALL, ZERO_SHOT, numbers
from phenolip_lib.reporting.summary import headlines
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


def test_what_a_source_does_not_have_is_left_out_and_a_damaged_table_is_named(tmp_path):
    written(tmp_path, "retrieval_intervals", ["9.9 [9.0, 9.9]", "-"], RECALL[:2])
    assert numbers(tmp_path, ["clip"]) == {"Plain contrastive": {RECALL[0]: 9.9}}
    for content in (b"", b"\xff", b"a,b\n1,2\n", b"method,I2T R@10\nPlain contrastive,many\n"):
        (tmp_path / "retrieval_intervals.csv").write_bytes(content)
        with pytest.raises(PhenoLIPError, match="retrieval_intervals.csv: absent or damaged"):
            numbers(tmp_path, ["clip"])


COLUMNS = "method,metric,difference,low,high,beyond_chance\n"


def test_the_last_lines_of_a_run_are_those_of_its_tables(tmp_path):
    path = tmp_path / "crossval_difference.csv"
    path.write_text(
        COLUMNS
        + "phenolip,i2p_recall@10,1.2500,0.5000,2.0000,True\nphenolip,p2i_recall@10,-0.5000,-2.0000,1.0000,False\n"
        "phenolip,i2t_recall@10,9.0000,8.0000,9.9000,True\nclip_soft,i2p_recall@10,-,-,-,False\n"
    )
    assert headlines(path, "clip") == [
        "PhenoLIP minus plain contrastive, I2P R@10: +1.2 points [0.5, 2.0]",
        "PhenoLIP minus plain contrastive, P2I R@10: -0.5 points [-2.0, 1.0], within chance",
    ]
    for content in ("", "method,metric\na,b\n", COLUMNS + "phenolip,i2p_recall@10,many,0,1,True\n"):
        path.write_text(content)
        with pytest.raises(PhenoLIPError, match="crossval_difference.csv: absent or damaged"):
            headlines(path, "clip")


@pytest.mark.parametrize("source", ["phantom", "open"])
def test_committed_metrics_are_those_of_the_tables_beside_them(source):
    folder, params = committed() / "reports" / source, load_params(ROOT / "params.yaml")
    said = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    methods = [params.evaluation.baseline, params.tour.methods[-1]]
    assert said == numbers(folder / "tables", methods)
    assert sorted(said) == sorted(METHOD_NAMES[method] for method in methods)
    assert all(len(own) == len(RECALL) + 1 for own in said.values())
