"""The user's own pictures: a folder, with a table or without.

Layout::

    folder/*.csv                     at most one: image,caption,labels,group,patient,licence,modality,class,url
    folder/scan/a.png                paths in the table start where it lies; an archive's member is archive::member
    folder/scan/a.txt                without a table: the caption of a.png, also a.png.txt; ``scan`` is its class

Only ``image`` is required. The table may be ``.csv``, ``.tsv`` or ``.xlsx``, or ``.txt`` with such a header, and lie in
a folder below. A picture may be named in another case, without its folder or its suffix where only one can be meant.
Labels are phenotypes' ids or names in any of the ways of `data.labels`. Pictures that share a group or a patient are
never on both sides of a split; ``NA``, ``unknown`` and the like are neither. Hidden files are not looked at.
"""

from __future__ import annotations

import difflib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError, brief
from phenolip_lib.core.runtime import log
from phenolip_lib.data.archives import inside, members, split_container
from phenolip_lib.data.images import PICTURE_SUFFIXES
from phenolip_lib.data.labels import split_labels, stated
from phenolip_lib.data.licences import UNKNOWN, spdx
from phenolip_lib.data.records import MODALITIES, Record, Reject
from phenolip_lib.data.sources.files import encoding_of, files_below, place, read_table
from phenolip_lib.data.sources.spelling import finder

NAME = "folder"
COLUMNS = ("image", "caption", "labels", "group", "patient", "licence", "modality", "class", "url")
TABLES = (".csv", ".tsv", ".tab", ".xlsx")
OTHER_TABLES = (
    ".xls",
    ".xlsm",
    ".xlsb",
    ".ods",
    ".numbers",
    ".parquet",
    ".feather",
    ".jsonl",
    ".ndjson",
    ".sav",
    ".dta",
)
OTHER_TABLES += (".csv.gz", ".tsv.gz", ".csv.zip", ".arrow", ".orc", ".rds", ".rdata", ".sqlite", ".mdb", ".accdb")
"""Tables that are not read; pictures beside one are not taken without it."""
ABSENT = "is not there"
MAX_HEADER = 4096
"""Characters at the start of a file that tell whether it is a table."""
MAX_HINTS = 20
"""Absent pictures of one table that a name is suggested for: each is compared to every file."""


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a picture, sorted by path or as in the table; `root` is the folder that holds ``folder``.

    A picture without a group is its own; groups of the user are prefixed with ``folder/``.

    Raises:
        PhenoLIPError: the folder is not there, holds several tables or one of a kind that is not read, or its table
            has unknown columns.
    """
    base = place(
        root, NAME, f"your pictures, with a table ({', '.join(TABLES)}) or captions beside them (a.png, a.txt),"
    )
    names, odd = files_below(base, NAME)
    yield from odd
    table = _table(base, names)
    yield from _listed(base, table, names) if table else _found(base, names)


def _table(base: Path, names: list[str]) -> str:
    """The one table of the folder, or ``""``: at its top, else below, or a ``.txt``, that begins as ours do."""
    tables = [name for name in names if name.lower().endswith(TABLES) and "/" not in name]
    pictures = [name for name in names if name.lower().endswith(PICTURE_SUFFIXES)]
    if not tables:
        texts = [name for name in names if name.lower().endswith(".txt")]
        free = set(texts).difference(_beside(pictures, texts).values())
        tables = [
            name
            for name in names
            if name.lower().endswith(".xlsx")
            or ((name.lower().endswith(TABLES) or name in free) and _begins_as_table(base / name))
        ]
    if len(tables) > 1:
        raise PhenoLIPError(f"{base}: holds several tables ({', '.join(tables)}); leave one")
    if tables:
        return tables[0]
    beside = {name.rpartition(".")[0] for name in pictures}  # of each picture, some programs write a .json
    for name in names:
        listed = name.lower().endswith(".json") and name[:-5] not in beside and '"image' in _start(base / name)
        if listed or name.lower().endswith(OTHER_TABLES):
            raise PhenoLIPError(f"{base / name}: tables of this kind are not read; save it as .csv, or take it away")
    return ""


def _begins_as_table(path: Path) -> bool:
    """Whether the first line names the column of images and another one of ours."""
    first = _start(path).strip().partition("\n")[0].lower()
    cells = {cell.strip().strip('"') for cell in re.split(r"[,\t;|]", first)}
    return "image" in cells and len(cells.intersection(COLUMNS)) > 1


def _start(path: Path) -> str:
    with open(path, encoding=encoding_of(path), errors="replace") as file:
        return file.read(MAX_HEADER)


def _listed(base: Path, table_name: str, names: list[str]) -> Iterator[Record | Reject]:
    bad: list[Reject] = []
    table = read_table(base / table_name, ["image"], bad)
    yield from bad
    table.columns = table.columns.str.lower()
    if strange := [column for column in table.columns if column not in COLUMNS]:
        near = difflib.get_close_matches(strange[0], COLUMNS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COLUMNS)}"
        raise PhenoLIPError(f"{base / table_name}: unknown column {brief(strange[0])!r}; {hint}")
    seen: set[str] = set()
    archives: dict[Path, set[str] | str] = {}
    written = [_relative(row.strip(), base) for row in table["image"]]
    above = table_name[: table_name.rfind("/") + 1]
    taken = {name for row in written for name in (row, above + row)}.intersection(names)
    find = finder([name for name in names if name != table_name], taken)
    n_hints, alone = 0, 0
    for number, row, plain in zip(table.index, table.to_dict("records"), written, strict=True):
        image = _place(plain, above, find)
        key = f"{NAME}/{image}" if image else f"{NAME}/{table_name}:{number}"
        own = {name: stated(row.get(name, "")) for name in ("caption", "group", "patient", "modality", "url")}
        modality = own["modality"].lower() or "other"
        if image in seen:
            reason = "picture is listed before"
        elif modality not in MODALITIES:
            reason = f"unknown modality {brief(modality)!r}; there are {', '.join(MODALITIES)}"
        else:
            reason = _missing(base, image, archives)
            if reason == ABSENT:
                n_hints += 1
                near = difflib.get_close_matches(image, names, n=1) if n_hints <= MAX_HINTS else []
                reason = f"image {brief(image, 300)!r} {ABSENT}" + (f"; did you mean {near[0]!r}?" if near else "")
        seen.add(image)
        if reason:
            yield Reject(key, "source", f"{table_name}, row {number}: {reason}")
            continue
        labels, label_names = split_labels([row.get("labels", "")])
        alone += not (own["group"] or own["patient"]) and bool(row.get("group", "") or row.get("patient", ""))
        yield Record(
            record_id=key,
            dataset=NAME,
            image=f"{NAME}/{image}",
            modality=modality,
            group=f"{NAME}/{own['group'] or own['patient'] or image}",
            licence=spdx(row.get("licence", "")),
            url=own["url"],
            caption=own["caption"],
            labels=labels,
            label_names=label_names,
            class_name=row.get("class", "").strip(),
            patient=own["patient"],
        )
    if alone:
        log.info("%s: %d rows say that group and patient are unknown; each is a group of its own", table_name, alone)
    for name in names:
        if name.lower().endswith(PICTURE_SUFFIXES) and name not in seen:
            yield Reject(f"{NAME}/{name}", "source", f"picture is not in {table_name}")


def _nfc(name: str) -> str:
    """One spelling of letters with accents, of which file systems and tables have two."""
    return unicodedata.normalize("NFC", name)


def _relative(image: str, base: Path) -> str:
    """A path below the folder: ``./a.png`` and ``<folder>/a.png`` are ``a.png``. The name within an archive stays.

    What leads out of the folder comes back as it is.
    """
    container, member = split_container(image)
    if not container:
        return ""
    if "\\" in container and not (base / container).exists():
        container = container.replace("\\", "/")  # of a table that was written on Windows
    plain = posixpath.normpath(container.removeprefix("file://"))
    if plain.startswith("/"):
        for folder in (base, base.absolute(), base.resolve()):
            if Path(plain).is_relative_to(folder):
                plain = Path(plain).relative_to(folder).as_posix()
    return f"{plain}::{member}" if member else plain


def _place(image: str, above: str, find: Callable[[str], str]) -> str:
    """The image as the folder spells it, beside its table (in the folder `above`) or from the top; else as it is."""
    container, member = split_container(image)
    if container and not container.startswith(("/", "..")):
        container = find(above + container) or find(container) or container
    return f"{container}::{member}" if member else container


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
    pictures = [name for name in names if name.lower().endswith(PICTURE_SUFFIXES)]
    texts = [name for name in names if name.lower().endswith(".txt")]
    captions = _beside(pictures, texts)
    used = set(captions.values())
    for name in names:
        key = f"{NAME}/{name}"
        if name not in captions:
            if name not in used:
                yield Reject(key, "source", "text without a picture" if name in texts else "no picture")
            continue
        try:
            text = captions[name] and (base / captions[name]).read_text(encoding=encoding_of(base / captions[name]))
        except UnicodeError:
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
            caption=text.strip(),
            class_name=Path(name).parent.name,
        )


def _beside(pictures: list[str], texts: list[str]) -> dict[str, str]:
    """The text of each picture, or ``""``: ``a.txt`` or ``a.png.txt``, else the only one that differs in case alone."""
    exact = {_nfc(text.rpartition(".")[0]): text for text in texts}
    folded = Counter(stem.casefold() for stem in exact)
    stems = {picture: _nfc(picture.rpartition(".")[0]) for picture in pictures}
    alike = Counter(stem.casefold() for stem in set(stems.values()))
    loose = {stem.casefold(): text for stem, text in exact.items()}
    found = {}
    for picture, stem in stems.items():
        only = folded[stem.casefold()] == alike[stem.casefold()] == 1
        found[picture] = exact.get(stem) or exact.get(_nfc(picture)) or (loose[stem.casefold()] if only else "")
    return found
