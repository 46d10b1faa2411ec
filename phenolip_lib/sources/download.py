"""Fetch a public data set into its upstream layout, for users with a network.

Content is pinned: by the git commit for data sets that live in a repository, by the publisher's own
checksum for files of a data repository. Downloads resume, and nothing is unpacked unchecked.
"""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.runtime import log

BLOCK = 1 << 20
MAX_UNPACKED = 60 * 2**30
RETRIES = 4
DATAVERSE = "https://dataverse.harvard.edu"


@dataclass(frozen=True)
class Archive:
    """One file to fetch.

    Attributes:
        digest: ``<algorithm>:<hex>`` of the file; empty if the address itself pins the content.
        unpack: folder below the target for a zip's content, or None to keep the file as it is.
        strip: leading folders of the zip that are dropped.
    """

    name: str
    url: str
    digest: str = ""
    unpack: str | None = None
    strip: int = 0


@dataclass(frozen=True)
class Download:
    """How a data set is had. `tried` tells whether the live address was ever fetched with this code."""

    archives: Callable[[], list[Archive]]
    licence: str
    tried: bool = False


def _github(repository: str, commit: str, folder: str) -> Callable[[], list[Archive]]:
    # A git archive has no stable checksum, but a commit names its content.
    url = f"https://codeload.github.com/{repository}/zip/{commit}"
    return lambda: [Archive(f"{folder}-{commit[:7]}.zip", url, unpack=folder, strip=1)]


def _dataverse(doi: str, folder: str) -> Callable[[], list[Archive]]:
    """Files of a Dataverse data set, with the MD5 that its own metadata give."""

    def archives() -> list[Archive]:
        listing = _get_json(f"{DATAVERSE}/api/datasets/:persistentId/?persistentId={doi}")
        found = []
        for item in listing["data"]["latestVersion"]["files"]:
            file = item["dataFile"]
            name, url = file["filename"], f"{DATAVERSE}/api/access/datafile/{file['id']}"
            if name.startswith("HAM10000_images") and name.endswith(".zip"):
                found.append(Archive(name, url, f"md5:{file['md5']}", f"{folder}/{name.removesuffix('.zip')}"))
            elif name.startswith("HAM10000_metadata"):
                # Dataverse turns tables into .tab; the original is asked for by its own format.
                found.append(Archive(f"{folder}/HAM10000_metadata.csv", f"{url}?format=original"))
        return found

    return archives


def _by_hand(name: str, url: str, folder: str) -> Callable[[], list[Archive]]:
    def archives() -> list[Archive]:
        raise PhenoLIPError(f"{name} needs a login: get it from {url} and unpack it as {folder}")

    return archives


DOWNLOADS: dict[str, Download] = {
    "medpix-2.0": Download(
        _github("CHILab1/MedPix-2.0", "d3bc431", "medpix-2.0"), "none stated (NLM MedPix terms), research use"
    ),
    "chula-rbc-12": Download(_github("Chula-PIC-Lab/Chula-RBC-12-Dataset", "fa130f4", "chula-rbc-12"), "MIT"),
    "ham10000": Download(_dataverse("doi:10.7910/DVN/DBW86T", "ham10000"), "CC-BY-NC-4.0"),
    "idrid": Download(
        _by_hand(
            "idrid", "https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid", "idrid"
        ),
        "CC-BY-4.0",
    ),
}


def download(dataset: str, to: Path, manifest: dict[str, Download] | None = None) -> None:
    """Fetch, check and unpack a data set below the folder `to`.

    Raises:
        PhenoLIPError: unknown name, no connection, wrong checksum, an archive that reaches out of its folder.
    """
    manifest = DOWNLOADS if manifest is None else manifest
    if dataset not in manifest:
        raise PhenoLIPError(f"no download for {dataset!r}; there are {', '.join(manifest)}")
    entry = manifest[dataset]
    log.info("%s: licence %s", dataset, entry.licence)
    if not entry.tried:
        log.info("%s: this address was never tried by the authors of this code; please report what happens", dataset)
    to = Path(to)
    for archive in entry.archives():
        path = fetch(archive.url, to / archive.name, archive.digest)
        if archive.unpack is not None:
            unpack(path, to / archive.unpack, archive.strip)
            path.unlink()


def _open(request: urllib.request.Request):
    return urllib.request.urlopen(request, timeout=60)


def _get_json(url: str) -> dict:
    try:
        with _open(urllib.request.Request(url)) as response:
            return json.load(response)
    except (urllib.error.URLError, OSError, json.JSONDecodeError) as error:
        raise PhenoLIPError(f"{url}: cannot be read ({error})") from None


def fetch(url: str, path: Path, digest: str = "", pause: float = 2.0) -> Path:
    """Download to `path`, going on with a partial file, and put it in place only once it is checked.

    Args:
        digest: ``<algorithm>:<hex>``, or empty.
        pause: seconds before the second try; doubled each time.
    """
    path = Path(path)
    if path.is_file() and (not digest or _digest(path, digest) == digest):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(RETRIES):
        try:
            _continue(url, part)
            break
        except (urllib.error.URLError, OSError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404)
            if refused or attempt == RETRIES - 1:
                raise PhenoLIPError(f"{url}: download failed ({error})") from None
            time.sleep(pause * 2**attempt)
    if digest and (found := _digest(part, digest)) != digest:
        part.unlink()
        raise PhenoLIPError(f"{url}: its checksum is {found}, the publisher says {digest}")
    part.replace(path)
    return path


def _continue(url: str, part: Path) -> None:
    """Append what is missing; a server that ignores the range starts the file anew."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = _open(request)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing after what we have: it is whole
            return
        raise
    with response, open(part, "ab" if response.status == 206 else "wb") as file:
        expected = response.headers.get("Content-Length")
        got = 0
        while block := response.read(BLOCK):
            file.write(block)
            got += len(block)
        if expected is not None and got < int(expected):
            raise OSError(f"connection lost after {got} of {expected} bytes")


def _digest(path: Path, like: str) -> str:
    algorithm = like.split(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def unpack(path: Path, folder: Path, strip: int = 0, limit: int = MAX_UNPACKED) -> None:
    """Unpack a zip below `folder`, leaving out its first `strip` folder levels.

    Raises:
        PhenoLIPError: not a zip, more than `limit` bytes, or a member that leads out of `folder`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if sum(m.file_size for m in members) > limit:
                raise PhenoLIPError(f"{path.name}: unpacks to more than {limit} bytes")
            for member in members:
                parts = Path(member.filename).parts[strip:]
                target = folder.joinpath(*parts)
                if not parts or not target.resolve().is_relative_to(folder.resolve()):
                    raise PhenoLIPError(f"{path.name}: {member.filename} leads out of its folder")
            for member in members:
                target = folder.joinpath(*Path(member.filename).parts[strip:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as file:
                    while block := source.read(BLOCK):
                        file.write(block)
    except zipfile.BadZipFile:
        raise PhenoLIPError(f"{path.name}: not a zip archive") from None
