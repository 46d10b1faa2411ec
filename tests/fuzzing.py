"""Seeded damage for files of any format, and the check that a reader meets it in one of the allowed ways.

A `Format` is a few whole files and what reads them; `check` damages them in many ways, each known by its number:

>>> TEXT = Format("text", (b"one\\ntwo\\n",), lambda content, folder: content.decode("utf-8", "replace"))
>>> check(TEXT, Path("."), range(20))
Counter({'result': 20})

A new format is one entry more in the list of a test module.
"""

from __future__ import annotations

import gzip
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from phenolip_lib.core.errors import PhenoLIPError

SHORT, LONG = 300, 5000
"""Mutations of a format in the suite, and by the marker ``long``."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: of the format; mutations are known by it and their number.
        wholes: contents of files that can be read.
        read: takes a content and an empty folder for files. What it returns, rows of a quarantine too, is a result.
        words: of the format, which mutations put in or exchange.
        text: whether line by line and word by word damage makes sense.
    """

    name: str
    wholes: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    words: tuple[bytes, ...] = ()
    text: bool = True


HOSTILE = (
    *(b"", b"\0", b"\n", b"\r", b"\t", b" ", b'"', b"'", b"\\", b"/", b"..", b"#", b"!", b"{", b"}", b"[", b"]", b","),
    *(b":", b";", b"=", b"<", b">", b"&", b"%", b"%00", b"-1", b"0", b"1e309", b"nan", b"null", b"[]", b"{}", b"true"),
    *(b"9" * 30, b"2" * 5000, b"a" * 5000, b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", "e\u0301\u202e".encode()),
    *(b"[" * 3000, b"{" * 3000, b"<a>" * 3000, b"(" * 3000, b"../" * 40, b"%s%n", b"${HOME}", b"=1+1", b"\xc2\x85"),
)


def _cut(data: bytes, random: Random, _: Format) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _without(data: bytes, random: Random, _: Format) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.choice((1, 3, 17, 200)) :]


def _again(data: bytes, random: Random, _: Format) -> bytes:
    start = random.randrange(len(data) + 1)
    end = start + random.choice((1, 8, 64, 512))
    return data[:end] + data[start:end] * random.choice((1, 1, 3, 50)) + data[end:]


def _bytes(data: bytes, random: Random, _: Format) -> bytes:
    changed = bytearray(data)
    for _number in range(random.choice((1, 2, 8)) if data else 0):
        changed[random.randrange(len(data))] = random.randrange(256)
    return bytes(changed)


def _put_in(data: bytes, random: Random, form: Format) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + random.choice(HOSTILE + form.words) + data[start:]


def _exchange(data: bytes, random: Random, form: Format) -> bytes:
    """One word of the format, where it stands, for another or for something hostile."""
    there = [word for word in form.words if word in data]
    if not there:
        return _put_in(data, random, form)
    word = random.choice(there)
    parts = data.split(word)
    at = random.randrange(1, len(parts))
    return word.join(parts[:at]) + random.choice(form.words + HOSTILE) + word.join(parts[at:])


def _splice(data: bytes, random: Random, form: Format) -> bytes:
    other = random.choice(form.wholes)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _lines(data: bytes, random: Random, _: Format) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        lines[one], lines[two] = lines[two], lines[one]
    elif kind == 1:
        lines.insert(two, lines[one])
    elif kind == 2:
        del lines[one]
    else:
        random.shuffle(lines)
    return b"".join(lines)


def _fields(data: bytes, random: Random, _: Format) -> bytes:
    """One thing between spaces, tabs, commas or quotes, for another that stands elsewhere or for something hostile."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    separator = random.choice((b"\t", b",", b" ", b'"', b":", b">"))
    fields = lines[at].split(separator)
    others = random.choice(lines).split(separator)
    fields[random.randrange(len(fields))] = random.choice((random.choice(others), random.choice(HOSTILE)))
    lines[at] = separator.join(fields)
    return b"\n".join(lines)


def _encode(data: bytes, random: Random, _: Format) -> bytes:
    text = data.decode("utf-8", "replace")
    return random.choice(
        (
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-16-le"),
            lambda: text.encode("utf-32"),
            lambda: text.encode("latin-1", "replace"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: data.replace(b"\n", b"\r"),
            lambda: data.rstrip(),
            lambda: data.upper(),
            lambda: data.replace(b" ", b"\xc2\xa0"),
        )
    )()


def _packed(data: bytes, random: Random, _: Format) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return random.choice((packed, packed[: len(packed) // 2], data + b"\0" * 512, b"\0" * len(data), b""))


ANYWHERE = (_cut, _without, _again, _bytes, _put_in, _exchange, _splice, _packed)
TEXTUAL = (_lines, _fields, _encode)


def mutation(form: Format, number: int) -> bytes:
    """The damaged content of this number, the same at every run."""
    random = Random(f"{form.name} {number}")
    data = random.choice(form.wholes)
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(ANYWHERE + TEXTUAL * form.text)(data, random, form)
    return data


def check(form: Format, folder: Path, numbers: Iterable[int]) -> Counter:
    """Read each mutation; a result or a `PhenoLIPError` of one line is allowed and nothing else.

    Returns:
        how many gave a ``result`` and how many were ``refused``.

    Raises:
        AssertionError: all other outcomes, one line for each place in the code, with numbers to try again.
    """
    outcomes: Counter = Counter()
    faults: dict[str, list[int]] = {}
    for number in numbers:
        try:
            form.read(mutation(form, number), folder)
            outcomes["result"] += 1
        except PhenoLIPError as error:
            outcomes["refused"] += 1
            if not str(error) or "\n" in str(error) or len(str(error)) > 2000:
                faults.setdefault(f"no message of one line: {str(error)[:200]!r}", []).append(number)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of a compiled library is no Exception
            frame = next(
                (f for f in reversed(traceback.extract_tb(error.__traceback__)) if "phenolip" in f.filename), "?"
            )
            faults.setdefault(f"{type(error).__name__}: {str(error)[:100]!r} at {frame}", []).append(number)
    assert not faults, "\n".join(f"{form.name} {numbers[:5]}: {fault}" for fault, numbers in faults.items())
    return outcomes
