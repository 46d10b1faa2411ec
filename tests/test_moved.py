"""What a run has moved: numbers wherever they stand, verdicts, rows and tables, in a few lines, whatever is there."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.pipeline import moved
from phenolip_lib.pipeline.cli import app

SCORES = 'method,metric,score,beyond_chance,id\nclip,a,"80.7 [75.4, 85.0]",False,HP:01\nclip,b,"+1,200.5*",True,HP:02\n'


def git(folder, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"]
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


def write(root, name, text):
    path = root / "reports" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture(params=[".", "sub/project"])
def root(request, tmp_path):
    root = tmp_path / request.param
    for i in range(12):
        write(root, f"phantom/tables/t{i:02}.csv", SCORES)
    write(root, "ontology/tables/terms.csv", "quantity,n\nterms,10\nlinks,20\n")
    write(root, "phantom/README.md", "80.7\n")
    write(root, "open/tables/other.csv", SCORES)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return root


def test_an_equal_tree_and_another_source_are_as_committed(root):
    assert moved.lines(root, "phantom") == ["every table is as committed"]
    write(root, "open/tables/other.csv", "a\n1\n")
    write(root, "phantom/README.md", "80.8\n")
    *_, others, last = moved.lines(root, "phantom")
    assert others.startswith("other files that differ: 1 .md;")
    assert last == "every table is as committed"


def test_the_largest_movement_is_named_first_and_flipped_verdicts_are_counted(root):
    write(root, "phantom/tables/t03.csv", SCORES.replace("85.0]", "85.5]"))
    write(root, "phantom/tables/t05.csv", SCORES.replace("75.4", "73.4").replace("+1,200.5*", "+1,201.5"))
    write(root, "ontology/tables/terms.csv", "quantity,n\nterms,10\nlinks,20.1\n")
    write(root, "phantom/tables/t07.csv", SCORES.replace("False", "True"))
    git(root, "add", "reports/phantom/tables/t03.csv")  # staged or not, HEAD is what counts
    first, second, third, fourth, last = moved.lines(root, "phantom")
    assert first == "phantom/t05: 2 of 2 numbers moved, largest 75.4 → 73.4 (clip, a, score); 1 verdicts flipped"
    assert second.startswith("phantom/t03: 1 of 2 numbers moved, largest 85.0 → 85.5 (clip, a, score)")
    assert third.startswith("ontology/terms: 1 of 2 numbers moved, largest 20 → 20.1 (links, n)")
    assert fourth == "phantom/t07: 1 verdicts flipped"
    assert last == (
        "4 of 13 tables moved; largest by 2: phantom/t05, clip, a, score; verdicts flipped: 2 "
        "(phantom/t05 clip, b, score, phantom/t07 clip, a, beyond_chance)"
    )


def test_new_and_lost_tables_and_rows_are_named(root):
    write(root, "phantom/tables/new.csv", SCORES)
    (root / "reports/phantom/tables/t00.csv").unlink()
    head, first, second = SCORES.splitlines()
    write(root, "phantom/tables/t01.csv", "\n".join([head, second, "siglip,a,1,False,HP:03"]))
    text = "\n".join(moved.lines(root, "phantom"))
    assert "new tables: 1 (phantom/new)" in text
    assert "tables that are gone: 1 (phantom/t00)" in text
    assert "2 (phantom/t01 -clip, a, phantom/t01 +siglip, a)" in text
    assert "phantom/t01: 2 rows or columns new or gone\n" in text, "a row in another place has not moved"


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"a,b\n1\n", b'a\n"x', b"\0", b"<<<<<<< HEAD\na,b\n"])
def test_a_damaged_table_is_said_and_the_others_are_compared(root, damage):
    write(root, "phantom/tables/t00.csv", damage)
    write(root, "phantom/tables/t01.csv", SCORES.replace("80.7", "80.9"))
    found = moved.lines(root, "phantom")
    assert sum("damaged" in line for line in found) == 1
    assert found[0].startswith("phantom/t01: 1 of")


def test_much_that_moved_is_still_few_lines(root):
    for i in range(12):
        write(root, f"phantom/tables/t{i:02}.csv", SCORES.replace("80.7", f"8{i}.7").replace("clip,b", "x" * 500))
        write(root, f"phantom/tables/new{i}.csv", SCORES)
        write(root, f"phantom/figures/{i}.png", b"\x89PNG")
    write(root, "phantom/tables/t00.csv", "")
    write(root, "ontology/tables/terms.csv", "a\n")
    found = moved.lines(root, "phantom")
    assert len(found) <= 14
    assert max(map(len, found)) < 300
    assert "12 .png" in found[-2]


def test_without_git_or_a_commit_there_is_one_line(root, tmp_path, monkeypatch):
    write(tmp_path / "bare", "phantom/tables/a.csv", SCORES)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert moved.lines(tmp_path / "bare", "phantom") == ["not a git checkout: nothing to compare with"]
    monkeypatch.undo()
    assert moved.lines(root.parent if root.name == "project" else root / "reports", "phantom")[0].startswith(
        "git has no"
    )
    monkeypatch.setenv("PATH", "")
    assert moved.lines(root, "phantom") == ["not a git checkout: nothing to compare with"]


def test_the_command(root, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).touch()
    monkeypatch.setenv("PHENOLIP_ROOT", str(root))
    assert CliRunner().invoke(app, ["moved"], catch_exceptions=False).stdout == "every table is as committed\n"
    with pytest.raises(PhenoLIPError, match="unknown source 'phantm'"):
        CliRunner().invoke(app, ["moved", "--source", "phantm"], catch_exceptions=False)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=5), st.integers(0, 4), st.floats(0.01, 100), st.booleans())
def test_any_one_number_that_moves_is_found_with_its_size(values, at, by, within):
    at %= len(values)
    write_one = (lambda x: f'"about {x:.2f} [of 3, {x:.2f}]"') if within else (lambda x: f"{x:.2f}")

    def table(numbers):
        return "\n".join(["name,R@10", *(f"row {i},{write_one(x)}" for i, x in enumerate(numbers))]).encode()

    old = [round(x, 2) for x in values]
    new = [x + round(by, 2) * (i == at) for i, x in enumerate(old)]
    found = moved.compare("t", table(old), table(new))
    assert found.cells == 1
    assert found.size == pytest.approx(round(by, 2), abs=1e-6)
    assert found.place == f"row {at}, R@10"
    assert (found.flipped, found.rows, found.reworded, found.fault) == ([], [], 0, "")
    assert not moved.compare("t", table(old), table(old))
