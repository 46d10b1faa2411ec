"""Files and folders that settings name and that can lie anywhere, as DVC cannot follow them: what they hold."""

from __future__ import annotations

from pathlib import Path

from phenolip_lib.core.params import Params
from phenolip_lib.core.storage import digest, sha256_file

MARKS = ("local-dir:", "local:")
"""What stands before a path where names of hubs can stand too."""
LARGE = 1 << 28
"""Bytes of a file of which the size alone is told, as of shards: every run would read all of them."""


def contents(params: Params) -> dict[str, dict[str, str]]:
    """Section -> name -> a hash of the content; what is packaged, on a hub or not there is not in it.

    Settings of methods and ablations count in the section that they change.
    """
    p, s2 = params.phenokg, params.stage2
    named = [
        ("encoders", params.encoders.student),
        ("encoders", params.encoders.teacher),
        *(("phenokg", name) for name in (p.image_encoder, p.panel_detector, p.refine)),
        ("stage2", s2.shards),
        ("medfilip", params.medfilip.book_file),
    ]
    for own in (*params.methods.values(), *params.ablations.overrides.values()):
        named += [(key.partition(".")[0], value) for key, value in own.items() if isinstance(value, str)]
    found: dict[str, dict[str, str]] = {section: {} for section in ("encoders", "phenokg", "stage2", "medfilip")}
    for section, name in named:
        path = _place(name)
        if section in found and path is not None and path.exists():
            found[section][name] = _content(path)
    return found


def _place(name: str | None) -> Path | None:
    """The path that a setting names; a plain word is a name of ours."""
    for mark in MARKS:
        if name and name.startswith(mark):
            return Path(name.removeprefix(mark)).expanduser()
    return Path(name).expanduser() if name and ("/" in name or "." in name) else None


def _content(path: Path) -> str:
    if path.is_file():
        return _of_file(path)
    return digest({p.relative_to(path).as_posix(): _of_file(p) for p in sorted(path.rglob("*")) if p.is_file()})


def _of_file(path: Path) -> str:
    size = path.stat().st_size
    return f"{size} bytes" if size > LARGE else sha256_file(path)
