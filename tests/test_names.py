"""No name of params.yaml or of the command line leaves its folder or its word of a command."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import typer
from dvc.repo import Repo
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import name_fault
from phenolip_lib.core.params import load_params, parse_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.experiments import train
from phenolip_lib.pipeline import stages
from phenolip_lib.pipeline.cli import app
from tests.conftest import ROOT

HOSTILE = ["..", "../../x", "a/../../../x", "/x", "$(touch y)", "x; touch y #", "-x", "x\n", "x y", "", "Ångström", "."]


def with_name(params, field: str, name: object) -> dict:
    """The tree of params with the name added where names stand."""
    tree = params.model_dump()
    place = reduce(getitem, field.split("."), tree)
    if isinstance(place, dict):
        place[name] = {}
    else:
        place.append(name)
        if field == "ablations.run":
            tree["ablations"]["overrides"][name] = {}
    return tree


FIELDS = [
    "methods",
    "ablations.overrides",
    "ablations.run",
    "evaluation.cross_validated",
    "tour.methods",
    "medfilip.methods",
    "medfilip.run.phantom",
    "medfilip.beside",
    "arl.methods",
    "arl.run.open",
    "choice.settings",
    "factors.axes",
    "factors.axes.captions",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", FIELDS)
def test_a_name_that_could_lead_elsewhere_is_refused_wherever_names_stand(params, field, name):
    with pytest.raises(PhenoLIPError, match="is no name; use letters, digits, - and _") as error:
        parse_params(with_name(params, field, name))
    assert "\n" not in str(error.value)
    assert repr(name) in str(error.value)


@given(st.text(max_size=8) | st.text("aZ0-_./;$ \n", max_size=8))
@example("a\n")
def test_a_name_is_letters_digits_dashes_and_the_hint_is_one(name):
    plain = bool(name) and name[0] not in "-_" and name.isascii() and all(c.isalnum() or c in "-_" for c in name)
    fault = name_fault(name)
    assert bool(fault) == (not plain)
    assert "\n" not in fault
    if near := re.search(r"e\.g\. '(.*)'$", fault):
        assert name_fault(near[1]) == ""


def test_the_hint_is_the_nearest_name():
    assert name_fault("x; touch y #").endswith("e.g. 'x-touch-y'")
    assert name_fault("naïve").endswith("e.g. 'naive'")


@pytest.mark.parametrize("key", ["1", "true", "null", "2026-01-01"])
@pytest.mark.parametrize("place", ["methods", "ablations.overrides", "stage2", ""])
def test_a_key_that_yaml_does_not_read_as_text_is_one_clear_line(tmp_path, params, key, place):
    tree = params.model_dump()
    node = tree
    for part in filter(None, place.split(".")):
        node = node[part]
    node["KEY"] = {}
    file = tmp_path / "params.yaml"
    with file.open("w") as handle:
        YAML(typ="safe", pure=True).dump(tree, handle)
    file.write_text(file.read_text().replace("KEY:", f"{key}:"))
    with pytest.raises(PhenoLIPError, match=r"the key .* is no text; write it in quotes") as error:
        load_params(file)
    assert "\n" not in str(error.value)
    assert (repr(place) in str(error.value)) == bool(place)


# --- the command line -----------------------------------------------------------------------------

COMMANDS = typer.main.get_command(app).commands
TAKE_A_SOURCE = sorted(name for name, one in COMMANDS.items() if any(p.name == "source" for p in one.params))


def call_with(name: str, **values: str) -> None:
    """Run a command with these values, and "x" for whatever else it needs."""
    options, words = [], []
    for one in COMMANDS[name].params:
        value = values.get(one.name, "x" if one.required else None)
        if value is not None:
            where = options if one.opts[0].startswith("-") else words
            where.append(f"{one.opts[-1]}={value}" if where is options else value)
    CliRunner().invoke(app, [name, *options, *(["--", *words] if words else [])], catch_exceptions=False)


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "a" / "b" / "project"
    root.mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    monkeypatch.setenv("PHENOLIP_ROOT", str(root))
    return root


def everything(project):
    return sorted(project.parents[2].rglob("*"))


@pytest.mark.parametrize("source", ["../../x", "open\n"])
@pytest.mark.parametrize("command", TAKE_A_SOURCE)
def test_an_unknown_source_is_refused_before_any_folder_is_made(project, command, source):
    before = everything(project)
    for stage in stages.NAMES if command == "run" else ["x"]:
        with pytest.raises(PhenoLIPError, match="unknown source") as error:
            call_with(command, source=source, stage=stage)
        assert "\n" not in str(error.value)
    assert everything(project) == before


def test_the_commands_that_take_a_source_are_found():
    assert {"run", "use", "export", "train", "evaluate", "demo"} <= set(TAKE_A_SOURCE)


def test_training_as_a_module_refuses_an_unknown_source(project, toy, capsys):
    toy.save(project / "build" / "hpo")
    before = everything(project)
    assert train.main(["--source", "../../x", "--out", str(project / "out")]) == 2
    assert "unknown source" in capsys.readouterr().out
    assert everything(project) == before


@pytest.mark.parametrize("name", ["../x", "nothing"])
def test_an_unknown_name_is_refused_before_any_folder_is_made(project, name):
    before = everything(project)
    for stage in stages.NAMES:
        with pytest.raises(PhenoLIPError, match=r"unknown parameter|takes no --name"):
            stages.run(stage, "phantom", name)
    with pytest.raises(PhenoLIPError, match="no ablation"):
        call_with("grid", names=name)
    with pytest.raises(PhenoLIPError, match="unknown parameter"):
        call_with("train", method=name)
    assert everything(project) == before


def test_there_is_no_path_for_what_is_no_source(project):
    paths = Paths()
    for place in (
        paths.data,
        paths.phenokg,
        paths.stage2,
        paths.evaluation,
        paths.crossval,
        paths.tour,
        paths.ablations,
        paths.report,
        lambda source: paths.ablation(source, "warm"),
    ):
        with pytest.raises(PhenoLIPError, match="unknown source"):
            place("../x")
    with pytest.raises(PhenoLIPError, match="is no name"):
        paths.ablation("phantom", "..")


# --- DVC, which reads params.yaml without asking us ------------------------------------------------


def named(project, *names: str) -> Repo:
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load((project / "params.yaml").read_text())
    tree["ablations"]["run"] = list(names)
    tree["ablations"]["overrides"] |= {name: {"stage2.lambda_kd": 0.5} for name in names}
    with (project / "params.yaml").open("w") as file:
        yaml.dump(tree, file)
    return Repo.init(str(project), no_scm=True)


def test_every_name_is_one_word_of_the_command_that_dvc_runs(project):
    names = ["plain", "$(touch y)", "x; touch y #", "a'b", 'a"b', "`touch y`", "a b"]
    with named(project, *names) as repo:
        commands = [shlex.split(stage.cmd) for stage in repo.index.stages if stage.name.startswith("ablate@")]
    assert commands == [["phenolip", "run", "ablate", "--source", "phantom", "--name", name] for name in names]


def test_dvc_repro_refuses_a_name_that_leads_out_before_it_deletes_anything(project, tmp_path, monkeypatch):
    """DVC deletes what a stage writes before its command runs, so another stage has to refuse."""
    (tmp_path / "a" / "thesis.txt").write_text("irreplaceable")
    named(project, "../../../../../thesis.txt").close()
    for dep in ("__init__.py", "core", "ontology", "pipeline/notebooks.py"):  # of the stages that may come first
        source, target = ROOT / "phenolip_lib" / dep, project / "phenolip_lib" / dep
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    dvc = [sys.executable, "-m", "dvc", "repro", "ablate@phantom-../../../../../thesis.txt"]
    done = subprocess.run(dvc, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "is no name" in done.stdout + done.stderr, done.stdout + done.stderr
    assert (tmp_path / "a" / "thesis.txt").read_text() == "irreplaceable"
