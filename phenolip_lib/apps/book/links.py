"""Every link of a static site, followed: files that are not there, anchors that are not on the page.

A site is a folder that is read from disk, so a link to an absolute path leads nowhere, and so does one that leaves the
folder. Links to other hosts are not followed; `external` lists them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ATTRIBUTES = ("href", "src", "poster", "data", "action")
INLINE = ("data", "blob", "mailto")
"""Schemes that ask for no file."""


@dataclass
class Page(HTMLParser):
    """Addresses and ids of one HTML file, in order."""

    text: str
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.append(value or "")
            elif name == "srcset":
                self.links += [part.split()[0] for part in (value or "").split(",") if part.strip()]
            elif name in ATTRIBUTES and not (name == "data" and tag != "object"):
                self.links.append((value or "").strip())


def broken(folder: Path) -> list[str]:
    """One line for each local link that leads nowhere, and for each id that a page has twice, sorted.

    ``#/...`` is taken for a route of the page's own script and left alone.
    """
    folder = Path(folder).resolve()
    page = cache(lambda path: Page(path.read_text(encoding="utf-8")))
    found = set()
    for path, link in _links(folder):
        if reason := _trouble(folder, path, link, page):
            found.add(f"{path.relative_to(folder).as_posix()}: {link or '(empty link)'}: {reason}")
    for path in sorted(folder.rglob("*.html")):
        twice = [name for name, count in Counter(page(path).ids).items() if count > 1]
        found |= {f"{path.relative_to(folder).as_posix()}: #{name}: this id is there twice" for name in twice}
    return sorted(found)


def external(folder: Path) -> list[str]:
    """Addresses on other hosts that the site links to, sorted, each once."""
    links = {link for _, link in _links(Path(folder).resolve())}
    return sorted(link for link in links if urlsplit(link).netloc)


def _links(folder: Path) -> list[tuple[Path, str]]:
    """Each file of pages and style sheets with each address in it."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        found += [(path, link) for link in Page(path.read_text(encoding="utf-8")).links]
    for path in sorted(folder.rglob("*.css")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [(path, link) for link in re.findall(r"url\(\s*['\"]?([^'\")]+)", text)]
    return found


def _trouble(folder: Path, path: Path, link: str, page) -> str:
    """Why a link does not work, or an empty string."""
    parts = urlsplit(link)
    if parts.netloc or parts.scheme in INLINE or parts.fragment.startswith("/"):
        return ""
    if parts.scheme:
        return f"cannot follow {parts.scheme}:"
    if parts.path.startswith("/"):
        return "an absolute path"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_relative_to(folder):
        return "outside the site"
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    if not link:
        return "leads to its own page"
    anchor = unquote(parts.fragment)
    if anchor and anchor != "top" and target.suffix == ".html" and anchor not in page(target).ids:
        return "no such anchor"
    return ""
