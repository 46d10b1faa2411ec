"""Markdown of a notebook to HTML: anchors, formulae as MathML, links that lead somewhere.

Rules:

- Each heading has an anchor made of its words, unique on its page.
- Formulae become MathML while the page is built, so that no script is needed to read them. Code is left alone.
- A link goes where `resolve` says; where that is nowhere, its words stay and the link goes.
- HTML in markdown is shown as it was typed, except a few tags without attributes that set text or fold it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from phenolip_lib.core.errors import PhenoLIPError

Resolve = Callable[[str], str | None]
"""From a link's address to the one in the book, or to None where the book has no such place."""

CALLOUTS = {
    "Question": "question", "You will learn": "learn", "Try this": "try", "Read with care": "care",
    "What surprised us": "surprise",
}  # fmt: skip
"""Paragraphs that begin with these words in bold, and their class."""

PLAIN_TAG = re.compile(r"(</?(?:sub|sup|kbd|b|i|em|strong|code|details|summary)>|<br ?/?>)")
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
MATHML = set(
    "math menclose merror mfenced mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace "
    "msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none".split()
)
BLOCK_MATH = re.compile(r'<math[^>]*display="block".*?</math>', re.DOTALL)


@dataclass
class Section:
    """A heading and what stands below it, up to the next one."""

    level: int
    title: str
    anchor: str
    texts: list[str] = field(default_factory=list)


def slug(text: str) -> str:
    """Lower-case words joined by hyphens; ``Information-content`` and "Information content" are one anchor."""
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-") or "section"


def plain(markup: str) -> str:
    """The words of a piece of HTML in one line, without its formulae on lines of their own."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", BLOCK_MATH.sub(" ", markup))).split())


class Anchors:
    """Hands out each anchor once: the second ``results`` is ``results-2``."""

    def __init__(self, *taken: str) -> None:
        self.taken = set(taken)

    def __call__(self, text: str) -> str:
        anchor, n = slug(text), 1
        while anchor in self.taken:
            n += 1
            anchor = f"{slug(text)}-{n}"
        self.taken.add(anchor)
        return anchor


class Renderer(IPythonRenderer):
    """HTML of one page; remembers its sections in order."""

    def __init__(self, resolve: Resolve, anchors: Anchors, attachments: dict | None = None) -> None:
        super().__init__(allow_harmful_protocols=False, exclude_anchor_links=True, attachments=attachments)
        self.resolve = resolve
        self.anchors = anchors
        self.sections: list[Section] = []

    def heading(self, text: str, level: int, **attrs) -> str:
        section = Section(level, plain(text), self.anchors(plain(text)))
        self.sections.append(section)
        link = (
            f'<a class="anchor" href="#{section.anchor}" aria-label="Link to this section">#</a>' if level > 1 else ""
        )
        return f'<h{level} id="{section.anchor}">{text}{link}</h{level}>\n'

    def paragraph(self, text: str) -> str:
        lead = re.match(r"<strong>([^<]+?)\.?</strong>", text)
        kind = CALLOUTS.get(lead.group(1)) if lead else None
        return f'<p class="callout {kind}">{text}</p>\n' if kind else f"<p>{text}</p>\n"

    def inline_html(self, html: str) -> str:
        parts = PLAIN_TAG.split(html)  # text, tag, text, tag, ..., text
        return "".join(part if i % 2 else self.escape_html(part) for i, part in enumerate(parts))

    def block_html(self, html: str) -> str:
        if html.lstrip().startswith("<!--"):
            return ""
        markup = self.inline_html(html)
        return markup if PLAIN_TAG.match(html.lstrip()) else f"<p>{markup}</p>\n"

    def link(self, text: str, url: str, title: str | None = None) -> str:
        target = self.resolve(url)
        return text if target is None else f'<a href="{html.escape(target)}">{text}</a>'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        source = self._embed_image_or_attachment(url)
        alt = html.escape(plain(text))
        return f'<img src="{source}" alt="{alt}">' if source.startswith("data:image/") else f"<em>{alt}</em>"

    def table(self, text: str) -> str:
        return f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n{text}</table></div>\n'

    def table_head(self, text: str) -> str:
        return f"<thead>\n<tr>{text}</tr>\n</thead>\n" if plain(text) else ""

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        tag = "th" if head else "td"
        return f"<{tag} class={align}>{text}</{tag}>" if align in ("right", "center") else f"<{tag}>{text}</{tag}>"

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return f'<span class="formula">{mathml(body, "block")}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


def mathml(latex: str, display: str) -> str:
    """A formula as a ``<math>`` element.

    Raises:
        PhenoLIPError: it is not LaTeX that can be read.
    """
    latex = latex.strip()
    try:
        markup = convert(latex, display=display)
        elements = list(ElementTree.fromstring(markup).iter())
    except Exception as error:  # the converter's errors have no class of their own in common
        raise PhenoLIPError(f"formula {latex!r} cannot be read ({type(error).__name__})") from None
    # The converter passes on what it does not know: a command as a name, markup as markup.
    if unknown := [e.text for e in elements if (e.text or "").startswith("\\")]:
        raise PhenoLIPError(f"formula {latex!r}: the command {unknown[0]} is not known")
    if foreign := [e.tag for e in elements if e.tag.removeprefix(NAMESPACE) not in MATHML]:
        raise PhenoLIPError(f"formula {latex!r} has markup in it: {foreign[0].removeprefix(NAMESPACE)}")
    return markup


def render(source: str, renderer: Renderer) -> str:
    """Markdown as HTML; its sections are added to the renderer's."""
    return MarkdownWithMath(renderer).render(source)


def inline(source: str) -> str:
    """One paragraph's HTML without the paragraph, for titles and lists."""
    markup = render(source, Renderer(lambda url: url if url.startswith("http") else None, Anchors()))
    return re.sub(r"^<p[^>]*>|</p>$", "", markup.strip())
