"""The files of a source: plain ones, and members of archives that are never unpacked to disk.

A reference is the path of a file, or of an archive and a member of it::

    folder/a.jpg
    shards/0001.tar::0007.png         also .tar.gz, .tgz and .zip; a name that occurs twice means the last
    medmnist/breastmnist.npz::train_images/12

Tables of contents are kept per process. A tar is read at its member's offset and a zip through its
index; a compressed tar has none and is read up to the member.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import tarfile
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import UnidentifiedImageError

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest, sha256_file

MAX_PIXELS = 1 << 28
"""Of one picture, 16,384 x 16,384: a whole slide exported at low power, and 0.8 GB once it is decoded as RGB."""
MAX_MEMBER = 256 << 20
"""Bytes of one unpacked member of an archive."""
MAX_UNPACKED = 8 << 30
"""Bytes of a compressed tar that are unpacked on the way to a member."""
MAX_ARRAY = 256 << 20
"""Bytes of an array of an npz that is kept whole in memory; a larger one is read as a stream."""

FOLDER = -2  # in place of a size
_CONTAINER = re.compile(r"(.+?\.(?:tar|tar\.gz|tgz|zip|npz))::(.+)", re.IGNORECASE | re.DOTALL)
DAMAGED = (
    UnidentifiedImageError,
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    tokenize.TokenError,
    TypeError,
    LookupError,
    OverflowError,
)
"""What readers raise on damaged files; Pillow's TIFF reader the last three, on tags of the wrong type."""


def too_large(width: int, height: int, limit: int = MAX_PIXELS) -> str:
    """Why a picture is not decoded, and the way out."""
    most = f"{limit / 1e6:.0f} million are read, such as {round(limit**0.5):,} x {round(limit**0.5):,}"
    way_out = f"which take {3 * limit / 1e9:.1f} GB in memory: export it smaller, or cut it into tiles"
    return f"image is too large: {width:,} x {height:,} pixels; at most {most}, {way_out}"


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused if it leads out of `root`.

    Raises:
        PhenoLIPError: absolute path, ``..`` or a link that leaves the folder, or no path at all (a NUL).
    """
    try:
        path = (root / relative).resolve()
    except ValueError:
        raise PhenoLIPError(f"{relative!r}: is no path") from None
    if not path.is_relative_to(root.resolve()):
        raise PhenoLIPError(f"{relative}: leads out of the data folder")
    return path


def split_container(relative: str) -> tuple[str, str]:
    """``archive::member`` in its two parts; a plain file has the member ``""``."""
    match = _CONTAINER.fullmatch(relative)
    return (match[1], match[2]) if match else (relative, "")


def digests(root: Path | None, references: Iterable[str], workers: int = 1) -> dict[str, str]:
    """What stands for the content of each picture in keys of caches, by reference, sorted.

    Of a file the sha256. Of a member it is made of the whole archive and the member's name: each archive is read
    once, and a packed one never up to each member.

    Args:
        root: folder that the references are relative to; None takes them as they are.
        workers: files read side by side.

    Raises:
        PhenoLIPError: a file is absent, or leads out of `root`.
    """
    parts = {reference: split_container(reference) for reference in sorted(set(references))}

    def content(container: str) -> str:
        path = Path(container) if root is None else inside(root, container)
        if not path.is_file():
            where = "" if root is None else f"; the pairs and the folder {root} do not belong together"
            raise PhenoLIPError(f"{path}: image file is absent{where}")
        return sha256_file(path)

    containers = sorted({container for container, _ in parts.values()})
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        contents = dict(zip(containers, pool.map(content, containers), strict=True))
    return {
        reference: digest(contents[container], member) if member else contents[container]
        for reference, (container, member) in parts.items()
    }


def members(path: Path, odd: list[str] | None = None) -> dict[str, int]:
    """Size in bytes of each regular file of a tar, tar.gz or zip archive by its name, in the archive's order.

    Args:
        odd: takes up the names of links, devices and files with holes, which are never read.

    Raises:
        PhenoLIPError: not an archive that can be read, or one that unpacks beyond `MAX_UNPACKED`.
    """
    try:
        if _is_zip(path):
            infos = [info for info in _zip(*_key(path)).infolist() if not info.is_dir()]
            sizes = {info.filename: info.file_size if is_regular(info) else -1 for info in infos}
        elif _is_packed(path):
            with tarfile.open(path, "r|gz") as archive:
                sizes = {i.name: i.size if i.isreg() else -1 for i in _walk(archive) if not i.isdir()}
        else:
            sizes = {name: size for name, (_, size) in _tar_index(*_key(path)).items() if size != FOLDER}
        if odd is not None:
            odd.extend(name for name, size in sizes.items() if size < 0)
        return {name: size for name, size in sizes.items() if size >= 0}
    except DAMAGED as error:
        raise PhenoLIPError(f"{path}: not an archive that can be read ({type(error).__name__})") from None


def read_member(path: Path, member: str) -> bytes:
    """One member of a tar, tar.gz or zip archive, in memory.

    Raises:
        PhenoLIPError: it is absent, no regular file, larger than `MAX_MEMBER`, or its name leads out of
            the archive.
    """
    if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
        raise PhenoLIPError("member leads out of its archive")
    if _is_zip(path):
        archive = _zip(*_key(path))
        if member not in archive.NameToInfo:
            raise PhenoLIPError("member is absent from its archive")
        info = archive.getinfo(member)
        _check_size(info.file_size if is_regular(info) and not info.is_dir() else -1)
        return archive.read(info)
    if _is_packed(path):
        with tarfile.open(path, "r|gz") as archive:
            for info in _walk(archive):
                if info.name == member:
                    _check_size(info.size if info.isreg() else -1)
                    return archive.extractfile(info).read()
        raise PhenoLIPError("member is absent from its archive")
    index = _tar_index(*_key(path))
    if member not in index:
        raise PhenoLIPError("member is absent from its archive")
    offset, size = index[member]
    _check_size(size)
    with open(path, "rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _check_size(size: int) -> None:
    if size < 0:
        raise PhenoLIPError("member is not a regular file")
    if size > MAX_MEMBER:
        raise PhenoLIPError(f"member is too large: {size} bytes")


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() in (".zip", ".npz")


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".gz", ".tgz")


def is_regular(info: zipfile.ZipInfo) -> bool:
    """Whether a member of a zip is a file: the upper half of its attributes is the Unix mode, 0 if made elsewhere."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG)


def _key(path: Path) -> tuple[str, int, int, int]:
    """What a cached index belongs to; the process too, since processes that fork share file positions."""
    facts = path.stat()
    return str(path), facts.st_size, facts.st_mtime_ns, os.getpid()


def _walk(archive: tarfile.TarFile):
    for info in archive:
        if info.offset_data + info.size > MAX_UNPACKED:
            raise PhenoLIPError("archive is too large to be unpacked")
        yield info


@lru_cache(maxsize=64)
def _tar_index(name: str, *_: int) -> dict[str, tuple[int, int]]:
    """Offset and size of each member; size -1 for links, devices and files with holes, `FOLDER` for folders."""
    with tarfile.open(name, "r:") as archive:
        sizes = {i: FOLDER if i.isdir() else i.size if i.isreg() and not i.issparse() else -1 for i in archive}
    return {i.name: (i.offset_data, size) for i, size in sizes.items()}


@lru_cache(maxsize=16)
def _zip(name: str, *_: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(name)


def array_shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of an array of pictures of an npz, ``(n, height, width)`` or ``(n, height, width, 3)``.

    Raises:
        PhenoLIPError: it is absent or damaged, or holds no 8-bit pictures.
    """
    try:
        return _array(*_key(path), f"{name}.npy").shape
    except DAMAGED as error:
        raise PhenoLIPError(f"array {name} cannot be read: {type(error).__name__}") from None


def array_picture(path: Path, member: str) -> np.ndarray:
    """The picture ``array/index`` of an npz, uint8 ``(height, width)`` or ``(height, width, 3)``."""
    name, _, number = member.rpartition("/")
    if not (name and number.isdecimal() and number.isascii()):
        raise PhenoLIPError(f"{member}: a picture of an npz is named array/index")
    array = _array(*_key(path), f"{name}.npy")
    if int(number) >= array.shape[0]:
        raise PhenoLIPError(f"array {name} has {array.shape[0]} pictures only")
    return array.picture(int(number))


@lru_cache(maxsize=4)
def _array(path: str, size: int, time: int, process: int, name: str) -> _Array:
    return _Array(_zip(path, size, time, process), name)


class _Array:
    """Pictures of one array of an npz, ``(n, height, width)`` or ``(n, height, width, 3)``, uint8.

    A small array is kept in memory; a larger one is read as a stream, where going on is cheap and going
    back starts anew: such pictures are best read in order.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        if name not in archive.NameToInfo:
            raise PhenoLIPError(f"array {name.removesuffix('.npy')} is absent from its file")
        self.info = archive.getinfo(name)
        self.archive, self.lock = archive, threading.Lock()
        self.stream = archive.open(self.info)
        version = np.lib.format.read_magic(self.stream)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in header:
            raise ValueError("unknown version of the npy format")
        self.shape, fortran, dtype = header[version](self.stream)
        rgb = len(self.shape) == 4 and self.shape[3] == 3
        if dtype != np.uint8 or fortran or not (rgb or len(self.shape) == 3):
            raise PhenoLIPError(f"array {name.removesuffix('.npy')} holds no 8-bit pictures")
        self.bytes = int(np.prod(self.shape[1:], dtype=object))
        if self.bytes > 3 * MAX_PIXELS:
            raise PhenoLIPError(too_large(self.shape[2], self.shape[1]))
        self.start = self.stream.tell()
        self.whole: bytes | None = None

    def picture(self, number: int) -> np.ndarray:
        offset = self.start + number * self.bytes
        with self.lock:
            if self.whole is None and self.info.file_size <= MAX_ARRAY:
                self.whole = self.archive.read(self.info)
            if self.whole is not None:
                content = self.whole[offset : offset + self.bytes]
            else:
                self.stream.seek(offset)
                content = self.stream.read(self.bytes)
        if len(content) < self.bytes:
            raise EOFError
        return np.frombuffer(content, np.uint8).reshape(self.shape[1:])
