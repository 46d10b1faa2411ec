"""PMC Open Access: figures of articles with their captions and the paragraphs that refer to them.

Layout, at any depth below ``pmc-oa``: what PMC's cloud service has (https://pmc.ncbi.nlm.nih.gov/tools/pmcaws/), a
folder for each version of an article; a package with the same in it; or any folder with an article and its pictures::

    pmc-oa/PMC13900.1/PMC13900.1.xml               and its pictures beside it or in folders below
    pmc-oa/PMC13900.tar.gz                         also .tgz, .tar or .zip: *.nxml or *.xml with its pictures

Of several versions or copies of an article the newest is read. The licence is the article's, or the figure's own
where it has one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import DAMAGED, MAX_MEMBER, members, read_member
from phenolip_lib.data.images import PICTURE_SUFFIXES
from phenolip_lib.data.panel_captions import split_caption
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import jats
from phenolip_lib.data.sources.files import place

NAME = "pmc-oa"
ARTICLE_SUFFIXES = (".nxml", ".xml", ".nxml.gz", ".xml.gz")
PACKAGE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
_OTHER_GRAPHICS = tuple(
    f".{suffix}"
    for suffix in "eps svg pdf ai ps wmf emf cdr ppt pptx doc docx xls xlsx pct pict cgm psd heic jxl jpe dcm".split()
)
"""Suffixes that articles name and for which a package has a picture of the same name."""
_Named = tuple[str, str, "jats.Article | PhenoLIPError"]
"""Name within the source, identity, and the article or why there is none."""


@dataclass(frozen=True)
class _Source:
    """A file that holds articles, and the pictures that come with it: reference by path relative to it."""

    name: str
    path: Path
    member: str
    pictures: Mapping[str, str]

    def content(self) -> bytes:
        if self.member:
            return read_member(self.path, self.member)
        if self.path.stat().st_size > MAX_MEMBER:
            raise PhenoLIPError("article is too large")
        return self.path.read_bytes()

    def articles(self, language: str) -> list[jats.Article | PhenoLIPError]:
        try:
            return jats.parse(self.content(), language)
        except PhenoLIPError as error:
            return [error]
        except DAMAGED as error:
            return [PhenoLIPError(f"article cannot be read: {type(error).__name__}")]


def records(root: Path, language: str = "en") -> Iterator[Record | Reject]:
    """One record a figure, articles by path.

    The group is the article's PMCID, as in other sources that know it. A damaged article is one reject, and so are
    an older version, and each picture that belongs to no figure.

    Args:
        root: the folder that holds ``pmc-oa``.
        language: of the captions that are taken where an article has several, as ISO 639 code.

    Raises:
        PhenoLIPError: the folder is not there.
    """
    root = Path(root)
    base = place(root, NAME, "PMC Open Access packages (*.tar.gz) or folders with an article's XML and pictures")
    sources: list[_Source] = []
    for item in _sources(root, base):
        if isinstance(item, Reject):
            yield item
        else:
            sources.append(item)
    older = _older(sources)
    seen: dict[str, str] = {}
    for source in sources:
        named = list(_named(source, source.articles(language)))
        older |= _superseded(_versions(source, named)) if len(named) > 1 else {}
        for name, identity, article in named:
            if isinstance(article, PhenoLIPError):
                yield Reject(name, "source", str(article))
                continue
            if newest := seen.get(identity) or older.get(name):
                yield Reject(name, "source", f"{identity} is read from {newest}, which is newer or the same")
                continue
            seen[identity] = name
            yield from _figures(article, identity, source.pictures)


def _sources(root: Path, base: Path) -> Iterator[_Source | Reject]:
    """Article files, by path; packages first, as they lie."""
    folders: dict[Path, list[Path]] = {}
    for path in sorted(p for p in base.rglob("*") if p.is_file()):
        if path.name.lower().endswith(PACKAGE_SUFFIXES):
            yield from _package(path, path.relative_to(root).as_posix())
        else:
            folders.setdefault(path.parent, []).append(path)
    homes = {folder for folder, files in folders.items() if any(map(_is_article, files))}
    pictures: dict[Path, dict[str, str]] = {home: {} for home in homes}
    for folder, files in folders.items():
        shown = [path for path in files if path.name.lower().endswith(PICTURE_SUFFIXES)]
        home = next((above for above in (folder, *folder.parents) if above in homes), None)
        if home is not None:
            pictures[home] |= {p.relative_to(home).as_posix(): p.relative_to(root).as_posix() for p in shown}
        elif shown:
            yield Reject(folder.relative_to(root).as_posix(), "source", "pictures without an article's XML")
    for folder in sorted(homes):
        for path in filter(_is_article, folders[folder]):
            yield _Source(path.relative_to(root).as_posix(), path, "", pictures[folder])


def _is_article(path: Path) -> bool:
    return path.name.lower().endswith(ARTICLE_SUFFIXES)


def _package(path: Path, relative: str) -> Iterator[_Source | Reject]:
    try:
        names = list(members(path))
        articles = sorted(name for name in names if name.lower().endswith(ARTICLE_SUFFIXES))
        if not articles:
            raise PhenoLIPError("package holds no article XML")
    except PhenoLIPError as error:
        yield Reject(relative, "source", str(error).removeprefix(f"{path}: "))
        return
    pictures = {name: f"{relative}::{name}" for name in names if name.lower().endswith(PICTURE_SUFFIXES)}
    for name in articles:
        yield _Source(f"{relative}::{name}", path, name, pictures)


def _named(source: _Source, articles: list[jats.Article | PhenoLIPError]) -> Iterator[_Named]:
    """Each article of a file with its name there and its identity: PMCID, else PMID, DOI or that name.

    Where it does not state its PMCID, the path may, unless the file is a set.
    """
    for at, article in enumerate(articles):
        name, identity = source.name + f" ({at + 1})" * (at > 0), ""
        if isinstance(article, jats.Article):
            stated = f"PMC{article.pmcid}" if article.pmcid else source.name if len(articles) == 1 else ""
            number = re.search(r"PMC\d+", stated)
            identity = number[0] if number else f"PMID{article.pmid}" if article.pmid else article.doi or name
        yield name, identity, article


def _older(sources: list[_Source]) -> dict[str, str]:
    """For articles of which there is another, the newest of them, both by name.

    Only files whose path gives the same PMCID as another's, or none, are looked into for it.
    """
    by_number: dict[str, list[_Source]] = {}
    for source in sources:
        number = re.search(r"PMC\d+", source.name)
        by_number.setdefault(number[0] if number else "", []).append(source)
    found: list[tuple[str, str, tuple[int, ...]]] = []
    known: set[str] | None = None  # identities of those without a number, which come first
    for number, several in sorted(by_number.items()):
        if len(several) > 1 or not number or number in (known or ()):
            found += [one for source in several for one in _versions(source, _named(source, source.articles("en")))]
        known = {identity for _, identity, _ in found} if known is None else known
    return _superseded(found)


def _versions(source: _Source, named: Iterable[_Named]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, identity and version of each article of a file; the path may state the version."""
    told = re.search(r"PMC\d+(?:\.|[._-]?v(?:ersion)?[._-]?)(\d{1,6})(?!\d)", source.name, re.IGNORECASE)
    stated = (int(told[1]),) if told else ()
    return [(name, identity, a.version or stated) for name, identity, a in named if isinstance(a, jats.Article)]


def _superseded(found: list[tuple[str, str, tuple[int, ...]]]) -> dict[str, str]:
    """The newest of each article by the names of all others, of equal ones the first."""
    newest: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, identity, version in found:
        if identity not in newest or version > newest[identity][0]:
            newest[identity] = version, name
    return {name: newest[identity][1] for name, identity, _ in found if newest[identity][1] != name}


def _figures(article: jats.Article, identity: str, pictures: Mapping[str, str]) -> Iterator[Record | Reject]:
    """Records of one article, and rejects of its pictures that are no records."""
    address = f"https://doi.org/{article.doi}" if article.doi else ""
    find = _Finder(pictures)
    for figure in article.figures:
        if not figure.graphics:
            yield Reject(f"{NAME}/{identity}/{figure.name}", "source", "figure has no graphic")
        used = set()
        for i, (choices, own) in enumerate(zip(figure.graphics, figure.captions, strict=True)):
            caption = " ".join(filter(None, (figure.caption, own)))
            key = f"{NAME}/{identity}/{figure.name}" + f"/{i + 1}" * (i > 0)
            image = next((found for choice in choices if (found := find(choice))), None)
            if image is None:
                yield Reject(key, "source", f"picture {choices[0][:200]!r} is not in the package")
            elif image not in used:  # a picture in two formats is one
                used.add(image)
                yield Record(
                    record_id=key,
                    dataset=NAME,
                    image=image,
                    modality="other",
                    group=identity,
                    licence=figure.licence,
                    url=f"https://pmc.ncbi.nlm.nih.gov/articles/{identity}/" if identity[:3] == "PMC" else address,
                    caption=caption,
                    context=figure.context,
                    compound=bool(split_caption(caption)),
                    article=identity,
                    figure=figure.label,
                )
    counted: dict[str, int] = {}
    for name, reason in article.unread:
        counted[name] = counted.get(name, 0) + 1
        key = f"{NAME}/{identity}/unread/{name}" + f"-{counted[name]}" * (counted[name] > 1)
        yield Reject(key, "source", reason)


class _Finder:
    """Finds the picture that an article means: by its path, else by name, else also in other spelling."""

    def __init__(self, pictures: Mapping[str, str]) -> None:
        self.by: dict[str, str] = {}
        for name in sorted(pictures, key=lambda name: (_rank(name), name)):
            stem = _stem(name)
            for key in (stem, stem.rpartition("/")[2]):
                self.by.setdefault(key, pictures[name])
                self.by.setdefault(_folded(unquote(key)), pictures[name])

    def __call__(self, href: str) -> str | None:
        href = unescape(href).strip()
        plain = unquote(href)
        for name in (href, plain, re.split(r"[?#;]", plain)[0], unquote(plain), unquote(href, "latin-1")):
            name = name.replace("\\", "/").rstrip(". ")
            stem = _stem(name)
            for path in (stem, name, _stem(stem)):
                for key in (path, path.rpartition("/")[2]):
                    if found := self.by.get(key) or self.by.get(_folded(key)):
                        return found
        return None


def _folded(name: str) -> str:
    """One spelling of names that differ in case, in how accents, dashes and spaces are written; its own keys."""
    plain = re.sub(r"[‐‑–—−]", "-", unicodedata.normalize("NFKC", name))
    return "\0" + re.sub(r"[\s_+]+", " ", plain).strip().casefold()


def _stem(name: str) -> str:
    """The path without a picture's suffix; names such as ``pone.0012345.g001`` have dots of their own."""
    head, _, tail = name.rpartition(".")
    return head if head and f".{tail.lower()}" in (*PICTURE_SUFFIXES, *_OTHER_GRAPHICS) else name


def _rank(name: str) -> int:
    """Which of several files of one picture is taken: thumbnails are GIF files beside the real ones."""
    return PICTURE_SUFFIXES.index(PurePosixPath(name).suffix.lower())
