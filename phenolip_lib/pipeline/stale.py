"""Are the committed reports of this code? What `dvc status` says of files in git, at once and without any data.

`dvc.lock` has the MD5 of all that a stage read and wrote. Compared are rooms, notebooks and reports; what lies in
``build/`` and ``data/`` follows from these and is not in git. A change of params alone is left to `dvc status`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from phenolip_lib.core.errors import DamagedError
from phenolip_lib.core.names import ONTOLOGY
from phenolip_lib.core.params import read_yaml
from phenolip_lib.core.storage import read_json
from phenolip_lib.reporting.sources import COMMANDS

# DVC writes the file; a parser of YAML would take three seconds for it.
STAGE = re.compile(r"^  (\S+):\n(.*?)(?=^  \S|\Z)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^    - path: (\S+)\n      hash: md5\n      md5: (\S+)$", re.MULTILINE)
SHOWN = 4
COPIES, NOTEBOOKS, REPORTS = "build/notebooks/", "notebooks", "reports/"


def stale(root: Path, source: str, ablations: Iterable[str]) -> dict[str, list[str]]:
    """Stages of a source, and of what all sources share, whose reports are of other files than those under `root`.

    Args:
        ablations: names of those that are run (``ablations.run``).

    Returns:
        stage, such as ``stage2@phantom`` -> paths that differ from what the stage last read or wrote. Under
        ``notebooks`` also executed notebooks whose cells are not those of the notebook they were made from.
    """
    stages = read_yaml((root / "dvc.yaml").read_bytes(), "dvc.yaml")["stages"]
    locked = {name: dict(ENTRY.findall(text)) for name, text in STAGE.findall((root / "dvc.lock").read_text())}
    ignored = [line for line in (root / ".dvcignore").read_text().splitlines() if line and not line.startswith("#")]
    hashes: dict[str, str | None] = {}
    found = {}
    for base, stage in stages.items():
        matrix = stage.get("matrix", {})
        for ablation in ablations if "name" in matrix else [""]:
            name = base + (f"@{source}" if matrix else "") + (f"-{ablation}" if ablation else "")
            changed = []
            for entry in (*stage["deps"], *(next(iter(out)) for out in stage["outs"] if isinstance(out, dict))):
                path = entry.replace("${item.source}", source)
                place = f"{NOTEBOOKS}/{path.removeprefix(COPIES)}" if path.startswith(COPIES) else path
                if place.startswith(("build/", "data/")):
                    continue
                if place not in hashes:
                    hashes[place] = md5(root / place, ignored)
                if hashes[place] is None or hashes[place] != locked.get(name, {}).get(path):
                    changed.append(place)
            if changed:
                found[name] = changed
    if others := _of_other_cells(root, source):
        found.setdefault("notebooks", []).extend(others)
    return found


def lines(root: Path, source: str, ablations: Iterable[str]) -> list[str]:
    """`stale` in words: a line a stage and the way out; nothing if all is fresh."""
    found = [
        f"stale: {name} ({', '.join(paths[:SHOWN])}{f' and {len(paths) - SHOWN} more' if len(paths) > SHOWN else ''})"
        for name, paths in stale(root, source, ablations).items()
    ]
    return (
        [*found, f"`{COMMANDS[source]}` makes these again; stage reports/ and dvc.lock with the change"]
        if found
        else []
    )


def md5(path: Path, ignored: Iterable[str] = ()) -> str | None:
    """DVC's MD5 of a file, or of a folder: that of a JSON list of its files, sorted by path. None if it is not there.

    Args:
        ignored: patterns of ``.dvcignore``, each of one name.
    """
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = {}
    for file in path.rglob("*"):
        parts = file.relative_to(path).parts
        if file.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in ignored):
            files["/".join(parts)] = md5(file)
    listed = json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)])
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() + ".dir" if files else None


def _of_other_cells(root: Path, source: str) -> list[str]:
    """Executed notebooks under ``reports/`` with other cells than the notebook of the same name."""
    found = []
    for own in (ONTOLOGY, source):
        for path in sorted((root / REPORTS / own / NOTEBOOKS).glob("*.ipynb")):
            if _cells(path) != _cells(root / NOTEBOOKS / path.name):
                found.append(path.relative_to(root).as_posix())
    return found


def _cells(path: Path) -> list[str]:
    """Sources of the cells, without those papermill injected; none of what is no notebook."""
    try:
        cells = read_json(path, ["cells"])["cells"]
        return ["".join(c["source"]) for c in cells if "injected-parameters" not in c["metadata"].get("tags", [])]
    except (DamagedError, TypeError, KeyError, AttributeError):
        return []
