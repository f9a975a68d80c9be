"""A file or standard input, compressed or not, as blocks of whole lines that know their numbers."""

from __future__ import annotations

import codecs
import io
import mmap
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sparserec_np import runtime
from sparserec_np.data.formats.packed import is_damage, unpacked
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

# Large enough that NumPy's cost per call vanishes, small enough for the arrays made of a block to
# stay in the cache.
BLOCK_BYTES = 1 << 19
# A line longer than this is no interaction: the widest user of any public data set needs a
# hundredth of it.
LINE_BYTES = 1 << 28

# The longer mark first: that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


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
    text = raw[:300].strip().decode("utf-8", "replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


class Source:
    """An open interaction file: its name for messages, its first bytes, and content to read once.

    Args:
        path: a file, or ``"-"`` for standard input; see
            :mod:`~sparserec_np.data.formats.packed` for what may be compressed.
        encoding: of its text; by default UTF-8, or what a byte order mark says.

    Attributes:
        name: for messages.
        ending: the name by whose ending the format may be told: of the file in an archive, if it is
            one.
        unit: what is numbered in messages.
    """

    def __init__(self, path: str, encoding: str | None = None) -> None:
        self.name = self.ending = "standard input" if path == "-" else path
        self.unit = "line"  # what is numbered in messages
        self.unread: list[str] = []  # names of columns that are none of those that are read
        self._path = path
        self._encoding = encoding

    def __enter__(self) -> Source:
        if self._path == "-" and sys.stdin is None:
            raise DataError("Standard input is closed; name a file, or send the interactions to it.")
        raw = sys.stdin.buffer if self._path == "-" else open(self._path, "rb")
        self._raw = raw
        self._outer = io.BufferedReader(cast(io.RawIOBase, raw), 1 << 16)
        self._kept = b""
        try:
            self._stream: Any
            self._stream, self._packed, inside = unpacked(self._outer, self.name)
            self.ending = inside or self.name
            self._kept, self._ended = self._first_block()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.detach()
        if self._path != "-":
            self._raw.close()

    @property
    def path(self) -> str | None:
        """The path of a plain file; None for what is compressed or comes from a pipe."""
        plain = self._path != "-" and self._stream is self._outer
        return self._path if plain and stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode) else None

    def head(self) -> bytes:
        """Returns the first block of the content, unpacked; reading it here takes nothing away.

        It is as long as a block, or as the first line where that is longer.
        """
        return self._kept

    def lines(self, most: int) -> list[tuple[int, bytes]]:
        """Returns at most so many lines from the beginning, with their numbers, without line ends.

        Blank ones are left out, and a line that the head does not hold to its end, unless it is the
        only one.
        """
        decode = self._decoder()
        text = decode.text(self._kept, self._ended)
        if not self._ended and b"\n" in text:
            text = text[: text.rfind(b"\n") + 1]
        numbered = ((at, line.rstrip(b"\n")) for at, line in enumerate(io.BytesIO(text), 1))
        return list(islice(((at, line) for at, line in numbered if line.strip()), most))

    def everything(self) -> bytes:
        """Reads the whole content, unpacked."""
        return b"".join(self.parts())

    def parts(self) -> Iterator[bytes]:
        """Yields the content, unpacked, part by part."""
        while part := self._read(BLOCK_BYTES):
            yield part

    def mapped(self) -> mmap.mmap | bytearray:
        """Maps the whole content of a plain file into memory; of anything else it makes a copy.

        It can be written to, as compiled kernels expect of arrays; what is written stays in memory.
        On Windows, too, it is a copy: no file that is mapped can be replaced there, so what is made
        of one could not be written over it, and would be lost.
        """
        if runtime.MAPS_FILES and self.path is not None and os.fstat(self._raw.fileno()).st_size > 0:
            return mmap.mmap(self._raw.fileno(), 0, access=mmap.ACCESS_COPY)
        return bytearray(self.everything())

    def blocks(self) -> Iterator[Block]:
        """Yields the content as blocks of whole lines.

        They are UTF-8 where the encoding is another. There is no byte order mark and no NUL byte in
        them, every line ends in ``\\n``, also where the file has ``\\r\\n`` or ``\\r``, and so does
        the last.
        """
        decode, line = self._decoder(), 1
        rest: list[bytes] = []  # of a line that is not yet at its end
        ended = False
        while not ended:
            raw = self._read(BLOCK_BYTES)
            ended = not raw
            part = decode.text(raw, ended)
            cut = part.rfind(b"\n") + 1
            if (
                part.isspace() and not b"".join(rest).strip()
            ):  # a small compressed file may unpack to nothing but these
                line += part.count(b"\n")
                rest = [part[cut:]]
                continue
            if cut == 0:
                rest.append(part)
                if sum(map(len, rest)) > LINE_BYTES:
                    raise DataError(
                        f"{self.name}, line {line}: expected lines of text, found one of over {LINE_BYTES:,} bytes."
                    )
                continue
            yield self._checked(Block(b"".join([*rest, part[:cut]]), line))
            line += part.count(b"\n")
            rest = [part[cut:]]
        if last := b"".join(rest):
            yield self._checked(Block(last + b"\n", line))

    def refuse(self, line: int, expected: str, found: str, advice: str = "") -> DataError:
        """Makes the error about a bad line, to raise."""
        return DataError(
            f"{self.name}, {self.unit} {line}: expected {expected}, found {found}{'; ' if advice else ''}{advice}."
        )

    def _checked(self, block: Block) -> Block:
        nul = block.text.find(b"\0")
        if nul >= 0:
            raise self.refuse(
                block.line_number_at(nul),
                "text in UTF-8",
                "a NUL byte",
                "convert the file to UTF-8 text, or name its --encoding",
            )
        return block

    def _first_block(self) -> tuple[bytes, bool]:
        """Reads until there is a whole line; returns what was read, and whether that is all."""
        parts: list[bytes] = []
        while True:
            part = self._read(BLOCK_BYTES)
            parts.append(part)
            if not part or b"\n" in part or b"\r" in part or len(parts) * BLOCK_BYTES > LINE_BYTES >> 4:
                return b"".join(parts), not part or len(part) < BLOCK_BYTES

    def _decoder(self) -> _Decoder:
        name = self._encoding
        if name is None:
            name = next((known for mark, known in _MARKS.items() if self._kept.startswith(mark)), None)
        return _Decoder(self.name, name)

    def _read(self, size: int) -> bytes:
        if self._kept:
            kept, self._kept = self._kept, b""
            return kept
        try:
            return self._stream.read(size)  # both streams are buffered: less than asked for means the end
        except Exception as error:
            if not self._packed or not is_damage(error):
                raise
            raise DataError(
                f"{self.name} is a damaged {self._packed} ({error}); fetch or compress it again."
            ) from error


class _Decoder:
    """The way from a file's bytes, part by part, to UTF-8 whose lines end in ``\\n``.

    Args:
        name: of the file, for messages.
        encoding: None for UTF-8, which is not looked at here.
    """

    def __init__(self, name: str, encoding: str | None) -> None:
        self._name, self._encoding = name, encoding
        own = encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        self._decode = None if own else codecs.getincrementaldecoder(str(encoding))()
        self._begun = self._carriage = False
        self._lines = 1

    def text(self, part: bytes, final: bool) -> bytes:
        """Converts a part; ``final`` tells whether it is the last."""
        if self._decode is not None:
            try:
                part = self._decode.decode(part, final).encode("utf-8")
            except UnicodeError as error:
                raise DataError(
                    f"{self._name} is not in the encoding {self._encoding}: after line {self._lines:,} it holds"
                    f" {getattr(error, 'reason', error)}; name another --encoding."
                ) from None
        if not self._begun and part:
            self._begun, part = True, part.removeprefix(codecs.BOM_UTF8)
        if part:
            if self._carriage:  # its line end has been written
                part = part.removeprefix(b"\n")
            self._carriage = part.endswith(b"\r")
            if b"\r" in part:
                part = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._decode is not None:
            self._lines += part.count(b"\n")
        return part


def line_starts(block: Array) -> Array:
    """Finds the first byte of each line in a uint8 array that ends in a newline."""
    ends = np.flatnonzero(block == 10)
    return np.concatenate([np.zeros(1, dtype=ends.dtype), ends[:-1] + 1])
