"""Imports go down only, every stage depends on all code that it runs, and what is kept is known by that code."""

import ast
import json
import re
import statistics
import subprocess
import sys
from functools import lru_cache

import pytest
from ruamel.yaml import YAML

from phenolip_lib.core import code
from phenolip_lib.experiments.evaluate import TASK_PARAMS
from phenolip_lib.pipeline import stages
from tests.conftest import ROOT
from tests.params_read import keys, keys_read

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
LIBRARY = ROOT / "phenolip_lib"
SPLIT = {"report-ontology": "report"}
"""Stages of dvc.yaml that run another one's function."""


def starts(stage: str) -> ast.AST:
    """The code of a stage's notebook or function. The runner itself passes on names and decides nothing."""
    if stage in stages.NOTEBOOK_STAGES:
        cells = json.loads((ROOT / "notebooks" / f"{stages.NOTEBOOK_STAGES[stage]}.ipynb").read_text("utf-8"))["cells"]
        return ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    function = stages.SPECIAL[SPLIT.get(stage, stage)].__name__
    (node,) = [n for n in code._tree("phenolip_lib.pipeline.stages").body if getattr(n, "name", "") == function]
    return node


def roots(stage: str) -> list[str]:
    """Modules that a stage's notebook or function imports."""
    return sorted(code._imported(starts(stage)))


@lru_cache
def needed(stage: str) -> frozenset[str]:
    """Files that a stage runs; what a room says of itself is no code."""
    files = {path.as_posix() for path in code.closure(roots(stage))}
    return frozenset(files - {f"{code.PACKAGE}/pipeline/__init__.py"})


def uncovered(stage: str, deps: list[str]) -> set[str]:
    """Files that lie under none of the deps."""
    return {file for file in needed(stage) if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)}


def own(stage: str) -> list[str]:
    return [dep for dep in DVC[stage]["deps"] if dep.startswith(code.PACKAGE)]


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_depends_on_all_code_that_it_runs(stage):
    assert roots(stage)
    assert uncovered(stage, own(stage)) == set()


@pytest.mark.parametrize("stage", DVC)
def test_a_dep_that_is_taken_away_is_missed_and_none_is_there_for_nothing(stage):
    writes_itself = {f"{code.PACKAGE}/pipeline/stages.py"} if stage.startswith("report") else set()
    for dep in set(own(stage)) - writes_itself:
        assert uncovered(stage, [other for other in own(stage) if other != dep]), dep


TRAINED = {
    *(f"experiments.experiment.Experiment.{name}" for name in ("run_folder", "save", "train", "trained")),
    "training.stage2",
}
NAMESAKES = {
    "stage1": {"experiments.experiment", "experiments.train.train_all", "training.stage2"},
    "stage2": {"experiments.train.train_encoder", "training.stage1.ConceptTask", "training.stage1.train"},
    "evaluation": TRAINED,
    "tasks": TRAINED,
    "tour": TRAINED,
    "ablations": {"experiments", "models", "training"},
    "arl": {
        "experiments.crossval",
        "experiments.evaluate",
        "experiments.experiment",
        "training.stage1",
        "training.stage2",
    },
}
"""Code that a stage never runs although it has the name of some that it runs: `train` is a word for everything."""
NO_RESULT = {"atlas.workers", "phenokg.batch_size", "phenokg.engine", "phenokg.workers", "runtime.workers"}
"""Keys that decide how fast a result comes and not what it is."""


@pytest.mark.parametrize("stage", sorted(set(DVC) - {"notebooks"}))
def test_a_stage_names_the_params_that_it_reads_and_no_others(stage):
    """The first stage reads none: it depends on the names that DVC itself puts into paths."""
    named = [key.removesuffix(".${item.name}").removesuffix(".${item.source}") for key in DVC[stage].get("params", [])]
    read = keys_read([starts(stage)], roots(stage), NAMESAKES.get(stage, ()))
    assert set().union(*map(keys, named)) - NO_RESULT == read - NO_RESULT


def test_the_key_of_an_evaluation_names_the_params_that_tasks_read():
    read = keys_read(ast.parse("TASKS").body, ["phenolip_lib.experiments.evaluate"], TRAINED)
    assert {key for key in read if key.startswith("evaluation.")} == set(TASK_PARAMS)


def test_every_stage_of_the_library_is_in_the_pipeline():
    assert {SPLIT.get(stage, stage) for stage in DVC} == {*stages.NOTEBOOK_STAGES, *stages.SPECIAL}


def test_a_closure_is_what_python_loads(tmp_path):
    """Against sys.modules after an import; the closure may know more, which functions import when they are called."""
    for name in ("phenolip_lib.recognition.recognizer", "phenolip_lib.experiments.evaluate"):
        told = "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('phenolip_lib')])"
        ask = f"import sys, {name}; {told}"
        loaded = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=ROOT)
        files = {path for path in code.closure([name]) if path.suffix == ".py"}
        assert {(ROOT / path).as_posix() for path in files} >= set(loaded.stdout.split())


def test_a_closure_holds_what_functions_import_and_data_that_modules_name_but_not_what_types_need():
    files = code.closure(["phenolip_lib.models.prompts", "phenolip_lib.curation.image_step"])
    found = {path.as_posix() for path in files}
    assert "phenolip_lib/models/prompts.json" in found
    assert "phenolip_lib/curation/figure_type.json" in found
    assert "phenolip_lib/curation/panels/detr.py" in found
    assert "phenolip_lib/evaluation/benchmark.py" not in {
        path.as_posix() for path in code.closure(["phenolip_lib.evaluation.results"])
    }


def test_a_digest_changes_with_any_file_of_the_closure_and_with_no_other(tmp_path, monkeypatch):
    package = tmp_path / "phenolip_lib"
    for name, text in {
        "__init__.py": "",
        "a/__init__.py": "",
        "b/__init__.py": "",
        "c.py": "X = 1\n",
        "a/one.py": "from phenolip_lib.b import two\nfrom phenolip_lib.core import params\nDATA = 'words.json'\n",
        "a/words.json": "[]",
        "b/two.py": "def f():\n    from phenolip_lib import c\n    return c\n",
        "b/other.py": "Y = 1\n",
        "core/__init__.py": "",
        "core/params.py": "from phenolip_lib.core import sections\n",
        "core/sections.py": "",
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def now() -> str:
        for cached in (code.code_digest, code._place, code._tree, code._imports, code._beside):
            cached.cache_clear()
        return code.code_digest("phenolip_lib.a.one")

    monkeypatch.setattr(code, "ROOT", tmp_path)
    try:
        before = now()
        assert now() == before
        for name in ("c.py", "a/words.json", "b/two.py", "a/__init__.py"):
            with open(package / name, "a") as file:
                file.write("\n")
            assert now() != before, name
            before = now()
        for name in ("b/other.py", "core/params.py", "core/sections.py"):  # values of settings are in the keys
            (package / name).write_text("Y = 2\n")
            assert now() == before, name
    finally:
        monkeypatch.undo()
        now()


def test_rooms_and_modules_stay_small():
    """What a reader holds in his head: a module of one idea, a room of some fifteen, a pipeline on a few pages."""
    long = {
        path.relative_to(LIBRARY).as_posix(): n
        for path in sorted(LIBRARY.rglob("*.py"))
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > 300 and "phantom" not in path.parts
    }
    assert long == {}
    rooms = [path.parent for path in LIBRARY.glob("*/__init__.py")]
    assert statistics.median(len([*room.glob("[!_]*.py")]) for room in rooms) <= 15
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 220


def test_every_room_says_what_comes_in_and_what_goes_out():
    for room in sorted(path.parent for path in LIBRARY.glob("*/__init__.py")):
        text = " ".join(ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))).split())
        assert re.search(r"In comes?\b.*\bout comes?\b", text), room.name
    assert sorted(path.name for path in LIBRARY.glob("*.py")) == ["__init__.py"]
