"""Commands that edit params.yaml change what they say and nothing else."""

import shutil

import pytest
from typer.testing import CliRunner

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.pipeline.cli import app
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setenv("PHENOLIP_ROOT", str(tmp_path))
    return tmp_path


def call(*words):
    return CliRunner().invoke(app, words, catch_exceptions=False).stdout


def test_the_grid_adds_every_ablation_once_and_changes_nothing_else(project):
    before = load_params(project / "params.yaml")
    assert f"{len(before.ablations.overrides)}" in call("grid")
    after = load_params(project / "params.yaml")
    assert sorted(after.ablations.run) == sorted(after.ablations.overrides)
    assert after.ablations.run[: len(before.ablations.run)] == before.ablations.run
    dumped, expected = after.model_dump(), before.model_dump()
    dumped["ablations"].pop("run"), expected["ablations"].pop("run")
    assert dumped == expected
    text = (project / "params.yaml").read_text()
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert text.count("#") == (ROOT / "params.yaml").read_text().count("#")  # comments stay
    call("grid")
    assert (project / "params.yaml").read_text() == text


def test_one_ablation_is_added_by_name_and_an_unknown_one_refused(project):
    assert "1 of them new" in call("grid", "warm")
    with pytest.raises(PhenoLIPError, match="no ablation 'wram'"):
        call("grid", "wram")
    assert load_params(project / "params.yaml").ablations.run[-1] == "warm"
