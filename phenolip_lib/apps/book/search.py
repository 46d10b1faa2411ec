"""The search index: what a reader may look for, written as a script so that it works from a folder on disk.

One entry a section and one a table; ranking is done in the page (``assets/search.js``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from phenolip_lib.apps.book.chapters import Chapter
from phenolip_lib.apps.book.tables import Table

VARIABLE = "BOOK_INDEX"


def entries(chapters: Iterable[Chapter], tables: Iterable[Table]) -> list[dict[str, str]]:
    """Where an entry leads (`to`), what it is called, where it is (`part`) and the words below it."""
    found = []
    for chapter in chapters:
        part = f"{chapter.number} {chapter.heading}"
        for section in chapter.sections:
            found.append(
                {"to": f"{chapter.page}#{section.anchor}", "title": section.title, "part": part,
                 "text": " ".join(section.texts)}
            )  # fmt: skip
    for table in tables:
        to = f"tables.html#table-{table.name}"
        text = f"{table.name}: {', '.join(table.columns)}"
        found.append({"to": to, "title": table.caption, "part": "Tables", "text": text})
    return found


def script(found: list[dict[str, str]]) -> str:
    """The entries as a JavaScript file that assigns one variable."""
    return f"window.{VARIABLE} = {json.dumps(found, ensure_ascii=False, indent=0, sort_keys=True)};\n"
