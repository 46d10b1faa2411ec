"""Which installed packages the pipeline needs, and which only tests and the demo: the two lock files.

`python -m tests.locks` writes both anew from the environment it runs in, one made by `make test`.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UNBOUND = [line for line in (ROOT / "requirements-unbound.txt").read_text().splitlines() if "==" in line]
NOT_INSTALLED = {"pycocoevalcap"}  # the caption scorers of CLIP_benchmark


def closure(requirements: list[str]) -> dict[str, str]:
    """The lines of a lock, by canonical name, for requirements and all that these require here."""
    lines, seen, todo = {}, set(), [Requirement(text) for text in requirements]
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name in NOT_INSTALLED or (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:
            raise SystemExit(f"{wanted.name} is not installed; `make test` makes the environment") from None
        # Without the local part ("+cpu"), which belongs to the machine.
        lines[name] = f"{found.name}=={found.version.partition('+')[0]}"
        for requirement in map(Requirement, found.requires or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                todo.append(requirement)
    return lines


def split() -> dict[str, list[str]]:
    """Lines of each lock file, sorted."""
    run = closure(PROJECT["dependencies"])
    everything = closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], *UNBOUND])
    unbound = {canonicalize_name(Requirement(line).name) for line in UNBOUND}
    test = {name: line for name, line in everything.items() if name not in run and name not in unbound}
    files = {"requirements.lock": run, "requirements-test.lock": test}
    return {file: sorted(lines.values(), key=str.lower) for file, lines in files.items()}


if __name__ == "__main__":
    for file, lines in split().items():
        (ROOT / file).write_text("\n".join(lines) + "\n")
