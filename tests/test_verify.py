"""What a run reproduces: numbers beside their intervals, counts, verdicts, rows and tables, in a few lines."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.pipeline import drift
from phenolip_lib.pipeline.cli import app
from phenolip_lib.pipeline.verify import verify
from tests.conftest import ROOT

SCORES = (
    'method,metric,score,spread,id\nclip,a,"80.7 [75.4, 85.0]",78.9 ± 0.9,HP:01\nclip,b,"+1.2 [-0.5, 3.0]",0.5,HP:02\n'
)
DIFFERENCES = (
    "method,metric,difference,low,high,p_holm,beyond_chance,seed_sd,queries,groups\n"
    "soft,i2p,2.7000,1.1000,4.3000,0.0320,True,0.5000,329,133\n"
    "soft,t2i,2.1000,0.2000,4.0000,0.0700,False,0.5000,348,133\n"
)
READING = "method,worse,better,reading\nsoft,,I2P R@10 +2.7,better than the full model\n"
AS_COMMITTED = ["reproduced: every table is as committed"]


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
    write(root, "phantom/tables/soft_differences.csv", DIFFERENCES)
    write(root, "phantom/tables/soft_reading.csv", READING)
    write(root, "ontology/tables/terms.csv", "quantity,n,share\nterms,10,0.5\nlinks,20,0.9\n")
    write(root, "phantom/README.md", "80.7\n")
    write(root, "open/tables/other.csv", SCORES)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return root


def lines(root):
    """All lines, after a look at the verdict: there is one, and it is the last line."""
    found, reproduced = verify(root, "phantom", 0.5)
    assert [line.startswith(("reproduced", "not reproduced")) for line in found] == [False] * (len(found) - 1) + [True]
    assert reproduced == found[-1].startswith("reproduced")
    return found


def test_an_equal_tree_and_another_source_are_as_committed(root):
    assert lines(root) == AS_COMMITTED
    write(root, "open/tables/other.csv", "a\n1\n")
    write(root, "phantom/README.md", "80.8\n")
    others, last = lines(root)
    assert others.startswith("other files that differ: 1 .md;")
    assert [last] == AS_COMMITTED


def test_within_intervals_the_largest_drift_stands_beside_its_interval(root):
    write(root, "phantom/tables/t03.csv", SCORES.replace("85.0]", "85.5]"))
    write(root, "phantom/tables/t05.csv", SCORES.replace("75.4", "73.4").replace("+1.2", "+1.1"))
    write(
        root, "ontology/tables/terms.csv", "quantity,n,share\nlinks,20,0.91\nterms,10,0.5\n"
    )  # rows may change places
    git(root, "add", "reports/phantom/tables/t03.csv")  # staged or not, HEAD is what counts
    assert lines(root) == [
        "phantom/t05: 2 of 4 numbers moved, largest drift 2 of an interval 9.6 wide, 75.4 → 73.4 (clip, a, score)",
        "phantom/t03: 1 of 4 numbers moved, largest drift 0.5 of an interval 9.6 wide, 85.0 → 85.5 (clip, a, score)",
        "ontology/terms: 1 of 4 numbers moved, largest without an interval 0.01, 0.9 → 0.91 (links, share)",
        "reproduced within intervals: 3 of 15 tables moved, largest drift 2 of an interval 9.6 wide "
        "(phantom/t05, clip, a, score), largest without an interval 0.01 (ontology/terms, links, share)",
    ]


HEAD, *ROWS = DIFFERENCES.splitlines()


def differences(*changes):
    """The first row of `DIFFERENCES` with cells changed."""
    row = dict(zip(HEAD.split(","), ROWS[0].split(","), strict=True)) | dict(changes)
    return "\n".join([HEAD, ",".join(row.values()), ROWS[1]])


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        # a cell with its own interval, here 9.6 wide
        ("80.7 [75.4, 85.0]", "76.0 [72.0, 80.3]", ""),
        ("80.7 [75.4, 85.0]", "85.1 [79.9, 89.2]", ""),  # a step of one in the last digit
        ("80.7 [75.4, 85.0]", "85.2 [79.9, 89.2]", drift.OUTSIDE),
        ("80.7 [75.4, 85.0]", "75.8 [74.9, 84.9]", drift.WIDE),
        ("80.7 [75.4, 85.0]", "80.7 [70.5, 85.0]", drift.WIDE),
        ("80.7 [75.4, 85.0]", "80.7", drift.TEXT),
        ("0.0 [0.0, 0.0]", "0.1 [0.0, 0.1]", ""),
        ("0.0 [0.0, 0.0]", "0.2 [0.0, 0.2]", drift.OUTSIDE),
        ("60.0% [50.0%, 70.0%]", "71.0% [61.0%, 80.0%]", drift.OUTSIDE),
        ("+1.2 [-0.5, 3.0]", "-0.4 [-2.1, 1.3]", ""),
        ("+1.2 [-0.5, 3.0]", "-0.8 [-2.1, 1.3]", drift.OUTSIDE),
        ("12 [9, 16]", "13 [9, 16]", ""),  # whole, and yet no count
        ("12 [9, 9]", "13 [9, 9]", drift.OUTSIDE),
        ("a 12.0 [9.0, 16.0], b 1.0 [0.0, 2.0]", "a 12.0 [9.0, 16.0], b 2.5 [0.0, 3.5]", drift.OUTSIDE),
        # a mean and the spread over seeds
        ("78.9 ± 0.9", "80.7 ± 1.8", ""),
        ("78.9 ± 0.9", "80.9 ± 0.9", drift.OUTSIDE),
        ("78.9 ± 0.9", "78.9 ± 2.0", drift.WIDE),
        ("78.9 ± 0.9", "78.9 ± 0.0", ""),
        ("1.433 ± 0.000", "1.434 ± 0.001", ""),
        # numbers without an interval
        ("0.90", "0.93", ""),
        ("0.90", "0.97", drift.FAR),
        ("1234", "1235", drift.COUNT),
        ("1,234", "1234", ""),
        ("1234", "1234.0", ""),
        ("20 of 30 images", "21 of 30 images", drift.COUNT),
        ("9" * 30, "9" * 29 + "8", drift.COUNT),
        ("1e999", "1e998", drift.TEXT),
        ("1.5e-05", "1.6e-05", ""),
        ("0.9", "-", drift.TEXT),
        ("1*2", "12", drift.TEXT),
        ("1*#", "##", drift.TEXT),
        ("about 0.9", "nearly 0.9", drift.TEXT),
        ("version 4.0.0", "version 4.0.1", drift.TEXT),
    ],
)
def test_a_number_is_judged_by_the_interval_that_the_committed_table_gives_it(a, b, kind):
    table = lambda cell: f'name,value\na,"{cell}"\nb,1.0\n'.encode()  # noqa: E731
    found = drift.compare("t", table(a), table(b))
    assert next((move.kind for move in found.moves if move.kind), "") == kind
    assert (found.rows, found.fault) == ([], "")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ((("difference", "3.9000"), ("low", "2.3000"), ("high", "5.5000")), ""),
        ((("difference", "4.5000"),), drift.OUTSIDE),
        ((("low", "-0.9000"),), drift.WIDE),
        ((("seed_sd", "1.9000"),), ""),
        ((("seed_sd", "2.2000"),), drift.WIDE),
        ((("p_holm", "0.0001"),), ""),
        ((("queries", "330"),), drift.COUNT),
        ((("groups", "132"), ("low", "1.0000")), drift.COUNT),
    ],
)
def test_columns_of_a_difference_have_the_interval_of_their_row(changes, kind):
    found = drift.compare("t", DIFFERENCES.encode(), differences(*changes).encode())
    assert {move.kind for move in found.moves} - {""} == ({kind} - {""})
    assert found.moves


FLIP = ("beyond_chance", "False")


@pytest.mark.parametrize(
    ("changes", "border"),
    [
        ((FLIP, ("p_holm", "0.0600")), True),
        ((FLIP, ("p_holm", "0.0500"), ("difference", "2.5000")), True),
        ((FLIP, ("low", "0.9000")), True),  # twice the drift is 1
        ((FLIP, ("low", "-0.1000")), True),  # over both borders
        ((FLIP,), False),  # nothing explains it
        ((FLIP, ("p_holm", "0.0400"), ("low", "1.0100")), False),
        ((FLIP, ("p_holm", "0.0600"), ("difference", "0.9000")), False),  # moved by more than half the width
        ((FLIP, ("p_holm", "0.0600"), ("high", "6.0000")), False),
        ((FLIP, ("low", "-")), False),
        ((FLIP, ("p_holm", "-")), False),
    ],
)
def test_a_flipped_verdict_is_on_the_border_only_if_a_small_movement_explains_it(changes, border):
    found = drift.compare("t", DIFFERENCES.encode(), differences(*changes).encode(), 0.5)
    flipped = [move for move in found.moves if move.kind == drift.FLIPPED]
    assert (len(found.border), len(flipped)) == (border, not border)


def test_a_verdict_that_its_own_row_denies_or_that_was_far_from_the_border_is_not_excused():
    wrong = DIFFERENCES.replace("0.0700,False", "0.0400,False"), DIFFERENCES.replace("0.0700,False", "0.0600,True")
    assert [move.kind for move in drift.compare("t", *map(str.encode, wrong), 0.5).moves if move.kind] == [
        drift.FLIPPED
    ]
    sure = DIFFERENCES.replace("0.0320", "0.0004").replace("1.1000", "2.2000")
    now = sure.replace("True", "False").replace("0.0004", "0.0600")
    assert [move.kind for move in drift.compare("t", sure.encode(), now.encode(), 0.5).moves if move.kind] == [
        drift.FLIPPED
    ]


@pytest.mark.parametrize(
    ("a", "b", "border"),
    [
        ("+2.7 [1.1, 4.3] *", "+2.6 [0.9, 4.3]", True),
        ("+2.7 [1.1, 4.3]", "+2.8 [1.1, 4.3] *", True),
        ("+2.7 [1.1, 4.3]", "+2.7 [1.1, 4.3] *", False),  # nothing moved
        ("+9.7 [8.1, 11.3] *", "+9.6 [8.0, 11.3]", False),
        ("+0.1 [-1.5, 1.7]", "+0.2 [-1.4, 1.8] *", False),
        ("+1.2 [-0.2, 2.6]", "+1.3 [-0.1, 2.7] *", False),  # no star where zero is in the interval
        ("+2.7 [1.1, 4.3] *", "+0.9 [-0.8, 2.6]", False),
        ("-2.7 [-4.3, -1.1] *", "-2.6 [-4.2, -0.9]", True),
        ("2.5*", "2.5", False),
    ],
)
def test_a_star_is_a_verdict(a, b, border):
    found = drift.compare("t", f'name,value\na,"{a}"\n'.encode(), f'name,value\na,"{b}"\n'.encode(), 0.5)
    assert len(found.border) == border
    assert [move.kind for move in found.moves if move.kind in (drift.FLIPPED, drift.TEXT)] == [drift.FLIPPED] * (
        not border
    )


def test_verdicts_on_the_border_are_said_apart_and_a_table_in_words_follows(root):
    write(root, "phantom/tables/soft_differences.csv", differences(FLIP, ("low", "0.9000"), ("difference", "2.6000")))
    write(root, "phantom/tables/soft_reading.csv", "method,worse,better,reading\nsoft,,,no difference\n")
    *_, border, last = lines(root)
    assert border == "verdicts on the border that flipped: 1 (phantom/soft_differences, soft, i2p, beyond_chance)"
    assert last.startswith(
        "reproduced within intervals: 2 of 15 tables moved, largest drift 0.2 of an interval 3.2 wide"
    )
    write(root, "phantom/tables/soft_differences.csv", differences(FLIP))
    assert "not reproduced: verdicts that flipped: 1 (phantom/soft_differences, soft, i2p" in lines(root)[-1]
    write(root, "phantom/tables/soft_differences.csv", DIFFERENCES)
    assert "not reproduced: texts that read otherwise: 2 (phantom/soft_reading, soft, better; " in lines(root)[-1]


def test_what_is_not_reproduced_is_listed_kind_by_kind(root):
    write(root, "phantom/tables/new.csv", SCORES)
    (root / "reports/phantom/tables/t00.csv").unlink()
    head, first, second = SCORES.splitlines()
    write(root, "phantom/tables/t01.csv", "\n".join([head, second, 'siglip,a,"1.0 [0.0, 2.0]",1.0,HP:03']))
    write(root, "phantom/tables/t02.csv", SCORES.replace("80.7", "85.7").replace("spread", "sd"))
    write(root, "ontology/tables/terms.csv", "quantity,n,share\nterms,11,0.5\nlinks,20,0.9\n")
    assert lines(root)[-1] == (
        "not reproduced: new tables: 1 (phantom/new); tables that are gone: 1 (phantom/t00); "
        "rows or columns only here (+) or only in git (-): 4 "
        "(phantom/t01 -clip, a; phantom/t01 +siglip, a and 2 more); "
        "counts that moved: 1 (ontology/terms, terms, n: 10 → 11); "
        "values outside their interval: 1 (phantom/t02, clip, a, score: 80.7 → 85.7)"
    )
    named = verify(root, "phantom", 0.5, every=True)[0][-1]
    assert "phantom/t02 -column spread; phantom/t02 +column sd)" in named


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"a,b\n1\n", b'a\n"x', b"\0", b"<<<<<<< HEAD\na,b\n"])
def test_a_damaged_table_is_said_and_the_others_are_compared(root, damage):
    write(root, "phantom/tables/t00.csv", damage)
    write(root, "phantom/tables/t01.csv", SCORES.replace("80.7", "80.9"))
    first, second, last = lines(root)
    assert first.startswith("phantom/t00: damaged (")
    assert second.startswith("phantom/t01: 1 of")
    assert last.startswith("not reproduced: tables that cannot be read: 1 (phantom/t00, damaged (")


def test_columns_of_one_name_are_compared_one_by_one():
    old, new = b"name,n,n\na,1,2\n", b"name,n,n\na,3,2\n"
    assert [move.place for move in drift.compare("t", old, new).moves] == ["a, n"]
    assert [move.place for move in drift.compare("t", old, b"name,n,n\na,1,3\n").moves] == ["a, n (2)"]


def test_a_row_is_named_by_words_and_never_by_its_results():
    old = b"kind,score,note\na,1.0 \xc2\xb1 0.5,x\na,2.0 \xc2\xb1 0.5,y\n"
    found = drift.compare("t", old, old.replace(b"2.0", b"2.1"))
    assert [(move.place, move.kind) for move in found.moves] == [("a, y, score", "")]


def test_much_that_moved_is_still_few_lines(root):
    for i in range(12):
        write(root, f"phantom/tables/t{i:02}.csv", SCORES.replace("80.7", f"8{i}.7").replace("clip,b", "x" * 500))
        write(root, f"phantom/tables/new{i}.csv", SCORES)
        write(root, f"phantom/figures/{i}.png", b"\x89PNG")
    write(root, "phantom/tables/t00.csv", "")
    write(root, "ontology/tables/terms.csv", "a\n")
    found = lines(root)
    assert len(found) <= 14
    assert max(map(len, found)) < 600
    assert "12 .png" in found[-2]


def test_a_long_row_leaves_its_column_in_sight(root):
    write(root, "phantom/tables/t01.csv", SCORES.replace("clip,a", f"clip,{'long ' * 30}"))
    git(root, "commit", "-am", "second")
    write(root, "phantom/tables/t01.csv", SCORES.replace("clip,a", f"clip,{'long ' * 30}").replace("80.7", "80.8"))
    assert lines(root)[-1].endswith(" long …, score)")


def test_without_git_or_a_commit_there_is_nothing_to_compare_with(root, tmp_path, monkeypatch):
    write(tmp_path / "bare", "phantom/tables/a.csv", SCORES)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(PhenoLIPError, match="not a git checkout"):
        lines(tmp_path / "bare")
    monkeypatch.undo()
    with pytest.raises(PhenoLIPError, match="git has no table in"):
        lines(root.parent if root.name == "project" else root / "reports")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PhenoLIPError, match="not a git checkout"):
        lines(root)


def test_the_command_says_by_its_exit_status_whether_all_is_reproduced(root, monkeypatch):
    shutil.copy(ROOT / "params.yaml", root)
    (root / "dvc.yaml").touch()
    monkeypatch.setenv("PHENOLIP_ROOT", str(root))

    def run(*words):
        return CliRunner().invoke(app, ["verify", *words])

    assert (run().exit_code, run().stdout.splitlines()) == (0, AS_COMMITTED)
    write(root, "phantom/tables/t03.csv", SCORES.replace("80.7", "80.8"))
    assert run().exit_code == 0
    write(root, "phantom/tables/t03.csv", SCORES.replace("80.7", "90.8"))
    assert run().exit_code == 1
    assert run().stdout.splitlines()[-1].startswith("not reproduced: ")
    assert isinstance(run("--source", "phantm").exception, PhenoLIPError)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=5), st.integers(0, 4), st.floats(0.01, 100), st.booleans())
def test_any_one_number_that_moves_is_found_with_its_size(values, at, by, within):
    at %= len(values)
    write_one = (lambda x: f'"about {x:.2f} [of 3, {x:.2f}]"') if within else (lambda x: f"{x:.2f}")

    def table(numbers):
        return "\n".join(["name,R@10", *(f"row {i},{write_one(x)}" for i, x in enumerate(numbers))]).encode()

    old = [round(x, 2) for x in values]
    new = [x + round(by, 2) * (i == at) for i, x in enumerate(old)]
    moves = drift.compare("t", table(old), table(new)).moves
    assert {move.place for move in moves} == {f"row {at}, R@10"}
    assert all(move.drift == pytest.approx(round(by, 2), abs=1e-6) for move in moves)
    assert {move.kind for move in moves} <= {"", drift.FAR}
    assert not drift.compare("t", table(old), table(old))


@given(st.floats(-100, 100), st.floats(0, 20), st.floats(0, 20), st.floats(-60, 60), st.sampled_from([1, 4]))
def test_a_score_is_within_its_interval_exactly_if_it_lies_in_it_and_moved_by_half_of_it_at_most(
    x, down, up, by, digits
):
    step = 10**-digits
    value, low, high, new = (round(n, digits) for n in (x, x - down, x + up, x + by))
    table = lambda n: f'name,value\na,"{n:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"\n'.encode()  # noqa: E731
    kinds = {move.kind for move in drift.compare("t", table(value), table(new)).moves}
    slack = step * (1 + 1e-6)
    inside, near = low - slack <= new <= high + slack, abs(new - value) <= max((high - low) / 2, slack)
    edge = (
        min(abs(new - low + step), abs(new - high - step), abs(abs(new - value) - max((high - low) / 2, step))) < 1e-6
    )
    if not edge:
        assert bool(kinds - {""}) == (not (inside and near))


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_two_files_are_compared_or_called_damaged(old, new):
    found = drift.compare("t", old, new, 0.5)
    assert bool(found.fault) or all(move.place for move in found.moves)


CELLS = st.text(alphabet='0123456789.,-+[]±*%e @:#"\n', max_size=25) | st.sampled_from(
    ["True", "False", "-", "0.5", "1e999"]
)
HEADER = "name,difference,low,high,p_holm,beyond_chance,value\n"


@given(st.lists(CELLS, min_size=6, max_size=6), st.integers(0, 5), st.integers(0, 25), CELLS)
def test_any_two_rows_are_compared(cells, at, position, other):
    changed = [*cells]
    changed[at] = cells[at][:position] + other[:5] + cells[at][position + 1 :]

    def table(row):
        return (HEADER + ",".join(['"x"', *('"' + cell.replace('"', '""') + '"' for cell in row)]) + "\n").encode()

    assert drift.compare("t", table(cells), table(changed), 0.5).fault == ""
    assert not drift.compare("t", table(cells), table(cells), 0.5)
