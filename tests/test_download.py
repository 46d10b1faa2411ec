"""Downloads against a local server: checks, resume, refusals."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.sources import DATASETS
from phenolip_lib.data.sources.download import (
    DOWNLOADS,
    RETRIES,
    Archive,
    Download,
    dataverse_ham10000,
    download,
    fetch,
    unpack,
)

BODY = bytes(range(256)) * 400
GOOD = "sha256:" + hashlib.sha256(BODY).hexdigest()
PICTURE = bytes(300)
COMMIT = "fa130f48135d79bbd69f8e540b533511017d6896"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the server's `files` with ranges; ``flaky`` and ``chunked`` break off once, ``norange`` ignores ranges."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        name = self.path.lstrip("/")
        log = self.server.asked
        log.append((name, self.headers.get("Range")))
        if name == "busy" and len(log) < 3:
            return self.send_error(503)
        if name not in self.server.files:
            return self.send_error(404)
        body = self.server.files[name]
        start = 0 if name == "norange" else int(self.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        stop = 5000 if name in ("flaky", "chunked") and len(log) == 1 else len(body)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if name == "chunked" and not start:  # as archives made on request are sent, without their length
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            return self.wfile.write(
                b"%x\r\n" % len(body) + body[:stop] + (b"\r\n0\r\n\r\n" if stop == len(body) else b"")
            )
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        return self.wfile.write(body[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.asked, httpd.url = [], f"http://127.0.0.1:{httpd.server_port}"
    httpd.files = dict.fromkeys(("flaky", "chunked", "norange", "busy", "plain"), BODY)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def zipped(members: dict[str, bytes], comment: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = comment.encode()
    return buffer.getvalue()


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- fetch


@pytest.mark.parametrize("name", ["flaky", "chunked"])
def test_a_broken_connection_is_resumed(server, tmp_path, name):
    path = fetch(f"{server.url}/{name}", tmp_path / "f", GOOD, pause=0.01)
    assert path.read_bytes() == BODY
    (first, second) = [asked for _, asked in server.asked]
    assert first is None
    assert 0 < int(second[6:-1]) <= 5000


def test_a_partial_file_of_an_earlier_run_is_continued(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY[:777])
    fetch(f"{server.url}/plain", tmp_path / "f", GOOD)
    assert server.asked == [("plain", "bytes=777-")]
    assert (tmp_path / "f").read_bytes() == BODY
    assert tree(tmp_path) == {"f"}


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    (tmp_path / "f.part").write_bytes(b"x" * 777)
    assert fetch(f"{server.url}/norange", tmp_path / "f", GOOD).read_bytes() == BODY


@pytest.mark.parametrize("part, requests", [(BODY, 1), (BODY + b"more", 2)])
def test_a_partial_file_that_is_whole_or_too_long(server, tmp_path, part, requests):
    (tmp_path / "f.part").write_bytes(part)
    assert fetch(f"{server.url}/plain", tmp_path / "f", pause=0.01).read_bytes() == BODY
    assert len(server.asked) == requests


def test_a_busy_server_is_asked_again(server, tmp_path):
    assert fetch(f"{server.url}/busy", tmp_path / "f", GOOD, pause=0.01).read_bytes() == BODY
    assert len(server.asked) == 3


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "f").write_bytes(BODY)
    fetch(f"{server.url}/plain", tmp_path / "f", GOOD)
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(PhenoLIPError, match="is not the publisher's file .* move it away"):
        fetch(f"{server.url}/plain", tmp_path / "f", GOOD)
    assert (tmp_path / "f").read_bytes() == b"mine"
    assert server.asked == []


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(PhenoLIPError, match="its checksum is md5:.*, the publisher says md5:00"):
        fetch(f"{server.url}/plain", tmp_path / "f", "md5:00")
    assert tree(tmp_path) == set()


def test_what_is_not_there_fails_at_once_and_no_server_after_retries(server, tmp_path):
    with pytest.raises(PhenoLIPError, match="download failed .*404"):
        fetch(f"{server.url}/gone", tmp_path / "f", pause=60)
    assert len(server.asked) == 1
    server.files.clear()
    server.shutdown()
    server.server_close()
    assert RETRIES > 1
    with pytest.raises(PhenoLIPError, match="download failed"):
        fetch(f"{server.url}/plain", tmp_path / "f", pause=0.001)


# --- unpack


@pytest.mark.parametrize("name", ["top/../../evil.txt", "/evil.txt", "..\\evil.txt"])
def test_an_archive_cannot_reach_out_of_its_folder(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zipped({"top/good.txt": b"x", name: b"x"}))
    with pytest.raises(PhenoLIPError, match="leads out of its folder"):
        unpack(tmp_path / "a.zip", tmp_path / "in" / "out")
    assert tree(tmp_path) == {"a.zip"}


def test_links_are_refused_in_zip_and_tar(tmp_path):
    link = zipfile.ZipInfo("top/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    link = tarfile.TarInfo("top/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(link)
    for name in ("a.zip", "a.tar.gz"):
        with pytest.raises(PhenoLIPError, match="top/link is a link"):
            unpack(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tar_is_unpacked(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", pax_headers={"comment": COMMIT}) as archive:
        for name in ("top/a/1.txt", "top/2.txt"):
            member = tarfile.TarInfo(name)
            member.size = len(BODY)
            archive.addfile(member, io.BytesIO(BODY))
    unpack(tmp_path / "a.tar.gz", tmp_path / "out", commit=COMMIT[:7])
    assert tree(tmp_path / "out") == {"a/1.txt", "2.txt"}
    assert (tmp_path / "out" / "2.txt").read_bytes() == BODY


@pytest.mark.parametrize(
    "members, out",
    [
        ({"top/a.txt": b"", "top/sub/b.txt": b""}, {"a.txt", "sub/b.txt"}),
        ({"a.jpg": b"", "b.jpg": b"", "__MACOSX/._a.jpg": b""}, {"a.jpg", "b.jpg"}),
        ({"one/a.jpg": b"", "two/a.jpg": b""}, {"one/a.jpg", "two/a.jpg"}),
    ],
)
def test_only_a_folder_around_everything_is_left_out(tmp_path, members, out):
    (tmp_path / "a.zip").write_bytes(zipped(members))
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == out


def test_bombs_and_damage_are_refused(tmp_path):
    path, out = tmp_path / "a.zip", tmp_path / "out"
    path.write_bytes(zipped({"x/zeros": bytes(1_000_000)}))
    with pytest.raises(PhenoLIPError, match="more than 1000 bytes"):
        unpack(path, out, limit=1000)
    whole = zipped({"x/1": bytes(range(256)) * 9})
    for damaged in (b"no archive", whole[:-30], whole[:60] + b"\xff" * 20 + whole[80:]):
        path.write_bytes(damaged)
        with pytest.raises(PhenoLIPError, match="a damaged archive"):
            unpack(path, out)
    assert tree(tmp_path) == {"a.zip"}


# --- download


def manifest(server, **options) -> dict[str, Download]:
    return {"set": Download("MIT", lambda: [Archive(f"{server.url}/a.zip", "set", unpack=True, **options)])}


def test_a_whole_download(server, tmp_path):
    server.files["a.zip"] = zipped({"repo-fa130f4/Dataset/1.jpg": PICTURE}, COMMIT)
    entry = manifest(server, commit=COMMIT, pictures={"Dataset/*": 1})
    download("set", tmp_path, entry)
    assert tree(tmp_path) == {"set/Dataset/1.jpg"}
    download("set", tmp_path, entry)
    assert len(server.asked) == 1


def test_a_folder_that_is_there_is_left_alone(server, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(PhenoLIPError, match="is there but not whole; move it away"):
        download("set", tmp_path, manifest(server, pictures={"*": 1}))
    assert tree(tmp_path) == {"set/mine.txt"}


@pytest.mark.parametrize(
    "content, words",
    [
        (zipped({"r/Dataset/1.jpg": PICTURE}, "0" * 40), f"is of commit 0000.*, expected {COMMIT}"),
        (zipped({"r/Dataset/1.jpg": PICTURE}), r"is of commit \(none\)"),
        (zipped({"r/Dataset/1.jpg": b"version https://git-lfs.github.com/spec/v1"}, COMMIT), "0 pictures in Dataset"),
    ],
)
def test_an_archive_of_something_else_leaves_nothing(server, tmp_path, content, words):
    server.files["a.zip"] = content
    with pytest.raises(PhenoLIPError, match=words):
        download("set", tmp_path, manifest(server, commit=COMMIT, pictures={"Dataset/*": 1}))
    assert tree(tmp_path) == set()


def listing(server, **changes) -> None:
    """HAM10000's listing and files as Dataverse gives them."""
    parts = {f"HAM10000_images_part_{n}.zip": zipped({f"ISIC_{n}.jpg": PICTURE}) for n in (1, 2)}
    entries = [
        {"id": i, "filename": name, "md5": hashlib.md5(body).hexdigest()}
        for i, (name, body) in enumerate(parts.items())
    ]
    table = b"lesion_id,image_id,dx\n"
    entries += [
        {"id": 2, "filename": "HAM10000_metadata.tab", "md5": hashlib.md5(table).hexdigest()}
        | {"originalFileFormat": "text/csv"}
        | changes,
        {"id": 3, "filename": "ISIC2018_Task3_Test_Images.zip", "md5": "0"},
    ]
    address = "api/datasets/:persistentId/?persistentId=doi:10.7910/DVN/DBW86T"
    answer = {"data": {"latestVersion": {"files": [{"dataFile": entry} for entry in entries]}}}
    server.files[address] = json.dumps(answer).encode()
    server.files |= {f"api/access/datafile/{i}": body for i, body in enumerate(parts.values())}
    server.files["api/access/datafile/2?format=original"] = table


def test_ham10000_is_checked_by_the_listing(server, tmp_path):
    listing(server)
    archives = dataverse_ham10000(server.url)
    assert [a.path for a in archives] == [
        "ham10000/HAM10000_images_part_1",
        "ham10000/HAM10000_images_part_2",
        "ham10000/HAM10000_metadata.csv",
    ]
    assert all(a.digest.startswith("md5:") for a in archives)
    small = [Archive(a.url, a.path, a.digest, a.unpack, pictures=dict.fromkeys(a.pictures, 1)) for a in archives]
    download("set", tmp_path, {"set": Download("", lambda: small)})
    assert tree(tmp_path / "ham10000") == {
        "HAM10000_images_part_1/ISIC_1.jpg",
        "HAM10000_images_part_2/ISIC_2.jpg",
        "HAM10000_metadata.csv",
    }


def test_ham10000_asks_for_an_original_only_where_there_is_one(server):
    listing(server, filename="HAM10000_metadata")
    assert dataverse_ham10000(server.url)[2].url.endswith("?format=original")
    address = next(name for name in server.files if name.startswith("api/datasets"))
    server.files[address] = server.files[address].replace(b"originalFileFormat", b"otherKey")
    assert dataverse_ham10000(server.url)[2].url.endswith("/datafile/2")


def test_a_listing_that_has_changed_is_named(server):
    with pytest.raises(PhenoLIPError, match="cannot be read .*404"):
        dataverse_ham10000(server.url)
    listing(server, filename="renamed.tab")
    with pytest.raises(PhenoLIPError, match="expected two archives of images and the metadata"):
        dataverse_ham10000(server.url)
    address = next(name for name in server.files if name.startswith("api/datasets"))
    server.files[address] = b'{"status": "ERROR"}'
    with pytest.raises(PhenoLIPError, match="another form than expected"):
        dataverse_ham10000(server.url)


def test_downloads_belong_to_data_sets_and_unknown_ones_are_named(tmp_path):
    assert set(DOWNLOADS) < set(DATASETS)  # the others are put in place by hand, as their modules say
    for name in ("medpix-2.0", "chula-rbc-12"):
        (archive,) = DOWNLOADS[name].archives()
        assert archive.url.endswith(archive.commit)
        assert archive.commit
    with pytest.raises(PhenoLIPError, match="no download for 'ham'; there are"):
        download("ham", tmp_path)
    with pytest.raises(PhenoLIPError, match=f"needs a login: .*ieee-dataport.* {tmp_path}/idrid"):
        download("idrid", tmp_path)
