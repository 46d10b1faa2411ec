"""One set of pins: pyproject, lock file and environment.yml never drift apart."""

import re
import tomllib

from ruamel.yaml import YAML

from tests.conftest import ROOT

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


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().split()
    pairs = [line.split("==") for line in lines]
    assert all(len(pair) == 2 for pair in pairs), "every line of the lock is name==version"
    return {canonical(name): version for name, version in pairs}


def test_pyproject_pins_equal_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = lock()
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name, version = requirement.split("==")
        assert locked[canonical(name)] == version, name
    declared = {canonical(r.split("==")[0]) for r in project["dependencies"]}
    assert {canonical(name) for name in OWNERS} <= declared


def test_conda_users_get_the_lock():
    tree = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in tree["dependencies"] if isinstance(item, dict))
    assert pip == ["-r requirements.lock", "-e ."]
    assert "pip" in tree["dependencies"]


def test_lock_names_no_place():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "+cpu" not in text
    assert text.splitlines() == sorted(text.splitlines(), key=str.lower)
