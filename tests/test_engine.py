"""The engine: parts, processes and interruptions change nothing of a run."""

import json
import resource
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.progress import Watch, forget
from phenolip_lib.core.storage import read_json
from phenolip_lib.models import student
from phenolip_lib.training import engine, stage2
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import launch
from phenolip_lib.training.schedule import EarlyStopping, cosine_schedule, seed_of
from tests import training_case as case
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    case.make(folder)
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    """Train in this process; returns weights by name and the history."""
    monkeypatch.setattr(stage2, "build_student", case.without_dropout)

    def train(overrides, **options):
        settings = case.params(folder, overrides)
        model, history = stage2.train(settings, case.data(folder, settings), None, seed=0, **options)
        return model.state_dict(), history

    return train


def program(folder, out, overrides, *kill_at):
    command = [sys.executable, "-m", "tests.training_case", str(folder), str(out), json.dumps(overrides), *kill_at]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


PARTS = {"training.accumulation": 2}


def assert_close(a, b, atol):
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], atol=atol, rtol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def moved(a, b):
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["clip", "siglip", "ssm_ontology"])
@pytest.mark.parametrize("towers", [{}, case.TOWERS])
def test_parts_give_the_gradient_of_the_whole_batch(run, objective, towers):
    further = {"stage2.ontology_weight": 0.5, "stage2.names_weight": 0.5}
    over = {"stage2.objective": objective, "stage2.epochs": 1} | further | towers
    start, _ = run(over | {"stage2.epochs": 0})
    whole, a = run(over)
    parts, b = run(over | {"training.accumulation": 4})
    assert moved(start, whole) > 1e-4
    # AdamW divides by the gradient's size, so the smallest of them amplify rounding.
    assert_close(whole, parts, atol=2e-4)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-4)


def test_parts_without_the_cached_gradient_would_differ(run):
    """The loss of four small batches is another loss, so the test above can fail."""
    _, whole = run({"stage2.epochs": 1})
    _, small = run({"stage2.epochs": 1, "stage2.batch_size": 2})
    assert abs(whole["loss"].iat[0] - small["loss"].iat[0]) > 0.1


def test_dropout_is_the_same_in_both_passes_over_a_part(folder, monkeypatch):
    """The gradient at the embeddings belongs to the embeddings that the second pass makes again."""
    settings = case.params(folder, case.TOWERS | {"stage2.epochs": 1, "stage2.head_dropout": 0.5} | PARTS)
    taken, seen = student.Student.forward, []

    def forward(self, **inputs):
        output = taken(self, **inputs)
        if self.training:
            seen.append(output["image"].detach().clone())
        return output

    monkeypatch.setattr(student.Student, "forward", forward)
    stage2.train(settings, case.data(folder, settings), None, seed=0)
    for step in range(0, len(seen), 4):
        for first, again in zip(seen[step : step + 2], seen[step + 2 : step + 4], strict=True):
            torch.testing.assert_close(first, again)
    assert not torch.equal(seen[0], seen[1])
    assert len(seen) % 4 == 0


@pytest.mark.parametrize("parts", [1, 2])
def test_gradient_checkpointing_changes_memory_alone(run, parts):
    over = case.TOWERS | {"stage2.epochs": 1, "training.accumulation": parts}
    plain, _ = run(over)
    checkpointed, _ = run(over | {"training.gradient_checkpointing": True})
    assert_close(plain, checkpointed, atol=2e-4)


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"training.local_loss": False},
        {"stage2.objective": "siglip", "stage2.ontology_weight": 0.5},
        {"stage2.names_weight": 1.0, "stage2.names_embedder": "teacher", "stage2.names_batch": 4},
        case.TOWERS | {"stage2.frozen_epochs": 1, "training.accumulation": 2, "stage2.names_weight": 1.0},
    ],
    ids=["local loss", "whole loss", "siglip and soft labels", "names by the teacher", "names, towers, in parts"],
)
def test_two_processes_train_what_one_trains(folder, run, tmp_path, overrides):
    one, history = run(overrides)
    launch(2, "tests.training_case", [str(folder), str(tmp_path / "two.safetensors"), json.dumps(overrides)])
    two = load_file(tmp_path / "two.safetensors")
    assert_close(one, two, atol=5e-4)
    other = pd.read_json(tmp_path / "two.history.json")
    np.testing.assert_allclose(history["loss"], other["loss"], rtol=1e-3)
    np.testing.assert_allclose(history["loss_kd"], other["loss_kd"], rtol=1e-3)


def test_a_batch_that_does_not_divide_is_said_so(folder, tmp_path):
    with pytest.raises(PhenoLIPError, match="stage2.batch_size 7 does not divide by 2 processes"):
        launch(2, "tests.training_case", [str(folder), str(tmp_path / "x"), '{"stage2.batch_size": 7}'])


# --- interruptions -------------------------------------------------------------------------------


@pytest.mark.parametrize("towers", [{}, case.TOWERS | {"stage2.frozen_epochs": 1}], ids=["heads", "towers"])
def test_a_run_killed_again_and_again_ends_with_the_same_bits(folder, tmp_path, towers):
    over = {"training.checkpoint_steps": 1, "stage2.epochs": 3, "stage2.names_weight": 1.0} | towers
    steps = [str(n) for n in (0, 3)]
    for _ in steps:
        ended = program(folder, tmp_path / "killed", over, *steps)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert program(folder, tmp_path / "killed", over, *steps).returncode == 0
    assert program(folder, tmp_path / "whole", over, "none").returncode == 0
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "killed.history.json").read_bytes() == (tmp_path / "whole.history.json").read_bytes()


def test_a_finished_run_is_not_trained_again(run, tmp_path):
    over = {"training.checkpoint_steps": 2}
    first, history = run(over, checkpoints=Checkpoints(tmp_path))
    again, same = run(over, checkpoints=Checkpoints(tmp_path))
    pd.testing.assert_frame_equal(history, same)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_checkpoint_of_another_model_is_refused_in_one_line(run, tmp_path):
    run({"stage2.epochs": 1}, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(
        PhenoLIPError, match=r"a checkpoint of another model \(.* differs\); remove the folder"
    ) as error:
        run({"stage2.epochs": 1} | case.TOWERS, checkpoints=Checkpoints(tmp_path))
    assert "\n" not in str(error.value)


def test_checkpoints_are_never_pickles_and_the_damaged_one_is_passed_over(tmp_path):
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        kept.save(step, {"w": torch.full((2,), float(step))}, {"note": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{n:09d}.{kind}" for n in (2, 3) for kind in ("json", "safetensors")
    ]
    assert all(not path.read_bytes().startswith((b"PK", b"\x80")) for path in tmp_path.iterdir())
    newest = tmp_path / "000000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    tensors, state = kept.latest()
    assert (tensors["w"].tolist(), state["note"]) == ([2.0, 2.0], 2)


@pytest.mark.parametrize("damage", ["[]", "null", "{}", "", '"x"', "changed", "without a value"])
def test_a_state_that_is_not_the_one_written_is_passed_over(tmp_path, damage):
    kept = Checkpoints(tmp_path)
    for step in (1, 2):
        kept.save(step, {"w": torch.full((2,), float(step))}, {"note": "as written", "history": [{"loss": 0.25}]})
    newest = tmp_path / "000000002.json"
    text = newest.read_text()
    changed = text.replace("0.25", "0.5") if damage == "changed" else text.replace('"note": "as written",', "")
    newest.write_text(changed if damage[0:1] in ("c", "w") else damage)
    tensors, state = kept.latest()
    assert (tensors["w"].tolist(), state["step"], state["note"]) == ([1.0, 1.0], 1, "as written")


def test_a_full_disk_loses_no_earlier_checkpoint_and_stops_nothing(tmp_path, caplog):
    """The limit on a file's size makes the write fail half way, as a full disk does."""
    kept = Checkpoints(tmp_path)
    kept.save(1, {"w": torch.ones(1000)}, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with caplog.at_level("INFO", logger="phenolip"):
            kept.save(2, {"w": torch.ones(100_000)}, {})
            kept.save(3, {"w": torch.ones(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert kept.latest()[1]["step"] == 1
    (told,) = [r.getMessage() for r in caplog.records if "the run goes on" in r.getMessage()]
    assert f"{tmp_path}/000000002.safetensors: cannot be written, the disk is full" in told


def test_a_loss_that_is_no_number_stops_and_names_the_last_checkpoint(folder, monkeypatch, tmp_path):
    settings = case.params(folder, {"training.checkpoint_steps": 1})
    data = case.data(folder, settings)
    taken = stage2.Pretraining.loss

    def loss(self, output, facts):
        terms = taken(self, output, facts)
        loss.calls += 1
        return {key: value * float("nan") for key, value in terms.items()} if loss.calls == 4 else terms

    loss.calls = 0
    monkeypatch.setattr(stage2.Pretraining, "loss", loss)
    with pytest.raises(PhenoLIPError, match="stage 2: the loss is nan at step 4; .*last good checkpoint is of step 3"):
        stage2.train(settings, data, None, seed=0, checkpoints=Checkpoints(tmp_path))
    tensors, _ = Checkpoints(tmp_path).latest()
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_a_gradient_that_is_no_number_is_saved_nowhere(folder, monkeypatch, tmp_path):
    """The loss of that step is fine, the weights after it are not."""
    settings = case.params(folder, {"training.checkpoint_steps": 1})
    taken, calls = engine.Engine._update, []

    def update(self):
        calls.append(taken(self))
        return calls[-1] * float("inf") if len(calls) == 4 else calls[-1]

    monkeypatch.setattr(engine.Engine, "_update", update)
    with pytest.raises(PhenoLIPError, match="gradient's norm is inf at step 4; .*last good checkpoint is of step 3"):
        stage2.train(settings, case.data(folder, settings), None, seed=0, checkpoints=Checkpoints(tmp_path))
    assert Checkpoints(tmp_path).steps()[-1] == 3


def test_a_finished_run_keeps_its_weights_alone(run, tmp_path):
    (tmp_path / ".000000001.safetensors.half").write_text("left by a killed process")
    kept = Checkpoints(tmp_path)
    run({"training.checkpoint_steps": 1}, checkpoints=kept)
    tensors, state = kept.latest()
    assert kept.steps() == [state["step"]]
    assert tensors
    assert all(name.startswith("module.") for name in tensors)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


# --- early stopping, schedule, curves ------------------------------------------------------------


def test_early_stopping_ends_the_run_with_the_best_weights(run):
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def validate(student):
        seen.append(student.image_head.state_dict())
        seen[-1] = {key: value.clone() for key, value in seen[-1].items()}
        return {"val_score": next(scores)}

    over = {"stage2.epochs": 5, "stage2.validations": 5, "stage2.early_stopping": 2}
    weights, history = run(over, validate=validate)
    assert history["val_score"].tolist() == [0.1, 0.5, 0.4, 0.3]
    best = seen[1]
    assert all(torch.equal(weights[f"image_head.{key}"], value) for key, value in best.items())


def test_without_patience_nothing_stops():
    stopping = EarlyStopping(None)
    assert not any(stopping.see(score, dict) for score in (1.0, 0.5, 0.2, 0.1))
    assert stopping.weights == {}


def test_schedule_warms_up_and_ends_at_zero():
    values = [cosine_schedule(s, 100, 10) for s in range(101)]
    assert values[:10] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[100] == pytest.approx(0, abs=1e-9)


def test_seeds_differ_by_step_and_rank():
    seeds = {seed_of(0, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_curves_are_plain_tables_and_a_resumed_run_forgets_what_it_will_redo(tmp_path):
    watch = Watch("run", 4, tmp_path)
    for step in range(1, 5):
        watch.step(step, {"loss": 1 / step, "learning_rate": 0.1})
    watch.close()
    path = tmp_path / "plots" / "metrics" / "loss.tsv"
    assert pd.read_csv(path, sep="\t")["step"].tolist() == [1, 2, 3, 4]
    whole = path.read_bytes()
    forget(tmp_path, 2)
    assert pd.read_csv(path, sep="\t")["step"].tolist() == [1, 2]
    again = Watch("run", 4, tmp_path, start=2)
    for step in (3, 4):
        again.step(step, {"loss": 1 / step, "learning_rate": 0.1})
    again.close()
    assert path.read_bytes() == whole
    assert not list(ROOT.glob("dvclive")), "curves stay in the folder they were given"


@pytest.mark.parametrize("content", [b"", b"step\tloss\n1\t1.0\n\x00\x00", b"\xff", b"loss\n1.0\n"])
@pytest.mark.parametrize("name", ["plots/metrics/loss.tsv", "metrics.json"])
def test_curves_that_a_killed_run_left_half_written_stop_no_run(tmp_path, name, content):
    """dvclive writes its summary anew with every step, and reads it when a run goes on."""
    watch = Watch("run", 4, tmp_path)
    watch.step(1, {"loss": 1.0})
    watch.close()
    (tmp_path / name).write_bytes(content)
    again = Watch("run", 4, tmp_path, start=1)
    again.step(2, {"loss": 0.5})
    again.close()
    steps = pd.read_csv(tmp_path / "plots/metrics/loss.tsv", sep="\t")["step"].tolist()
    assert steps == ([2] if "loss" in name else [1, 2])
    assert read_json(tmp_path / "metrics.json")["step"] == 2


def test_progress_speaks_in_plain_lines_where_there_is_no_terminal(run, monkeypatch):
    lines = []
    monkeypatch.setattr("phenolip_lib.core.progress.log.info", lambda text, *values: lines.append(text % values))
    run({"stage2.epochs": 4})
    assert [line.split(",")[0] for line in lines] == [f"stage 2: {n}/8" for n in (2, 4, 6, 8)]
    assert all("steps/s" in line and "s left" in line and "loss" in line for line in lines)
