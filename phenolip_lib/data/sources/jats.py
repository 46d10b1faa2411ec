"""Figures of an article in JATS XML (https://jats.nlm.nih.gov), with the texts that belong to them.

Supplements, sub-articles and responses are not read. XML is parsed without entities of the article's own
and without anything fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.licences import UNKNOWN, spdx

_SKIPPED = {"supplementary-material", "sub-article", "response"}
_ASIDE = _SKIPPED | {"fig", "fig-group", "table-wrap", "tex-math", "object-id"}
"""What stands within a paragraph and is not its text; a formula's TeX repeats its MathML."""
_BLOCKS = {"p", "title", "list-item", "break", "disp-formula", "td", "th", "sec"}
_XLINK = "{http://www.w3.org/1999/xlink}href"
_RANGE = re.compile(r"\s*(?:[-–—‒−]|to|through)\s*")
_ENTITIES = {name.removesuffix(";"): text for name, text in html5.items() if name.endswith(";")}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: its id, unique within the article.
        label: such as ``Figure 2``.
        caption: title and paragraphs, those of the group it belongs to first.
        context: the paragraphs that refer to it or its group, one a line.
        licence: SPDX id. A figure with a copyright line of its own and no licence has none stated: it was
            reprinted by permission.
        graphics: its pictures; several names of one picture are the same in several formats.
    """

    name: str
    label: str
    caption: str
    context: str
    licence: str
    graphics: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Article:
    """An article; ids that it does not give are empty, `pmcid` is without ``PMC``."""

    pmcid: str
    pmid: str
    doi: str
    figures: tuple[Figure, ...]


def parse(content: bytes) -> Article:
    """The article of a file.

    Raises:
        PhenoLIPError: malformed or unsafe XML, or no article; the message is a reason for the quarantine table.
    """
    try:
        parser = DefusedXMLParser(forbid_dtd=False, forbid_entities=True, forbid_external=True)
        parser.entity.update(_ENTITIES)
        parser.feed(content)
        root = parser.close()
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        if root.tag == "pmc-articleset" and len(root.findall("article")) == 1:  # as efetch gives it
            root = root.find("article")
        meta = root.find("front/article-meta")
        if root.tag != "article" or meta is None:
            raise PhenoLIPError("no JATS article")
        ids = {i.get("pub-id-type", ""): _text(i) for i in meta.findall("article-id")}
        number = re.search(r"\d+", ids.get("pmc") or ids.get("pmcid") or "")
        figures = tuple(_figures(root, _licence(meta.find("permissions"))))
        return Article(number[0] if number else "", ids.get("pmid", ""), ids.get("doi", ""), figures)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise PhenoLIPError(f"article is not valid XML: {type(error).__name__}") from None


def _figures(root: Element, licence: str) -> Iterator[Figure]:
    contexts = _contexts(root)
    seen: dict[str, int] = {}
    for figure, groups in _walk(root):
        name = figure.get("id") or f"figure-{len(seen) + 1}"
        seen[name] = seen.get(name, 0) + 1
        referring = [p for part in (figure, *groups) for p in contexts.get(part.get("id", ""), [])]
        captions = [text for part in (*groups, figure) if (text := _caption(part.find("caption")))]
        permissions = figure.find("permissions")
        yield Figure(
            name=name + f"-{seen[name]}" * (seen[name] > 1),
            label=_text(figure.find("label")),
            caption=" ".join(captions),
            context="\n".join(dict.fromkeys(referring)),
            licence=licence if permissions is None else _licence(permissions),
            graphics=tuple(_graphics(figure)),
        )


def _walk(element: Element, groups: tuple[Element, ...] = ()) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    """Figures in the order of the text, each with the groups it belongs to, whose caption is also its own."""
    for child in element:
        if child.tag == "fig":
            yield child, groups
        elif child.tag not in _SKIPPED:
            yield from _walk(child, (*groups, child) if child.tag == "fig-group" else groups)


def _graphics(figure: Element) -> list[tuple[str, ...]]:
    same = [tuple(g.get(_XLINK, "") for g in a.iter("graphic")) for a in figure.iter("alternatives")]
    single = [
        (g.get(_XLINK, ""),) for g in figure.iter("graphic") if not any(g.get(_XLINK, "") in names for names in same)
    ]
    return [names for names in (*same, *single) if any(names)]


def _contexts(article: Element) -> dict[str, list[str]]:
    """Paragraphs by the id of the figure (or group) they refer to, those inside a range ("Figs 1-3") too."""
    found: dict[str, list[str]] = {}
    order = [figure.get("id", "") for figure in article.iter("fig")]

    def visit(element: Element, paragraph: Element | None) -> None:
        opened = ""  # the figure a range begins with
        for child in element:
            if child.tag in _SKIPPED or child.tag in ("fig", "fig-group"):
                continue
            if child.tag == "xref" and child.get("ref-type") == "fig" and paragraph is not None:
                names = child.get("rid", "").split()
                if opened in order and names and names[0] in order:
                    names = [*order[order.index(opened) + 1 : order.index(names[0])], *names]
                for name in names:
                    found.setdefault(name, []).append(_text(paragraph))
                opened = names[-1] if names and _RANGE.fullmatch(child.tail or "") else ""
            visit(child, child if child.tag == "p" else paragraph)

    visit(article, None)
    return found


def _licence(permissions: Element | None) -> str:
    for licence in permissions.findall("license") if permissions is not None else []:
        texts = [licence.get(_XLINK, ""), *(_text(r) for r in licence.iter("license_ref"))]
        texts += [link.get(_XLINK, "") for link in licence.iter() if link.tag in ("ext-link", "uri")]
        for text in (*texts, _text(licence)):
            if (found := spdx(text)) != UNKNOWN:
                return found
    return UNKNOWN


def _caption(caption: Element | None) -> str:
    """Title and paragraphs as sentences."""
    parts = [text for part in caption if (text := _text(part))] if caption is not None else []
    return " ".join(p if p[-1] in ".:;!?" or p is parts[-1] else f"{p}." for p in parts)


def _text(element: Element | None) -> str:
    return " ".join("".join(_pieces(element)).split()) if element is not None else ""


def _pieces(element: Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag not in _ASIDE:
            gap = " " if child.tag in _BLOCKS else ""
            yield gap
            yield from _pieces(child)
            yield gap
        yield child.tail or ""
