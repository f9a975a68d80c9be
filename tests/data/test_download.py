"""Downloads against a server on loopback: gone on with, verified, and refused with a sentence."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections import namedtuple
from pathlib import Path

import pytest

from sparserec_np.data import download as downloading
from sparserec_np.data.catalogue import PublishedFile
from sparserec_np.data.download import DownloadError, Lost, Silent, Transfer, digest_of, download
from tests.makers.web import Page

CONTENT = bytes(range(256)) * 2000
SIZE = len(CONTENT)
SHA = hashlib.sha256(CONTENT).hexdigest()
pytestmark = pytest.mark.usefixtures("web")  # and with it no pauses between tries


class Notes(Silent):
    """Keeps what a watcher is told; presses Ctrl-C after so many bytes."""

    def __init__(self, until=None):
        self.lines, self.begun, self.bytes, self.until = [], [], 0, until

    def begin(self, name, offset, total):
        self.begun.append((offset, total))

    def advance(self, count):
        self.bytes += count
        if self.until is not None and self.bytes >= self.until:
            raise KeyboardInterrupt

    def note(self, text):
        self.lines.append(text)


@pytest.fixture
def web(web):
    web.pages["/x.bin"] = Page(CONTENT)
    return web


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def published(web, checksum=f"sha256:{SHA}", size=SIZE):
    return PublishedFile(f"{web.address}/x.bin", size, checksum)


def refused(web, folder, file=None):
    with pytest.raises(DownloadError) as error:
        download(file or published(web), folder)
    assert "x.bin" not in os.listdir(folder)
    return str(error.value)


def test_a_file_arrives_whole_and_alone(web, folder):
    done = download(published(web), folder)
    assert (done.bytes, done.sha256, done.compared) == (len(CONTENT), SHA, "sha256")
    assert Path(done.path).read_bytes() == CONTENT and os.listdir(folder) == ["x.bin"]
    assert "range" not in web.asked[0] and web.asked[0]["accept-encoding"] == "identity"


def test_one_that_is_there_is_not_asked_for_again(web, folder):
    first = download(published(web), folder)
    assert download(published(web), folder) == first and len(web.asked) == 1


def test_a_lost_connection_is_gone_on_with(web, folder):
    web.pages["/x.bin"].drops = [100_000, 200_000]
    notes = Notes()
    assert download(published(web), folder, watcher=notes).sha256 == SHA
    assert [asked.get("range") for asked in web.asked] == [None, "bytes=100000-", "bytes=300000-"]
    assert [asked.get("if-range") for asked in web.asked] == [None, '"one"', '"one"']
    assert notes.begun == [(0, 512_000), (100_000, 512_000), (300_000, 512_000)]
    assert notes.bytes == 512_000 and "trying again in 0 s" in notes.lines[0]


def test_what_ctrl_c_left_is_gone_on_with(web, folder):
    with pytest.raises(KeyboardInterrupt):
        download(published(web), folder, watcher=Notes(until=150_000))
    kept = os.path.getsize(os.path.join(folder, "x.bin.part"))
    assert 150_000 <= kept < len(CONTENT)
    assert download(published(web), folder).sha256 == SHA
    assert web.asked[1]["range"] == f"bytes={kept}-" and os.listdir(folder) == ["x.bin"]


def test_another_version_begins_anew(web, folder):
    with pytest.raises(KeyboardInterrupt):
        download(published(web), folder, watcher=Notes(until=150_000))
    other = CONTENT[::-1]
    web.pages["/x.bin"] = Page(other, tag='"two"')
    file = published(web, f"sha256:{hashlib.sha256(other).hexdigest()}")
    assert Path(download(file, folder).path).read_bytes() == other
    assert web.asked[-1]["if-range"] == '"one"' and len(web.asked) == 2


def test_parts_of_another_version_are_not_put_together(web, folder):
    """Also where the server does not mind, and no checksum would tell."""
    with pytest.raises(KeyboardInterrupt):
        download(published(web), folder, watcher=Notes(until=150_000))
    web.pages["/x.bin"] = Page(CONTENT[::-1], tag='"two"', careless=True)
    done = download(published(web, checksum=None), folder)
    assert Path(done.path).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("tag", ['"one"', ""])
def test_a_server_without_parts_begins_anew(web, folder, tag):
    web.pages["/x.bin"] = Page(CONTENT, tag=tag, ranges=False, drops=[100_000])
    notes = Notes()
    assert download(published(web), folder, watcher=notes).sha256 == SHA
    assert web.asked[1]["range"] == "bytes=100000-" and "no part of it to give" in notes.lines[1]


def test_without_version_and_checksum_it_begins_anew(web, folder):
    web.pages["/x.bin"] = Page(CONTENT, tag="", drops=[100_000])
    done = download(published(web, checksum=None, size=None), folder)
    assert (done.sha256, done.compared) == (SHA, None) and "range" not in web.asked[1]


def test_a_wrong_checksum_is_refused_and_the_file_kept_aside(web, folder):
    web.pages["/x.bin"].content = CONTENT[:-1] + b"?"
    said = refused(web, folder)
    assert f"expected sha256 {SHA}, found " in said and "x.bin.wrong" in said
    assert os.listdir(folder) == ["x.bin.wrong"]


def test_pieces_that_do_not_fit_are_downloaded_once_more(web, folder):
    with open(os.path.join(folder, "x.bin.part"), "wb") as part:
        part.write(b"?" * 1000)
    notes = Notes()
    assert download(published(web), folder, watcher=notes).sha256 == SHA
    assert [asked.get("range") for asked in web.asked] == ["bytes=1000-", None]
    assert "from the start once more" in notes.lines[0]


def test_pieces_are_not_put_together_for_ever(web, folder):
    web.pages["/x.bin"] = Page(CONTENT[::-1], drops=[1000, None, 1000])
    assert "found " in refused(web, folder)
    assert len(web.asked) == 4 and os.listdir(folder) == ["x.bin.wrong"]


@pytest.mark.parametrize(("kind", "make"), [("md5", hashlib.md5), ("git-blob", hashlib.sha1)])
def test_other_checksums_are_compared_too(web, folder, kind, make):
    prefix = b"blob 512000\0" if kind == "git-blob" else b""
    digest = make(prefix + CONTENT).hexdigest()
    assert download(published(web, f"{kind}:{digest}"), folder).compared == kind
    os.unlink(os.path.join(folder, "x.bin"))
    said = refused(web, folder, published(web, f"{kind}:{digest[::-1]}"))
    assert f"expected {kind} {digest[::-1]}, found {digest}" in said
    assert os.listdir(folder) == ["x.bin.wrong"]


def test_a_blob_has_the_name_that_git_gives_it(tmp_path):
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert digest_of(str(tmp_path / "hello"), "git-blob") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_another_size_is_refused_before_a_byte(web, folder):
    web.pages["/x.bin"].content = CONTENT + b"?"
    assert "expected 512,000 bytes, the server offers 512,001" in refused(web, folder)
    assert os.listdir(folder) == []


def test_a_server_that_does_not_say_the_size(web, folder):
    web.pages["/x.bin"].sized = False
    assert download(published(web), folder).sha256 == SHA
    os.unlink(os.path.join(folder, "x.bin"))
    web.pages["/x.bin"].content = CONTENT * 2
    assert "longer than the 512,000 bytes" in refused(web, folder)


def test_a_missing_page_is_not_asked_for_twice(web, folder):
    del web.pages["/x.bin"]
    said = refused(web, folder)
    assert "404 Not Found" in said and "--mirror" in said and len(web.asked) == 1
    web.pages["/x.bin"] = Page(answers=[403])
    assert "403 Forbidden" in refused(web, folder)


def test_a_server_out_of_order_is_asked_again(web, folder):
    web.pages["/x.bin"].answers = [503, 429]
    assert download(published(web), folder).sha256 == SHA and len(web.asked) == 3


def test_patience_ends_and_the_part_stays(web, folder):
    web.pages["/x.bin"].drops = [100_000, *[0] * 9]
    assert "the connection" in refused(web, folder)
    assert len(web.asked) == 6  # one that brought something, five that did not
    assert os.path.getsize(os.path.join(folder, "x.bin.part")) == 100_000


def test_silence_counts_as_lost(web, folder, monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT", 0.1)
    web.pages["/x.bin"].stalls = [0.4]
    notes = Notes()
    assert download(published(web), folder, watcher=notes).sha256 == SHA
    assert "127.0.0.1 said nothing for 0.1 s" in notes.lines[0]


def test_a_part_that_was_complete_already(web, folder):
    for content, asked in ((CONTENT, 1), (CONTENT + b"?", 2)):
        web.asked.clear()
        with open(os.path.join(folder, "x.bin.part"), "wb") as part:
            part.write(content)
        assert download(published(web), folder).sha256 == SHA and len(web.asked) == asked
        os.unlink(os.path.join(folder, "x.bin"))


def test_redirections_are_followed_with_the_part_asked_for(web, folder):
    web.pages["/old/x.bin"] = Page(leads_to="/x.bin")
    web.pages["/x.bin"].drops = [100_000]
    assert download(published(web), folder, f"{web.address}/old/x.bin").sha256 == SHA
    assert web.asked[3] == {**web.asked[2], "path": "/x.bin"} and web.asked[3]["range"] == "bytes=100000-"


def test_no_redirection_to_what_is_less_safe():
    handler = downloading._SafeRedirects()
    request = urllib.request.Request("https://a.org/x")
    with pytest.raises(DownloadError, match="not as safe"):
        handler.redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://a.org/x")
    assert handler.redirect_request(request, io.BytesIO(), 302, "Found", {}, "https://b.org/x") is not None
    with pytest.raises(DownloadError, match="begins with http"):
        Transfer(PublishedFile("x"), "file:///etc/passwd", "x", Silent())


def test_without_a_server(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/x.bin"
    with pytest.raises(DownloadError, match="127.0.0.1 refuses connections"):
        download(PublishedFile(address), folder)
    with pytest.raises(DownloadError, match="that is no address"):
        download(PublishedFile("http://127.0.0.1:port/x.bin"), folder)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (urllib.error.URLError(socket.gaierror(-2, "Name or service not known")), "is there no network"),
        (urllib.error.URLError(ssl.SSLCertVerificationError(1, "expired")), "certificate of a.org"),
        (urllib.error.URLError(OSError(101, "Network is unreachable")), "Network is unreachable"),
        (ConnectionResetError(), "the connection was lost"),
    ],
)
def test_what_is_said_of_a_network(error, said):
    assert said in str(Lost.of(error, "https://a.org/x"))


def test_a_disk_without_room_is_refused_before_a_byte(web, folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda path: usage(0, 0, 511_999))
    assert "needs 512,000 bytes more, and the disk has 511,999 left" in refused(web, folder)
    assert os.listdir(folder) == []


def test_a_full_disk_names_the_part_and_is_no_lost_connection(web, folder):
    class Full(io.BytesIO):
        name = "x.bin.part"

        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

    transfer = Transfer(published(web), f"{web.address}/x.bin", os.path.join(folder, "x.bin"), Silent())
    with pytest.raises(OSError) as error:
        transfer._copy(io.BytesIO(CONTENT), Full())
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, "x.bin.part")


def test_a_damaged_note_of_the_version_is_none(web, folder):
    for noted in ("{", "[]", json.dumps({"address": "http://elsewhere", "version": "x"})):
        with open(os.path.join(folder, "x.bin.part.json"), "w") as stream:
            stream.write(noted)
        transfer = Transfer(published(web), f"{web.address}/x.bin", os.path.join(folder, "x.bin"), Silent())
        assert transfer._version() == ""
