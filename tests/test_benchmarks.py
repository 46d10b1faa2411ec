"""The table of benchmarks, and what follows the stages of a command."""

import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks import curation, stages
from benchmarks.stages import START, follow
from benchmarks.table import HEADER, Row, write


def test_rows_replace_earlier_ones_of_the_same_benchmark(tmp_path):
    path = tmp_path / "table.csv"
    write([Row("recognition", "words", 3.0, "words/s", "peer", 2.0), Row("recognition", "old", 1.0, "s")], path)
    write([Row("retrieval", "memory, peak", 1.5, "GB", "absent peer")], path)
    write([Row("recognition", "words", 4.0, "words/s", "peer", 2.0)], path)
    write([Row("retrieval", "not kept", 1.5, "GB")], None)
    table = pd.read_csv(path)
    assert list(table.columns) == HEADER
    assert table[["benchmark", "what", "value"]].values.tolist() == [
        ["recognition", "words", 4.0],
        ["retrieval", "memory, peak", 1.5],
    ]
    assert table["ratio"].fillna(0).tolist() == [2.0, 0.0]


CHILD = "x = bytearray(80_000_000); [i * i for i in range(10_000_000)]"
SCRIPT = f"""
import subprocess, sys
print("Running stage 'idle':", flush=True)
subprocess.run([sys.executable, "-c", "import time; time.sleep(1.2)"])
print("Running stage 'work@phantom':", flush=True)
subprocess.run([sys.executable, "-c", {CHILD!r}])
subprocess.run([sys.executable, "-c", {CHILD!r}])
sys.exit(3)
"""


def test_time_and_memory_are_charged_to_the_stage_that_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "SECONDS", 0.1)
    monkeypatch.setattr(stages, "MEMORY", 1)
    table, status = follow([sys.executable, "-c", SCRIPT], tmp_path, echo=False)
    assert status == 3
    table = table.set_index("stage")
    assert set(table.index) <= {START, "idle", "work@phantom", "all"}
    assert table.loc["work@phantom", "peak GB"] > 0.08 > table.loc["idle", "peak GB"]
    assert table.loc["work@phantom", "cpu s"] > table.loc["idle", "cpu s"]
    assert table.loc["all", "cpu s"] == table["cpu s"].drop("all").sum()


def test_throughput_tells_the_start_from_the_rate(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(curation, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def setup():
        clock[0] += 3.0

    def step(batch, state):
        clock[0] += 0.5 * len(batch)
        return batch

    (row,) = curation.measure({"links": curation.Work(step, list(range(10)), setup)}, 2, 4).to_dict("records")
    assert (row["engine"], row["records"], row["start s"], row["records/s"], row["x serial"]) == ("serial", 10, 3, 2, 1)
    assert row["hours for 524K pairs"] == pytest.approx((3 + 524_000 / 2) / 3600, abs=0.01)
