"""Changing params.yaml in place, a list or single values: nothing else changes, neither comments nor line breaks."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, Node

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params, parse_params, read_yaml
from phenolip_lib.core.storage import write_text

WIDTH = 120


def append(path: Path, where: str, names: Sequence[str]) -> None:
    """Append plain names to the list `where` (``sources``, ``ablations.run``) of a valid params file.

    Raises:
        PhenoLIPError: the list is written in a way that cannot be added to, e.g. as an alias.
    """
    if not names:
        return
    tree = load_params(path).model_dump(mode="json")
    text = path.read_bytes().decode("utf-8-sig")
    changed = _appended(text, where.split("."), list(names))
    reduce(getitem, where.split("."), tree).extend(names)
    if _read(changed, path.name) != tree:
        raise PhenoLIPError(f"{path.name}: {where} cannot be added to; write {', '.join(names)} there by hand")
    write_text(path, changed)


def exchange(path: Path, values: Mapping[str, Any], like: str = "") -> None:
    """Write other values of keys such as ``evaluation.folds`` into a valid params file.

    Args:
        like: a params file's text that has these values; they are written as they stand there, comments and all.

    Raises:
        PhenoLIPError: the values are not allowed together, or stand in the file in a way that cannot be exchanged.
    """
    tree = load_params(path).model_dump(mode="json")
    text = path.read_bytes().decode("utf-8-sig")
    wanted = parse_params(_with(tree, values), path.name).model_dump(mode="json")
    edits = [_edit(text, where.split("."), value, like) for where, value in values.items()]
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if _read(text, path.name) != wanted:
        raise PhenoLIPError(
            f"{path.name}: {', '.join(values)} cannot be exchanged; write {_flow(dict(values))} by hand"
        )
    write_text(path, text)


def _with(tree: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    for where, value in values.items():
        *above, key = where.split(".")
        reduce(getitem, above, tree)[key] = value
    return tree


def _read(text: str | None, name: str) -> dict[str, Any] | None:
    """What a text says as params; None if it says none."""
    with suppress(PhenoLIPError):
        return text and parse_params(read_yaml(text.encode(), name)).model_dump(mode="json")
    return None


def _node(text: str, keys: Sequence[str]) -> Node | None:
    node = YAML().compose(text)
    for key in keys:
        node = next((value for own, value in getattr(node, "value", ()) if own.value == key), None)
    return node


def _span(node: Node, text: str) -> tuple[int, int]:
    """Where a value stands, without the blanks behind it."""
    start, end = node.start_mark.index, node.end_mark.index
    return start, start + len(text[start:end].rstrip())


def _edit(text: str, keys: list[str], value: Any, like: str) -> tuple[int, int, str]:
    """Where the value at a key begins and ends, and what to write there; nothing where there is no such key."""
    node, other = _node(text, keys), _node(like, keys) if like else None
    if node is None:
        return 0, 0, ""
    if other:
        start, end = _span(other, like)
        new = like[start:end]
    elif isinstance(value, dict) and not node.flow_style:
        new = ("\n" + " " * node.start_mark.column).join(f"{key}: {_flow(own)}" for key, own in value.items())
    else:
        new = _flow(value)
    return *_span(node, text), new


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(own)}" for key, own in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _appended(text: str, keys: list[str], names: list[str]) -> str | None:
    """The text with the names in; None where there is no such list."""
    node = _node(text, keys)
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
