"""The user's own pictures: a folder, with a table or without.

Layout::

    folder/*.csv                     at most one: image,caption,labels,group,patient,licence,modality,class,url
    folder/scan/a.png                paths in the table start here; an archive's member is archive::member
    folder/scan/a.txt                without a table: the caption of a.png; ``scan`` is its class

Only ``image`` is required. Labels are HPO ids or names of phenotypes, separated by ``;`` or ``|``. Pictures
that share a group or a patient are never on both sides of a split. Hidden files are not looked at.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import inside, members, split_container
from phenolip_lib.data.images import PICTURE_SUFFIXES
from phenolip_lib.data.licences import UNKNOWN, spdx
from phenolip_lib.data.records import MODALITIES, Record, Reject
from phenolip_lib.data.sources.files import place, read_table, split_labels

NAME = "folder"
COLUMNS = ("image", "caption", "labels", "group", "patient", "licence", "modality", "class", "url")
ABSENT = "is not there"
MAX_HINTS = 20
"""Absent pictures of one table that a name is suggested for: each is compared to every file."""


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a picture, sorted by path or as in the table; `root` is the folder that holds ``folder``.

    A picture without a group is its own; groups of the user are prefixed with ``folder/``.

    Raises:
        PhenoLIPError: the folder is not there, holds several tables, or its table has unknown columns.
    """
    base = place(root, NAME, "your pictures, with a table (*.csv) or captions beside them (a.png, a.txt),")
    names = [p.relative_to(base).as_posix() for p in sorted(base.rglob("*")) if p.is_file()]
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    tables = [name for name in names if "/" not in name and name.lower().endswith(".csv")]
    if len(tables) > 1:
        raise PhenoLIPError(f"{base}: holds several tables ({', '.join(tables)}); leave one")
    yield from _listed(base, tables[0], names) if tables else _found(base, names)


def _listed(base: Path, table_name: str, names: list[str]) -> Iterator[Record | Reject]:
    bad: list[Reject] = []
    table = read_table(base / table_name, ["image"], bad)
    yield from bad
    if strange := [column for column in table.columns if column not in COLUMNS]:
        near = difflib.get_close_matches(strange[0].lower(), COLUMNS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COLUMNS)}"
        raise PhenoLIPError(f"{base / table_name}: unknown column {strange[0]!r}; {hint}")
    seen: set[str] = set()
    archives: dict[Path, set[str] | str] = {}
    n_hints = 0
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        image = _plain(row["image"].strip())
        key = f"{NAME}/{image}" if image else f"{NAME}/{table_name}:{number}"
        modality = row.get("modality", "").strip().lower() or "other"
        if image in seen:
            reason = "picture is listed before"
        elif modality not in MODALITIES:
            reason = f"unknown modality {modality!r}; there are {', '.join(MODALITIES)}"
        else:
            reason = _missing(base, image, archives)
            if reason == ABSENT:
                n_hints += 1
                near = difflib.get_close_matches(image, names, n=1) if n_hints <= MAX_HINTS else []
                reason = f"image {image!r} {ABSENT}" + (f"; did you mean {near[0]!r}?" if near else "")
        seen.add(image)
        if reason:
            yield Reject(key, "source", f"{table_name}, row {number}: {reason}")
            continue
        labels, label_names = split_labels(re.split(r"[;|]", row.get("labels", "")))
        group, patient = row.get("group", "").strip(), row.get("patient", "").strip()
        yield Record(
            record_id=key,
            dataset=NAME,
            image=f"{NAME}/{image}",
            modality=modality,
            group=f"{NAME}/{group or patient or image}",
            licence=spdx(row.get("licence", "")),
            url=row.get("url", "").strip(),
            caption=row.get("caption", "").strip(),
            labels=labels,
            label_names=label_names,
            class_name=row.get("class", "").strip(),
            patient=patient,
        )
    for name in names:
        if name.lower().endswith(PICTURE_SUFFIXES) and name not in seen:
            yield Reject(f"{NAME}/{name}", "source", f"picture is not in {table_name}")


def _plain(image: str) -> str:
    """One spelling of a path, so that ``./a.png`` is ``a.png``; the name within an archive stays as it is."""
    container, member = split_container(image)
    plain = posixpath.normpath(container) if container else ""
    return f"{plain}::{member}" if member else plain


def _missing(base: Path, image: str, archives: dict[Path, set[str] | str]) -> str:
    """Why there is no picture of this name; empty if there is one.

    Args:
        archives: members of each archive met so far, or why it cannot be read; a packed one takes long to walk.
    """
    if not image:
        return "no image is named"
    container, member = split_container(image)
    try:
        path = inside(base, container)
        if not path.is_file():
            return ABSENT
    except PhenoLIPError as error:
        return str(error)
    except OSError:  # a name that is too long
        return ABSENT
    if not member or path.suffix.lower() == ".npz":
        return ""
    if path not in archives:
        try:
            archives[path] = set(members(path))
        except PhenoLIPError as error:
            archives[path] = str(error).removeprefix(f"{path}: ")
    found = archives[path]
    if isinstance(found, str):
        return f"{container}: {found}"
    return "" if member in found else ABSENT


def _found(base: Path, names: list[str]) -> Iterator[Record | Reject]:
    pictures = {name for name in names if name.lower().endswith(PICTURE_SUFFIXES)}
    texts = {name.removesuffix(".txt"): name for name in names if name.endswith(".txt")}
    used = {name.rpartition(".")[0] for name in pictures}
    for name in names:
        key = f"{NAME}/{name}"
        stem = name.rpartition(".")[0]
        if name not in pictures:
            if not (name.endswith(".txt") and stem in used):
                yield Reject(key, "source", "text without a picture" if name.endswith(".txt") else "no picture")
            continue
        try:
            caption = (base / texts[stem]).read_text(encoding="utf-8-sig") if stem in texts else ""
        except UnicodeDecodeError:
            yield Reject(key, "source", "caption is not UTF-8")
            continue
        yield Record(
            record_id=key,
            dataset=NAME,
            image=key,
            modality="other",
            group=key,
            licence=UNKNOWN,
            url="",
            caption=caption.strip(),
            class_name=Path(name).parent.name,
        )
