"""What a code cell gave, made ready for a page: harmless HTML, tables with their numbers set right."""

from __future__ import annotations

import re

import bs4
from nbconvert.preprocessors.sanitize import SanitizeHTML

NUMBER = re.compile(
    r"[-+−<>~≤≥]?\s?[\d.,]+(e[-+]?\d+)?\s?%?(\s?±\s?[\d.,]+)?(\s?\[[^\]]*\])?|[-–]|nan|NaN|inf|None|", re.IGNORECASE
)
CELL = ["class", "colspan", "rowspan"]


class Cleaner(SanitizeHTML):
    """nbconvert's own, which first drops the content of scripts and styles and sets tables as a reader wants them.

    Row labels that only count (0, 1, 2, ...) go; columns of numbers get the class ``number``. Columns are counted
    from the right, since labels of rows are ``th``.
    """

    def sanitize_html_tags(self, html_str: str) -> str:
        """HTML with the tags and attributes of `SAFE` only."""
        soup = bs4.BeautifulSoup(html_str, "html.parser")
        for tag in soup(["script", "style"]):
            tag.decompose()
        for table in soup("table"):
            _drop_positions(table)
            _align(table)
        return super().sanitize_html_tags(str(soup)).strip()


SAFE = Cleaner(
    tags="table thead tbody tfoot tr th td caption div span p br hr pre code b strong i em sub sup small ul ol li dl "
    "dt dd details summary".split(),
    attributes={"table": ["class"], "td": CELL, "th": CELL},
    strip=True,
    sanitized_output_types={"text/html"},
    safe_output_keys={"text/plain", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml"},
)
"""``SAFE.sanitize_code_outputs(cell.outputs)``: whatever is not named here does not get onto a page."""


def _drop_positions(table: bs4.Tag) -> None:
    labels = [row("th") for row in table.select("tbody tr")]
    corners = [row.th for row in table.select("thead tr")]
    if any(corner is None or corner.get_text(strip=True) for corner in corners):
        return
    if [[label.get_text(strip=True) for label in own] for own in labels] == [[str(i)] for i in range(len(labels))]:
        for cell in [*corners, *(own[0] for own in labels)]:
            cell.decompose()


def _align(table: bs4.Tag) -> None:
    columns = zip(*(row("td")[::-1] for row in table.select("tbody tr")), strict=False)
    for place, column in enumerate(columns):
        if all(NUMBER.fullmatch(cell.get_text(strip=True)) for cell in column):
            heads = [row("th")[::-1][place : place + 1] for row in table.select("thead tr")]
            for cell in [*column, *(head for found in heads for head in found if not head.get("colspan"))]:
                cell["class"] = "number"
