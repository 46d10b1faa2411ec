"""The reports as git has them, for tests of what is written about them.

A run on another machine moves numbers in low digits and leaves its tables in the working tree, so those are nothing
to hold README against. Read instead is git's index: what is committed, or staged to be (`git add reports`, after a run
whose numbers are meant). Where git has no reports, as in an unpacked archive, it is the working tree.
"""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

KEPT = ["reports", "params.yaml", "dvc.yaml"]


@cache
def committed(root: Path = ROOT) -> Path:
    """A project folder with the reports of the index of `root`; `root` itself outside a checkout of it."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z", "--", *KEPT], cwd=root, capture_output=True).stdout
    except FileNotFoundError:  # no git
        return root
    if b"reports/" not in listed:
        return root
    folder = _folder()
    command = ["git", "checkout-index", "--force", "-z", "--stdin", f"--prefix={folder}/"]
    subprocess.run(command, cwd=root, input=listed, check=True, capture_output=True)
    prefix = subprocess.run(["git", "rev-parse", "--show-prefix"], cwd=root, capture_output=True, text=True, check=True)
    return folder / prefix.stdout.strip()


def _folder() -> Path:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="phenolip-committed-"))
    return Path(_FOLDERS[-1].name)


_FOLDERS: list[tempfile.TemporaryDirectory] = []
"""Kept until the process ends."""
