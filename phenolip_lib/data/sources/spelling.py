"""Files under the names that tables give them: other cases, accents and escapes, without their folder or suffix."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote


def finder(names: Iterable[str], taken: Iterable[str] = ()) -> Callable[[str], str]:
    """What gives the file of a name, or ``""`` where there is none or several might be meant.

    A name is tried as it is, then with an accent written otherwise, in another case or with ``%20`` and the like, then
    without the folders above it, and without its suffix.

    Args:
        names: of files, with ``/``.
        taken: files that other rows name as they are; no looser spelling leads to them.
    """
    files = set(names)
    tiers: list[dict[str, str]] = [{}, {}, {}]
    for name in sorted(files.difference(taken)):
        for tier, key in _keys(name):
            tiers[tier][key] = "" if key in tiers[tier] else name

    def find(wanted: str) -> str:
        if wanted in files:
            return wanted
        keys = (_folded(wanted), _folded(unquote(wanted)))
        return next((found for tier in tiers for key in keys if (found := tier.get(key))), "")

    return find


def _keys(name: str) -> Iterator[tuple[int, str]]:
    whole = _folded(name)
    yield 0, whole
    parts = whole.split("/")
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if start:
            yield 1, tail
        if stem := tail.rpartition(".")[0]:
            yield 2, stem


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
