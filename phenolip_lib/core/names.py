"""Names that become folders and words of a command line: of sources, methods and ablations."""

from __future__ import annotations

import difflib
import re
import unicodedata

from phenolip_lib.core.errors import PhenoLIPError

SOURCES = {"phantom": "synthetic images (phantom atlas)", "open": "real images (open)"}
"""The sources of the pipeline, and what texts call their images."""
ONTOLOGY = "ontology"
"""What stage 1 and the report of the ontology take in place of a source."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def name_fault(name: object) -> str:
    """What is wrong with a name, with the nearest one that is allowed; empty if nothing is.

    DVC puts names into paths whose content it deletes and into commands of a shell, so ``..`` and ``;`` must never
    reach it.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return ""
    plain = unicodedata.normalize("NFKD", str(name)).encode("ascii", "ignore").decode()
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")
    return f"{name!r} is no name; use letters, digits, - and _, starting with a letter or digit" + (
        f", e.g. {near!r}" if near else ""
    )


def check_source(name: str, *others: str) -> None:
    """Raise `PhenoLIPError` unless `name` is one of `SOURCES` or `others`; to be called before a folder is made."""
    known = (*SOURCES, *others)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known[:-1])} and {known[-1]}"
        raise PhenoLIPError(f"unknown source {name!r}; {hint}")
