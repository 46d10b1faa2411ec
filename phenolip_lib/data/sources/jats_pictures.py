"""The pictures of a figure in JATS: what refers to one, and which belong to the figure itself."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from phenolip_lib.data.images import PICTURE_SUFFIXES

SKIPPED = {
    "supplementary-material": "in supplementary material, which is not read",
    "sub-article": "in a sub-article, which is not read",
    "response": "in a response, which is not read",
}
"""Parts of an article that are not read, and what is said of their figures."""


def is_picture(element: Element) -> bool:
    """Whether an element refers to a picture; ``media`` and supplements can do so too."""
    if element.tag in ("media", "supplementary-material"):
        suffix = element.get("href", "").rpartition(".")[2].lower()
        return element.get("mimetype", "").lower().startswith("image") or f".{suffix}" in PICTURE_SUFFIXES
    return element.tag in ("graphic", "inline-graphic")


def pictures_of(figure: Element, declared: dict[str, str]) -> list[tuple[tuple[str, ...], Element]]:
    """Names of each picture of a figure or group, not of a figure within it, and its element.

    Alternatives are one picture, with the element that has a caption of its own, if any has. Pictures in the line of a
    text are the figure's only if it has no others, and those in its caption are signs.

    Args:
        declared: file by entity name, as the document type ties them.
    """
    if is_picture(figure):
        return [(names, figure)] if (names := _files(figure, declared)) else []
    found, in_line, open_parts = [], [], list(reversed(figure))
    while open_parts:
        part = open_parts.pop()
        if part.tag == "alternatives":
            choices = [choice for choice in part.iter() if is_picture(choice)]
            names = tuple(name for choice in choices for name in _files(choice, declared))
            found.append((names, next((c for c in choices if c.find("caption") is not None), part)))
        elif is_picture(part):
            (in_line if part.tag == "inline-graphic" else found).append((_files(part, declared), part))
        elif part.tag == "caption":
            open_parts += reversed(list(part.iter("graphic")))
        elif part.tag != "fig" and part.tag not in SKIPPED:
            open_parts += reversed(part)
    return [(names, element) for names, element in found or in_line if names]


def _files(picture: Element, declared: dict[str, str]) -> tuple[str, ...]:
    """What a picture's element refers to; it can be an entity, which the document type ties to a file."""
    names = [picture.get("href", ""), picture.get("entityname", "")]
    return tuple(dict.fromkeys(n for name in names for n in (name, declared.get(name, "")) if n.strip()))
