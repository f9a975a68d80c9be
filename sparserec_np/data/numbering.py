"""Numbers for texts: each that differs gets one, block by block, by whole arrays.

A text is a few words of eight bytes. These are mixed to one number of 64 bits, which is looked up
in a table with open addresses. Whom it finds is compared word by word, so that a text is never
taken for another; the few that share a number with another, and long ones, are looked up one by
one.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WORD = 8  # bytes
LONG = 256  # bytes; longer texts are rare, and each word takes a few calls
FIRST_BITS = 12  # of the table's size
AT_ONCE = 1 << 18  # words
# Drawn anew in each process, so that nobody can write a file whose texts all meet in the table.
# What is read does not depend on them.
_MIXERS = np.frombuffer(os.urandom(3 * WORD), dtype=np.uint64) | np.uint64(1)
_HIGH = np.uint64(0x8080808080808080)  # set in bytes that are no ASCII
# Which bytes of the last word are a text's own, by their number.
_OWN = np.array([(1 << WORD * size) - 1 for size in range(WORD + 1)], dtype=np.uint64)


class TextNumbers:
    """The numbers of texts, from 0 on, and the texts themselves.

    Attributes:
        count: how many different ones there have been.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sizes, self._begins = _Growing(np.int64), _Growing(np.int64)  # bytes, and place among words
        self._words, self._mixed = _Growing(np.uint64), _Growing(np.uint64)
        self._others: dict[bytes, int] = {}
        self._bits = FIRST_BITS
        self._make_table()

    def take(self, text: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
        """Numbers pieces of a text.

        Args:
            text: ``(bytes,)`` uint8.
            starts: ``(n,)`` offset of the first byte of each piece.
            ends: ``(n,)`` offset after the last.

        Returns:
            ``(n,)`` int32 numbers, and ascending which pieces are the first of their number.
        """
        sizes = ends - starts
        padded = np.zeros(text.size + WORD, dtype=np.uint8)
        padded[: text.size] = text
        short = sizes <= LONG
        if short.all():
            words = _words_of(padded, starts, sizes)
            codes, fresh = self._take_short(words, sizes)
            wrong = self._differ(codes, words, sizes)
        else:
            rows = np.flatnonzero(short)
            words = _words_of(padded, starts[rows], sizes[rows])
            found, fresh = self._take_short(words, sizes[rows])
            odd = rows[self._differ(found, words, sizes[rows])]
            codes, fresh = np.empty(sizes.size, dtype=np.int32), rows[fresh]
            codes[rows] = found
            wrong = np.union1d(odd, np.flatnonzero(~short))
        if wrong.size:
            more = self._take_others(padded, starts, ends, wrong, codes)
            fresh = np.union1d(fresh, more)
        return codes, fresh

    # ---- the texts, by their numbers

    @property
    def sizes(self) -> Array:
        """The bytes of each text: ``(count,)`` int64."""
        return self._sizes.taken()

    def are_ascii(self) -> bool:
        """Tells whether no text has a byte above 127."""
        words = self._words.taken()
        return not any((words[at : at + AT_ONCE] & _HIGH).any() for at in range(0, words.size, AT_ONCE))

    def cut(self, numbers: Array) -> list[bytes]:
        """Lists the texts of some numbers (m,)."""
        whole = self._words.taken().astype("<u8", copy=False).view(np.uint8)
        begins = (self._begins.taken()[numbers] * WORD).tolist()
        sizes = self.sizes[numbers].tolist()
        return [whole[begin : begin + size].tobytes() for begin, size in zip(begins, sizes, strict=True)]

    def written(self, numbers: Array, width: int) -> Array:
        """Writes the texts of some numbers (m,) out, with zeros behind each: ``(m, width)`` uint8."""
        words = np.zeros((numbers.size, -(-width // WORD)), dtype="<u8")
        sizes = self.sizes[numbers]
        for place in range(words.shape[1]):
            there = np.flatnonzero(sizes > place * WORD)
            words[there, place] = self._words.taken()[self._begins.taken()[numbers[there]] + place]
        return words.view(np.uint8)[:, :width]

    def order(self) -> Array:
        """Sorts the texts byte by byte: ``(count,)`` their numbers, from the first text to the last.

        All are sorted by their first words, those that are equal by their second ones, and so on.
        The few that have more words than that in common are sorted by Python.
        """
        key = self._keys_at(0, np.arange(self.count))
        order = np.argsort(key)
        rows, runs = _equal(key[order], np.zeros(order.size, dtype=np.int32), np.arange(order.size))
        place = 1
        while rows.size and place < LONG // WORD:
            some = order[rows]
            left = bool((self.sizes[some] > place * WORD).any())
            key = self._keys_at(place, some) if left else self.sizes[some]  # a zero is longer than nothing
            by = np.lexsort((key, runs))
            order[rows] = some[by]
            rows, runs = _equal(key[by], runs, rows)
            place += 1
        names = list(zip(runs.tolist(), self.cut(order[rows]), strict=True))
        order[rows] = order[rows[sorted(range(len(names)), key=names.__getitem__)]]
        return order

    def _keys_at(self, place: int, numbers: Array) -> Array:
        """Returns the words of some texts (m,) at a place, as numbers that sort as their bytes do."""
        key = np.zeros(numbers.size, dtype=np.uint64)
        there = np.flatnonzero(self.sizes[numbers] > place * WORD)
        key[there] = self._words.taken()[self._begins.taken()[numbers[there]] + place].byteswap()
        return key

    # ---- texts of a few words

    def _take_short(self, words: list[tuple[Array | None, Array]], sizes: Array) -> tuple[Array, Array]:
        """Numbers texts by what their words are mixed to; returns numbers, and the first rows."""
        mixed = _mixed(words, sizes)
        codes = self._find(mixed)
        rows = np.flatnonzero(codes < 0)
        if not rows.size:
            return codes, rows
        different, first, inverse = np.unique(mixed[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)  # as they come
        fresh, place = rows[first[order]], np.empty(order.size, dtype=np.int32)
        place[order] = np.arange(self.count, self.count + order.size, dtype=np.int32)
        codes[rows] = place[inverse.reshape(-1)]
        self._keep(words, sizes, fresh)
        self._mixed.add(different[order])
        self._enter(different[order], place[order])
        return codes, fresh

    def _keep(self, words: list[tuple[Array | None, Array]], sizes: Array, rows: Array) -> None:
        """Keeps the words of new texts, one text after another."""
        own = sizes[rows]
        counts = (own + WORD - 1) // WORD
        ends = np.cumsum(counts)
        begins = ends - counts
        kept = np.zeros(int(ends[-1]), dtype=np.uint64)
        for place, (which, values) in enumerate(words):
            there = np.flatnonzero(counts > place)
            if not there.size:
                break
            at = rows[there] if which is None else np.searchsorted(which, rows[there])
            kept[begins[there] + place] = values[at]
        self._begins.add(begins + self._words.size)
        self._words.add(kept)
        self._sizes.add(own)
        self.count += rows.size

    def _differ(self, codes: Array, words: list[tuple[Array | None, Array]], sizes: Array) -> Array:
        """Finds the rows whose text is another than that of their number."""
        kept, begins = self._words.taken(), self._begins.taken().take(codes)
        wrong = self._sizes.taken().take(codes) != sizes
        for place, (which, values) in enumerate(words):  # those of another size may have fewer
            if which is None:
                wrong |= kept.take(begins + place, mode="clip") != values
            else:
                wrong[which] |= kept.take(begins[which] + place, mode="clip") != values
        return np.flatnonzero(wrong)

    # ---- the table

    def _make_table(self) -> None:
        self._keys = np.zeros(1 << self._bits, dtype=np.uint64)
        self._codes = np.full(1 << self._bits, -1, dtype=np.int32)  # -1 where nobody is

    def _slots(self, mixed: Array) -> Array:
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)

    def _find(self, mixed: Array) -> Array:
        """Looks numbers (n,) uint64 up: ``(n,)`` int32, -1 where one is not there."""
        slots = self._slots(mixed)
        codes = self._codes.take(slots)
        same = self._keys.take(slots) == mixed
        rest = np.flatnonzero(~same & (codes >= 0))
        codes[~same] = -1
        while rest.size:
            slots[rest] = at = (slots[rest] + 1) & (self._keys.size - 1)
            found = self._codes[at]
            same = self._keys[at] == mixed[rest]
            there = same & (found >= 0)
            codes[rest[there]] = found[there]
            rest = rest[~same & (found >= 0)]
        return codes

    def _enter(self, mixed: Array, codes: Array) -> None:
        """Enters different numbers, (n,) uint64, that are not there; makes room first."""
        if 2 * self._mixed.size > self._keys.size:
            while 2 * self._mixed.size > 1 << self._bits:
                self._bits += 1
            self._make_table()
            mixed = self._mixed.taken()
            codes = self._numbers_of_mixed()
        slots, rest = self._slots(mixed), np.arange(mixed.size)
        while rest.size:
            free = rest[self._codes[slots[rest]] < 0]
            self._codes[slots[free]] = codes[free]  # of several that want a place, one gets it
            got = self._codes[slots[rest]] == codes[rest]
            settled = rest[got]
            self._keys[slots[settled]] = mixed[settled]
            rest = rest[~got]
            slots[rest] = (slots[rest] + 1) & (self._keys.size - 1)

    def _numbers_of_mixed(self) -> Array:
        """Lists the numbers of the texts in the table: all but those that are looked up one by one."""
        others = np.zeros(self.count, dtype=bool)
        others[list(self._others.values())] = True
        return np.flatnonzero(~others).astype(np.int32)

    # ---- others, one by one

    def _take_others(self, padded: Array, starts: Array, ends: Array, rows: Array, codes: Array) -> Array:
        """Numbers the texts of some rows; writes into ``codes``, and returns the first rows."""
        fresh = []
        for row in rows.tolist():
            start, end = int(starts[row]), int(ends[row])
            name = padded[start:end].tobytes()
            number = self._others.get(name)
            if number is None:
                number = self._others[name] = self.count
                fresh.append(row)
                kept = np.zeros(-(-len(name) // WORD) * WORD, dtype=np.uint8)
                kept[: len(name)] = padded[start:end]
                self._begins.add(np.array([self._words.size]))
                self._words.add(kept.view("<u8"))
                self._sizes.add(np.array([len(name)]))
                self.count += 1
            codes[row] = number
        return np.array(fresh, dtype=np.int64)


class _Growing:
    """An array that grows at its end.

    Attributes:
        size: how many values it holds.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.size = 0
        self._room = np.zeros(1024, dtype=dtype)

    def add(self, values: Array) -> None:
        """Puts values behind the others."""
        size = self.size + values.size
        if size > self._room.size:
            larger = np.zeros(max(size, self._room.size * 3 // 2), dtype=self._room.dtype)
            larger[: self.size] = self._room[: self.size]
            self._room = larger
        self._room[self.size : size] = values
        self.size = size

    def taken(self) -> Array:
        """Returns the values, (size,), as a view."""
        return self._room[: self.size]


def _equal(key: Array, runs: Array, rows: Array) -> tuple[Array, Array]:
    """Finds what a key leaves undecided: the rows that are in a run of equal ones, and their runs.

    Args:
        key: ``(m,)``, ascending within each run.
        runs: ``(m,)`` which run of before each is in, ascending.
        rows: ``(m,)`` the row of each.
    """
    new = np.ones(key.size + 1, dtype=bool)  # where a run begins, and the end
    new[1:-1] = (key[1:] != key[:-1]) | (runs[1:] != runs[:-1])
    shared = ~(new[:-1] & new[1:])
    return rows[shared], np.cumsum(new[:-1], dtype=np.int32)[shared]


def _words_of(padded: Array, starts: Array, sizes: Array) -> list[tuple[Array | None, Array]]:
    """Cuts texts (n,) into words: of each place, which texts have it (None for all), and the words."""
    whole = np.ndarray((padded.size - WORD + 1,), dtype="V8", buffer=padded, strides=(1,))
    words: list[tuple[Array | None, Array]] = []
    shortest, longest = int(sizes.min(initial=LONG)), int(sizes.max(initial=0))
    for place in range(-(-longest // WORD)):
        begin = place * WORD
        which = None if shortest > begin else np.flatnonzero(sizes > begin)
        at, left = (starts, sizes) if which is None else (starts[which], sizes[which])
        values = whole[at + begin].view("<u8").astype(np.uint64, copy=False)
        if shortest < begin + WORD:
            values &= _OWN[np.minimum(left - begin, WORD)]
        words.append((which, values))
    return words


def _mixed(words: list[tuple[Array | None, Array]], sizes: Array) -> Array:
    """Mixes the words of each text to one number, ``(n,)`` uint64."""
    first, second, third = _MIXERS
    mixed = sizes.astype(np.uint64) * third
    for which, values in words:
        if which is None:
            mixed ^= values
            mixed *= first
            mixed ^= mixed >> np.uint64(29)
        else:
            some = (mixed[which] ^ values) * first
            mixed[which] = some ^ (some >> np.uint64(29))
    mixed *= second
    mixed ^= mixed >> np.uint64(32)
    mixed *= first
    return mixed
