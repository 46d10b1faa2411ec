"""Fetch a public data set into its upstream layout, for users with a network.

A file of a data repository is checked against the publisher's own checksum, read at download time. The
archive of a git commit has no stable checksum, since the host compresses it anew; the commit pins its
content instead. What can be checked there is: the commit that git writes into the archive, the
checksum of each member, and how many pictures it holds. Nothing takes its final name unchecked.

Downloads go on from where a broken connection or a killed run left them. Pooch (1.9) was tried and not taken: it
starts a file of gigabytes anew, and its unpacking checks neither sizes nor links nor the commit.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.core.storage import writing
from phenolip_lib.data.archives import is_regular

BLOCK = 1 << 20
REPORT_EVERY = 100 << 20
MAX_UNPACKED = 20 << 30
SMALLEST_PICTURE = 200
"""Bytes. Where a repository keeps pictures in git LFS, its archive holds pointers of about 130 bytes."""
RETRIES = 5


@dataclass(frozen=True)
class Archive:
    """One file to fetch.

    Attributes:
        url: its address.
        path: the file below the target folder; if `unpack`, the folder its content becomes.
        digest: ``<algorithm>:<hex>``; empty where the publisher gives none.
        unpack: whether it is a zip or tar archive to unpack.
        commit: the git commit, or the beginning of it, that the archive must name as its own.
        pictures: pattern of picture files -> how many there must be at least.
    """

    url: str
    path: str
    digest: str = ""
    unpack: bool = False
    commit: str = ""
    pictures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """How a data set is had: by `archives`, or `by_hand` as these words say."""

    licence: str
    archives: Callable[[], list[Archive]] = list
    by_hand: str = ""


def github(repository: str, commit: str, folder: str, pictures: Mapping[str, int]) -> Callable[[], list[Archive]]:
    """The files of a repository at a commit."""
    url = f"https://codeload.github.com/{repository}/zip/{commit}"
    return lambda: [Archive(url, folder, unpack=True, commit=commit, pictures=pictures)]


def dataverse_ham10000(server: str = "https://dataverse.harvard.edu") -> list[Archive]:
    """HAM10000's two archives of images and its table, with the MD5s that the repository lists."""
    listing = f"{server}/api/datasets/:persistentId/?persistentId=doi:10.7910/DVN/DBW86T"
    found = {}
    try:
        with _request(listing) as response:
            files = [entry["dataFile"] for entry in json.load(response)["data"]["latestVersion"]["files"]]
        for file in files:
            name, url, digest = file["filename"], f"{server}/api/access/datafile/{file['id']}", f"md5:{file['md5']}"
            if name.startswith("HAM10000_images") and name.endswith(".zip"):
                stem = name.removesuffix(".zip")
                found[stem] = Archive(url, f"ham10000/{stem}", digest, unpack=True, pictures={"*.jpg": 5000})
            elif name.startswith("HAM10000_metadata"):
                # A table that Dataverse has turned into its own .tab is listed with the MD5 of the original
                # (IQSS/dataverse issue 7275); any other file answers 404 if asked for its original.
                url += "?format=original" if "originalFileFormat" in file else ""
                found["metadata"] = Archive(url, "ham10000/HAM10000_metadata.csv", digest)
    except (KeyError, TypeError) as error:
        raise PhenoLIPError(f"{listing}: the listing has another form than expected ({error!r})") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PhenoLIPError(f"{listing}: cannot be read ({error})") from None
    if len(found) != 3:
        raise PhenoLIPError(f"{listing}: expected two archives of images and the metadata, found {sorted(found)}")
    return list(found.values())


DOWNLOADS: dict[str, Download] = {
    "medpix-2.0": Download(
        "none stated (NLM MedPix terms), research use",
        # Only the beginning of this commit is known to us. The 1,850 are those described by its texts.
        github("CHILab1/MedPix-2.0", "d3bc431", "medpix-2.0", {"MedPix-2-0/images/*": 1850}),
    ),
    "chula-rbc-12": Download(
        "MIT",
        github(
            "Chula-PIC-Lab/Chula-RBC-12-Dataset",
            "fa130f48135d79bbd69f8e540b533511017d6896",
            "chula-rbc-12",
            {"Dataset/*": 738, "RBC Diseases/*/*": 121},
        ),
    ),
    "ham10000": Download("CC-BY-NC-4.0", dataverse_ham10000),
    "idrid": Download(
        "CC-BY-4.0",
        by_hand="get 'A. Segmentation' and 'B. Disease Grading' with a free account from "
        "https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid and put both folders in",
    ),
}
"""None of these addresses was ever tried from this code, and `download` says so."""


def download(dataset: str, to: Path, manifest: Mapping[str, Download] = DOWNLOADS) -> None:
    """Fetch, check and unpack a data set below the folder `to`; what is there already is left alone.

    Raises:
        PhenoLIPError: unknown name, a data set behind a login, no connection, wrong checksum or commit, too
            few pictures, an archive that reaches out of its folder, or something else in its place.
    """
    if dataset not in manifest:
        raise PhenoLIPError(f"no download for {dataset!r}; there are {', '.join(manifest)}")
    entry, to = manifest[dataset], Path(to)
    if entry.by_hand:
        raise PhenoLIPError(f"{dataset} needs a login: {entry.by_hand} {to / dataset}")
    log.info("%s: licence %s; please report what happens, this address was never tried", dataset, entry.licence)
    # Single files first: what stands in their way is known before gigabytes are fetched.
    for archive in sorted(entry.archives(), key=lambda archive: archive.unpack):
        target = to / archive.path
        if not archive.unpack:
            fetch(archive.url, target, archive.digest)
        elif target.exists():
            _count(target, archive.pictures, "is there but not whole; move it away to fetch it anew")
            log.info("%s: is there already", target)
        else:
            packed = fetch(archive.url, target.with_name(target.name + ".archive"), archive.digest)
            try:
                unpack(packed, target, commit=archive.commit, pictures=archive.pictures)
            except PhenoLIPError:  # it must not be taken for a good one next time
                packed.unlink()
                raise
            packed.unlink()


def fetch(url: str, path: Path, digest: str = "", pause: float = 2.0) -> Path:
    """Download to `path`, going on with a partial file, and put it in place only once it is checked.

    Args:
        digest: ``<algorithm>:<hex>``, or empty.
        pause: seconds before the second try; doubled each time.

    Raises:
        PhenoLIPError: the server refuses or stays unreachable, the checksum differs, or `path` holds another file.
    """
    if path.exists():
        if digest and _digest(path, digest) != digest:
            raise PhenoLIPError(f"{path}: is not the publisher's file ({digest}); move it away to fetch it anew")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(1, RETRIES + 1):
        try:
            with writing(part):
                _continue(url, part)
            break
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            code = error.code if isinstance(error, urllib.error.HTTPError) else 0
            refused = 400 <= code < 500 and code not in (408, 416, 429)
            if refused or attempt == RETRIES:
                raise PhenoLIPError(f"{url}: download failed ({error})") from None
            log.info("%s: %s; trying again", path.name, error)
            time.sleep(pause * 2 ** (attempt - 1))
    if digest and (found := _digest(part, digest)) != digest:
        part.unlink()
        raise PhenoLIPError(f"{url}: its checksum is {found}, the publisher says {digest}")
    part.replace(path)
    return path


def _request(url: str, **headers: str) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "phenolip", **headers})
    return urllib.request.urlopen(request, timeout=60)


def _continue(url: str, part: Path) -> None:
    """Append what is missing to `part`; a server that ignores the range starts the file anew."""
    have = part.stat().st_size if part.is_file() else 0
    try:
        response = _request(url, **({"Range": f"bytes={have}-"} if have else {}))
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return  # nothing lies beyond what we have: it is whole
            part.unlink()  # longer than the file itself, so it is no part of it
        raise
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise OSError("the server sent another range than asked for")
        done = have if resumed else 0
        total = done + int(response.headers.get("Content-Length", -done))
        with open(part, "ab" if resumed else "wb") as file:
            while block := response.read1(BLOCK):  # unlike read, it loses nothing when the connection breaks
                file.write(block)
                done += len(block)
                if done % REPORT_EVERY < len(block):
                    log.info("%s: %d of %s MiB", part.stem, done >> 20, total >> 20 or "unknown")
    if done < total:
        raise OSError(f"connection lost after {done} of {total} bytes")


def _digest(path: Path, like: str) -> str:
    algorithm = like.split(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def unpack(
    path: Path, folder: Path, limit: int = MAX_UNPACKED, commit: str = "", pictures: Mapping[str, int] | None = None
) -> None:
    """Unpack a zip or tar archive as `folder`, which must not exist; a folder around the whole content is left out.

    All is unpacked and counted under another name first, so that `folder` is whole or not there.

    Args:
        limit: most bytes that may come out.
        commit, pictures: see `Archive`.

    Raises:
        PhenoLIPError: a damaged or oversized archive, a link in it, a member that leads out, another commit,
            too few pictures.
    """
    staging = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was cut off
    try:
        with _opened(path) as (named, members):
            if commit and not named.startswith(commit):
                raise PhenoLIPError(f"{path.name}: is of commit {named or '(none)'}, expected {commit}")
            files = [member for member in members if member[0].parts[0] != "__MACOSX"]  # what macOS adds
            for name, _, regular, _ in files:
                outside = name.is_absolute() or ".." in name.parts or "\\" in str(name)
                if outside or not regular:
                    what = "leads out of its folder" if outside else "is a link or device"
                    raise PhenoLIPError(f"{path.name}: {name} {what}")
            # Neither module gives out more than a member declares, so the sum is a bound.
            if sum(size for _, size, *_ in files) > limit:
                raise PhenoLIPError(f"{path.name}: unpacks to more than {limit} bytes")
            around = len({name.parts[0] for name, *_ in files}) == 1 and all(len(name.parts) > 1 for name, *_ in files)
            for name, _, _, opened in files:
                target = staging.joinpath(*name.parts[around:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, BLOCK)
        _count(staging, pictures or {}, f"unpacked from {path.name}, is not whole")
        staging.rename(folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise PhenoLIPError(f"{path.name}: a damaged archive ({error})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[str, list[tuple[PurePosixPath, int, bool, Callable[[], BinaryIO]]]]]:
    """The git commit an archive names as its own; path, size, whether a file, and opener of what is no folder."""
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            files = [m for m in tar if not m.isdir()]
            found = [(PurePosixPath(m.name), m.size, m.isreg(), partial(tar.extractfile, m)) for m in files]
            yield tar.pax_headers.get("comment", ""), found
    else:
        with zipfile.ZipFile(path) as archive:
            files = [m for m in archive.infolist() if not m.is_dir()]
            found = [(PurePosixPath(m.filename), m.file_size, is_regular(m), partial(archive.open, m)) for m in files]
            yield archive.comment.decode("ascii", errors="replace"), found


def _count(folder: Path, pictures: Mapping[str, int], words: str) -> None:
    """Whether `folder` holds the pictures it must."""
    for pattern, least in pictures.items():
        found = sum(p.is_file() and p.stat().st_size >= SMALLEST_PICTURE for p in folder.glob(pattern))
        if found < least:
            raise PhenoLIPError(f"{folder}: {words} ({found} pictures in {pattern}, expected {least})")
