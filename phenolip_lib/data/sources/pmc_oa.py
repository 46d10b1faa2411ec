"""PMC Open Access: figures of articles with their captions and the paragraphs that refer to them.

Layout, at any depth below ``pmc-oa`` (https://pmc.ncbi.nlm.nih.gov/tools/openftlist/)::

    pmc-oa/oa_package/b0/ac/PMC13900.tar.gz        PMC13900/*.nxml with its pictures
    pmc-oa/PMC13900/*.nxml or *.xml                the same, unpacked

The licence is the article's, or the figure's own where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import MAX_MEMBER, members, read_member
from phenolip_lib.data.images import PICTURE_SUFFIXES
from phenolip_lib.data.panel_captions import split_caption
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import jats
from phenolip_lib.data.sources.files import place

NAME = "pmc-oa"
ARTICLE_SUFFIXES = (".nxml", ".xml")


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a figure, articles by path; `root` is the folder that holds ``pmc-oa``.

    The group is the article's PMCID, as in other sources that know it. A damaged article is one reject.

    Raises:
        PhenoLIPError: the folder is not there.
    """
    root = Path(root)
    base = place(root, NAME, "PMC Open Access packages (*.tar.gz) or folders with an article's XML and pictures")
    folders: dict[Path, list[str]] = {}
    for path in sorted(p for p in base.rglob("*") if p.is_file()):
        if path.name.lower().endswith((".tar.gz", ".tgz")):
            yield from _package(path, path.relative_to(root).as_posix())
        else:
            folders.setdefault(path.parent, []).append(path.name)
    for folder, names in folders.items():
        relative = folder.relative_to(root).as_posix()
        articles = [name for name in names if name.lower().endswith(ARTICLE_SUFFIXES)]
        pictures = {name: f"{relative}/{name}" for name in names}
        if not articles and any(name.lower().endswith(PICTURE_SUFFIXES) for name in names):
            yield Reject(relative, "source", "pictures without an article's XML")
        for name in articles:
            if (folder / name).stat().st_size > MAX_MEMBER:
                yield Reject(f"{relative}/{name}", "source", "article is too large")
            else:
                yield from _figures((folder / name).read_bytes(), f"{relative}/{name}", pictures)


def _package(path: Path, relative: str) -> Iterator[Record | Reject]:
    try:
        names = list(members(path))
        articles = sorted(name for name in names if name.lower().endswith(ARTICLE_SUFFIXES))
        if not articles:
            raise PhenoLIPError("package holds no article XML")
        content = {name: read_member(path, name) for name in articles}
    except PhenoLIPError as error:
        yield Reject(relative, "source", str(error).removeprefix(f"{path}: "))
        return
    pictures = {PurePosixPath(name).name: f"{relative}::{name}" for name in names}
    for name in articles:
        yield from _figures(content[name], f"{relative}::{name}", pictures)


def _figures(content: bytes, source: str, pictures: Mapping[str, str]) -> Iterator[Record | Reject]:
    """Records of one article; `pictures` are the package's files by name."""
    try:
        article = jats.parse(content)
    except PhenoLIPError as error:
        yield Reject(source, "source", str(error))
        return
    number = re.search(r"(?<=PMC)\d+", f"PMC{article.pmcid} {source}")
    pmcid = f"PMC{number[0]}" if number else ""
    identity = pmcid or (f"PMID{article.pmid}" if article.pmid else article.doi or source)
    address = f"https://doi.org/{article.doi}" if article.doi else ""
    by_stem: dict[str, str] = {}
    for name in sorted(pictures, key=lambda name: (_rank(name), name)):
        if _rank(name) < len(PICTURE_SUFFIXES):
            by_stem.setdefault(_stem(name), pictures[name])
    for figure in article.figures:
        if not figure.graphics:
            yield Reject(f"{NAME}/{identity}/{figure.name}", "source", "figure has no graphic")
        for i, choices in enumerate(figure.graphics):
            key = f"{NAME}/{identity}/{figure.name}" + f"/{i + 1}" * (i > 0)
            image = next((by_stem[_stem(choice)] for choice in choices if _stem(choice) in by_stem), None)
            if image is None:
                yield Reject(key, "source", f"picture {choices[0]!r} is not in the package")
                continue
            yield Record(
                record_id=key,
                dataset=NAME,
                image=image,
                modality="other",
                group=identity,
                licence=figure.licence,
                url=f"https://pmc.ncbi.nlm.nih.gov/articles/{pmcid}/" if pmcid else address,
                caption=figure.caption,
                context=figure.context,
                compound=bool(split_caption(figure.caption)),
                article=identity,
                figure=figure.label,
            )


def _stem(name: str) -> str:
    """The file name without a picture's suffix; names such as ``pone.0012345.g001`` have dots of their own."""
    name = name.rpartition("/")[2]
    head, _, tail = name.rpartition(".")
    return head if head and f".{tail.lower()}" in PICTURE_SUFFIXES else name


def _rank(name: str) -> int:
    """Which of several files of one picture is taken: thumbnails are GIF files beside the real ones."""
    suffix = PurePosixPath(name).suffix.lower()
    return PICTURE_SUFFIXES.index(suffix) if suffix in PICTURE_SUFFIXES else len(PICTURE_SUFFIXES)
