"""Does a run reproduce the tables of a report? The working tree's tables beside those of git's HEAD, in a few lines.

The last line is the verdict, one of three:

* *reproduced*: every table is as committed;
* *reproduced within intervals*: each number that moved is still within the interval that `drift` gives it;
* *not reproduced*: with the list of what is not, kind by kind. Tables, rows and columns that are new or gone, tables
  that cannot be read, verdicts that flipped and texts that read otherwise are on it, beside the numbers that `drift`
  finds too far away.

Verdicts on the border that flipped have a line of their own and are on no such list. A table ``x_reading`` puts
``x_differences`` into words and follows it: what it says of a row that moved there is not judged again.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from textwrap import shorten

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.pipeline.drift import Drift, Move, compare

SHOWN, NAMED, WIDTH = 7, 2, 70
"""Tables shown, things named of each kind, characters of a place."""


def verify(root: Path, source: str, drift: float, every: bool = False) -> tuple[list[str], bool]:
    """Compare the working tree's ``reports/<source>`` and ``reports/ontology`` with git's HEAD.

    Args:
        drift: percentage points by which a difference moves between processors (``evaluation.drift``).
        every: name every table and place and not the first few.

    Returns:
        lines, the last one the verdict, and whether the tables are reproduced.

    Raises:
        PhenoLIPError: git has nothing to compare with.
    """
    folders = [f"reports/{source}", "reports/ontology"]
    try:
        committed = _git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", *folders).split(b"\0")[:-1]
        changed = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", "HEAD", "--", *folders)
        untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *folders)
    except (OSError, subprocess.CalledProcessError):
        raise PhenoLIPError("not a git checkout with a commit: nothing to compare with") from None
    known = {os.fsdecode(name) for name in committed}
    total = sum(name.endswith(".csv") for name in known)
    if not total:
        raise PhenoLIPError(f"git has no table in {' or '.join(folders)}: nothing to compare with")
    tables, added, removed, others = [], [], [], Counter()
    for name in sorted({os.fsdecode(name) for name in (changed + untracked).split(b"\0")[:-1]}):
        path, label = root / name, name.removeprefix("reports/").removesuffix(".csv").replace("/tables/", "/")
        if path.suffix != ".csv":
            others[path.suffix or path.name] += 1
        elif name not in known:
            added.append(label)
        elif not path.is_file():
            removed.append(label)
        else:
            tables.append(_compared(root, name, label, drift))
    moved = _without_words([table for table in tables if table])
    found, faults = _said_of_all(moved, others, every), _faults(moved, added, removed)
    if faults:
        told = "; ".join(f"{kind}: {len(places)} ({_listed(places, every)})" for kind, places in faults.items())
        return [*found, f"not reproduced: {told}"], False
    if not moved:
        return [*found, "reproduced: every table is as committed"], True
    told = "".join(_largest([(t.name, move) for t in moved for move in t.moves]))
    if border := sum(len(t.border) for t in moved):
        told += f", verdicts on the border that flipped: {border}"
    return [*found, f"reproduced within intervals: {len(moved)} of {total} tables moved{told}"], True


def _compared(root: Path, name: str, label: str, drift: float) -> Drift:
    try:
        content = (root / name).read_bytes()
    except OSError as error:
        return Drift(label, fault=f"{error.strerror}")
    return compare(label, _git(root, "show", f"HEAD:./{name}"), content, drift)


def _without_words(tables: list[Drift]) -> list[Drift]:
    rows = {t.name: {move.row[0] for move in (*t.moves, *t.border)} for t in tables}
    for table in tables:
        stem, words, _ = table.name.rpartition("_reading")
        told = rows.get(f"{stem}_differences", set()) if words else set()
        table.moves = [replace(move, kind="") if move.row[0] in told else move for move in table.moves]
    return tables


def _faults(tables: list[Drift], added: list[str], removed: list[str]) -> dict[str, list[str]]:
    """What is not reproduced, kind by kind."""
    found = {
        "new tables": added,
        "tables that are gone": removed,
        "tables that cannot be read": [f"{t.name}, {t.fault}" for t in tables if t.fault],
        "rows or columns only here (+) or only in git (-)": [
            f"{t.name} {_short(row)}" for t in tables for row in t.rows
        ],
    }
    for table in tables:
        for move in table.moves:
            if move.kind:
                change = f": {move.change}" if move.change else ""
                found.setdefault(move.kind, []).append(f"{table.name}, {_place(move)}{change}")
    return {kind: places for kind, places in found.items() if places}


def _said_of_all(tables: list[Drift], others: Counter, every: bool) -> list[str]:
    """Lines on the tables, those with faults and the largest drift first, and on what else there is to say."""
    shown = sorted(
        tables, key=lambda t: (not _faults([t], [], []), -max((m.share for m in t.moves), default=0), t.name)
    )
    found = [f"{t.name}: {_said(t)}" for t in (shown if every else shown[:SHOWN])]
    if len(shown) > len(found):
        found.append(f"and {len(shown) - len(found)} tables that moved less")
    border = [f"{t.name}, {_place(move)}" for t in tables for move in t.border]
    if border:
        found.append(f"verdicts on the border that flipped: {len(border)} ({_listed(border, every)})")
    if others:
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
        found.append(f"other files that differ: {counts}; `git restore reports` brings back what git has")
    return found


def _said(table: Drift) -> str:
    if table.fault:
        return table.fault
    cells = {(move.row, move.column) for move in table.moves if move.change}
    largest = "".join(_largest([("", move) for move in table.moves]))
    said = [f"{len(cells)} of {table.cells} numbers moved{largest}"] if cells else []
    said += [f"{kind}: {len(places)}" for kind, places in _faults([table], [], []).items()]
    if table.border:
        said.append(f"verdicts on the border that flipped: {len(table.border)}")
    return "; ".join(said) or "reads otherwise, as its differences do"


def _largest(moves: list[tuple[str, Move]]) -> list[str]:
    """The largest drift beside its interval, and that of numbers that have none."""
    said = []
    for word, own in (
        ("largest drift", [item for item in moves if item[1].width is not None]),
        ("largest without an interval", [item for item in moves if item[1].width is None and item[1].drift]),
    ):
        if own:
            name, move = max(own, key=lambda item: (item[1].share, item[1].drift))
            of = "" if move.width is None else f" of an interval {_number(move.width)} wide"
            change = "" if name else f", {move.change}"
            place = ", ".join(filter(None, (name, _place(move))))
            said.append(f", {word} {_number(move.drift)}{of}{change} ({place})")
    return said


def _number(size: float) -> str:
    return f"{size:.4g}" if size < 1e4 else f"{size:.0f}"


def _listed(names: list[str], every: bool) -> str:
    shown = names if every else names[:NAMED]
    return "; ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _place(move: Move) -> str:
    return f"{_short(', '.join(move.row))}, {_short(move.column)}"


def _short(text: str) -> str:
    return shorten(text, WIDTH, placeholder=" …")


def _git(root: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, check=True).stdout
