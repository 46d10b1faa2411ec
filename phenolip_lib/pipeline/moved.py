"""What a run has moved in the tables of a report, beside those git has committed.

Low bits differ from one processor to the next, so a whole run elsewhere changes most files of ``reports/`` a little.
Compared are the numbers of the CSV tables, also those within a text such as "80.7 [75.4, 85.0]".
"""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten

SHOWN, NAMED, WIDTH = 7, 2, 70
"""Tables shown, things named of each kind, characters of a place."""

NUMBER = re.compile(r"(?<![\w:@.])(?<!\w-)[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w:]|\.\d)")
VERDICTS = {"True", "False"}

Rows = list[list[str]]


@dataclass
class Moved:
    """One table beside its committed self.

    Attributes:
        numbers, cells: cells of the committed table that hold numbers, and how many of them moved.
        size: the largest movement of one number, in the table's own unit; `place` is its row and column, `change` the
            two numbers as they are written.
        flipped: places of verdicts (True and False, a star behind a number) that are another one now.
        reworded: how many other cells say something else.
        rows: rows that are only in one of the two, with ``+`` or ``-``.
        fault: why it cannot be compared.
    """

    name: str
    numbers: int = 0
    cells: int = 0
    size: float = 0.0
    place: str = ""
    change: str = ""
    flipped: list[str] = field(default_factory=list)
    reworded: int = 0
    rows: list[str] = field(default_factory=list)
    fault: str = ""

    def __bool__(self) -> bool:
        return bool(self.cells or self.flipped or self.reworded or self.rows or self.fault)


def compare(name: str, old: bytes, new: bytes) -> Moved:
    """Compare two CSV tables; rows are matched by the first columns that name them, else by their number."""
    found = Moved(name)
    try:
        (head, *before), (now_head, *after) = _table(old), _table(new)
    except ValueError as error:
        found.fault = str(error)
        return found
    if head != now_head:
        found.rows = [f"-column {c}" for c in head if c not in now_head]
        found.rows += [f"+column {c}" for c in now_head if c not in head]
    keys = _keys(before, after)
    was, now = (dict(_named(rows, keys)) for rows in (before, after))
    found.rows += [f"-{key}" for key in was if key not in now] + [f"+{key}" for key in now if key not in was]
    for key, row in was.items():
        cells = dict(zip(now_head, now.get(key, []), strict=False))
        for column, a in zip(head, row, strict=True):
            found.numbers += bool(NUMBER.search(a))
            if column in cells and a != cells[column]:
                _cell(found, f"{key}, {column}", a, cells[column])
    return found


def _cell(found: Moved, place: str, a: str, b: str) -> None:
    if {a, b} <= VERDICTS or a.endswith("*") != b.endswith("*"):
        found.flipped.append(place)
    elif NUMBER.sub("#", a) != NUMBER.sub("#", b):
        found.reworded += 1
    before, after = NUMBER.findall(a), NUMBER.findall(b)
    if len(before) != len(after) or not before:
        return
    old, new = ([float(number.replace(",", "")) for number in numbers] for numbers in (before, after))
    sizes = [round(abs(y - x), 9) for x, y in zip(old, new, strict=True)]
    found.cells += max(sizes) > 0
    if max(sizes) > found.size:
        i = sizes.index(max(sizes))
        found.size, found.place, found.change = sizes[i], place, f"{before[i]} → {after[i]}"


def _table(content: bytes) -> Rows:
    """Header and rows.

    Raises:
        ValueError: it is no table; the message says why.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"damaged ({error})") from None
    if not rows or b"\0" in content:
        raise ValueError("damaged (no text)")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(f"damaged (row {number} has {len(row)} cells, the header {len(rows[0])})")
    return rows


def _keys(*tables: Rows) -> list[int]:
    """The fewest first columns without numbers of their own that tell the rows of every table apart, if any do."""
    width = min((len(row) for rows in tables for row in rows), default=0)
    texts = [i for i in range(width) if not any(NUMBER.fullmatch(row[i]) for rows in tables for row in rows)]
    for n in range(1, 1 + len(texts)):
        if all(len({tuple(row[i] for i in texts[:n]) for row in rows}) == len(rows) for rows in tables):
            return texts[:n]
    return []


def _named(rows: Rows, keys: list[int]) -> Iterator[tuple[str, list[str]]]:
    for number, row in enumerate(rows, start=1):
        yield ", ".join(row[i] for i in keys) if keys else f"row {number}", row


def lines(root: Path, source: str) -> list[str]:
    """How the working tree's ``reports/<source>`` and ``reports/ontology`` differ from git's HEAD, 14 lines."""
    folders = [f"reports/{source}", "reports/ontology"]
    try:
        committed = _git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", *folders).split(b"\0")[:-1]
        changed = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", "HEAD", "--", *folders)
        untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *folders)
    except (OSError, subprocess.CalledProcessError):
        return ["not a git checkout: nothing to compare with"]
    if not committed:
        return [f"git has no {' or '.join(folders)}: nothing to compare with"]
    known = {os.fsdecode(name) for name in committed}
    names = sorted({os.fsdecode(name) for name in (changed + untracked).split(b"\0")[:-1]})
    tables, added, removed, others = [], [], [], Counter()
    for name in names:
        path, label = root / name, name.removeprefix("reports/").removesuffix(".csv").replace("/tables/", "/")
        if path.suffix != ".csv":
            others[path.suffix or path.name] += 1
        elif not path.is_file():
            removed.append(label)
        elif name not in known:
            added.append(label)
        else:
            tables.append(compare(label, _git(root, "show", f"HEAD:./{name}"), path.read_bytes()))
    moved = sorted(filter(None, tables), key=lambda t: (-t.size, t.name))
    return _report(moved, added, removed, others, sum(name.endswith(".csv") for name in known))


def _report(moved: list[Moved], added: list[str], removed: list[str], others: Counter, total: int) -> list[str]:
    places = [f"{t.name} {place}" for t in moved for place in t.flipped]
    found = [f"{t.name}: {_said(t)}" for t in moved[:SHOWN]]
    if len(moved) > SHOWN:
        found.append(f"and {len(moved) - SHOWN} tables that moved less")
    faults = [f"{t.name}, {t.fault}" for t in moved[SHOWN:] if t.fault]
    rows = [f"{t.name} {row}" for t in moved for row in t.rows]
    kinds = {"new tables": added, "tables that are gone": removed, "cannot be compared": faults}
    kinds["rows only here (+) or only in git (-)"] = rows
    found += [f"{kind}: {len(names)} ({_listed(names)})" for kind, names in kinds.items() if names]
    if others:
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
        found.append(f"other files that differ: {counts}; `git restore reports` brings back what git has")
    if not (moved or added or removed):
        return [*found, "every table is as committed"]
    largest = max(moved, key=lambda t: t.size, default=Moved(""))
    end = f"{len(moved)} of {total} tables moved"
    if largest.size:
        end += f"; largest by {largest.size:.3g}: {largest.name}, {largest.place}"
    return [*found, f"{end}; verdicts flipped: {len(places)}" + (f" ({_listed(places)})" if places else "")]


def _said(table: Moved) -> str:
    if table.fault:
        return table.fault
    said = []
    if table.cells:
        place = shorten(table.place, WIDTH, placeholder=" …")
        said.append(f"{table.cells} of {table.numbers} numbers moved, largest {table.change} ({place})")
    if table.rows:
        said.append(f"{len(table.rows)} rows or columns new or gone")
    if table.flipped:
        said.append(f"{len(table.flipped)} verdicts flipped")
    if table.reworded:
        said.append(f"{table.reworded} texts read otherwise")
    return "; ".join(said)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shorten(name, WIDTH, placeholder=" …") for name in names[:NAMED]) + more


def _git(root: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, check=True).stdout
