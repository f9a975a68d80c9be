"""The server of a folder: types, parts of files, and nothing from outside the folder."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparserec_np.serving.web.server import FolderServer, part_of
from tests.serving.web.browser import serving


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    """A folder that is served beside what must not be: ``site(target, **headers)`` -> status, headers, content."""
    folder = tmp_path / "site"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.html").write_text("<p>home")
    (folder / "a.js").write_text("export {};")
    (folder / "model.safetensors").write_bytes(bytes(range(100)))
    (folder / ".hidden").write_text("hidden")
    (folder / "sub" / "index.html").write_text("<p>sub")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site-twin").mkdir()
    (tmp_path / "site-twin" / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", folder / "link.txt")
    os.symlink(tmp_path, folder / "up")
    os.symlink(folder / "a.js", folder / "inside.js")
    with serving(folder) as address:
        port = int(address.split(":")[2].strip("/"))

        def ask(target: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.putrequest(method, target, skip_host=True)
            for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            found = answer.status, answer.headers, answer.read()
            connection.close()
            return found

        yield ask


def test_files_have_the_types_that_browsers_want(site: Any) -> None:
    for target, kind in {
        "/": "text/html",
        "/sub/": "text/html",
        "/a.js?x=1": "text/javascript",
        "/inside.js": "text/javascript",
    }.items():
        status, headers, content = site(target)
        assert status == 200 and headers["Content-Type"].startswith(kind) and content
        assert headers["X-Content-Type-Options"] == "nosniff"
    status, headers, content = site("/model.safetensors", "HEAD")
    assert (status, headers["Content-Length"], content) == (200, "100", b"")
    assert headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/....//secret.txt",
        "/..\\secret.txt",
        "/%5c..%5csecret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/link.txt",
        "/up/secret.txt",
        "/up/site-twin/secret.txt",
        "/../site-twin/secret.txt",
        "/.hidden",
        "/a.js%00.html",
        "/a.js/",
        "/missing",
        "http://127.0.0.1/../secret.txt",
        "/%ff%fe",
    ],
)
def test_nothing_from_outside_the_folder_is_sent(site: Any, target: str) -> None:
    status, _, content = site(target)
    assert b"secret" not in content and b"root:" not in content
    if target == "/a.js/":  # a name with a slash behind it is that file's, here
        assert status == 200
    else:
        assert status == 404


def test_pages_of_other_hosts_are_not_answered(site: Any) -> None:
    assert site("/", Host="evil.example")[0] == 421
    assert site("/", Host="localhost:80")[0] == 200
    assert site("/", "POST")[0] == 501


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=90-", 90, 100),
        ("bytes=-5", 95, 100),
        ("bytes=98-500", 98, 100),
        ("bytes=-500", 0, 100),
    ],
)
def test_parts_are_sent(site: Any, asked: str, first: int, end: int) -> None:
    status, headers, content = site("/model.safetensors", Range=asked)
    assert (status, content) == (206, bytes(range(first, end)))
    assert headers["Content-Range"] == f"bytes {first}-{end - 1}/100"


def test_what_is_no_part_is_the_whole_or_refused(site: Any) -> None:
    for asked in ("bytes=9-3", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=-"):
        assert site("/model.safetensors", Range=asked)[0] == 200
    status, headers, _ = site("/model.safetensors", Range="bytes=100-")
    assert (status, headers["Content-Range"]) == (416, "bytes */100")
    tag = site("/model.safetensors")[1]["ETag"]
    assert site("/model.safetensors", Range="bytes=0-1", If_Range=tag)[0] == 206
    assert site("/model.safetensors", Range="bytes=0-1", If_Range='"other"')[0] == 200
    with pytest.raises(ValueError, match="of 0"):
        part_of("bytes=-5", 0)


def test_only_this_machine_is_served(tmp_path: Path) -> None:
    with FolderServer(str(tmp_path)) as server:
        assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(NotADirectoryError):
        FolderServer(str(tmp_path / "missing"))
