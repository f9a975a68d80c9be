"""Downloading a file: gone on with where it broke off, verified, and whole or not there.

While it is not complete, a file lies beside its place as ``NAME.part``, with ``NAME.part.json``,
which says what the server called this version of it. Both stay when the download breaks off.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from sparserec_np.data.catalogue import PublishedFile
from sparserec_np.errors import DataError

CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte after which a connection counts as lost
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each new try after one that brought nothing
LONGEST_PAUSE = 60.0  # that a server may ask for
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers after which to try again
PART, ABOUT_PART, WRONG = ".part", ".part.json", ".wrong"
LOST = (OSError, http.client.HTTPException)


class DownloadError(DataError):
    """A file cannot be downloaded, or is not what was published."""


class Watcher(Protocol):
    """What is told of a download as it goes."""

    def begin(self, name: str, offset: int, total: int | None) -> None:
        """Bytes of a file follow from ``offset`` on; ``total`` is its size, where the server says it."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes more are on the disk."""
        ...

    def note(self, text: str) -> None:
        """Something is worth a line."""
        ...


class Silent:
    """A watcher that says nothing."""

    def begin(self, name: str, offset: int, total: int | None) -> None:
        """Says nothing."""

    def advance(self, count: int) -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Downloaded:
    """A file that was downloaded.

    Attributes:
        path: where it is.
        bytes: its size.
        sha256: its digest.
        compared: the kind of the checksum that it was compared with; None where none was known.
    """

    path: str
    bytes: int
    sha256: str
    compared: str | None


def _git_blob(size: int) -> Any:
    """Starts the digest that git names a file by: SHA-1 of its size and its bytes."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


# Kind of a checksum -> what starts one, given the size in bytes.
DIGESTS: dict[str, Callable[[int], Any]] = {
    "sha256": lambda size: hashlib.sha256(),
    "md5": lambda size: hashlib.md5(usedforsecurity=False),
    "git-blob": _git_blob,
}


def digest_of(path: str, kind: str) -> str:
    """Returns the digest of a file, in hexadecimal; ``kind`` is a row of ``DIGESTS``."""
    digest = DIGESTS[kind](os.path.getsize(path))
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return str(digest.hexdigest())


def verified(path: str, file: PublishedFile) -> Downloaded | None:
    """Returns a file as downloaded if it is what was published, else None."""
    size = os.path.getsize(path)
    if file.bytes not in (None, size):
        return None
    kind, _, digest = (file.checksum or "").partition(":")
    found = {name: digest_of(path, name) for name in {"sha256", kind or "sha256"}}
    if kind and found[kind] != digest:
        return None
    return Downloaded(path, size, found["sha256"], kind or None)


def download(
    file: PublishedFile, folder: str, address: str | None = None, watcher: Watcher | None = None
) -> Downloaded:
    """Downloads a file into a folder, and verifies it.

    A file that is there and is what was published is not downloaded again. One that is not as
    published is kept as ``NAME.wrong``; where it was made of two connections, it is downloaded once
    more from the start before.

    Args:
        file: what is wanted.
        folder: where it is to be.
        address: where to get it instead, from a mirror.
        watcher: is told how it goes.

    Raises:
        DownloadError: the file cannot be had, or is not what was published.
        OSError: the disk cannot hold it; it names the file.
    """
    watcher = watcher or Silent()
    path = os.path.join(folder, file.name)
    if os.path.isfile(path):
        done = verified(path, file)
        if done is not None and done.compared:
            return done
    transfer = Transfer(file, address or file.address, path, watcher)
    for is_last in (False, True):
        pieced = transfer.fill()
        done = verified(path + PART, file)
        if done is not None:
            os.replace(path + PART, path)
            transfer.forget()
            return Downloaded(path, done.bytes, done.sha256, done.compared)
        if is_last or not pieced:
            break
        watcher.note(f"{file.name}: the pieces do not make up what was published; from the start once more.")
        os.unlink(path + PART)
    os.replace(path + PART, path + WRONG)
    transfer.forget()
    found = digest_of(path + WRONG, (file.checksum or "sha256").partition(":")[0])
    expected = (file.checksum or f"{file.bytes:,} bytes").replace(":", " ")
    raise DownloadError(
        f"{transfer.address} is not what was published: expected {expected}, found {found}; it is kept as"
        f" {path + WRONG}, and nothing was made of it."
    )


class Transfer:
    """The bytes of one file on their way, over as many connections as it takes.

    Args:
        file: what is wanted.
        address: where it is.
        path: where it is to be.
        watcher: is told how it goes.
    """

    def __init__(self, file: PublishedFile, address: str, path: str, watcher: Watcher) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise DownloadError(f"An address begins with http:// or https://, found {address!r}.")
        self.file, self.address, self.path, self.watcher = file, address, path, watcher
        # Proxies are those of the environment, as urllib reads it here.
        self.opener = urllib.request.build_opener(_SafeRedirects)

    def fill(self) -> bool:
        """Downloads until the part is complete; tells whether more than one connection wrote it.

        Connections that are lost are opened anew, after a pause while they bring nothing.

        Raises:
            DownloadError: the server refuses, or too many connections in a row brought nothing.
            OSError: of the disk.
        """
        pieced, failures = False, 0
        while True:
            offset = self._offset()
            pieced = pieced or offset > 0
            try:
                if self._connect(offset):
                    return pieced
                lost = Lost("the connection ended early")
            except Lost as error:
                lost = error
            failures = 0 if self._offset() > offset else failures + 1
            pieced = pieced or self._offset() > 0
            if failures > len(PAUSES) or (lost.final and failures):
                raise DownloadError(f"{self.address} cannot be had: {lost}.") from lost
            pause = min(lost.pause or PAUSES[max(failures - 1, 0)], LONGEST_PAUSE)
            self.watcher.note(f"{self.file.name}: {lost}; trying again in {pause:g} s.")
            time.sleep(pause)

    def forget(self) -> None:
        """Removes what was noted of the version."""
        with suppress(FileNotFoundError):
            os.unlink(self.path + ABOUT_PART)

    def _offset(self) -> int:
        """Returns how many bytes there are, none where a server could not tell that they are current."""
        part = self.path + PART
        there = os.path.getsize(part) if os.path.isfile(part) else 0
        return there if there and (self._version() or self.file.checksum) else 0

    def _version(self) -> str:
        """Returns what the server called the version that the part is of; empty where it did not."""
        with suppress(OSError, ValueError, AttributeError):
            with open(self.path + ABOUT_PART, encoding="utf-8") as stream:
                about = json.load(stream)
            if about.get("address") == self.address:
                return str(about.get("version") or "")
        return ""

    def _connect(self, offset: int) -> bool:
        """Asks for what is missing and writes it; tells whether the file is complete.

        Raises:
            Lost: the connection was lost, or the server is out of order for now.
        """
        headers = {"User-Agent": "sparserec", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._version():
                headers["If-Range"] = self._version()
        request = urllib.request.Request(self.address, headers=headers)
        try:
            answer = self.opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error, offset)
        except LOST as error:
            raise Lost.of(error, self.address) from error
        with answer:
            return self._write(answer, offset)

    def _refused(self, error: urllib.error.HTTPError, offset: int) -> bool:
        """Tells whether the file is complete, where the server has nothing to send for another reason.

        Raises:
            Lost: the server is out of order for now, or the part does not fit, and is removed.
            DownloadError: it refuses for good.
        """
        if error.code == 416 and offset:
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range") or "")
            if whole and int(whole[1]) == offset:
                return True
            os.unlink(self.path + PART)
            raise Lost("the part does not fit what the server has")
        said = f"{error.code} {http.client.responses.get(error.code, error.reason)}"
        if error.code in PASSING:
            asked = error.headers.get("Retry-After") or ""
            raise Lost(f"the server answers {said}", pause=float(asked) if asked.isdigit() else None)
        hint = "; it may have moved: --mirror names another source" if error.code in (404, 410) else ""
        raise DownloadError(f"{self.address} cannot be had: the server answers {said}{hint}.")

    def _write(self, answer: Any, offset: int) -> bool:
        """Writes what the server sends; tells whether that is all.

        Raises:
            Lost: the connection was lost.
            DownloadError: the server offers something else.
        """
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(f"{self.address} is sent packed, which was not asked for.")
        offset, total = self._place(answer, offset)
        self._check_size(total, offset)
        self._note_version(answer)
        self.watcher.begin(self.file.name, offset, total)
        with open(self.path + PART, "r+b" if offset else "wb") as part:
            part.truncate(offset)
            part.seek(offset)
            self._copy(answer, part)
            written = part.tell()
        # Without a size, an answer in chunks raises where it ends early, and others cannot be told.
        return total is None or written >= total

    def _place(self, answer: Any, offset: int) -> tuple[int, int | None]:
        """Returns where the bytes sent belong, and the size of the file where the server says it."""
        length = answer.headers.get("Content-Length")
        if answer.status == 206:
            sent = re.match(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
            same = self._version() in ("", _version_of(answer))
            if sent is None or int(sent[1]) != offset or not same:
                os.unlink(self.path + PART)
                raise Lost("the server sends another part than was asked for")
            return offset, None if sent[2] == "*" else int(sent[2])
        if offset:
            self.watcher.note(f"{self.file.name}: the server has no part of it to give; from the start.")
        return 0, int(length) if length and length.isdigit() else None

    def _check_size(self, total: int | None, offset: int) -> None:
        """Refuses a file of another size, and one that the disk has no room for, before any byte."""
        if None not in (total, self.file.bytes) and total != self.file.bytes:
            raise DownloadError(
                f"{self.address} is not what was published: expected {self.file.bytes:,} bytes, the server offers"
                f" {total:,}."
            )
        missing = (total or 0) - offset
        free = shutil.disk_usage(os.path.dirname(self.path) or ".").free
        if missing > free:
            raise DownloadError(
                f"{self.path} needs {missing:,} bytes more, and the disk has {free:,} left; make room, or name another"
                " folder."
            )

    def _note_version(self, answer: Any) -> None:
        """Keeps what the server calls this version, for the next connection to ask for the same."""
        with open(self.path + ABOUT_PART, "w", encoding="utf-8") as stream:
            json.dump({"address": self.address, "version": _version_of(answer)}, stream)

    def _copy(self, answer: Any, part: IO[bytes]) -> None:
        """Writes what comes, until there is no more.

        Raises:
            Lost: the connection was lost.
            OSError: of the disk; it names the file.
        """
        while True:
            try:
                chunk = answer.read1(CHUNK)  # what is there: nothing waits for a whole chunk
            except LOST as error:
                raise Lost.of(error, self.address) from error
            if not chunk:
                return
            if self.file.bytes is not None and part.tell() + len(chunk) > self.file.bytes:
                raise DownloadError(f"{self.address} is longer than the {self.file.bytes:,} bytes published.")
            try:
                part.write(chunk)
                part.flush()
            except OSError as error:  # a full disk names no file
                error.filename = part.name
                raise
            self.watcher.advance(len(chunk))


def _version_of(answer: Any) -> str:
    """Returns what a server calls the version of a file, fit to ask for it again; else empty text."""
    tag = answer.headers.get("ETag") or ""
    return str(tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified") or "")


class Lost(Exception):
    """A connection that did not come about, or ended early.

    Attributes:
        final: whether another try would say the same.
        pause: seconds that the server asks to wait; None where it does not.
    """

    def __init__(self, said: str, final: bool = False, pause: float | None = None) -> None:
        super().__init__(said)
        self.final, self.pause = final, pause

    @classmethod
    def of(cls, error: Exception, address: str) -> Lost:
        """Says what happened, of an error of the network."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        host = urlsplit(address).hostname
        if isinstance(reason, ssl.SSLCertVerificationError):
            said = f"the certificate of {host} is not accepted ({getattr(reason, 'verify_message', reason)})"
            return cls(f"{said}; check the clock of this machine, or name another source by --mirror", True)
        if isinstance(reason, TimeoutError):
            return cls(f"{host} said nothing for {TIMEOUT:g} s")
        if isinstance(reason, ConnectionRefusedError):
            return cls(f"{host} refuses connections")
        if type(reason).__name__ == "gaierror":
            return cls(f"the name {host} is not found (is there no network, or a proxy to be set?)")
        if isinstance(reason, http.client.InvalidURL):
            return cls(f"that is no address ({reason})", True)
        if isinstance(reason, ConnectionError | http.client.HTTPException):
            return cls("the connection was lost")
        return cls(f"the connection failed ({reason})")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to anything less."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Makes the next request, or refuses.

        Raises:
            DownloadError: the next address is not as safe.
        """
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or urlsplit(req.full_url).scheme == "https"):
            fp.close()
            raise DownloadError(
                f"{req.full_url} leads to {newurl}, which is not as safe; nothing was downloaded."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
