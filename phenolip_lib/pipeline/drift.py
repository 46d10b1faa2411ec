"""How far the numbers of a table have moved from its committed self, beside the intervals they lie in.

Low digits differ from one processor to the next, so another machine moves numbers a little everywhere. The interval of
a number is what the *committed* table says:

* "80.7 [75.4, 85.0]": the two bounds;
* "78.9 ± 0.9", a mean and the spread over seeds: the mean and twice the spread on either side;
* a row with `difference`, `low` and `high`: from `low` to `high`, for its `seed_sd` too.

A number moved within its interval if a value still lies in it, and value, bounds and spread moved by no more than half
its width (the spread of "±" by no more than itself). A step of one in the last digit printed is never judged: rounding
alone makes it. Numbers without an interval are judged by what they are. A whole number is a count, and one that moved
means other data. A p-value is no score; the verdict beside it is judged. Any other decimal may move by a twentieth of
the largest one in its column.

Verdicts are cells True or False, and the star behind a number. One that flipped is *on the border* if its difference
and interval moved by no more than half the width and lay so near the border of the verdict that this explains it. Near
is a standard error, a quarter of the width: p crossed `ALPHA` and had been near it, or the interval crossed its border,
zero or twice the drift between processors, and had been near it. No table has the p behind a star, so there it is
enough that the numbers moved and the interval had been near its border.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import NormalDist
from typing import NamedTuple

from phenolip_lib.reporting.tables import ALPHA

PLAIN = 0.05
NEAR_P = tuple(2 * NormalDist().cdf(NormalDist().inv_cdf(ALPHA / 2) + step) for step in (-1, 1))
"""The p a standard error away from `ALPHA`, 0.003 and 0.34."""

OUTSIDE = "values outside their interval"
WIDE = "drifts wider than half the interval"
FLIPPED = "verdicts that flipped"
COUNT = "counts that moved"
FAR = "numbers without an interval that moved far"
TEXT = "texts that read otherwise"
VALUE, BOUND, SPREAD, P, ALONE = "value", "bound", "spread", "p", "alone"

_NUMBER = r"(?<![\w:@.])(?<!\w-)[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?![\w:]|\.\d)"
NUMBER = re.compile(_NUMBER)
BETWEEN = re.compile(rf"({_NUMBER})%? \[({_NUMBER})%?, ({_NUMBER})%?\]")
AROUND = re.compile(rf"({_NUMBER})%? ± ({_NUMBER})")
STAR = re.compile(r" ?\*")
VERDICTS = {"True", "False"}
P_VALUES = ("p_holm", "p_value", "p-value", "p")
ROW = ("difference", "low", "high")

Row = dict[str, str]


class Interval(NamedTuple):
    """A number with the interval around it, as the table has them."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        return max(self) - min(self)


@dataclass(frozen=True)
class Move:
    """What is not as in the committed table at one place.

    Attributes:
        row: what names the row.
        kind: why this is no reproduction, such as `OUTSIDE`; empty if it is one.
        change: a number as it was and as it is; empty if none moved.
        drift: how far it moved, in the table's own unit; 0 for a p-value.
        width: of the committed interval around it, if there is one.
    """

    row: tuple[str, ...]
    column: str
    kind: str = ""
    change: str = ""
    drift: float = 0.0
    width: float | None = None

    @property
    def place(self) -> str:
        return ", ".join((*self.row, self.column))

    @property
    def share(self) -> float:
        """The drift as a share of the interval's width; 0 where it is less than can be printed."""
        if self.width is None or (not self.kind and self.drift > self.width / 2):
            return 0.0
        return self.drift / self.width if self.width else math.inf


@dataclass
class Drift:
    """One table beside its committed self.

    Attributes:
        cells: how many cells of the committed table hold numbers.
        border: flipped verdicts that were on the border.
        rows: rows and columns that only one of the two has, with ``+`` or ``-``.
        fault: why they cannot be compared.
    """

    name: str
    cells: int = 0
    moves: list[Move] = field(default_factory=list)
    border: list[Move] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    fault: str = ""

    def __bool__(self) -> bool:
        return bool(self.moves or self.border or self.rows or self.fault)


def compare(name: str, old: bytes, new: bytes, drift: float = 0.0) -> Drift:
    """Compare two CSV tables; rows are matched by the first columns that name them, else by their number.

    Args:
        drift: percentage points by which a difference moves between processors (``evaluation.drift``).
    """
    found = Drift(name)
    try:
        (head, before), (now_head, after) = _table(old), _table(new)
    except ValueError as error:
        found.fault = str(error)
        return found
    found.rows = [f"-column {c}" for c in head if c not in now_head] + [
        f"+column {c}" for c in now_head if c not in head
    ]
    shared = [c for c in head if c in now_head]
    keys = _keys(shared, before, after)
    was, now = dict(_named(before, keys)), dict(_named(after, keys))
    found.rows += [f"-{', '.join(key)}" for key in was if key not in now]
    found.rows += [f"+{', '.join(key)}" for key in now if key not in was]
    scales = {
        c: max((abs(_value(n)) for row in before for n in NUMBER.findall(row[c]) if not _whole(n)), default=0.0)
        for c in shared
    }
    for key, row in was.items():
        found.cells += sum(bool(NUMBER.search(cell)) for cell in row.values())
        for column in shared if key in now else ():
            if row[column] != now[key][column]:
                _cell(found, key, column, row, now[key], scales[column], drift)
    return found


def _cell(found: Drift, key: tuple[str, ...], column: str, was: Row, now: Row, scale: float, drift: float) -> None:
    a, b = was[column], now[column]
    if {a, b} <= VERDICTS:
        p = next(([was[c], now[c]] for c in P_VALUES if c in was and c in now), [])
        p = [_value(text) for text in p if NUMBER.fullmatch(text)]
        sides = _of_row(was), _of_row(now), p if len(p) == 2 else []
        _flip(found, Move(key, column, FLIPPED), *sides, int(b == "True"), drift)
        return
    words, now_words = (NUMBER.sub("\0", cell) for cell in (a, b))
    if STAR.sub("", words) != STAR.sub("", now_words):
        found.moves.append(Move(key, column, TEXT))
        return
    if words != now_words:
        _flip(found, Move(key, column, FLIPPED), _of_cell(a), _of_cell(b), [], int(b.count("*") > a.count("*")), drift)
    for (old, role, interval), new in zip(_figures(was, column), NUMBER.findall(b), strict=True):
        kind, size = _judged(old, new, role, interval, scale)
        if kind or size or (role == P and _value(old) != _value(new)):
            width = interval.width if interval else None
            found.moves.append(Move(key, column, kind, f"{old} → {new}", size, width))


def _judged(a: str, b: str, role: str, interval: Interval | None, scale: float) -> tuple[str, float]:
    """What is wrong with a number that moved, if anything is, and how far it moved."""
    old, new = _value(a), _value(b)
    if role == P:
        return "", 0.0
    if not math.isfinite(old) or not math.isfinite(new):
        return (TEXT if a != b else ""), 0.0
    size = abs(new - old)
    if interval is None and _whole(a):
        return (COUNT if Decimal(a.replace(",", "")) != Decimal(b.replace(",", "")) else ""), size
    dust = 1e-9 * (abs(old) + abs(new))  # of binary fractions
    step = max(_step(a), _step(b)) + dust
    if interval is None:
        return (FAR if size > max(PLAIN * scale + dust, step) else ""), size
    if role == VALUE and not min(interval) - step <= new <= max(interval) + step:
        return OUTSIDE, size
    limit = interval.width / (4 if role == SPREAD else 2) + dust
    return (WIDE if size > max(limit, step) else ""), size


def _flip(
    found: Drift, move: Move, old: Interval | None, new: Interval | None, p: list[float], sure: int, drift: float
) -> None:
    on_border = old is not None and new is not None and _on_border(old, new, p, sure, drift)
    (found.border if on_border else found.moves).append(move)


def _on_border(old: Interval, new: Interval, p: list[float], sure: int, drift: float) -> bool:
    """Whether a small movement explains that a verdict flipped; `sure` is the side that has it, 0 the committed one."""
    apart = [max(side.low, -side.high) for side in (old, new)]  # of the interval from zero, negative around it
    if max(abs(y - x) for x, y in zip(old, new, strict=True)) > old.width / 2 + 1e-9 or apart[sure] < 0:
        return False
    near = old.width / 4
    if not p:
        return old != new and -near <= apart[0] <= 2 * drift + near
    if p[sure] >= ALPHA:
        return False
    crossed = any(apart[sure] > b >= apart[1 - sure] and abs(apart[0] - b) <= near for b in (0, 2 * drift))
    return crossed or (p[1 - sure] >= ALPHA and NEAR_P[0] <= p[0] <= NEAR_P[1])


def _figures(row: Row, column: str) -> list[tuple[str, str, Interval | None]]:
    """The numbers of a committed cell, with what each of them is and the interval that it belongs to."""
    cell, known = row[column], {}
    for match in BETWEEN.finditer(cell):
        interval = Interval(*map(_value, match.groups()))
        known |= {match.start(i): (role, interval) for i, role in ((1, VALUE), (2, BOUND), (3, BOUND))}
    for match in AROUND.finditer(cell):
        value, spread = map(_value, match.groups())
        interval = Interval(value, value - 2 * spread, value + 2 * spread)
        known |= {match.start(1): (VALUE, interval), match.start(2): (SPREAD, interval)}
    alone = (P if column in P_VALUES else ALONE, None)
    if column in (*ROW, "seed_sd") and (interval := _of_row(row)):
        alone = (VALUE if column == ROW[0] else BOUND, interval)
    return [(match[0], *known.get(match.start(), alone)) for match in NUMBER.finditer(cell)]


def _of_row(row: Row) -> Interval | None:
    if all(NUMBER.fullmatch(row.get(column, "")) for column in ROW):
        return Interval(*(_value(row[column]) for column in ROW))
    return None


def _of_cell(cell: str) -> Interval | None:
    match = BETWEEN.search(cell)
    return Interval(*map(_value, match.groups())) if match else None


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _whole(text: str) -> bool:
    return text.strip("+-").replace(",", "").isdigit()


def _step(text: str) -> float:
    """One in the last digit printed; 0 for a whole number, which is not rounded."""
    digits, _, power = text.lower().partition("e")
    return 0.0 if _whole(text) else 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def _table(content: bytes) -> tuple[list[str], list[Row]]:
    """Header and rows; columns of one name are told apart by a number.

    Raises:
        ValueError: it is no table; the message says why.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"damaged ({error})") from None
    if not rows or b"\0" in content:
        raise ValueError("damaged (no text)")
    head, *rows = rows
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise ValueError(f"damaged (row {number} has {len(row)} cells, the header {len(head)})")
    head = [f"{c} ({head[:i].count(c) + 1})" if c in head[:i] else c for i, c in enumerate(head)]
    return head, [dict(zip(head, row, strict=True)) for row in rows]


def _keys(columns: list[str], *tables: list[Row]) -> list[str]:
    """The fewest first columns without numbers and verdicts that tell the rows of every table apart, if any do."""
    rows = [row for table in tables for row in table]
    texts = [c for c in columns if not any(_holds_result(row[c]) for row in rows)]
    for n in range(1, 1 + len(texts)):
        if all(len({tuple(row[c] for c in texts[:n]) for row in table}) == len(table) for table in tables):
            return texts[:n]
    return []


def _holds_result(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell) or BETWEEN.search(cell) or AROUND.search(cell)) or cell in VERDICTS


def _named(rows: list[Row], keys: list[str]) -> Iterator[tuple[tuple[str, ...], Row]]:
    for number, row in enumerate(rows, start=1):
        yield (tuple(row[c] for c in keys) if keys else (f"row {number}",)), row
