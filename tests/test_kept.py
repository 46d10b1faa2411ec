"""What the cache and the disk do to a run: damage is computed anew, no room is one line, never another number."""

import os
import resource
import shutil
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from phenolip_lib.core import storage
from phenolip_lib.core.errors import DamagedError, PhenoLIPError, UnwritableError
from phenolip_lib.core.kept import is_whole, kept, read_value, write_value
from phenolip_lib.core.params import load_params
from phenolip_lib.curation.captions.refine import Answer
from phenolip_lib.evaluation.results import Result, load_outcomes, load_results, write_result
from phenolip_lib.experiments import evaluate
from phenolip_lib.models.answers import AnswerFile
from phenolip_lib.models.features import cached
from tests.conftest import ROOT

FEATURES = np.arange(60, dtype=np.float32).reshape(15, 4)


def damages(whole: bytes, step: int = 1):
    """A file cut off and with one byte changed, at many places."""
    for n in range(0, len(whole), step):
        yield whole[:n]
        yield whole[:n] + bytes([whole[n] ^ 0x15]) + whole[n + 1 :]


@contextmanager
def small_disk(limit: int = 3000):
    """Files beyond a size cannot be written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_damage_of_features_stops_a_run_or_changes_them(tmp_path):
    path = tmp_path / "k.npz"
    cached(tmp_path, "k", 15, lambda: FEATURES)
    for content in damages(path.read_bytes(), 3):
        path.write_bytes(content)
        np.testing.assert_array_equal(cached(tmp_path, "k", 15, lambda: FEATURES), FEATURES)
    for wrong in (
        {"features": FEATURES[:3]},
        {"features": FEATURES[0]},
        {"other": FEATURES},
        {"features": FEATURES > 0},
    ):
        storage.write_arrays(path, **wrong)
        np.testing.assert_array_equal(cached(tmp_path, "k", 15, lambda: FEATURES), FEATURES)
    np.testing.assert_array_equal(cached(tmp_path, "k", 15, lambda: 1 / 0), FEATURES)


def fill(folder, text):
    storage.write_text(folder / "a.txt", text)
    storage.write_text(folder / "deep" / "b.txt", text)


def test_a_kept_folder_is_whole_or_made_anew(tmp_path):
    place = tmp_path / "place"

    def get(make=lambda: "made"):
        return kept(place, make, fill, lambda folder: (folder / "deep" / "b.txt").read_text())

    def stop():
        raise AssertionError("made although it was kept")

    assert get() == "made"
    assert get(stop) == "made"
    files = [path for path in place.rglob("*") if path.is_file()]
    assert len(files) == 3
    changes = [lambda: (place / "more.txt").touch(), lambda: shutil.rmtree(place / "deep")]
    for path in files:
        changes += [path.unlink, lambda path=path: (path.unlink(), path.mkdir())]
        changes += [lambda path=path, new=new: path.write_bytes(new) for new in damages(path.read_bytes(), 7)]
    for change in changes:
        change()
        assert not is_whole(place)
        assert get() == "made"
        assert is_whole(place)


def test_a_kept_value_is_itself_or_absent(tmp_path):
    path, value = tmp_path / "v.json", [{"a": 1.5, "b": "é"}, None, [True]]
    assert read_value(path) is None
    write_value(path, value)
    for content in damages(path.read_bytes()):
        path.write_bytes(content)
        assert read_value(path) in (None, value)


def test_a_kept_answer_is_itself_or_absent(tmp_path):
    path, answer = tmp_path / "a.jsonl", Answer(caption="A heart.", modality="CT", phenotypes=["x"])
    AnswerFile(path, Answer).add("key", answer)
    assert AnswerFile(path, Answer).answers == {"key": answer}
    for content in damages(path.read_bytes()):
        path.write_bytes(content)
        assert AnswerFile(path, Answer).answers in ({}, {"key": answer})


FACTS = {"source": "phantom", "method": "m", "seed": 0, "n_train": 5, "provenance": {}}


def result(case=None) -> Result:
    outcomes = pd.DataFrame({"dataset": "", "metric": "auc", "query": ["a"], "group": "g", "value": [0.5]})
    return Result(outcomes.assign(task="t")[["task", "dataset", "metric", "query", "group", "value"]], {"": {"n": 1}})


@pytest.fixture
def case(tmp_path, params, monkeypatch):
    monkeypatch.setattr(evaluate, "TASKS", {"t": result})
    experiment = SimpleNamespace(
        params=params,
        source="phantom",
        paths=SimpleNamespace(cache=tmp_path / "cache"),
        content="",
        n_train=5,
        onto=SimpleNamespace(release="r"),
        beside=lambda task: "",
        bench=SimpleNamespace(classes={}, class_names={}),
    )
    embedded = SimpleNamespace(images=FEATURES, captions=FEATURES)
    return SimpleNamespace(experiment=experiment, embedded=embedded, scale=1.0, student=None)


def test_damaged_kept_results_reach_no_build(case, tmp_path):
    def run(name):
        evaluate.evaluate_embedded(case, "m", 0, tmp_path / name, ["t"])
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}

    first = run("first")
    assert list(first) == ["m-seed0/t/all.json", "m-seed0/t/outcomes.parquet"]
    for n, path in enumerate([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]):
        path.write_bytes(path.read_bytes()[:20])
        assert run(f"again{n}") == first
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("no folder can be made here")
    assert run("without a cache") == first


def test_damaged_results_are_named(tmp_path):
    write_result(tmp_path, "t", result(), FACTS)
    numbers, outcomes = tmp_path / "m-seed0/t/all.json", tmp_path / "m-seed0/t/outcomes.parquet"
    for path, load, step in ((numbers, load_results, 1), (outcomes, load_outcomes, 40)):
        whole = path.read_bytes()
        for n in range(0, len(whole) - 1, step):
            path.write_bytes(whole[:n])
            with pytest.raises(DamagedError, match="dvc repro") as error:
                load(tmp_path)
            assert one_line(error).startswith(f"{path}: ")
        path.write_bytes(whole)
    for content in ("[]", "{}", '{"metrics": 3}', "[" * 9999, numbers.read_text().replace("0.5", '"x"')):
        numbers.write_text(content)
        with pytest.raises(DamagedError, match="all.json: "):
            load_results(tmp_path)


WRITES = {
    "json": lambda path: storage.write_json(path, list(range(9999))),
    "npz": lambda path: storage.write_arrays(path, a=np.zeros(9999)),
    "parquet": lambda path: storage.write_parquet(path, pd.DataFrame({"a": np.random.default_rng(0).random(9999)})),
    "safetensors": lambda path: save(path),
    "folder": lambda path: storage_folder(path),
}


def save(path):
    with storage.atomic_path(path) as temporary:
        save_file({"a": torch.zeros(9999)}, temporary)


def storage_folder(path):
    with storage.atomic_folder(path) as folder:
        storage.write_json(folder / "inside.json", list(range(9999)))


@pytest.mark.parametrize("kind", WRITES)
def test_no_room_is_one_line_that_names_the_path(kind, tmp_path, monkeypatch):
    path = tmp_path / f"out.{kind}"
    with small_disk(), pytest.raises(UnwritableError, match="the disk is full; free space") as error:
        WRITES[kind](path)
    assert one_line(error).startswith(str(path))
    assert list(tmp_path.iterdir()) == []
    for call in ("replace", "fsync"):  # a disk may say so only at the end
        with monkeypatch.context() as patch:
            patch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(UnwritableError, match="the disk is full"):
                WRITES[kind](path)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableError, match="cannot be written") as error:
        WRITES[kind](tmp_path / "file" / "out")
    assert one_line(error).startswith(str(tmp_path / "file" / "out"))


def test_an_error_of_another_kind_in_a_write_stays_itself(tmp_path):
    with pytest.raises(FileNotFoundError), storage.atomic_folder(tmp_path / "a"):
        (tmp_path / "absent").read_text()


@pytest.mark.parametrize("full", [True, False])
def test_a_cache_that_cannot_be_written_costs_time_not_the_run(full, tmp_path, caplog):
    cache, big = tmp_path / "cache", np.zeros((900, 4), np.float32)
    if not full:
        cache.write_text("no folder can be made here")
    with small_disk(), caplog.at_level("INFO", logger="phenolip"):
        for n in range(3):
            np.testing.assert_array_equal(cached(cache, f"k{n}", 900, lambda: big), big)
            write_value(cache / f"v{n}.json", list(range(2000)))
            assert kept(cache / f"f{n}", lambda: "x" * 9999, fill, lambda folder: 1 / 0) == "x" * 9999
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"nothing is kept in {cache}, the run goes on without: {cache}/k0.npz: cannot be written" in told
    assert "\n" not in told
    assert not full or not list(cache.iterdir())


def test_what_is_written_is_synced_before_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("renamed"), replace(old, new)))
    storage.write_text(tmp_path / "a", "x")
    assert done[0].startswith(str(tmp_path / ".a."))
    assert done[1:] == ["renamed", str(tmp_path)]
    done.clear()
    with storage.atomic_folder(tmp_path / "f") as folder:
        (folder / "b").mkdir()
        (folder / "b" / "c").write_text("x")
    assert sorted(path.partition("/.f.")[2][8:] for path in done[: done.index("renamed")]) == ["", "/b", "/b/c"]
    assert done[-1] == str(tmp_path)


def broken_params():
    text = (ROOT / "params.yaml").read_bytes()
    yield from (text.replace(b"seeds", b"s\xe9eds"), text.decode().encode("utf-16"), b"", b"\0", b"- a", b"1")
    yield from (b"a: " + part for part in (b"[" * 3000, b"{a: " * 3000, b"1" * 5000, b"2001-13-45", b"!!float x"))
    yield from (text[:100] + b"\0" + text[100:], text + b"\nseeds: [1]\n", b"? {a: b}\n: 1", b"&a [*a]", b"\xff" * 9)
    rng = np.random.default_rng(0)
    for n in rng.integers(0, 400, 12):
        yield text[:n] + bytes([rng.integers(0, 256)]) + text[n + 1 : 400]


def test_broken_params_are_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "params.yaml"
    for content in broken_params():
        path.write_bytes(content)
        with pytest.raises(PhenoLIPError, match=r"params\.yaml: ") as error:
            load_params(path)
        one_line(error)
    path.write_bytes(b"\xef\xbb\xbf" + (ROOT / "params.yaml").read_bytes())
    assert load_params(path) == load_params(ROOT / "params.yaml")
    path.unlink()
    path.mkdir()
    with pytest.raises(PhenoLIPError, match="cannot be read \\(Is a directory\\)"):
        load_params(path)
