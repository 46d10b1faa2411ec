"""Running notebooks: stripped in, byte-stable out, clear errors; and what the committed ones look like."""

import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.pipeline import notebooks
from phenolip_lib.pipeline.stages import NOTEBOOK_STAGES
from tests.committed import committed
from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def write(path, *cells):
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path)
    return path


def parameters(text):
    return new_code_cell(text, metadata={"tags": ["parameters"]})


def test_output_of_a_run_by_hand_does_not_reach_the_stripped_copy(tmp_path):
    source = tmp_path / "notebooks"
    source.mkdir()
    cell = new_code_cell("print(1)")
    write(source / "a.ipynb", cell, new_markdown_cell("text"))
    notebooks.strip_folder(source, tmp_path / "one")
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="1\n")], 7
    cell.metadata = {"collapsed": True, "execution": {"iopub.execute_input": "2026"}}
    write(source / "a.ipynb", cell, nbformat.v4.new_markdown_cell("text", id="changes"))
    first = (tmp_path / "one" / "a.ipynb").read_text()
    notebooks.strip_folder(source, tmp_path / "two")
    again = nbformat.read(tmp_path / "two" / "a.ipynb", as_version=4)
    assert "2026" not in nbformat.writes(again)
    assert again.cells[0].outputs == []
    assert nbformat.reads(first, as_version=4).cells[0].source == again.cells[0].source


def test_two_runs_give_equal_bytes(tmp_path):
    start = new_code_cell("from phenolip_lib.pipeline.session import start\n\nparams, paths = start()")
    code = "import time\nfrom phenolip_lib.core.runtime import log\n\n"
    code += "print(x)\nlog.info(f'{time.time()} steps/s')\nprint(x)"
    source = write(tmp_path / "a.ipynb", parameters("x = 1"), start, new_code_cell(code))
    for name in ("one", "two"):
        notebooks.execute(source, tmp_path / f"{name}.ipynb", {"x": 5}, ROOT)
    text = (tmp_path / "one.ipynb").read_text()
    assert text == (tmp_path / "two.ipynb").read_text()
    assert nbformat.reads(text, as_version=4).cells[-1].outputs == [nbformat.v4.new_output("stream", text="5\n5\n")]


def test_warnings_are_passed_on_and_not_kept(tmp_path, capsys):
    code = "import sys\nprint('/opt/v/lib/python3.11/site-packages/tqdm/auto.py:21: TqdmWarning', file=sys.stderr)"
    source = write(tmp_path / "a.ipynb", new_code_cell(code))
    notebooks.execute(source, tmp_path / "out.ipynb", {}, tmp_path)
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs == []
    assert "TqdmWarning" in capsys.readouterr().err


def test_the_kernel_is_spoken_to_under_a_key_and_so_does_not_warn(tmp_path, capfd):
    code = "import json, ipykernel\nprint(sorted(json.load(open(ipykernel.get_connection_file()))))"
    source = write(tmp_path / "a.ipynb", new_code_cell(code))
    notebooks.execute(source, tmp_path / "out.ipynb", {}, tmp_path)
    assert "curve_publickey" in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs[0].text
    assert capfd.readouterr().err == ""


SHOWN = """
import contextlib, json, sys
from pathlib import Path
from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology import hpo

folder = Path("tests/data")
settings = Hpo(obo=str(folder / "toy.obo"), sha256=None, annotations=str(folder / "toy.hpoa"))
names = {"onto": hpo.read_release(settings, folder), "example": "HP:0001744", "question": "spleen"}
for cell in json.loads(Path(sys.argv[1]).read_text())["cells"]:
    with contextlib.suppress(SyntaxError, NameError):
        print(eval("".join(cell["source"]), names))
"""
"""What a notebook's cells show that are one expression of the ontology."""


def test_what_notebook_1_shows_of_the_ontology_does_not_depend_on_the_hash_seed():
    found = set()
    for seed in "123":
        command = [sys.executable, "-c", SHOWN, "notebooks/01_hpo_parsing.ipynb"]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert "'Abnormality of the cardiovascular system', 'Abnormality of blood" in found.pop()


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *(ROOT / "phenolip_lib" / "reporting").rglob("*.py")], ids=lambda p: p.stem
)
def test_nothing_that_is_shown_is_timed(path):
    clocks = r"^\s*\"?(import|from) (time|timeit|datetime)\b|words_per_second|perf_counter"
    assert not re.search(clocks, path.read_text(encoding="utf-8"), re.MULTILINE), "a speed belongs to benchmarks/"


def test_a_parameter_the_notebook_lacks_is_refused(tmp_path):
    source = write(tmp_path / "a.ipynb", parameters("seed = 1"))
    with pytest.raises(PhenoLIPError, match="has no parameter 'sede'; it has seed"):
        notebooks.execute(source, tmp_path / "out.ipynb", {"sede": 5}, tmp_path)


def test_a_users_mistake_inside_a_notebook_stays_one_line(tmp_path):
    code = "from phenolip_lib.core.errors import PhenoLIPError\nraise PhenoLIPError('no such folder')"
    source = write(tmp_path / "a.ipynb", new_code_cell(code))
    with pytest.raises(PhenoLIPError, match="^no such folder$"):
        notebooks.execute(source, tmp_path / "out.ipynb", {}, tmp_path)
    assert (tmp_path / "out.ipynb").is_file()


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "a.ipynb").write_text("{")
    with pytest.raises(PhenoLIPError, match="a.ipynb: not a notebook"):
        notebooks.strip_folder(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_notebooks_are_stripped_and_readable(path):
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert notebook.cells[0].source.startswith("# ")
    assert "**Question.**" in notebook.cells[0].source
    lengths = sorted(len(c.source.splitlines()) for c in code)
    assert lengths[len(lengths) // 2] <= 6
    assert not any(re.search(r"^\s*(def|class) ", c.source, re.MULTILINE) for c in code), "logic belongs in the library"


OF_EVALUATION = ["05_evaluation", "09_other_tasks", "10_published_tables"]


@pytest.mark.parametrize("name", OF_EVALUATION)
def test_chapters_of_the_evaluation_can_be_read_at_one_sitting(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    cells, code = nbformat.read(path, as_version=4).cells, code_of(path)
    assert len(cells) <= 45
    assert len(cells) - len(code) >= 0.8 * len(code)
    assert max(len(source.splitlines()) for source in code) <= 12
    assert len(set(re.findall(r"^from phenolip_lib\.(\w+)", "\n".join(code), re.MULTILINE))) <= 4, "rooms"


@pytest.mark.parametrize("pattern", [r'"tables",\s*"(\w+)"', r'"figures" / "(\w+)\.png"'], ids=["tables", "figures"])
def test_no_two_chapters_write_a_file_of_one_name(pattern):
    """`phenolip run report` puts those of all chapters of a source into one folder."""
    written = [name for path in NOTEBOOKS for name in re.findall(pattern, "\n".join(code_of(path)))]
    assert len(written) > 20
    assert sorted(set(written)) == sorted(written)


def code_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_captions_tell_a_spread_over_seeds_from_an_interval_over_groups():
    """`reports.scale_note` says that a table has the former."""
    cells = [source for name in OF_EVALUATION for source in code_of(ROOT / "notebooks" / f"{name}.ipynb")]
    spread = [source for source in cells if "write_table" in source and "{note}" in source]
    assert len(spread) > 10
    wrong = "evaluation_reports|difference_table|effect_table|95%|points"
    assert [source for source in spread if re.search(wrong, source)] == []


def test_executed_notebooks_name_no_machine():
    executed = sorted((committed() / "reports").rglob("*.ipynb"))
    assert len(executed) >= len(NOTEBOOKS)
    assert [path.name for path in executed if "/site-packages/" in path.read_text(encoding="utf-8")] == []


def test_every_notebook_stage_has_its_notebook():
    assert {p.stem for p in NOTEBOOKS} >= set(NOTEBOOK_STAGES.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_lies_in_the_form_that_the_pipeline_copies(path):
    """Else a stage is stale although nothing changed: dvc.lock has the hash of the copy."""
    stripped = notebooks.strip(nbformat.read(path, as_version=4))
    assert nbformat.writes(stripped).rstrip("\n") + "\n" == path.read_text(encoding="utf-8")
