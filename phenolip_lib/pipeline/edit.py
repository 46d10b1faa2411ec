"""Adding names to a list of params.yaml: nothing else in the file changes, neither comments nor line breaks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ruamel.yaml import YAML

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params, parse_params, read_yaml
from phenolip_lib.core.storage import write_text

WIDTH = 120


def append(path: Path, where: str, names: Sequence[str]) -> None:
    """Append plain names to the list `where` (``sources``, ``ablations.run``) of a valid params file.

    Raises:
        PhenoLIPError: the list is written in a way that cannot be added to, e.g. as an alias.
    """
    text = path.read_bytes().decode("utf-8-sig")
    if not names:
        return
    tree = load_params(path).model_dump(mode="json")
    place, changed = tree, _appended(text, where.split("."), list(names))
    for key in where.split("."):
        place = place[key]
    place.extend(names)
    found = None
    with suppress(PhenoLIPError):
        found = changed and parse_params(read_yaml(changed.encode(), path.name)).model_dump(mode="json")
    if found != tree:
        raise PhenoLIPError(f"{path.name}: {where} cannot be added to; write {', '.join(names)} there by hand")
    write_text(path, changed)


def _appended(text: str, keys: list[str], names: list[str]) -> str | None:
    """The text with the names in; None where there is no such list."""
    node = YAML().compose(text)
    for key in keys:
        node = next((value for own, value in getattr(node, "value", ()) if own.value == key), None)
    if node is None or not isinstance(node.value, list):
        return None
    if not node.flow_style:
        end = text.find("\n", node.value[-1].end_mark.index) % (len(text) + 1)  # without a last line break: the end
        return text[:end] + "".join(f"\n{' ' * node.start_mark.column}- {name}" for name in names) + text[end:]
    at = node.value[-1].end_mark.index if node.value else node.start_mark.index + 1
    line = text[text.rfind("\n", 0, at) + 1 : at]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    new = ", " * bool(node.value) + ", ".join(names)
    if len(line) + len(new) > WIDTH:
        new = (
            "," * bool(node.value)
            + "\n"
            + textwrap.fill(
                ", ".join(names), WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )
        )
    # A comment behind the list stays in its column.
    rest = re.sub(r"\A([^\n#]*?\S)( +)(?=#)", lambda m: m[1] + " " * max(len(m[2]) - len(new), 1), text[at:], count=1)
    return text[:at] + new + rest
