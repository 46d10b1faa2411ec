"""Downloads against a local server: checks, resume, refusals."""

import hashlib
import http.server
import threading
import zipfile

import pytest

from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.sources.download import DOWNLOADS, Archive, Download, download, fetch, unpack

BODY = bytes(range(256)) * 400


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY, with ranges; the first answer to /flaky is cut off."""

    cut = True

    def do_GET(self):
        if self.path == "/gone":
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-").split("=")[1].rstrip("-"))
        if start >= len(BODY):
            self.send_error(416)
            return
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        stop = 5000 if self.path == "/flaky" and start == 0 else len(BODY)
        self.wfile.write(BODY[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.starts = []
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()


def url(server, path):
    return f"http://127.0.0.1:{server.server_port}{path}"


GOOD = "sha256:" + hashlib.sha256(BODY).hexdigest()


def test_a_broken_connection_is_resumed(server, tmp_path):
    path = fetch(url(server, "/flaky"), tmp_path / "f", GOOD, pause=0.01)
    assert path.read_bytes() == BODY
    assert server.starts == [0, 5000]


def test_a_partial_file_of_an_earlier_run_is_continued(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY[:777])
    fetch(url(server, "/"), tmp_path / "f", GOOD)
    assert server.starts == [777]
    assert (tmp_path / "f").read_bytes() == BODY
    assert not (tmp_path / "f.part").exists()


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "f").write_bytes(BODY)
    fetch(url(server, "/"), tmp_path / "f", GOOD)
    assert server.starts == []


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(PhenoLIPError, match="its checksum is md5:.*, the publisher says md5:00"):
        fetch(url(server, "/"), tmp_path / "f", "md5:00")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_fails_at_once(server, tmp_path):
    with pytest.raises(PhenoLIPError, match="download failed .*404"):
        fetch(url(server, "/gone"), tmp_path / "f", pause=60)


def test_an_archive_cannot_reach_out_of_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("top/good.txt", "x")
        archive.writestr("top/../../evil.txt", "x")
    with pytest.raises(PhenoLIPError, match="leads out of its folder"):
        unpack(tmp_path / "a.zip", tmp_path / "out", strip=1)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path.parent / "evil.txt").exists()


def test_a_bomb_and_a_text_file_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/zeros", bytes(1_000_000))
    with pytest.raises(PhenoLIPError, match="more than 1000 bytes"):
        unpack(tmp_path / "a.zip", tmp_path / "out", limit=1000)
    (tmp_path / "b.zip").write_text("no")
    with pytest.raises(PhenoLIPError, match="not a zip"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_a_whole_download(tmp_path, server, monkeypatch):
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("repo-abc/Dataset/1.jpg", "picture")
    monkeypatch.setitem(globals(), "BODY", buffer.getvalue())
    entry = Download(lambda: [Archive("x.zip", url(server, "/"), unpack="set", strip=1)], "MIT")
    download("set", tmp_path, {"set": entry})
    assert (tmp_path / "set" / "Dataset" / "1.jpg").read_text() == "picture"
    assert not (tmp_path / "x.zip").exists()


def test_every_open_data_set_has_a_way_and_unknown_ones_are_named(tmp_path):
    from phenolip_lib.sources import DATASETS

    assert set(DOWNLOADS) == set(DATASETS)
    with pytest.raises(PhenoLIPError, match="no download for 'ham'; there are"):
        download("ham", tmp_path)
    with pytest.raises(PhenoLIPError, match="needs a login: get it from https://"):
        download("idrid", tmp_path)
