"""A server of one folder on this machine alone, to look at a page before it is published."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from sparserec_np.machine.http_server import BLOCK, PlainHandler, PlainServer

INDEX = "index.html"
# End of a name -> what browsers are told that the file is; they run no module of another type.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".txt": "text/plain; charset=utf-8",
}
OTHER = "application/octet-stream"
HOSTS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)


class FolderServer(PlainServer):
    """Answers GET and HEAD for the files of a folder, on 127.0.0.1.

    Args:
        folder: what is served. A link that leads out of it is not followed.
        port: 0 for any that is free.
        instead: another folder, whose files are served instead of those of the same names.

    Raises OSError where the port is taken, NotADirectoryError where ``folder`` is none.
    """

    def __init__(self, folder: str, port: int = 0, instead: str | None = None) -> None:
        self.folder = os.path.realpath(folder)
        if not os.path.isdir(self.folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        self.folders = ([] if instead is None else [os.path.realpath(instead)]) + [self.folder]
        super().__init__(("127.0.0.1", port), _Handler)


def find_file(folder: str, target: str) -> str | None:
    """Finds the file that a request is about; None where there is none in the folder.

    Args:
        folder: a path without links.
        target: of the request: a path, with a query or not.
    """
    path = unquote(urlsplit(target).path, errors="surrogateescape")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if any(part == ".." or "\0" in part or "\\" in part or part.startswith(".") for part in parts):
        return None
    if os.name == "nt" and any(":" in part for part in parts):
        return None
    found = os.path.join(folder, *parts)
    if os.path.isdir(found):
        found = os.path.join(found, INDEX)
    found = os.path.realpath(found)
    inside = os.path.commonpath([folder, found]) == folder
    return found if inside and os.path.isfile(found) else None


def part_of(asked: str | None, size: int) -> tuple[int, int] | None:
    """Reads which bytes of a file are asked for: the first, and the one after the last.

    None where a request asks for no range, for several or in another unit: then it gets all.
    Raises ValueError for a range that begins behind the end.

    >>> part_of("bytes=2-5", 10), part_of("bytes=-3", 10), part_of("bytes=4-", 10), part_of(None, 10)
    ((2, 6), (7, 10), (4, 10), None)
    """
    said = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked or "", re.ASCII)
    if said is None or said[0] == "bytes=-":
        return None
    if not said[1]:
        first, end = max(0, size - int(said[2])), size
    else:
        first, end = int(said[1]), min(size, int(said[2]) + 1 if said[2] else size)
        if said[2] and int(said[2]) < int(said[1]):
            return None
    if first >= size:
        raise ValueError(f"bytes from {first} on of {size}")
    return first, end


class _Handler(PlainHandler):
    server: FolderServer

    def do_GET(self) -> None:
        """Sends a file, or a part of it."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Tells what GET would."""
        self._answer(with_content=False)

    def _answer(self, with_content: bool) -> None:
        # A page of another host that gets its name to lead here must not read these files.
        if not HOSTS.fullmatch(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        with contextlib.ExitStack() as stack:
            try:
                found = (find_file(folder, self.path) for folder in self.server.folders)
                path = next((one for one in found if one is not None), None)
                file = None if path is None else stack.enter_context(open(path, "rb"))
            except (OSError, ValueError):
                path = file = None
            if path is None or file is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self._send(file, TYPES.get(os.path.splitext(path)[1].lower(), OTHER), with_content)

    def _send(self, file: BinaryIO, kind: str, with_content: bool) -> None:
        about = os.fstat(file.fileno())
        size, tag = about.st_size, f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        asked = self.headers.get("Range")
        if self.headers.get("If-Range", tag) != tag:
            asked = None
        try:
            part = part_of(asked, size)
        except ValueError:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self._end_headers({"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        first, end = part or (0, size)
        headers = {"Content-Type": kind, "Content-Length": str(end - first), "ETag": tag}
        if part is not None:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
        self._end_headers({**headers, "Accept-Ranges": "bytes"})
        if with_content:
            self.send_blocks(self._blocks(file, first, end), end - first)

    def _end_headers(self, headers: dict[str, str]) -> None:
        for name, value in {
            **headers,
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def _blocks(self, file: BinaryIO, first: int, end: int) -> Iterator[bytes]:
        file.seek(first)
        left = end - first
        while left:
            block = file.read(min(BLOCK, left))
            if not block:  # the file was cut short meanwhile
                self.close_connection = True
                return
            yield block
            left -= len(block)
