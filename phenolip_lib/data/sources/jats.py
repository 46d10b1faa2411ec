"""Figures of articles in JATS XML (https://jats.nlm.nih.gov) and its forerunners, with the texts that belong to them.

Supplements and sub-articles other than translations are not read; their figures are counted as such.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.licences import UNKNOWN, spdx
from phenolip_lib.data.sources.jats_pictures import SKIPPED, is_picture, pictures_of
from phenolip_lib.data.sources.jats_text import caption_of, contexts_of, language_of, text_of
from phenolip_lib.data.sources.jats_xml import parse_xml

_VERSION = re.compile(r"(?:v(?:er(?:sion)?)?\.?)?\s*(\d{1,6}(?:\.\d{1,6})*)", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: its id, unique within the article.
        label: such as ``Figure 2``.
        caption: title and paragraphs, those of the figure or group it belongs to first.
        context: the paragraphs that refer to it or its group, one a line.
        licence: SPDX id. A figure with a copyright line of its own and no licence has none stated: it was
            reprinted by permission.
        graphics: its pictures; several names of one picture are the same in several formats.
        captions: what is said of each picture alone, in the same order; mostly empty.
    """

    name: str
    label: str
    caption: str
    context: str
    licence: str
    graphics: tuple[tuple[str, ...], ...]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Article:
    """An article; ids that it does not give are empty, `pmcid` is without ``PMC``, `version` 1.2 is ``(1, 2)``.

    `unread` has a name and a reason for each picture that is no figure of the article.
    """

    pmcid: str
    version: tuple[int, ...]
    pmid: str
    doi: str
    figures: tuple[Figure, ...]
    unread: tuple[tuple[str, str], ...]


def parse(content: bytes, language: str = "en") -> list[Article | PhenoLIPError]:
    """The articles of a file: one, or those of a set as efetch and OAI-PMH give it.

    Args:
        content: of the file.
        language: of the captions that are taken where there are several, as ISO 639 code.

    Returns:
        the articles in their order; of a set, what is no JATS article is the error that says so.

    Raises:
        PhenoLIPError: malformed or unsafe XML, or no article; the message is a reason for the quarantine table.
    """
    root, pictures = parse_xml(content)
    try:
        found: list[Article | PhenoLIPError] = []
        elements = [root] if root.tag == "article" else list(_outermost(root, "article"))
        for element in root if root.tag == "pmc-articleset" else elements:
            if element.tag != "article" or _meta(element) is None:
                found.append(PhenoLIPError("no JATS article"))
            else:
                found.append(_article(element, pictures, language))
    except RecursionError:
        raise PhenoLIPError("article is not valid XML: RecursionError") from None
    if not any(isinstance(article, Article) for article in found):
        raise PhenoLIPError("no JATS article")
    return found


def _outermost(element: Element, tag: str) -> Iterator[Element]:
    for child in element:
        if child.tag == tag:
            yield child
        else:
            yield from _outermost(child, tag)


def _meta(article: Element) -> Element | None:
    return article.find("front/article-meta")


def _article(root: Element, pictures: dict[str, str], language: str) -> Article:
    meta = _meta(root)
    ids = {i.get("pub-id-type", ""): text_of(i) for i in meta.findall("article-id")}
    number = re.search(r"\d+", ids.get("pmc") or ids.get("pmcid") or ids.get("pmcid-ver") or "")
    told = [ids.get(kind, "").partition(".")[2] for kind in ("pmc", "pmcid", "pmcaid", "pmcid-ver")]
    told += [text_of(version) for version in meta.iter("article-version")] + [ids.get("pmc-version", "")]
    versions = (_VERSION.fullmatch(text) for text in told)
    licence = _licence([*meta.findall("permissions"), meta])
    for group in root.iter("fig-group"):
        _one_language(group, language)
    reader = _Reader(pictures, licence)
    figures = _said_once(reader.figures(root, language_of(root, "en"), language), language)
    figures = _translated(figures, root, reader, language)
    return Article(
        number[0] if number else "",
        next((tuple(map(int, found[1].split("."))) for found in versions if found), ()),
        ids.get("pmid", ""),
        ids.get("doi", ""),
        tuple(figure for figure, _ in figures),
        tuple(reader.unread),
    )


class _Reader:
    """Reads the figures of one article, and notes the pictures that belong to none."""

    def __init__(self, pictures: dict[str, str], licence: str) -> None:
        self.declared, self.licence = pictures, licence
        self.unread: list[tuple[str, str]] = []
        self.loose: Counter[str] = Counter()
        self.names: Counter[str] = Counter()

    def figures(self, root: Element, around: str, language: str) -> list[tuple[Figure, str]]:
        """Figures of an article or translation in the order of the text, and the language of each caption."""
        contexts = contexts_of(root)
        found = []
        for figure, groups, code in self._walk(root, (), around):
            name = figure.get("id") or f"figure-{len(self.names) + 1}"
            self.names[name] += 1
            parts = [*groups, (figure, code)]
            captions = [caption_of(e, around, language) for e, around in parts]
            pictures = pictures_of(figure, self.declared)
            referring = [p for e, _ in reversed(parts) for p in contexts.get(e.get("id", ""), ())]
            permissions = figure.findall("permissions")
            found.append(
                (
                    Figure(
                        name=name + f"-{self.names[name]}" * (self.names[name] > 1),
                        label=text_of(figure.find("label")) or text_of(figure.find("caption/label")),
                        caption=" ".join(text for text, _ in captions if text),
                        context="\n".join(dict.fromkeys(referring)),
                        licence=_licence(permissions) if permissions else self.licence,
                        graphics=tuple(names for names, _ in pictures),
                        captions=tuple(caption_of(own, code, language)[0] * (own is not figure) for _, own in pictures),
                    ),
                    next((code for text, code in reversed(captions) if text), ""),
                )
            )
        return found

    def _walk(
        self, element: Element, groups: tuple[tuple[Element, str], ...], around: str, inside: bool = False
    ) -> Iterator[tuple[Element, tuple[tuple[Element, str], ...], str]]:
        """Figures with the groups or figures around them, whose caption is also theirs, and the language there."""
        for child in element:
            code = language_of(child, around)
            if child.tag in SKIPPED:
                if not _is_translation(child):
                    self._skip(child)
            elif child.tag == "fig" or (is_picture(child) and child.find("caption") is not None and not inside):
                if pictures_of(child, self.declared) or child.find(".//fig") is None:
                    yield child, groups, code
                yield from self._walk(child, (*groups, (child, code)), code, inside=True)
            elif is_picture(child):
                if not inside:
                    self._note(child, f"{child.tag.replace('-', ' ')} outside of a figure, in {element.tag}")
            elif child.tag == "fig-group":
                if pictures_of(child, self.declared):
                    yield child, groups, code
                yield from self._walk(child, (*groups, (child, code)), code, inside=True)
            else:
                yield from self._walk(child, groups, code, inside)

    def _skip(self, part: Element) -> None:
        """Note the figures of a part that is not read, and its pictures outside of them."""
        within = {id(picture) for figure in part.iter("fig") for picture in figure.iter()}
        for found in part.iter():
            if found.tag == "fig":
                self.unread.append((found.get("id") or "figure", f"figure {SKIPPED[part.tag]}"))
            elif is_picture(found) and id(found) not in within:
                self._note(found, f"picture {SKIPPED[part.tag]}")

    def _note(self, picture: Element, reason: str) -> None:
        self.loose[picture.tag] += 1
        self.unread.append((f"{picture.tag}-{self.loose[picture.tag]}", reason))


def _one_language(group: Element, language: str) -> None:
    """Of a group that is one figure in several languages, leave the one in `language`, else the first."""
    figures = group.findall("fig")
    if len({language_of(figure, "") for figure in figures} - {""}) < 2:
        return
    taken = next((figure for figure in figures if language_of(figure, "") == language), figures[0])
    for other in figures:
        if other is not taken:
            group.remove(other)
            if not pictures_of(taken, {}):
                taken.extend(part for part in other if is_picture(part) or part.tag == "alternatives")


def _said_once(figures: list[tuple[Figure, str]], language: str) -> list[tuple[Figure, str]]:
    """The figures without those of a picture that another one in `language` shows, and they do not."""
    shown = {figure.graphics for figure, code in figures if code == language and figure.graphics}
    return [(f, code) for f, code in figures if code in (language, "") or f.graphics not in shown]


def _is_translation(element: Element) -> bool:
    return element.tag == "sub-article" and element.get("article-type") == "translation"


def _translated(
    figures: list[tuple[Figure, str]], root: Element, reader: _Reader, language: str
) -> list[tuple[Figure, str]]:
    """The figures with captions of a translation in `language`, where their own are in another.

    A figure of a translation is that of the article with the same picture, else with the same number, else the one
    at its place if there are as many; what only the translation has is a figure more.
    """
    for part in root.findall("sub-article"):
        if (
            not _is_translation(part)
            or language_of(part, "") != language
            or (figures and all(c == language for _, c in figures))
        ):
            continue
        theirs = [figure for figure, _ in reader.figures(part, language, language)]
        by_picture = {name: f for f in reversed(theirs) for names in f.graphics for name in names}
        by_number = {n[0]: f for f in reversed(theirs) if (n := re.findall(r"\d+\w?", f.label))}
        used, result = set(), []
        for at, (figure, code) in enumerate(figures):
            same = next((by_picture[n] for names in figure.graphics for n in names if n in by_picture), None)
            number = re.findall(r"\d+\w?", figure.label)
            same = same or (by_number.get(number[0]) if number else None)
            same = same or (theirs[at] if len(theirs) == len(figures) else None)
            if same is not None:
                used.add(same.name)
                if code != language and same.caption:
                    context = same.context or figure.context
                    figure, code = (
                        replace(figure, label=same.label or figure.label, caption=same.caption, context=context),
                        language,
                    )
            result.append((figure, code))
        figures = result + [(f, language) for f in theirs if f.name not in used]
    return figures


def _licence(holders: list[Element]) -> str:
    """What the first of them says that is understood; articles before JATS state it without a ``permissions``."""
    for holder in holders:
        texts: list[str | None] = []
        for licence in holder.findall("license"):
            texts += [licence.get("href"), *(text_of(r) for r in licence.iter("license_ref"))]
            texts += [link.get("href") for link in licence.iter() if link.tag in ("ext-link", "uri")]
            texts += [text_of(licence), licence.get("license-type")]
        texts += [text_of(statement) for statement in holder.findall("copyright-statement")]
        for text in texts:
            if (found := spdx(text)) != UNKNOWN:
                return found
    return UNKNOWN
