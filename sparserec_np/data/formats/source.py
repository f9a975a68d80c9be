"""A file or standard input, compressed or not, as blocks of whole lines that know their numbers."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

# Large enough that NumPy's cost per call vanishes, small enough for the arrays made of a block to
# stay in the cache.
BLOCK_BYTES = 1 << 19
# A line longer than this is no interaction: the widest user of any public data set needs a
# hundredth of it.
LINE_BYTES = 1 << 28


@dataclass(frozen=True)
class Block:
    """A part of a file: whole lines of text.

    Attributes:
        text: bytes that end in a newline.
        first_line: number of the first line in its file, from 1.
        lines: the file's line number of every line, where they do not simply count up.
    """

    text: bytes
    first_line: int
    lines: Array | None = None

    def line_number(self, index: int) -> int:
        """Returns the number in the file of line ``index`` of this block, counted from 0."""
        return self.first_line + index if self.lines is None else int(self.lines[index])

    def line_number_at(self, offset: int) -> int:
        """Returns the number in the file of the line that holds the byte at ``offset``."""
        return self.line_number(self.text.count(b"\n", 0, offset))

    def line_at(self, offset: int) -> str:
        """Returns the line around the byte at ``offset``, shortened for a message."""
        start = self.text.rfind(b"\n", 0, offset) + 1
        return shown(self.text[start : min(self.text.find(b"\n", offset), start + 200)])


def shown(raw: bytes) -> str:
    """Writes bytes of a file as a short quoted string for a message."""
    text = raw.strip().decode("utf-8", "replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


class Source:
    """An open interaction file: its name for messages, its first bytes, and content to read once.

    Args:
        path: a file, or ``"-"`` for standard input. Compression is recognised by gzip's first two
            bytes.
    """

    def __init__(self, path: str) -> None:
        self.name = "standard input" if path == "-" else path
        self._path = path

    def __enter__(self) -> Source:
        raw = sys.stdin.buffer if self._path == "-" else open(self._path, "rb")
        self._raw = raw
        self._outer = io.BufferedReader(cast(io.RawIOBase, raw), 1 << 16)
        self._kept = b""
        try:
            zipped = self._outer.peek(2)[:2] == b"\x1f\x8b"
            self._stream: Any = gzip.GzipFile(fileobj=self._outer) if zipped else self._outer
            self._kept = self._read(BLOCK_BYTES)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.detach()
        if self._path != "-":
            self._raw.close()

    def head(self) -> bytes:
        """Returns the first block of the content, unpacked; reading it here takes nothing away."""
        return self._kept

    def everything(self) -> bytes:
        """Reads the whole content, unpacked."""
        parts = []
        while part := self._read(BLOCK_BYTES):
            parts.append(part)
        return b"".join(parts)

    def mapped(self) -> mmap.mmap | bytearray:
        """Maps the whole content of a plain file into memory; of anything else it makes a copy.

        It can be written to, as compiled kernels expect of arrays; what is written stays in memory.
        """
        if self._path != "-" and self._stream is self._outer:
            found = os.fstat(self._raw.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size > 0:
                return mmap.mmap(self._raw.fileno(), 0, access=mmap.ACCESS_COPY)
        return bytearray(self.everything())

    def blocks(self) -> Iterator[Block]:
        """Yields the content as blocks of whole lines.

        There is no byte order mark and no NUL byte in them, and ``\\n`` after the last line.
        """
        line, rest = 1, b""
        while part := self._read(BLOCK_BYTES):
            if line == 1 and not rest:
                part = part.removeprefix(b"\xef\xbb\xbf")
            cut = part.rfind(b"\n") + 1
            if cut == 0:
                rest += part
                if len(rest) > LINE_BYTES:
                    raise DataError(
                        f"{self.name}, line {line}: expected lines of text, found one of over {LINE_BYTES:,} bytes."
                    )
                continue
            yield self._checked(Block(rest + part[:cut], line))
            line += part.count(b"\n")
            rest = part[cut:]
        if rest:
            yield self._checked(Block(rest + b"\n", line))

    def refuse(self, line: int, expected: str, found: str, advice: str = "") -> DataError:
        """Makes the error about a bad line, to raise."""
        return DataError(
            f"{self.name}, line {line}: expected {expected}, found {found}{'; ' if advice else ''}{advice}."
        )

    def _checked(self, block: Block) -> Block:
        nul = block.text.find(b"\0")
        if nul >= 0:
            raise self.refuse(
                block.line_number_at(nul), "text in UTF-8", "a NUL byte", "convert the file to UTF-8 text"
            )
        return block

    def _read(self, size: int) -> bytes:
        if self._kept:
            kept, self._kept = self._kept, b""
            return kept
        try:
            return self._stream.read(size)  # both streams are buffered: less than asked for means the end
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{self.name} is a damaged gzip file ({error}); fetch or compress it again."
            ) from error


def line_starts(block: Array) -> Array:
    """Finds the first byte of each line in a uint8 array that ends in a newline."""
    ends = np.flatnonzero(block == 10)
    return np.concatenate([np.zeros(1, dtype=ends.dtype), ends[:-1] + 1])
