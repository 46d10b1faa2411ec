"""A chapter is an executed notebook: its cells in order, its sections, its figures, the tables it wrote.

A notebook is rendered twice, first to learn the anchors of all chapters, then with links that go to them.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ExtractOutputPreprocessor
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from phenolip_lib.apps.book import outputs
from phenolip_lib.apps.book.markdown import Anchors, Renderer, Resolve, Section, inline, plain, render
from phenolip_lib.apps.book.outputs import Output
from phenolip_lib.apps.book.tables import Table
from phenolip_lib.core.errors import PhenoLIPError

LABELS = {"parameters": "parameters", "injected-parameters": "parameters of this run"}
"""Tags of cells and what the page calls them (papermill's names)."""

PAGE_ANCHORS = ("page-text", "page-contents", "page-search", "page-found")
"""Ids that the page around a chapter has."""


@dataclass(frozen=True)
class Cell:
    """One cell as a page shows it; `markup` is highlighted code or rendered markdown."""

    kind: str
    markup: str
    label: str = ""
    outputs: tuple[Output, ...] = ()


@dataclass
class Chapter:
    """A notebook read from disk, and what `compose` made of it."""

    name: str
    notebook: nbformat.NotebookNode
    pictures: dict[str, bytes]
    title: str
    question: str
    cells: list[Cell] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    """Anchors of the tables shown in it, by name."""

    @property
    def number(self) -> str:
        return self.name.partition("_")[0].lstrip("0") or "0"

    @property
    def page(self) -> str:
        return f"{self.name}.html"

    @property
    def heading(self) -> str:
        """The title without its number."""
        return re.sub(rf"^{self.number}\s*[·.:]\s*", "", self.title)

    @property
    def figures(self) -> list[Output]:
        return [output for cell in self.cells for output in cell.outputs if output.kind == "figure"]

    @property
    def anchors(self) -> set[str]:
        return {section.anchor for section in self.sections}


def read_chapter(path: Path) -> Chapter:
    """An executed notebook, its pictures taken out into files.

    Raises:
        PhenoLIPError: the file is not a notebook, or was not executed.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        raise PhenoLIPError(f"{path}: not a notebook ({type(error).__name__})") from None
    if not any(cell.cell_type == "code" and cell.outputs for cell in notebook.cells):
        raise PhenoLIPError(f"{path}: has no outputs; `dvc repro` executes it")
    resources = {"unique_key": f"figures/{path.stem}", "outputs": {}}
    notebook, resources = ExtractOutputPreprocessor().preprocess(notebook, resources)
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# +(.+?)\s*$", text, re.MULTILINE)
    question = re.search(r"^\*\*Question\.\*\*\s*(.+?)(?:\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return Chapter(
        path.stem, notebook, resources["outputs"],
        title=plain(inline(title.group(1))) if title else path.stem.replace("_", " "),
        question=inline(question.group(1)) if question else "",
    )  # fmt: skip


def compose(chapter: Chapter, tables: dict[str, Table], resolve: Resolve) -> None:
    """Fill in the chapter's cells, sections and tables.

    Raises:
        PhenoLIPError: a formula cannot be read; names the notebook.
    """
    renderer = Renderer(resolve, Anchors(*PAGE_ANCHORS))
    chapter.cells, chapter.tables = [], {}
    try:
        for cell in chapter.notebook.cells:
            if cell.cell_type == "markdown":
                chapter.cells.append(_markdown(cell, renderer))
            elif cell.cell_type == "code" and (cell.source.strip() or cell.outputs):
                chapter.cells.append(_code(cell, renderer, chapter, tables))
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{chapter.name}.ipynb: {error}") from None
    chapter.sections = renderer.sections


def _markdown(cell: nbformat.NotebookNode, renderer: Renderer) -> Cell:
    """Markdown, its words added to the sections they stand in."""
    renderer.attachments = cell.get("attachments", {})
    known = len(renderer.sections)
    markup = render(cell.source, renderer)
    # Between two headings of the cell stand the words of the upper one.
    parts = re.split(r"<h[1-6] id=.*?</h[1-6]>\n", markup)
    for section, part in zip(renderer.sections[max(known - 1, 0) :], parts[0 if known else 1 :], strict=True):
        section.texts += [words] if (words := plain(part)) else []
    return Cell("markdown", markup)


def _code(cell: nbformat.NotebookNode, renderer: Renderer, chapter: Chapter, tables: dict[str, Table]) -> Cell:
    """Highlighted code with what came out of it."""
    here = renderer.sections[-1].title if renderer.sections else chapter.title
    written, saved = (iter(names) for names in _names(cell.source))
    found = []
    for output in cell.outputs:
        kind, content = outputs.richest(output)
        if output.output_type == "stream":
            found += [outputs.log(output)] if output.text.strip() else []
        elif output.output_type == "error":
            found.append(outputs.error(output))
        elif kind in outputs.IMAGES:
            file = output.metadata["filenames"][kind]
            width, height = outputs.size(chapter.pictures[file], file)
            name = next(saved, "")
            caption = name.replace("_", " ") or "figure"
            anchor = renderer.anchors(f"figure {name or len(chapter.cells)}")
            alt = f"{here}: {caption}" if name else here
            found.append(
                Output("figure", anchor=anchor, caption=caption, file=file, alt=alt, width=width, height=height)
            )
        elif kind == "text/html":
            table = tables.get(next(written, "")) if "<table" in content else None
            if table:
                chapter.tables[table.name] = renderer.anchors(f"table {table.name}")
            found.append(
                Output(
                    "table" if "<table" in content else "html", outputs.tidy(content),
                    anchor=chapter.tables[table.name] if table else "",
                    caption=table.caption if table else "", csv=table.file if table else "", alt=here,
                )
            )  # fmt: skip
        elif kind in ("text/markdown", "text/latex"):
            found.append(Output("html", render(content, renderer)))
        elif kind:
            found.append(outputs.text(content))
    label = next((LABELS[tag] for tag in cell.metadata.get("tags", []) if tag in LABELS), "")
    return Cell("code", code(cell.source), label, tuple(found))


def code(source: str) -> str:
    """Highlighted Python; the style sheet has the colours."""
    return highlight(source.strip("\n"), get_lexer_by_name("ipython3"), HtmlFormatter(wrapcode=True))


def _names(source: str) -> tuple[list[str], list[str]]:
    """Names of the tables and of the figures that a cell writes, by the calls in it.

    ``tables.write_table(table, folder, "retrieval", caption)`` writes `retrieval`; a path that ends in
    ``"differences.png"`` is a figure called `differences`.
    """
    try:
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call | ast.Constant)]
    except SyntaxError:  # a cell with magics
        return [], []
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    calls = (node for node in nodes if isinstance(node, ast.Call) and len(node.args) > 2)
    tables = [c.args[2] for c in calls if getattr(c.func, "attr", getattr(c.func, "id", "")) == "write_table"]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return (
        [arg.value for arg in tables if isinstance(arg, ast.Constant)],
        [text.removesuffix(".png") for text in texts if text.endswith(".png")],
    )
