"""The packets of federated learning: what a server asks, and what a client answers. NumPy alone.

All numbers are little-endian. A question (down) is a header of 48 bytes,

    ========  =====  ================================================================
    ``magic``  4s     ``SRFq``
    version    u8     1
    kind       u8     a member of :class:`Kind`
    lands      u8     1 where the answer lists the client's items, else 0
    most       u8     highest shift of an answer
    tag        u32    of this pass of this training
    width      u32    columns
    n_items    u64    items of the catalogue
    grid       i32    an answer's values are whole multiples of ``2 ** grid``
    seed       u64    of the signs, where rows are signs; or of the negatives
    list       u32    length of the lists that are measured, or number of negatives
    ridge      f64    weight of a row's length, where rows are solved for
    ========  =====  ================================================================

and then the arrays of its kind. An answer (up) is 14 bytes (version u8, tag u32, token u64, shift
u8), the items where they are asked for, ``width`` values int8, and a CRC-32 of all before it. Items
are a count and then gaps from each to the next, as LEB128: seven bits a byte, the lowest first. A
value v stands for the whole number ``v << shift``, times ``2 ** grid``: so sums of answers are sums
of whole numbers, the same in any order.
"""

from __future__ import annotations

import enum
import hashlib
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.errors import PacketError

Array = npt.NDArray[Any]

MAGIC, VERSION = b"SRFq", 1
QUESTION = struct.Struct("<4sBBBBIIQiQId")
ANSWER = struct.Struct("<BIQB")
CHECK = struct.Struct("<I")
MEASURED = struct.Struct("<III")  # 1 where there is something to find, and two parts of ``WHOLE``
WHOLE = 1 << 16  # in which parts of a user's best figure are counted
LARGEST = 127  # of a value before it is shifted
NONE = np.empty(0, np.float32)


class Kind(enum.IntEnum):
    """What a question asks for."""

    COUNT = 0  # the items alone
    SIGNS = 1  # the mean of rows of signs that are drawn from the seed, each times its item's scale
    ROWS = 2  # the mean of the items' rows
    SOLVE = 3  # the row that ridge regression gives from the items' rows
    RANK = 4  # how well held-out items are found by a model
    GRADIENT = 5  # the gradient of a loss at a sparse table; see sparserec_np/federated/gradient.py


WITH_CONTENT = (Kind.RANK, Kind.GRADIENT)  # that hold a model, whose length says itself


@dataclass(frozen=True)
class Question:
    """What a server asks all clients in a pass.

    Attributes:
        kind: what is asked for.
        tag: of the pass.
        n_items: items of the catalogue; they are numbered from 0.
        width: values of an answer.
        lands: whether an answer lists the client's items.
        grid, most: the values of an answer are int8, shifted by at most ``most``, times ``2 **
            grid``.
        seed: of signs.
        ridge: see :class:`Kind`.
        list_length: of lists that are measured; or how many negatives are drawn.
        scales: (n_items,) float32, of each row.
        rows: (n_items, width) int8, where they are sent.
        base: (width, width) float32, what all rows that are solved for share.
        model: a model file to rank by, or the table that a gradient is taken of.
    """

    kind: Kind
    tag: int
    n_items: int
    width: int = 0
    lands: bool = True
    grid: int = 0
    most: int = 0
    seed: int = 0
    ridge: float = 0.0
    list_length: int = 20
    scales: Array = field(default_factory=lambda: NONE)
    rows: Array = field(default_factory=lambda: np.empty((0, 0), np.int8))
    base: Array = field(default_factory=lambda: NONE)
    model: bytes = b""

    def encode(self) -> bytes:
        """Writes the packet."""
        head = QUESTION.pack(
            MAGIC,
            VERSION,
            self.kind,
            self.lands,
            self.most,
            self.tag,
            self.width,
            self.n_items,
            self.grid,
            self.seed,
            self.list_length,
            self.ridge,
        )
        arrays = (self.scales.astype("<f4"), self.rows.astype("<i1"), self.base.astype("<f4"))
        return b"".join([head, *(array.tobytes() for array in arrays), self.model])

    @classmethod
    def decode(cls, packet: bytes) -> Question:
        """Reads a packet, whose arrays stay where they are.

        Raises:
            PacketError: it is none, or of another length than it says.
        """
        if len(packet) < QUESTION.size or packet[:4] != MAGIC:
            raise PacketError("garbage", "Expected a question of a federated server, found other bytes")
        _, version, kind, lands, most, tag, width, n_items, grid, seed, length, ridge = QUESTION.unpack_from(
            packet
        )
        if version != VERSION or kind not in list(Kind):
            raise PacketError(
                "garbage",
                f"The question is of version {version} and kind {kind}, expected version {VERSION} and a kind up to"
                f" {max(Kind)}: update the client",
            )
        sizes = _sizes(Kind(kind), n_items, width)
        if kind not in WITH_CONTENT and len(packet) != QUESTION.size + sum(sizes):
            raise PacketError(
                "length",
                f"The question has {len(packet):,} bytes, expected {QUESTION.size + sum(sizes):,}: ask for it again",
            )
        ends = np.cumsum([QUESTION.size, *sizes]).tolist()
        scales, rows, base = (
            np.frombuffer(packet, dtype, (stop - start) // np.dtype(dtype).itemsize, start)
            for dtype, start, stop in zip(("<f4", "<i1", "<f4"), ends[:-1], ends[1:], strict=True)
        )
        shaped = rows.reshape(-1, width) if len(rows) else rows.reshape(0, width)
        square = base.reshape(width, width) if len(base) else base
        model = packet[QUESTION.size :] if kind in WITH_CONTENT else b""
        return cls(
            Kind(kind),
            tag,
            n_items,
            width,
            bool(lands),
            grid,
            most,
            seed,
            ridge,
            length,
            scales,
            shaped,
            square,
            model,
        )


def _sizes(kind: Kind, n_items: int, width: int) -> tuple[int, int, int]:
    """Counts the bytes of scales, rows and base in a question."""
    has_rows = kind in (Kind.ROWS, Kind.SOLVE)
    scales = 4 * n_items if has_rows or kind == Kind.SIGNS else 0
    return scales, n_items * width if has_rows else 0, 4 * width**2 if kind == Kind.SOLVE else 0


@dataclass(frozen=True)
class Answer:
    """What a client answers.

    Attributes:
        tag: of the pass that it is for.
        token: the client's number in this pass, at random.
        items: (m,) int64 ascending, or empty where they are not asked for.
        shift: bits that the values are shifted by.
        values: (width,) int8; of a measured list the three numbers of ``MEASURED``; of a gradient
            what :func:`~sparserec_np.federated.gradient.gradient_of` reads.
    """

    tag: int
    token: int
    items: Array
    shift: int
    values: Array

    def encode(self, lands: bool) -> bytes:
        """Writes the packet, with the items if it ``lands``."""
        head = ANSWER.pack(VERSION, self.tag, self.token, self.shift)
        listed = encode_items(self.items) if lands else b""
        packet = head + listed + self.values.tobytes()
        return packet + CHECK.pack(zlib.crc32(packet))

    @classmethod
    def decode(cls, packet: bytes, question: Question) -> Answer:
        """Reads the answer to a question.

        Raises:
            PacketError: it is damaged, for another pass, or says what no answer to it can.
        """
        if len(packet) < ANSWER.size + CHECK.size:
            raise PacketError("length", f"An answer has {len(packet)} bytes, which is too short to be one")
        body = packet[: -CHECK.size]
        if CHECK.unpack_from(packet, len(body))[0] != zlib.crc32(body):
            raise PacketError("garbage", "An answer is damaged: its check sum is another")
        version, tag, token, shift = ANSWER.unpack_from(body)
        if version != VERSION:
            raise PacketError("garbage", f"An answer is of version {version}, expected {VERSION}")
        if tag != question.tag:
            raise PacketError("pass", "An answer is for another pass, or another training")
        if shift > question.most:
            raise PacketError(
                "overflow", f"An answer is shifted by {shift} bits, at most {question.most} may be"
            )
        end = ANSWER.size
        items = np.empty(0, np.int64)
        if question.lands:
            items, end = decode_items(body, end, question.n_items)
        measured = question.kind == Kind.RANK
        wanted = MEASURED.size if measured else question.width
        if question.kind != Kind.GRADIENT and len(body) - end != wanted:
            raise PacketError(
                "length", f"An answer has {len(body) - end:,} bytes of values, expected {wanted:,}"
            )
        values = np.frombuffer(body, "<u4" if measured else "<i1", offset=end)
        if measured and not (values[0] <= 1 and values[1:].max() <= values[0] * WHOLE):
            raise PacketError("overflow", "An answer says that a list is better than a list can be")
        if not measured and len(values) and values.min() < -LARGEST:
            raise PacketError("overflow", f"An answer has a value below {-LARGEST}")
        return cls(tag, token, items, shift, values)


def encode_items(items: Array) -> bytes:
    """Writes ascending item numbers as a count and gaps.

    >>> list(encode_items(np.array([3, 4, 204])))
    [3, 3, 0, 199, 1]
    """
    gaps = np.diff(items, prepend=-1) - 1
    written = bytearray()
    for number in (len(items), *gaps.tolist()):
        while number >= 128:
            written.append(number & 127 | 128)
            number >>= 7
        written.append(number)
    return bytes(written)


def decode_items(body: bytes, start: int, n_items: int) -> tuple[Array, int]:
    """Reads item numbers below ``n_items``, and where they end.

    Raises:
        PacketError: there are more than ``n_items``, or they end too late.

    >>> items, end = decode_items(bytes([3, 3, 0, 199, 1]), 0, 205)
    >>> items.tolist(), end
    ([3, 4, 204], 5)
    """
    count, place = _number(body, start)
    if count > min(n_items, len(body) - place):
        raise PacketError("items", f"An answer lists {count:,} items, more than it can")
    items, item = [], -1
    for _ in range(count):
        gap, place = _number(body, place)
        item += gap + 1
        if item >= n_items:
            raise PacketError("items", f"An answer lists item {item:,}, of {n_items:,} that there are")
        items.append(item)
    return np.array(items, np.int64), place


def _number(body: bytes, place: int) -> tuple[int, int]:
    """Reads a number of at most five bytes, and returns the place behind it."""
    number = 0
    for shift in range(0, 35, 7):
        if place >= len(body):
            raise PacketError("length", "An answer ends within a list of items")
        byte = body[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise PacketError("items", "An answer has a number of more than five bytes")


def on_grid(values: Array, grid: int, most: int) -> tuple[Array, int]:
    """Rounds ``values`` (n,) to int8 on the grid ``2 ** grid``, and finds the shift that they need.

    What lies beyond the largest that can be said is cut to it.

    >>> on_grid(np.array([1.0, -300.0, 2.6]), 0, 8)
    (array([  0, -75,   1], dtype=int8), 2)
    """
    scaled = np.asarray(values, np.float64) * 2.0**-grid
    largest = float(np.abs(scaled).max()) if len(scaled) else 0.0
    shift = 0
    while shift < most and largest > LARGEST * 2.0**shift:
        shift += 1
    return np.clip(np.rint(scaled * 2.0**-shift), -LARGEST, LARGEST).astype(np.int8), shift


def grid_for(largest: float, most: int) -> int:
    """Finds the finest grid on which values up to ``largest`` can be said with a shift of ``most``.

    >>> grid_for(127 * 2.0**5, 5), grid_for(128 * 2.0**5, 5)
    (0, 1)
    """
    return int(np.ceil(np.log2(max(largest, 1e-30) / LARGEST))) - most


def signs_of(seed: int, item: int, width: int) -> Array:
    """Draws the signs of an item: (width,) float32 of 1 and -1.

    They are the bits of SHAKE-128 of the seed and the item, 8 bytes each, the highest bit of a byte
    first; 1 is +1.

    >>> signs_of(1, 2, 4).tolist()
    [1.0, -1.0, -1.0, 1.0]
    """
    drawn = hashlib.shake_128(struct.pack("<QQ", seed, item)).digest(-(-width // 8))
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8), count=width)
    return np.asarray(bits.astype(np.float32) * 2 - 1)


def quantised(rows: Array) -> tuple[Array, Array]:
    """Rounds each of ``rows`` (n, width) to int8: scales (n,) float32 and values (n, width).

    >>> scales, values = quantised(np.array([[1.0, -2.0], [0.0, 0.0]]))
    >>> values.tolist()
    [[64, -127], [0, 0]]
    """
    scales = (np.abs(rows).max(axis=1) / LARGEST).astype(np.float32)
    scales[scales == 0] = 1
    return scales, np.rint(rows / scales[:, None]).astype(np.int8)
