"""What a code cell gave, as things a page can show: figures, tables, text, logs, errors.

Rules:

- Of several forms of one output, the richest is shown (`ORDER`).
- HTML keeps the tags and attributes of `ALLOWED` and loses everything else: no style, no script, no handler.
- A table's column is set right if all its cells are numbers. Rows that are only counted (0, 1, 2, ...) lose the count.
- What a cell printed is a log: shown small, folded if it is long.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import bs4
from nbconvert.filters import ansi2html
from nbformat import NotebookNode
from PIL import Image

IMAGES = ("image/svg+xml", "image/png", "image/jpeg")
ORDER = (*IMAGES, "text/html", "text/markdown", "text/latex", "text/plain")
LOG_LINES = 6
"""A longer log is folded."""

CELL = {"class", "colspan", "rowspan", "scope"}
ALLOWED: dict[str, set[str]] = {
    "table": {"class"}, "thead": set(), "tbody": set(), "tfoot": set(), "tr": set(), "th": CELL, "td": CELL,
    "caption": set(), "div": {"class"}, "span": {"class"}, "p": set(), "br": set(), "hr": set(), "pre": set(),
    "code": set(), "b": set(), "strong": set(), "i": set(), "em": set(), "sub": set(), "sup": set(), "small": set(),
    "ul": set(), "ol": set(), "li": set(), "dl": set(), "dt": set(), "dd": set(), "details": set(), "summary": set(),
    "img": {"src", "alt", "width", "height"},
}  # fmt: skip
DROPPED = ("script", "style", "iframe", "object", "embed", "template", "noscript", "svg", "math", "title", "head")
NUMBER = re.compile(
    r"[-+−<>~≤≥]?\s?[\d.,]+(e[-+]?\d+)?\s?%?(\s?±\s?[\d.,]+)?(\s?\[[^\]]*\])?|[-–]|nan|NaN|inf|None|", re.IGNORECASE
)


@dataclass(frozen=True)
class Output:
    """One thing below a code cell; `kind` is figure, table, html, text, log or error.

    `html` is safe to be put into a page; `csv` and `file` are paths in the book.
    """

    kind: str
    html: str = ""
    anchor: str = ""
    caption: str = ""
    csv: str = ""
    file: str = ""
    alt: str = ""
    width: int | None = None
    height: int | None = None
    lines: int = 0

    @property
    def folded(self) -> bool:
        return self.kind == "log" and self.lines > LOG_LINES


def richest(output: NotebookNode) -> tuple[str, str]:
    """The media type that is shown, and its content; ("", "") if there is none that can be."""
    data = output.get("data", {})
    return next(((kind, data[kind]) for kind in ORDER if kind in data), ("", ""))


def size(picture: bytes, file: str) -> tuple[int | None, int | None]:
    """Width and height in pixels, so that a page does not jump when the picture comes; none for SVG."""
    if file.endswith(".svg"):
        return None, None
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def log(output: NotebookNode) -> Output:
    """Printed text, folded by the page if it has more than `LOG_LINES` lines."""
    text = output.text.rstrip()
    return Output("log", ansi2html(text), lines=text.count("\n") + 1)


def error(output: NotebookNode) -> Output:
    traceback = "\n".join(output.get("traceback", [])) or f"{output.ename}: {output.evalue}"
    return Output("error", ansi2html(traceback))


def text(content: str) -> Output:
    return Output("text", ansi2html(content))


def tidy(markup: str) -> str:
    """The allowed part of some HTML, with numbers of tables marked ``class="number"``."""
    soup = bs4.BeautifulSoup(markup, "html.parser")
    for node in soup.find_all(string=lambda text: isinstance(text, bs4.element.PreformattedString)):
        node.extract()  # comments, declarations, processing instructions
    for tag in soup.find_all(DROPPED):
        tag.decompose()
    for tag in soup.find_all(True):
        if tag.name not in ALLOWED:
            tag.unwrap()
            continue
        tag.attrs = {key: value for key, value in tag.attrs.items() if key in ALLOWED[tag.name]}
        if tag.name == "img" and not str(tag.get("src", "")).startswith("data:image/"):
            tag.replace_with(str(tag.get("alt", "")))
    for table in soup.find_all("table"):
        _drop_positions(table)
        _align(table)
    return str(soup).strip()


def _drop_positions(table: bs4.Tag) -> None:
    """Take out the labels of rows if they are nothing but positions, and the empty corner above them."""
    labels = [row.find_all("th") for row in table.select("tbody tr")]
    corners = [row.find("th") for row in table.select("thead tr")]
    if any(corner is None or corner.get_text(strip=True) for corner in corners):
        return
    if [[label.get_text(strip=True) for label in own] for own in labels] == [[str(i)] for i in range(len(labels))]:
        for cell in [*(label for own in labels for label in own), *corners]:
            cell.decompose()


def _align(table: bs4.Tag) -> None:
    """Mark columns of numbers. Columns are counted from the right: labels of rows are ``th``, and stand left."""
    rows = [row.find_all("td") for row in table.select("tbody tr")]
    width = max((len(row) for row in rows), default=0)
    for column in range(1, width + 1):
        cells = [row[-column] for row in rows if len(row) >= column]
        if all(NUMBER.fullmatch(cell.get_text(strip=True)) for cell in cells):
            heads = [row.find_all("th")[-column:][:1] for row in table.select("thead tr")]
            for cell in [*cells, *(head for found in heads for head in found if not head.get("colspan"))]:
                cell["class"] = "number"
