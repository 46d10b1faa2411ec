"""Tests of prose read the reports of git's index, not those a run has left in the working tree."""

import subprocess

import pytest

from tests.committed import committed


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
