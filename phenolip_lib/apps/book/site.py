"""Lay out the notebooks as sources of Sphinx, and let it build pages, contents, search and formulae from them.

Chapters are the notebooks of ``reports/ontology`` and ``reports/<source>``, ordered by their numbers. What Sphinx
cannot know is added to the sources: captions and CSV files of the tables, words for the pictures, a title page.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from phenolip_lib.apps.book.outputs import SAFE
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import atomic_folder, write_text
from phenolip_lib.reporting.sources import COMMANDS, LICENCES

HERE = Path(__file__).parent
"""Where Sphinx finds ``conf.py``."""


def build(source: str, paths: Paths, out: Path | None = None, extra: Mapping[str, Path] | None = None) -> Path:
    """Write the book of one source and return its folder, ``reports/book/<source>`` by default.

    Args:
        extra: more pages by title, as HTML files that need nothing beside them; they are copied and named in the
            contents.

    Raises:
        PhenoLIPError: no executed notebook, one without outputs, a file of `extra` that is not there, a broken link,
            a formula that cannot be read.
    """
    reports = [paths.report("ontology"), paths.report(source)]
    notebooks = _notebooks(source, reports)
    tables = {path.stem: path for report in reports for path in sorted((report / "tables").glob("*.csv"))}
    out = Path(out or paths.reports / "book" / source)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        beside = folder / "beside"
        for part in (folder / "pages", beside / "tables"):
            part.mkdir(parents=True)
        extras = {title: _copy_extra(title, Path(path), beside, notebooks) for title, path in (extra or {}).items()}
        for path in tables.values():
            shutil.copyfile(path, beside / "tables" / path.name)
        title = _title(reports[-1], source)
        chapters = {path.stem: _chapter(path, folder / "pages", tables) for path in notebooks}
        write_text(folder / "pages" / "index.md", _title_page(title, LICENCES[source], chapters, extras))
        write_text(folder / "pages" / "tables.md", _list_of_tables(chapters, tables))
        settings = {"html_title": title, "html_context": {"extras": extras}, "html_extra_path": [str(beside)]}
        _run_sphinx(source, folder, settings)
        with atomic_folder(out) as target:
            shutil.copytree(folder / "site", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    return out


def _run_sphinx(source: str, folder: Path, settings: Mapping) -> None:
    """From ``pages`` to ``site``; the first thing Sphinx warns of is an error."""
    warnings = io.StringIO()
    pages = folder / "pages"
    with patch_docutils(HERE), docutils_namespace():
        site, trees = folder / "site", folder / "doctrees"
        Sphinx(pages, HERE, site, trees, "html", settings, status=None, warning=warnings).build(force_all=True)
    if lines := [line for line in warnings.getvalue().splitlines() if line.strip()]:
        first = re.sub(r"\x1b\[[\d;]*m", "", lines[0]).replace(f"{pages}/", "")
        raise PhenoLIPError(f"book of {source}: {first}")


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


def _copy_extra(title: str, path: Path, beside: Path, notebooks: list[Path]) -> str:
    """The name under which a page from elsewhere stands in the book."""
    if not path.is_file():
        raise PhenoLIPError(f"{path}: there is no such file to put into the book as {title!r}")
    if path.stem in {"index", "tables", "search", *(notebook.stem for notebook in notebooks)}:
        raise PhenoLIPError(f"{path}: the book has a page {path.name} already; rename the file")
    shutil.copyfile(path, beside / path.name)
    return path.name


def _chapter(path: Path, pages: Path, tables: Mapping[str, Path]) -> tuple[str, str, list[str]]:
    """Write a notebook as a source of Sphinx; its title, its question and the tables shown in it.

    Links between notebooks lose their folders, since all pages of a book are in one.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        raise PhenoLIPError(f"{path}: not a notebook ({type(error).__name__})") from None
    if not any(cell.cell_type == "code" and cell.outputs for cell in notebook.cells):
        raise PhenoLIPError(f"{path}: has no outputs; `dvc repro` executes it")
    cells, shown, section = [], [], path.stem
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\([^()\s:]*/(\d\d_\w+\.ipynb)", r"](\1", cell.source)
            section = ([section] + re.findall(r"^#+ +(.+?)\s*$", cell.source, re.MULTILINE))[-1]
        elif cell.cell_type == "code":
            picture = re.search(r'"([^"/]+)\.png"', cell.source)
            alt = f"{section}: {picture.group(1).replace('_', ' ')}" if picture else section
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
            cell.outputs = SAFE.sanitize_code_outputs(cell.outputs)
            # write_table(table, out / "tables", "retrieval", caption)
            written = re.search(r'"tables",\s*"(\w+)"', cell.source)
            if cell.outputs and written and written.group(1) in set(tables) - set(shown):
                shown.append(written.group(1))
                cells.append(nbformat.v4.new_markdown_cell(_caption(tables[shown[-1]]), id=f"table-{shown[-1]}"))
    notebook.cells = cells
    write_text(pages / path.name, nbformat.writes(notebook))
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.search(r"^# +(.+?)\s*$", text, re.MULTILINE)
    question = re.search(r"^\*\*Question\.\*\*\s*(.+?)(?:\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return title.group(1) if title else path.stem, question.group(1) if question else "", shown


def _caption(table: Path) -> str:
    return f"{{#table-{table.stem} .table-caption}}\n{_words(table)} {_csv(table)}"


def _words(table: Path) -> str:
    """A table's caption: the paragraph above its Markdown form."""
    text = table.with_suffix(".md")
    return text.read_text(encoding="utf-8").partition("\n\n")[0].strip() if text.is_file() else table.stem


def _csv(table: Path) -> str:
    return f'<a href="tables/{table.name}" download aria-label="{table.stem} as CSV">CSV</a>'


def _title(report: Path, source: str) -> str:
    """The first heading of the report's README."""
    readme = report / "README.md"
    found = re.search(r"^# +(.+)$", readme.read_text(encoding="utf-8"), re.MULTILINE) if readme.is_file() else None
    return found.group(1).strip() if found else source


def _title_page(title: str, licence: str, chapters: Mapping[str, tuple], extras: Mapping[str, str]) -> str:
    """Markdown: what each chapter asks."""
    asked = "\n".join(f"[{name}]({page}.ipynb)\n: {ask or '-'}\n" for page, (name, ask, _) in chapters.items())
    more = "".join(f'<a href="{page}">{name}</a>\n\n' for name, page in extras.items())
    contents = "\n".join(["```{toctree}", ":hidden:", *chapters, "tables", "```"])
    return f"# {title}\n\n{asked}\n[Tables](tables.md)\n\n{more}Text and code: Apache-2.0; {licence}.\n\n{contents}\n"


def _list_of_tables(chapters: Mapping[str, tuple], tables: Mapping[str, Path]) -> str:
    """Markdown: each table once, below the chapter that shows it."""
    lines = ["# Tables", "", "The CSV files have the numbers that the chapters show."]
    shown = {name for _, _, own in chapters.values() for name in own}
    parts = [(f"[{title}]({page}.ipynb)", page, own) for page, (title, _, own) in chapters.items()]
    for heading, page, own in [*parts, ("In no chapter", "", [name for name in tables if name not in shown])]:
        lines += ["", f"## {heading}", ""] if own else []
        for name in own:
            words = f"[{_words(tables[name])}]({page}.ipynb#table-{name})" if page else _words(tables[name])
            with tables[name].open(encoding="utf-8", newline="") as file:
                columns = ", ".join(next(csv.reader(file), []))
            lines.append(f"- {words} {_csv(tables[name])}: `{columns}`")
    return "\n".join(lines) + "\n"
