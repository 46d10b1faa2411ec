"""What a part of the library depends on, read from its imports: keys of caches, and deps of stages, are no lists.

The closure of a module is itself, the modules of this library that it imports anywhere, also inside a function, the
packages around them, and so on; imports for type checkers do not count, since they never run. A file or folder beside
a module that the module names in a string, such as ``"prompts.json"``, is part of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from phenolip_lib.core.storage import digest

PACKAGE = "phenolip_lib"
ROOT = Path(__file__).parents[2]
"""The folder the package lies in."""
DECLARATIONS = tuple(Path(PACKAGE, "core", f"{name}.py") for name in ("params", "sections", "systems"))
"""What settings there are. The values that a result depends on are in its key; a setting more makes no result stale."""


def closure(modules: Iterable[str]) -> list[Path]:
    """Files that the modules depend on, relative to `ROOT`, sorted.

    Args:
        modules: dotted names, such as ``phenolip_lib.training.stage2``, or of a package, which stands for its
            ``__init__``.
    """
    seen: set[str] = set()
    left = list(modules)
    while left:
        if (name := left.pop()) not in seen and _place(name):
            seen.add(name)
            left += [name.rpartition(".")[0], *_imports(name)]
    return sorted({path for name in seen for path in (_place(name), *_beside(name))})


@lru_cache(maxsize=64)
def code_digest(*modules: str) -> str:
    """A fingerprint of the text of the modules' closure, for keys of what they make; see `DECLARATIONS`."""
    files = [path for path in closure(modules) if path not in DECLARATIONS]
    return digest([(path.as_posix(), (ROOT / path).read_bytes().hex()) for path in files])


@lru_cache(maxsize=1024)
def _place(name: str) -> Path | None:
    """The file of a module or package of this library, relative to `ROOT`; None for any other name."""
    if name != PACKAGE and not name.startswith(f"{PACKAGE}."):
        return None
    path = Path(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if (ROOT / p).is_file()), None)


@lru_cache(maxsize=1024)
def _tree(name: str) -> ast.Module:
    return ast.parse((ROOT / _place(name)).read_text(encoding="utf-8"))


@lru_cache(maxsize=1024)
def _imports(name: str) -> frozenset[str]:
    return frozenset(_imported(_tree(name)))


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(part if _place(part) else node.module for part in parts)
    return {name for name in found if _place(name)}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


@lru_cache(maxsize=1024)
def _beside(name: str) -> tuple[Path, ...]:
    """Data beside a module that it names."""
    folder = (ROOT / _place(name)).parent
    named = {node.value for node in ast.walk(_tree(name)) if isinstance(node, ast.Constant) and _is_name(node.value)}
    found = [path for own in sorted(named) for path in [folder / own] if path.exists() and path.suffix != ".py"]
    files = [f for path in found for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file()]
    return tuple(f.relative_to(ROOT) for f in files if "__pycache__" not in f.parts and f.suffix != ".py")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 64 and "/" not in value and value not in (".", "..")
