"""One result for every engine; failures stay in place; a killed run goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.parallel import AHEAD, Pool, failure, map_batches
from phenolip_lib.curation.duplicates import fingerprint
from phenolip_lib.recognition.recognizer import Recognizer, asserted
from tests.conftest import DATA, ROOT


def toy_recognizer():
    from phenolip_lib.core.sections import Hpo
    from phenolip_lib.ontology import hpo

    return Recognizer(hpo.read_release(Hpo(obo=str(DATA / "toy.obo"), sha256=None, annotations=None), DATA))


def recognise(batch, recognizer):
    return [asserted(recognizer(text)) for text in batch]


def hashes(batch, state):
    found = []
    for seed in batch:
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3)).astype(np.uint8)
        found.append(fingerprint(Image.fromarray(pixels))[0].tolist())
    return found


def moody(batch, state):
    """Fails, or takes its process down, at the items that say so; leaves a mark for each item done."""
    results = []
    for item in batch:
        if item == "raise":
            raise ValueError("this item\nis bad")
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if state:
            with open(state, "a") as file:
                file.write(f"{item}\n")
        results.append(item.upper())
    return results


def slow(batch, folder):
    time.sleep(0.2)
    return moody(batch, str(Path(folder) / "done.txt"))


TEXTS = [f"text {i}: splenomegaly" if i % 3 else f"text {i}: nothing" for i in range(41)]


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_engines_agree_with_a_plain_loop(engine, request):
    if engine == "ray":
        request.getfixturevalue("ray_started")
    pool = Pool(engine=engine, workers=2, batch_size=7)
    expected = recognise(TEXTS, toy_recognizer())
    assert any(expected)
    assert map_batches(recognise, TEXTS, pool, name="link", setup=toy_recognizer) == expected
    assert map_batches(hashes, list(range(20)), pool, name="hash") == hashes(list(range(20)), None)


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_nothing_in_nothing_out(engine):
    assert map_batches(moody, [], Pool(engine=engine), name="none") == []


def test_a_failed_item_costs_only_itself():
    results = map_batches(moody, ["a", "raise", "b"], Pool(engine="serial", batch_size=3), name="moody")
    assert [failure(r) for r in results] == [None, "ValueError: this item is bad", None]
    assert results[0] == "A"


def test_a_wrong_number_of_results_is_a_failure():
    results = map_batches(lambda batch, state: [], ["a", "b"], Pool(engine="serial"), name="short")
    assert all("0 results for 1 items" in failure(r) for r in results)


def test_a_worker_that_dies_costs_only_the_item_that_killed_it():
    items = ["a", "b", "die", "c", "d", "e"]
    results = map_batches(moody, items, Pool(workers=2, batch_size=3), name="deadly")
    assert [r if failure(r) is None else "dead" for r in results] == ["A", "B", "dead", "C", "D", "E"]
    assert "died" in failure(results[2])


def started(folder):
    """A worker's setup that leaves a mark of its process."""
    (Path(folder) / f"{os.getpid()}.started").touch()


def done(folder):
    started(folder)
    return str(Path(folder) / "done.txt")


@pytest.mark.parametrize("deadly", [[100], [0, 101, 199]])
def test_an_item_that_kills_costs_few_processes_and_little_work(tmp_path, deadly):
    items = ["die" if i in deadly else f"i{i}" for i in range(200)]
    pool = Pool(workers=2, batch_size=4)
    results = map_batches(moody, items, pool, name="deadly", setup=partial(done, str(tmp_path)))
    assert [i for i, result in enumerate(results) if failure(result)] == deadly
    assert [r for r in results if failure(r) is None] == [i.upper() for i in items if i != "die"]
    # A pool, one process that is killed by four, two and one item, and its successor; then the pool anew.
    assert len(list(tmp_path.glob("*.started"))) <= 2 + len(deadly) * (4 + 2)
    again = len((tmp_path / "done.txt").read_text().split()) - (200 - len(deadly))
    assert again <= len(deadly) * 2 * AHEAD * 4


def end(folder):
    started(folder)
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_cannot_start_are_one_line_and_no_endless_trials(tmp_path):
    with pytest.raises(PhenoLIPError, match="dies as soon as it starts"):
        map_batches(moody, list("abcdefgh"), Pool(batch_size=2), name="dead", setup=partial(end, str(tmp_path)))
    assert len(list(tmp_path.glob("*.started"))) <= 3


def test_finished_batches_are_kept_by_content_and_key(tmp_path):
    marks = tmp_path / "marks.txt"
    pool = Pool(engine="serial", batch_size=2, cache=tmp_path / "cache")

    def run(items, key):
        marks.write_text("")
        results = map_batches(moody, items, pool, name="kept", key=key, setup=partial(str, marks))
        return results, marks.read_text().split()

    assert run(["a", "b", "c", "d"], "1") == (["A", "B", "C", "D"], ["a", "b", "c", "d"])
    assert run(["a", "b", "c", "d"], "1") == (["A", "B", "C", "D"], [])
    assert run(["a", "b", "x", "d"], "1") == (["A", "B", "X", "D"], ["x", "d"])
    assert run(["a", "b"], "2") == (["A", "B"], ["a", "b"])


@pytest.mark.parametrize(
    "damage", ["", '["A"', '["A"]', "{}", "[" * 9999, '{"hash": "0", "value": ["A", "C"]}', "\x00\x01"]
)
def test_a_damaged_file_is_computed_anew(tmp_path, damage):
    pool = Pool(engine="serial", batch_size=2, cache=tmp_path)
    map_batches(moody, ["a", "b"], pool, name="n")
    (file,) = (tmp_path / "n").iterdir()
    file.write_text(damage)
    assert map_batches(moody, ["a", "b"], pool, name="n") == ["A", "B"]
    assert json.loads(file.read_text())["value"] == ["A", "B"]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """SIGKILL to the whole run midway; the second run does only what is missing, and ends the same."""
    script = (
        "from functools import partial; from pathlib import Path; from phenolip_lib.core.parallel import *\n"
        "from tests.test_parallel import slow\n"
        f"pool = Pool(engine='serial', batch_size=2, cache=Path({str(tmp_path / 'cache')!r}))\n"
        "items = [f'i{n}' for n in range(24)]\n"
        f"print(map_batches(slow, items, pool, name='slow', setup=partial(str, {str(tmp_path)!r})))\n"
    )
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    cache = tmp_path / "cache" / "slow"
    for _ in range(600):
        if cache.is_dir() and len(list(cache.glob("*.json"))) >= 3:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    finished = len(list(cache.glob("*.json")))
    assert 3 <= finished < 12
    before = (tmp_path / "done.txt").read_text().split()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(str([f"I{n}" for n in range(24)]))
    again = (tmp_path / "done.txt").read_text().split()[len(before) :]
    assert len(again) == 24 - 2 * finished


def test_an_unknown_engine_names_those_that_exist():
    with pytest.raises(PhenoLIPError, match="serial, processes, ray"):
        Pool(engine="spark")
