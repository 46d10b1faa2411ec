"""Which keys of params.yaml a piece of code can read, told from its text.

Reached is what the roots name, what that names, and so on: a function, method, class or constant of the closure counts
as soon as any reached code holds its name, so nothing that runs is left out and a namesake may be there too much. In
reached code `Params` and its sections are followed through assignments, attributes, arguments and dataclasses; a
section that goes anywhere else (a dump, a fingerprint, a function of a library) is read as a whole.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import PurePath

from phenolip_lib.core import code
from phenolip_lib.core.params import Params
from phenolip_lib.core.sections import Section

SECTIONS = {
    name: field.annotation
    for name, field in Params.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
CLASSES = {kind.__name__: name for name, kind in SECTIONS.items()} | {"Params": ""}
"""Class -> name of its section in params.yaml, "" for all of it."""
GIVE_PARAMS = {
    "load_params": (),
    "parse_params": (),
    "with_overrides": (),
    "method": ("methods",),
    "fusion": ("arl.methods",),
    "ablated": ("ablations.overrides", "evaluation.headline", "methods"),
}
"""What gives `Params`, and the keys that it reads."""
Def = ast.FunctionDef | ast.ClassDef


def keys(name: str) -> set[str]:
    """The keys that a section, or a key, of params.yaml stands for."""
    return {f"{name}.{key}" for key in SECTIONS[name].model_fields} if name in SECTIONS else {name}


def keys_read(roots: Iterable[ast.AST], modules: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """Keys of params.yaml that code can read.

    Args:
        roots: where it starts.
        modules: what it imports.
        without: rooms, modules, functions and methods, such as ``experiments.evaluate``, that are known
            not to be called although namesakes are.
    """
    return _Reader(_reached(roots, modules, set(without))).read


def _name(node: ast.AST) -> str:
    return next((found for kind in ("attr", "id", "name") if isinstance(found := getattr(node, kind, None), str)), "")


def _texts(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def _named(node: ast.AST) -> bool:
    """Whether a part of a class runs only where its name stands."""
    return isinstance(node, ast.FunctionDef) and not node.name.startswith("__")


@cache
def _definitions(path: str) -> tuple[dict[str, list[ast.AST]], list[ast.AST]]:
    """What a module defines by name, and the other statements, which run when it is imported."""
    defined, always = defaultdict(list), []
    for node in code._tree(".".join(PurePath(path).with_suffix("").parts).removesuffix(".__init__")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part in ast.walk(target):
                    defined[_name(part)].append(node)
        elif isinstance(node, Def):
            defined[node.name].append(node)
        else:
            always.append(node)
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                defined[alias.asname or alias.name].append(ast.Name(alias.name))  # an import under another name
    return defined, [node for node in always if not isinstance(node, ast.Import | ast.ImportFrom)]


@cache
def _names(node: ast.AST) -> set[str]:
    """Names in a piece of code; of a class without those of methods that run only where they are named."""
    found, left = set(), [node]
    while left:
        at = left.pop()
        found.add(_name(at))
        left += (part for part in ast.iter_child_nodes(at) if not (isinstance(at, ast.ClassDef) and _named(part)))
    return found


def _reached(roots: Iterable[ast.AST], modules: Iterable[str], without: set[str]) -> list[ast.AST]:
    known, left, seen, cut = defaultdict(list), list(roots), {""}, set()
    for path in code.closure(modules):
        if path.suffix == ".py" and path.name not in ("params.py", "sections.py"):
            defined, always = _definitions(path.as_posix())
            module = ".".join(path.with_suffix("").parts[1:])
            left += always
            for name, nodes in defined.items():
                known[name] += nodes
                for node in nodes:
                    parts = [f"{module}.{name}.{_name(part)}" for part in getattr(node, "body", ())]
                    for qualified, part in [
                        (f"{module}.{name}", node),
                        *zip(parts, getattr(node, "body", ()), strict=True),
                    ]:
                        if without & {module.partition(".")[0], module, qualified}:
                            cut.add(id(part))
    assert cut or not without, without
    found = {}
    while left:
        if id(node := left.pop()) in cut or id(node) in found:
            continue
        found[id(node)] = node
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if _named(part):
                known[part.name].append(part)
                left += [part] if part.name in seen else []
        for name in _names(node) - seen:
            seen.add(name)
            left += known.get(name, [])
    return list(found.values())


class _Reader(ast.NodeVisitor):
    """Goes through reached code until nothing new turns up."""

    def __init__(self, nodes: list[ast.AST]) -> None:
        self.read: set[str] = set()
        self.sections: dict[tuple, set[str]] = defaultdict(set)
        """(function, name) or (class, attribute) -> sections it may be, "" for `Params`."""
        self.attributes: dict[str, set[str]] = defaultdict(set)
        """Attribute of any class -> sections it may be."""
        self.defined, self.texts = defaultdict(list), defaultdict(set)
        for node in nodes:
            if isinstance(node, Def):
                self.defined[node.name].append(node)
            elif isinstance(node, ast.Assign):
                self.texts[_name(node.targets[0])] |= _texts(node)
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        owner = {id(part): node.name for node in classes for part in node.body}
        self.own = {(node.name, name) for node in classes for part in ast.walk(node) for name in self._sets(part)}
        size = -1
        while size != (size := len(self.read) + sum(map(len, self.sections.values()))):
            holders = {holder for (holder, _), found in self.sections.items() if found}
            telling = {"params", *CLASSES, *GIVE_PARAMS, *(name for name, found in self.attributes.items() if found)}
            for node in nodes:
                if id(node) in holders or isinstance(node, ast.ClassDef) or not telling.isdisjoint(_names(node)):
                    self.scope, self.owner = id(node), owner.get(id(node))
                    self.visit(node)

    @staticmethod
    def _sets(node: ast.AST) -> list[str]:
        """Attributes that a statement of a class gives its instances."""
        if isinstance(node, ast.AnnAssign):
            return [_name(node.target)]
        return [_name(node)] if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else []

    def of(self, node: ast.AST) -> set[str]:
        """Sections that an expression may be."""
        if isinstance(node, ast.Name):
            return self.sections[self.scope, node.id] or ({""} if node.id == "params" else set())
        if isinstance(node, ast.Attribute):
            base = self.of(node.value)
            if base:
                return {node.attr} if "" in base and node.attr in SECTIONS else set()
            if node.attr == "params":
                return {""}
            own = _name(node.value) == "self" and (self.owner, node.attr) in self.own
            return self.sections[self.owner, node.attr] if own else self.attributes[node.attr]
        if isinstance(node, ast.Call):
            return {""} if _name(node.func) in GIVE_PARAMS else set()
        if isinstance(node, ast.BoolOp | ast.IfExp):
            return set().union(*map(self.of, ast.iter_child_nodes(node)))
        return set()

    def take(self, node: ast.AST, followed: bool) -> None:
        """Read what an expression holds: all of a section, unless it is followed where it goes."""
        sections = self.of(node) - {""}
        if not sections:
            self.visit(node)
        elif isinstance(node, ast.Attribute):
            self.visit(node.value)
        if not followed:
            self.read.update(*map(keys, sections))

    def bind(self, target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self.bind(one, other)
        elif isinstance(target, ast.Name):
            self.sections[self.scope, target.id] |= self.of(value)
            self.take(value, followed=True)
        elif isinstance(target, ast.Attribute):
            self.sections[self.owner, target.attr] |= self.of(value)
            self.attributes[target.attr] |= self.of(value)
            self.take(value, followed=True)
        else:
            self.take(value, followed=False)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.bind(target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.bind(node.target, node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for argument in (*node.args.args, *node.args.kwonlyargs):
            if argument.annotation and (section := CLASSES.get(ast.unparse(argument.annotation))) is not None:
                self.sections[self.scope, argument.arg].add(section)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.owner = node.name
        for part in node.body:
            if not _named(part):
                self.scope = id(part)
                self.visit(part)

    def visit_Name(self, node: ast.Name) -> None:
        self.read.update(*map(keys, self.of(node) - {""}))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        for section in self.of(node.value):
            if not section and node.attr in Params.model_fields:
                self.read.update(keys(node.attr))  # reached only where it is not followed
            elif section:
                whole = node.attr.startswith("model_")
                self.read.update(keys(section) if whole else {f"{section}.{node.attr}"} & keys(section))
        self.take(node.value, followed=True)

    def visit_Call(self, node: ast.Call) -> None:
        name, arguments = _name(node.func), list(node.args)
        base = self.of(node.func.value) if isinstance(node.func, ast.Attribute) else set()
        if base and name == "model_dump":
            left_out = {f"{section}.{text}" for section in base for text in _texts(node)}
            self.read |= set().union(*(keys(section) for section in base - {""})) - left_out
            self.take(node.func.value, followed=True)
            return
        if "" in base and name == "fingerprint":
            for argument in arguments:
                named = self.texts[_name(argument.value)] if isinstance(argument, ast.Starred) else [argument.value]
                assert named, ast.unparse(node)
                self.read.update(*map(keys, named))
            return
        if "" in base and name in GIVE_PARAMS:
            self.read.update(GIVE_PARAMS[name])
        self.visit(node.func)
        if name == "partial":
            self.visit(arguments[0])
            name = _name(arguments.pop(0))
        for place, value in [*enumerate(arguments), *((keyword.arg, keyword.value) for keyword in node.keywords)]:
            landed = [self.land(function, place, self.of(value)) for function in self.defined.get(name, ())]
            self.take(value, followed=any(landed))

    def land(self, function: ast.AST, place: int | str | None, sections: set[str]) -> bool:
        """Whether an argument is one of a function of ours, which then holds what was given."""
        init = [part for part in getattr(function, "body", ()) if getattr(part, "name", "") == "__init__"]
        if isinstance(function, ast.ClassDef) and not init:  # a dataclass
            names = [_name(part.target) for part in function.body if isinstance(part, ast.AnnAssign)]
            holder = function.name
        else:
            function = init[0] if isinstance(function, ast.ClassDef) else function
            names = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
            names, holder = names[names[:1] == ["self"] :], id(function)
        name = names[place] if isinstance(place, int) and place < len(names) else place
        if name not in names:
            return False
        self.sections[holder, name] |= sections
        if isinstance(holder, str):
            self.attributes[name] |= sections
        return True
