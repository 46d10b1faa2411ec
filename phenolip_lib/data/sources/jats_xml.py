"""XML of articles, parsed without entities of their own and without anything fetched.

The document type is put aside before the parser sees it: what a publisher declares there (pictures as NDATA,
entities) is not needed, an entity that would be expanded cannot be, and the article is read all the same.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from html.entities import html5
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from phenolip_lib.core.errors import DamagedError
from phenolip_lib.data.archives import MAX_MEMBER

_NAMED = {name.removesuffix(";"): text for name, text in html5.items() if name.endswith(";")}
"""The characters that JATS' document type declares by name, such as ``&nbsp;`` and ``&alpha;``."""
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PREFIX = re.compile(r"(?:</?|\s)([A-Za-z_][\w.-]{0,30}):[A-Za-z_][\w.-]*\s*[=>\s/]")
_NAMESPACE = re.compile(r"\sxmlns:([A-Za-z_][\w.-]*)\s*=")
_PROLOG = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_SUBSET = re.compile(r"""[^\]"'<]+|"[^"]*"|'[^']*'|<!--.*?-->|<\?.*?\?>|<""", re.DOTALL)
_PICTURE = re.compile(r"""<!ENTITY\s+([^\s%]+)\s+(?:SYSTEM|PUBLIC\s+(?:"[^"]*"|'[^']*'))\s+["']([^"']*)["']\s+NDATA""")


def parse_xml(content: bytes) -> tuple[Element, dict[str, str]]:
    """The root of a document, tags and attributes without namespaces, and its pictures declared as entities.

    Args:
        content: of the file, also packed with gzip.

    Returns:
        the root, and file by entity name.

    Raises:
        DamagedError: malformed or unsafe; the message is a reason for the quarantine table.
    """
    try:
        text, pictures = _without_doctype(_decoded(content))
        parser = DefusedXMLParser(forbid_dtd=False, forbid_entities=True, forbid_external=True)
        parser.entity.update(_NAMED)
        parser.feed(_declared(text))
        root = parser.close()
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
            if any("}" in name for name in element.attrib):
                # An attribute of a namespace gives way to one without: `id` may not be that of another vocabulary.
                plain = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
                element.attrib = plain | {name: v for name, v in element.attrib.items() if "}" not in name}
        return root, pictures
    except ParseError as error:
        named = re.match(r"undefined entity (&\w{1,40};)", str(error))
        raise DamagedError(f"article is not valid XML: {f'entity {named[1]}' if named else 'ParseError'}") from None
    except (DefusedXmlException, OSError, EOFError, zlib.error, ValueError, LookupError, RecursionError) as error:
        raise DamagedError(f"article is not valid XML: {type(error).__name__}") from None


def _decoded(content: bytes) -> str:
    """The text, by its byte order mark, else as it declares, else UTF-8."""
    if content[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        content = unpacker.decompress(content, MAX_MEMBER)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise gzip.BadGzipFile("cut or too large")
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    if content[:4] in (b"<\0?\0", b"\0<\0?"):
        return content.decode("utf-16-le" if content[:1] == b"<" else "utf-16-be")
    declared = _DECLARED.match(content.lstrip()[:200])
    encoding = declared[1].decode().lower() if declared else "utf-8"
    # A declaration that can be read as ASCII is not in UTF-16, whatever it says; such files were converted later.
    return content.decode("utf-8" if encoding.startswith(("utf-16", "utf-32", "ucs")) else encoding)


def _declared(text: str) -> str:
    """The document with a namespace for each prefix that it uses and does not declare, such as ``xlink``."""
    missing = set(_PREFIX.findall(text)) - set(_NAMESPACE.findall(text)) - {"xml", "xmlns"}
    root = re.search(r"<[A-Za-z_][\w.:-]*", text) if missing else None
    if root is None:
        return text
    added = "".join(f' xmlns:{prefix}="urn:{prefix}"' for prefix in sorted(missing))
    return text[: root.end()] + added + text[root.end() :]


def _without_doctype(text: str) -> tuple[str, dict[str, str]]:
    """The document with an empty type of an external subset, so that names of characters are looked up."""
    at, start, pictures = 0, len(text), {}
    while match := _PROLOG.match(text, at):
        at = match.end()
    if text.startswith("<!DOCTYPE", at):
        end = at
        while end < len(text) and text[end] not in ">[":
            quote = text[end]
            end = (text.find(quote, end + 1) if quote in "\"'" else end) + 1
            if end == 0:
                raise ValueError("a document type without an end")
        if text[end : end + 1] == "[":
            begin = end = end + 1
            while match := _SUBSET.match(text, end):
                end = match.end()
            pictures = dict(_PICTURE.findall(text, begin, end))
            end = text.find(">", end)
        if end < 0 or end >= len(text):
            raise ValueError("a document type without an end")
        at = end + 1
    start = at
    return f'<!DOCTYPE article SYSTEM "jats">{text[start:]}', pictures
