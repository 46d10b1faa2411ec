"""The committed reports are of this code, and tests of prose read those of git's index, not of the working tree."""

import json
import re
import subprocess

import pytest

from phenolip_lib.pipeline import stale
from tests.committed import committed
from tests.conftest import ROOT


def test_the_reports_of_the_synthetic_images_are_of_this_code(params):
    """What is made of data that the repository holds; `phenolip verify --source open` says the same of real images."""
    assert stale.lines(ROOT, "phantom", params.ablations.run) == []


def test_links_of_committed_pages_lead_to_what_is_committed():
    pages = sorted((committed() / "reports").rglob("*.md"))
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 50
    assert [f"{page.parent}: {link}" for page, link in links if not (page.parent / link).exists()] == []


STAGES = """
stages:
  notebooks: {deps: [notebooks], outs: [build/notebooks]}
  train:
    matrix: {source: [phantom, open], name: [a]}
    deps: [build/notebooks/1.ipynb, "build/${item.source}/pairs", code/room]
    outs: ["build/${item.source}/model"]
  report:
    matrix: {source: [phantom, open]}
    deps: ["build/${item.source}/model"]
    outs:
      - "reports/${item.source}": {cache: false}
"""


def notebook(*sources, injected=()):
    cells = [{"source": [source], "metadata": {}} for source in sources]
    return json.dumps(
        {"cells": [{"source": i, "metadata": {"tags": ["injected-parameters"]}} for i in injected] + cells}
    )


@pytest.fixture
def fresh(tmp_path):
    """A project whose lock is that of its files."""
    files = {
        "dvc.yaml": STAGES,
        ".dvcignore": "# left behind\n__pycache__\n*.pyc\n",
        "notebooks/1.ipynb": notebook("x = 1"),
        "code/room/a.py": "A = 1\n",
        "code/room/b/c.py": "C = 1\n",
        "code/room/__pycache__/a.pyc": "?",
        "reports/phantom/t.csv": "1\n",
        "reports/phantom/notebooks/1.ipynb": notebook("x = 1", injected=["x = 2"]),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    locked = {
        "notebooks": {"notebooks": "notebooks"},
        "train@phantom-a": {"build/notebooks/1.ipynb": "notebooks/1.ipynb", "code/room": "code/room"},
        "report@phantom": {"reports/phantom": "reports/phantom"},
    }
    text = "schema: '2.0'\nstages:\n"
    for stage, paths in locked.items():
        text += f"  {stage}:\n    cmd: run\n    deps:\n"
        for path, place in paths.items():
            found = stale.md5(tmp_path / place, ["__pycache__"])
            text += f"    - path: {path}\n      hash: md5\n      md5: {found}\n      size: 1\n"
    (tmp_path / "dvc.lock").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "stages"),
    {
        "code/room/b/c.py": ["train@phantom-a"],
        "reports/phantom/t.csv": ["report@phantom"],
        "notebooks/1.ipynb": ["notebooks", "train@phantom-a"],
        "code/room/new.py": ["train@phantom-a"],
        "code/room/__pycache__/a.pyc": [],
    }.items(),
)
def test_one_byte_makes_the_stages_stale_that_read_or_wrote_it_and_no_other(fresh, name, stages):
    path = fresh / name
    before = path.read_bytes() if path.is_file() else None
    assert stale.lines(fresh, "phantom", ["a"]) == []
    path.write_bytes((before or b"") + b"\n")
    assert list(stale.stale(fresh, "phantom", ["a"])) == stages
    path.unlink() if before is None else path.write_bytes(before)
    assert stale.lines(fresh, "phantom", ["a"]) == []


def test_stages_that_were_never_run_and_executed_cells_of_another_notebook_are_named_with_the_way_out(fresh):
    *found, end = stale.lines(fresh, "open", ["a"])
    assert found == ["stale: train@open-a (notebooks/1.ipynb, code/room)", "stale: report@open (reports/open)"]
    assert "make repro SOURCE=open DATA=path/to/folder" in end
    executed = fresh / "reports" / "ontology" / "notebooks" / "1.ipynb"
    executed.parent.mkdir(parents=True)
    for content in (notebook("x = 3"), "", "[]", '{"cells": [1]}', "\0"):
        executed.write_text(content)
        assert stale.stale(fresh, "phantom", ["a"]) == {"notebooks": ["reports/ontology/notebooks/1.ipynb"]}


def test_a_folder_has_the_md5_that_dvc_gives_it(fresh):
    """The number is of `dvc add` (3.67) on the same two files."""
    assert stale.md5(fresh / "code/room", ["__pycache__"]) == "1c0ae889bfe356d00a375ca3a4f4add7.dir"


def git(folder, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"]
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "reports").mkdir()
    for name in ("params.yaml", "dvc.yaml", "reports/a.csv"):
        (tmp_path / name).write_text("committed\n")
    return tmp_path


@pytest.mark.parametrize("where", [".", "sub/folder"])
def test_staged_reports_count_and_regenerated_ones_do_not(project, where):
    root = project
    if where != ".":
        root = project / where
        root.mkdir(parents=True)
        for name in ("params.yaml", "dvc.yaml", "reports"):
            (project / name).rename(root / name)
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    (root / "reports" / "a.csv").write_text("regenerated\n")
    (root / "reports" / "b.csv").write_text("regenerated\n")
    (root / "reports" / "c.csv").symlink_to("a.csv")

    def found():
        committed.cache_clear()
        folder = committed(root)
        assert (folder / "params.yaml").read_text() == "committed\n"
        return {path.name: path.read_text() for path in (folder / "reports").iterdir()}

    assert found() == {"a.csv": "committed\n"}
    (root / "reports" / "a.csv").unlink()
    assert found() == {"a.csv": "committed\n"}
    (root / "reports" / "a.csv").write_text("meant\n")
    git(root, "add", "reports/a.csv")
    assert found() == {"a.csv": "meant\n"}


def test_without_git_or_its_knowledge_of_them_reports_are_those_that_are_there(project, monkeypatch):
    committed.cache_clear()
    assert committed(project) == project
    git(project, "init")
    committed.cache_clear()
    assert committed(project) == project, "unpacked inside somebody's own checkout"
    monkeypatch.setenv("PATH", "")
    committed.cache_clear()
    assert committed(project) == project
