"""A web server on the loopback interface that behaves as servers do, and as they should not."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What the server has at a path, and how it answers.

    Attributes:
        content: the bytes.
        tag: its ETag; empty for none.
        ranges: whether parts of it can be had.
        drops: for each of the next requests the bytes after which the connection is lost; None for
            a whole answer. Later ones are whole.
        answers: status codes of the next requests, before any bytes.
        leads_to: where a redirection goes.
        stalls: seconds of silence before the next answer.
        sized: whether Content-Length says how long it is.
        careless: whether it sends parts of whatever it has, and not of what is asked for.
        pads: a length that is promised, of which only the content comes before a long silence.
    """

    content: bytes = b""
    tag: str = '"one"'
    ranges: bool = True
    drops: list[int | None] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    leads_to: str = ""
    stalls: list[float] = field(default_factory=list)
    sized: bool = True
    careless: bool = False
    pads: int = 0


@dataclass
class Web:
    """A running server: ``address``, the ``pages`` by path, and the headers of each request in ``asked``."""

    address: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Web]:
    """A server that ends with the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    web = server.web = Web(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        web.asked.append({"path": self.path, **{name.lower(): text for name, text in self.headers.items()}})
        self.close_connection = True
        page = web.pages.get(self.path)
        if page is None or page.answers:
            self._head(404 if page is None else page.answers.pop(0), {"Content-Length": "0"})
        elif page.leads_to:
            self._head(302, {"Location": page.leads_to, "Content-Length": "0"})
        else:
            time.sleep(page.stalls.pop(0) if page.stalls else 0)
            with suppress(ConnectionError):  # whoever asked has heard enough
                self._send(page)

    def _send(self, page: Page) -> None:
        first, size = 0, len(page.content)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = page.careless or self.headers.get("If-Range", page.tag) == page.tag
        if wanted and page.ranges and same:
            first = int(wanted[1])
            if first >= size:
                self._head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
                return
        headers = {"ETag": page.tag} if page.tag else {}
        if page.sized:
            headers["Content-Length"] = str((page.pads or size) - first)
        if first:
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        self._head(206 if first else 200, headers)
        drop = page.drops.pop(0) if page.drops else None
        self.wfile.write(page.content[first:] if drop is None else page.content[first : first + drop])
        if page.pads:
            self.rfile.read(1)  # until the other side is gone

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {"Connection": "close", **headers}.items():
            self.send_header(name, text)
        self.end_headers()
