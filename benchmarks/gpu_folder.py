"""The folder that is carried to the GPU: its manifest, and towers that take less room.

    manifest.json         what is in it, sizes and hashes
    wheels/*.whl          packages the GPU machine lacks
    project.tar.bz2       a small project: parameters, ontology, knowledge encoder, towers
    pictures.tar          the chosen pairs, their mentions and pictures

Weights of two and more dimensions are rounded to bfloat16, which is what a tower that trains in bf16 multiplies
with anyway, and their bytes are laid apart, high ones and low ones, since the high ones compress. Unpacked they
are float32 again.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import atomic_folder, read_json, sha256_file, write_json

MIB = 2**20
LIMIT = 56
"""MiB that a prepared folder may have, so that it travels with the code in 64."""
MANIFEST = "manifest.json"
ARCHIVES = ("project.tar.bz2", "pictures.tar")
PACKED = "packed.safetensors"
"""Towers lie under ``packages/<package>/<folder>``, packed, where the library looks for them once unpacked."""


def pack(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors by name, in their order; see above."""
    packed = {}
    for number, (name, value) in enumerate(state.items()):
        if value.is_floating_point() and value.ndim > 1:
            pairs = value.detach().to(torch.bfloat16).contiguous().view(torch.uint8)
            value = pairs.reshape(*value.shape, 2).movedim(-1, 0)
        packed[f"{number:05d}:{name}"] = value.contiguous()
    save_file(packed, path)


def unpacked(path: Path) -> dict[str, torch.Tensor]:
    """What `pack` was given, rounded."""
    found = {}
    for key, value in sorted(load_file(path).items()):
        if value.dtype == torch.uint8:
            value = value.movedim(0, -1).contiguous().view(torch.bfloat16).squeeze(-1).float()
        found[key.partition(":")[2]] = value
    return found


def rare_rows_alike(table: torch.Tensor, used: set[int], unknown: int) -> torch.Tensor:
    """A table of embeddings in which every row that no text uses is that of the unknown token."""
    table = table.clone()
    rare = torch.ones(len(table), dtype=torch.bool)
    rare[sorted(used)] = False
    table[rare] = table[unknown].clone()
    return table


def write_tar(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """A tar with nothing in it that differs between two equal calls."""
    mode = "w:bz2" if path.suffix == ".bz2" else "w"
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            data = content.read_bytes() if isinstance(content, Path) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def write_manifest(folder: Path, facts: dict, limit: float = LIMIT) -> dict:
    """List what lies in `folder` beside the facts.

    Raises:
        PhenoLIPError: it is larger than `limit` MiB.
    """
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {**facts, "files": files, "bytes": sum(file["bytes"] for file in files.values()), "limit_mib": limit}
    write_json(folder / MANIFEST, manifest)
    if (found := size_of(folder)) > limit * MIB:
        largest = max(files, key=lambda name: files[name]["bytes"])
        raise PhenoLIPError(
            f"{folder} has {found / MIB:.1f} MiB, more than the {limit:g} that may be carried; "
            f"the largest file is {largest} with {files[largest]['bytes'] / MIB:.1f} MiB"
        )
    return manifest


def read_manifest(folder: Path) -> dict:
    """Raises `PhenoLIPError` if nothing was prepared or a file is absent or damaged."""
    if not (folder / MANIFEST).is_file():
        raise PhenoLIPError(f"{folder}: nothing is prepared there; run `python -m benchmarks.gpu_prepare` first")
    manifest = read_json(folder / MANIFEST)
    for name, file in manifest["files"].items():
        if not (folder / name).is_file() or sha256_file(folder / name) != file["sha256"]:
            raise PhenoLIPError(f"{folder / name} is absent or damaged; run `python -m benchmarks.gpu_prepare` again")
    return manifest


def unpack(folder: Path) -> Path:
    """The small project of a prepared folder, unpacked beside it as ``<folder>-project``; one that is there stays."""
    target = folder.parent / f"{folder.name}-project"
    stamp = sha256_file(folder / MANIFEST)
    if (target / "stamp").is_file() and (target / "stamp").read_text() == stamp:
        return target
    with atomic_folder(target) as place:
        for name in ARCHIVES:
            with tarfile.open(folder / name) as archive:
                archive.extractall(place, filter="data")
        for packed in sorted(place.glob(f"packages/**/*{PACKED}")):
            write = _writer(packed.name.removesuffix("." + PACKED))
            write(unpacked(packed), packed.with_name(packed.name.removesuffix("." + PACKED)))
            packed.unlink()
        (place / "stamp").write_text(stamp)
    return target


def _writer(name: str) -> Callable[[dict, Path], None]:
    return save_file if name.endswith(".safetensors") else torch.save
