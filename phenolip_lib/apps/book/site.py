"""Put a book together: chapters in order, a title page, the tables, search, and a check of every link.

Chapters are the notebooks of ``reports/ontology`` and ``reports/<source>``, ordered by their numbers.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jinja2

from phenolip_lib.apps.book import links, search
from phenolip_lib.apps.book.chapters import Chapter, compose, read_chapter
from phenolip_lib.apps.book.markdown import Resolve, slug
from phenolip_lib.apps.book.tables import Table, read_tables
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import atomic_folder, write_text

COMMANDS = {"phantom": "make repro", "open": "make repro SOURCE=open DATA=path/to/folder"}
"""What makes the report of each source."""

LICENCES = {"phantom": "synthetic images: CC0", "open": "images: as each data set states"}
STATIC = (".css", ".js")


def build(source: str, paths: Paths, out: Path | None = None, extra: Mapping[str, Path] | None = None) -> Path:
    """Write the book of one source and return its folder, ``reports/book/<source>`` by default.

    Args:
        extra: more pages by title, as HTML files that need nothing beside them; they are copied and named in the
            contents.

    Raises:
        PhenoLIPError: no executed notebook, one without outputs, a file of `extra` that is not there, a broken link.
    """
    reports = [paths.report("ontology"), paths.report(source)]
    chapters = [read_chapter(path) for path in _notebooks(source, reports)]
    tables = {name: table for report in reports for name, table in read_tables(report).items()}
    extras = _extras(extra or {}, chapters)
    for chapter in chapters:
        compose(chapter, tables, lambda url: None)
    places = {chapter.name: chapter.anchors for chapter in chapters}
    for chapter in chapters:
        compose(chapter, tables, resolver(chapter, places, tables))
    out = Path(out or paths.reports / "book" / source)
    with atomic_folder(out) as target:
        _write_files(target, chapters, tables, extras)
        book = {
            "title": _title(reports[-1], source), "licence": LICENCES[source], "chapters": chapters,
            "tables": _listing(chapters, tables), "extras": {title: path.name for title, path in extras.items()},
        }  # fmt: skip
        _write_pages(target, book)
        if wrong := links.broken(target):
            more = f" ({len(wrong)} broken links in all)" if len(wrong) > 1 else ""
            raise PhenoLIPError(f"book of {source}: {wrong[0]}{more}")
    return out


def resolver(chapter: Chapter, places: Mapping[str, set[str]], tables: Mapping[str, Table]) -> Resolve:
    """Where the links of a chapter lead: other chapters, their sections, tables; the web as it is.

    Notebooks link to each other and to reports by relative paths that a book does not have; their names tell what is
    meant. An anchor may be written as Jupyter does.
    """

    def resolve(url: str) -> str | None:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            return url if parts.scheme in ("http", "https", "mailto") else None
        anchor, file = slug(unquote(parts.fragment)) if parts.fragment else "", Path(unquote(parts.path))
        name = file.stem if parts.path else chapter.name
        if name in places and file.suffix in (".ipynb", ""):
            if not parts.path:
                return f"#{anchor}" if anchor in places[name] else None
            return f"{name}.html#{anchor}" if anchor in places[name] else f"{name}.html"
        if name in tables and file.suffix in (".csv", ".md", ".tex"):
            return f"tables.html#table-{name}"
        return None

    return resolve


def _notebooks(source: str, reports: list[Path]) -> list[Path]:
    """Executed notebooks of both folders, by number."""
    if source not in COMMANDS:
        raise PhenoLIPError(f"no source {source!r} to make a book of; there are {', '.join(COMMANDS)}")
    found = []
    for report in reports:
        own = list((report / "notebooks").glob("[0-9][0-9]_*.ipynb"))
        if not own:
            raise PhenoLIPError(f"no executed notebook in {report / 'notebooks'}; `{COMMANDS[source]}` makes it")
        found += own
    return sorted(found, key=lambda path: path.name)


def _extras(extra: Mapping[str, Path], chapters: list[Chapter]) -> dict[str, Path]:
    taken = {"index.html", "tables.html", *(chapter.page for chapter in chapters)}
    for title, path in extra.items():
        if not Path(path).is_file():
            raise PhenoLIPError(f"{path}: there is no such file to put into the book as {title!r}")
        if Path(path).name in taken:
            raise PhenoLIPError(f"{path}: the book has a page {Path(path).name} already; rename the file")
        taken.add(Path(path).name)
    return {title: Path(path) for title, path in extra.items()}


def _title(report: Path, source: str) -> str:
    """The first heading of the report's README."""
    readme = report / "README.md"
    found = re.search(r"^# +(.+)$", readme.read_text(encoding="utf-8"), re.MULTILINE) if readme.is_file() else None
    return found.group(1).strip() if found else source


def _write_files(
    target: Path, chapters: list[Chapter], tables: Mapping[str, Table], extras: Mapping[str, Path]
) -> None:
    """Everything that is no page of the book: pictures, CSV files, style sheet, scripts, extra pages."""
    for folder in ("figures", "tables", "assets"):
        (target / folder).mkdir()
    for chapter in chapters:
        for file, content in chapter.pictures.items():
            (target / file).write_bytes(content)
    for table in tables.values():
        shutil.copyfile(table.path, target / table.file)
    with as_file(files("phenolip_lib.apps.book") / "assets") as assets:
        for path in sorted(assets.iterdir()):
            if path.suffix in STATIC:
                shutil.copyfile(path, target / "assets" / path.name)
    write_text(target / "assets" / "search-index.js", search.script(search.entries(chapters, tables.values())))
    for path in extras.values():
        shutil.copyfile(path, target / path.name)


def _write_pages(target: Path, book: Mapping[str, Any]) -> None:
    """The title page, the chapters and the list of tables, in reading order, each from its template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("phenolip_lib.apps.book", "assets"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    chapters = [(c.page, f"{c.number} · {c.heading}", "chapter.html.j2", c) for c in book["chapters"]]
    pages = [
        ("index.html", "Title page", "index.html.j2", None),
        *chapters,
        ("tables.html", "Tables", "tables.html.j2", None),
    ]
    for before, (page, heading, template, chapter), after in zip(
        [None, *pages[:-1]], pages, [*pages[1:], None], strict=True
    ):
        markup = environment.get_template(template).render(
            book=book, page=page, heading=heading, chapter=chapter, previous=before, next=after
        )
        write_text(target / page, markup.rstrip() + "\n")


def _listing(chapters: list[Chapter], tables: Mapping[str, Table]) -> list[tuple[Chapter | None, list[Table]]]:
    """Each table once, below the chapter that shows it first, or wrote it by the report's README, or below none."""
    left, listing = dict(tables), []
    for chapter in chapters:
        names = [*chapter.tables, *(name for name, table in left.items() if table.chapter == chapter.name)]
        listing.append((chapter, [left.pop(name) for name in dict.fromkeys(names) if name in left]))
    return [(chapter, own) for chapter, own in [*listing, (None, list(left.values()))] if own]
