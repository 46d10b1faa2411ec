"""Independent runs in processes of their own: the order, what they say, and what goes wrong."""

import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from phenolip_lib.core import runtime, side_by_side
from phenolip_lib.core.errors import PhenoLIPError
from tests.conftest import ROOT


def opened(seed: int) -> torch.Tensor:
    runtime.configure(1)
    return torch.randn(64, 64, generator=torch.Generator().manual_seed(seed))


def product(state: torch.Tensor, job: int) -> list[float]:
    runtime.log.info("job %d", job)
    return ((state + job) @ state).sum(dim=0).tolist()


def moody(state: torch.Tensor, job: str) -> str:
    if job == "refuse":
        raise PhenoLIPError("stage2.batch_size is too large")
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return job


@pytest.mark.parametrize("workers", [2, 3])
def test_results_and_log_do_not_depend_on_the_number_of_processes(workers, monkeypatch):
    lines = {}
    for n in (1, workers):
        said = lines[n] = []
        handler = logging.Handler()
        handler.emit = lambda record, said=said: said.append(record.getMessage())
        monkeypatch.setattr(runtime.log, "handlers", [handler])
        monkeypatch.setattr(runtime.log, "level", logging.INFO)
        results = list(side_by_side.run(product, range(5), partial(opened, 3), n))
        assert results == [product(opened(3), job) for job in range(5)]
        del said[-5:]  # of the line above
    assert lines[workers] == lines[1] == [f"job {job}" for job in range(5)]


def test_what_a_run_refuses_is_said_as_it_says_it():
    with pytest.raises(PhenoLIPError, match="^stage2.batch_size is too large$"):
        list(side_by_side.run(moody, ["a", "refuse", "b"], partial(opened, 0), 2))


def test_a_setup_that_fails_is_said_too():
    with pytest.raises(PhenoLIPError, match="no such teacher"):
        list(side_by_side.run(moody, ["a", "b"], refusing, 2))


def refusing() -> None:
    raise PhenoLIPError("no such teacher")


@pytest.mark.parametrize("jobs", [["die", "a", "b"], ["a", "die", "b"]])
def test_a_process_that_dies_is_one_line(jobs):
    with pytest.raises(PhenoLIPError, match="training runs: a process died.*start again"):
        list(side_by_side.run(moody, jobs, partial(opened, 0), 2, "training runs"))


def test_no_jobs_are_no_work():
    assert list(side_by_side.run(moody, [], refusing, 2)) == []


ENDLESS = """
from functools import partial
from phenolip_lib.core import side_by_side
from tests import test_side_by_side as own
if __name__ == "__main__":
    list(side_by_side.run(own.endless, [own.FOLDER, own.FOLDER], partial(own.opened, 0), 2))
"""
FOLDER = os.environ.get("TEST_FOLDER", "")


def endless(state: torch.Tensor, folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Also when it is killed, as a notebook's kernel may be."""
    environment = os.environ | {"TEST_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    script = tmp_path / "script.py"
    script.write_text(ENDLESS)
    started = subprocess.Popen([sys.executable, str(script)], env=environment, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (found := [path for path in tmp_path.iterdir() if path.name.isdigit()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found
    worker = psutil.Process(int(found[0].name))
    started.kill()
    started.wait()
    worker.wait(30)
