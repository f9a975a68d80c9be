"""Sums that hide their parts: masks between neighbours, which cancel when all are added.

As in Bonawitz et al. 2017, with the graph of Bell et al. 2020. Clients are numbered, and each
shares a key with its neighbours (X25519). It adds to its vector a mask of its own, and for each
neighbour a mask of their key, which the one of them adds and the other takes away (ChaCha20). So
what it sends is uniform at random to whoever has not the keys. Before, it deals shares of its
private key and of the seed of its own mask to its neighbours (Shamir 1979). When all have sent, or
are gone, those who are left reveal of each neighbour one of the two: the seed's share of one who
has sent, the key's share of one who has not. A threshold of shares gives the server what it has to
take away, and no more.

The server is taken to be honest about who has sent; it may read all that it gets. A server that
makes up clients, or tells different ones different things, is not kept out.

Numbers are whole, modulo 2 ** 64, or 2 ** 32 where no sum of so many clients can be larger. So the
sum is that of the plain vectors, to the last bit. This module needs the package ``cryptography``
(``pip install "sparserec_np[secure]"``).
"""

from __future__ import annotations

import functools
import importlib.util
import secrets
import struct
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from sparserec_np.errors import PacketError, SparseRecError
from sparserec_np.federated.gradient_sums import GradientSums
from sparserec_np.federated.packets import CHECK, LARGEST, VERSION, WHOLE, Answer, Array, Kind, Question

with suppress(ImportError):  # where it is missing, whoever begins is told
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NEIGHBOURS = 20  # of each client, as far as there are as many
PRIME = 2**521 - 1  # of the field that secrets are shared in
SHARE = 66  # bytes of a number below it
KEYS = struct.Struct("<I32s32s")  # a client's number, and its two public keys
ONCE = bytes(16)  # a key is used for one stream
MASKED = struct.Struct("<BII")  # version, tag of the pass, number in the circle
LARGE = 1 << 31  # of a number that one client can add, as far as 32 bits go


@dataclass(frozen=True)
class Circle:
    """The graph of a pass: clients in a circle whose order is drawn, each with those next to it.

    Attributes:
        clients: how many there are, numbered from 0.
        seed: of the order.
        neighbours: of each client, at most; even.
    """

    clients: int
    seed: int
    neighbours: int = NEIGHBOURS

    def of(self, number: int) -> list[int]:
        """Lists the neighbours of a client, ascending."""
        if self.clients - 1 <= self.neighbours:
            return [other for other in range(self.clients) if other != number]
        order, places = _circle(self.clients, self.seed)
        place = int(places[number])
        steps = [*range(-(self.neighbours // 2), 0), *range(1, self.neighbours // 2 + 1)]
        return sorted(int(order[(place + step) % self.clients]) for step in steps)

    @property
    def threshold(self) -> int:
        """How many of a client's neighbours it takes to reveal one of its secrets: more than a third.

        Of 20 neighbours of whom a fifth have left, fewer than that are there once in half a million
        times; fewer than more than half would be once in 400. More than half would be needed
        against a server that tells some neighbours that a client has sent, and others that it has
        not.
        """
        return min(self.clients - 1, self.neighbours) // 3 + 1


@functools.lru_cache(maxsize=1)
def _circle(clients: int, seed: int) -> tuple[Array, Array]:
    """Draws the order of clients in a circle, and finds the place of each in it."""
    order = np.random.default_rng(seed).permutation(clients)
    return order, np.argsort(order)


class Masker:
    """A client's part in one pass: its keys are for this pass alone.

    Args:
        number: of the client in the circle.
        circle: of the pass.
        least: fewest clients whose sum it helps to open.
    """

    def __init__(self, number: int, circle: Circle, least: int) -> None:
        expect_cryptography()
        self.number, self._circle, self._least = number, circle, least
        self._neighbours = circle.of(number)
        self._mask_key, self._letter_key = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self._seed = secrets.token_bytes(32)
        self._keys: dict[int, tuple[bytes, bytes]] = {}
        self._dealt: dict[int, bytes] = {}
        self._has_sent = self._has_revealed = False

    def public_keys(self) -> bytes:
        """Makes the packet that all neighbours get: the number and two public keys."""
        own = (key.public_key().public_bytes_raw() for key in (self._mask_key, self._letter_key))
        return KEYS.pack(self.number, *own)

    def deal(self, keys: Collection[bytes]) -> dict[int, bytes]:
        """Shares both secrets among the neighbours who have sent keys: a letter for each, by number.

        Raises:
            PacketError: there are too few of them to reveal anything later.
        """
        for packet in keys:
            number, *both = KEYS.unpack(packet)
            if number in self._neighbours:
                self._keys[number] = (both[0], both[1])
        if len(self._keys) < self._circle.threshold:
            raise PacketError("few", f"{len(self._keys)} neighbours are too few to share secrets among")
        points, threshold = sorted(self._keys), self._circle.threshold
        shares = [
            split_secret(secret, points, threshold)
            for secret in (self._mask_key.private_bytes_raw(), self._seed)
        ]
        return {
            number: self._letters(number).encrypt(
                struct.pack("<IQ", self.number, 0),
                b"".join(share[number].to_bytes(SHARE, "little") for share in shares),
                None,
            )
            for number in points
        }

    def take_letter(self, sender: int, letter: bytes) -> None:
        """Keeps what a neighbour has dealt.

        Raises:
            PacketError: it is not of this neighbour, or damaged.
        """
        try:
            self._dealt[sender] = self._letters(sender).decrypt(struct.pack("<IQ", sender, 0), letter, None)
        except (InvalidTag, KeyError) as error:
            raise PacketError("garbage", f"The shares of client {sender} cannot be read") from error

    def masked(self, vector: Array) -> Array:
        """Adds masks to ``vector`` (n,), uint64 or uint32: its own, and one for each who has dealt.

        Raises:
            PacketError: it has sent a vector in this pass; two would tell their difference.
        """
        if self._has_sent:
            raise PacketError("repeated", "A masked vector is sent once: take new keys for another")
        self._has_sent = True
        made = vector + _stream(self._seed, vector)
        for other in self._dealt:
            _add_mask(made, self.number, other, _shared(self._mask_key, self._keys[other][0]))
        return made

    def reveal(self, sent: Collection[int]) -> dict[int, bytes]:
        """Reveals of each neighbour the share of one secret: of the seed of those who have ``sent``.

        Of the others it is that of the key.

        Raises:
            PacketError: so few have sent that their sum would tell of each; or it was asked before,
                and another answer would give both secrets away.
        """
        if self._has_revealed:
            raise PacketError("repeated", "Shares are revealed once")
        if len(set(sent)) < self._least:
            raise PacketError(
                "few",
                f"A sum over {len(set(sent))} clients is not opened, at least {self._least} are asked for",
            )
        self._has_revealed = True
        return {
            number: (shares[SHARE:] if number in sent else shares[:SHARE])
            for number, shares in self._dealt.items()
        }

    def _letters(self, other: int) -> ChaCha20Poly1305:
        """Makes the cipher of letters between two clients."""
        return ChaCha20Poly1305(_shared(self._letter_key, self._keys[other][1]))


class MaskedSum:
    """The server's part in one pass.

    Args:
        circle: of the pass.
        keys: public keys of those who dealt, by number.
        length: of vectors.
        kind: of their numbers, uint64 or uint32.

    Attributes:
        total: (length,) sum of the vectors that were sent, as they were sent.
        sent: numbers of the clients who have.
    """

    def __init__(
        self,
        circle: Circle,
        keys: Mapping[int, bytes],
        length: int,
        kind: type[np.unsignedinteger] = np.uint64,
    ) -> None:
        self._circle, self._keys = circle, {number: KEYS.unpack(packet)[1] for number, packet in keys.items()}
        self.total = np.zeros(length, kind)
        self.sent: set[int] = set()

    def take(self, number: int, vector: Array) -> None:
        """Adds a masked vector.

        Raises:
            PacketError: of one who has not dealt, or has sent before; or of another length.
        """
        if number not in self._keys or number in self.sent:
            raise PacketError("repeated", f"Client {number} has dealt no shares, or has sent its vector")
        if vector.shape != self.total.shape or vector.dtype != self.total.dtype:
            wanted = f"{len(self.total):,} numbers of {self.total.itemsize} bytes"
            raise PacketError("length", f"A masked vector must have {wanted}")
        self.total += vector
        self.sent.add(number)

    def opened(self, revealed: Mapping[int, Mapping[int, bytes]]) -> Array:
        """Takes the masks away that are left: the sum (n,) of the vectors that were sent.

        Args:
            revealed: by client, what it has revealed of each neighbour.

        Raises:
            PacketError: a secret lacks shares.
        """
        expect_cryptography()
        total = self.total.copy()
        for number in sorted(self._keys):
            shares = {
                owner: int.from_bytes(theirs[number], "little")
                for owner, theirs in revealed.items()
                if number in theirs
            }
            if len(shares) < self._circle.threshold:
                raise PacketError(
                    "few", f"{len(shares)} shares of client {number} are too few to open the sum"
                )
            secret = join_secret(dict(list(shares.items())[: self._circle.threshold]))
            if number in self.sent:
                total -= _stream(secret, total)
                continue
            key = X25519PrivateKey.from_private_bytes(secret)
            for other in set(self._circle.of(number)) & self.sent:
                _add_mask(total, number, other, _shared(key, self._keys[other]))
        return total


def expect_cryptography() -> None:
    """Refuses to begin without the package that masks come from.

    Raises:
        SparseRecError: it is missing.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise SparseRecError("Masked sums need the package cryptography: pip install 'sparserec_np[secure]'")


def _shared(own: X25519PrivateKey, other: bytes) -> bytes:
    """Derives the key of two clients: 32 bytes."""
    secret = own.exchange(X25519PublicKey.from_public_bytes(other))
    return HKDF(hashes.SHA256(), 32, None, b"sparserec federated").derive(secret)


def _stream(key: bytes, like: Array) -> Array:
    """Draws as many numbers as ``like`` has, of its kind, from a key."""
    drawn = Cipher(ChaCha20(key, ONCE), mode=None).encryptor().update(bytes(like.nbytes))
    return np.frombuffer(drawn, like.dtype.newbyteorder("<")).astype(like.dtype, copy=False)


def _add_mask(total: Array, number: int, other: int, key: bytes) -> None:
    """Adds the mask of ``number`` for ``other``, in place: the lower of both adds it, the higher takes away."""
    if number < other:
        total += _stream(key, total)
    else:
        total -= _stream(key, total)


def split_secret(secret: bytes, points: Collection[int], threshold: int) -> dict[int, int]:
    """Splits 32 bytes into a share for each of ``points``, of which ``threshold`` tell it (Shamir 1979).

    >>> shares = split_secret(bytes(range(32)), [0, 4, 9], 2)
    >>> join_secret({point: shares[point] for point in (4, 9)}) == bytes(range(32))
    True
    """
    factors = [int.from_bytes(secret, "little"), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    shares = {}
    for point in points:
        value = 0
        for factor in reversed(factors):
            value = (value * (point + 1) + factor) % PRIME
        shares[point] = value
    return shares


def join_secret(shares: Mapping[int, int]) -> bytes:
    """Finds the secret of so many shares as there have to be; of fewer, some other number.

    Raises:
        PacketError: the shares are not those of a secret of 32 bytes.
    """
    secret = 0
    for point, value in shares.items():
        above = below = 1
        for other in shares:
            if other != point:
                above = above * (other + 1) % PRIME
                below = below * (other - point) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    if secret >= 2**256:
        raise PacketError("garbage", "Shares do not go together")
    return secret.to_bytes(32, "little")


def pack_masked(tag: int, number: int, vector: Array) -> bytes:
    """Writes a vector as a packet: a head of 9 bytes, its numbers, and a CRC-32 of both."""
    body = MASKED.pack(VERSION, tag, number) + vector.astype(vector.dtype.newbyteorder("<")).tobytes()
    return body + CHECK.pack(zlib.crc32(body))


def unpack_masked(packet: bytes, tag: int, kind: type[np.unsignedinteger]) -> tuple[int, Array]:
    """Reads a packet of :func:`pack_masked`: the number of the client, and the vector.

    Raises:
        PacketError: it is damaged, or for another pass.

    >>> unpack_masked(pack_masked(7, 3, np.array([1, 2], np.uint32)), 7, np.uint32)
    (3, array([1, 2], dtype=uint32))
    """
    size = np.dtype(kind).itemsize
    body = packet[: -CHECK.size]
    if len(body) < MASKED.size or (len(body) - MASKED.size) % size:
        raise PacketError("length", f"A masked packet has {len(packet):,} bytes, which none can have")
    if CHECK.unpack_from(packet, len(body))[0] != zlib.crc32(body):
        raise PacketError("garbage", "A masked packet is damaged: its check sum is another")
    version, said, number = MASKED.unpack_from(body)
    if version != VERSION or said != tag:
        raise PacketError("pass", "A masked packet is for another pass, or another training")
    return number, np.frombuffer(body, f"<u{size}", offset=MASKED.size).astype(kind)


def kind_of(question: Question, clients: int) -> type[np.unsignedinteger]:
    """Finds the numbers in which sums over so many clients have room: uint32, or else uint64.

    >>> kind_of(Question(Kind.COUNT, 0, 10), 1_000).__name__, kind_of(Question(Kind.SOLVE, 0, 10), 9).__name__
    ('uint32', 'uint64')
    """
    largest = {Kind.RANK: WHOLE, Kind.GRADIENT: LARGE, Kind.SOLVE: LARGE}
    most = largest.get(question.kind, LARGEST << question.most)
    return np.uint32 if most * clients < 1 << 31 else np.uint64


def vector_of(question: Question, answer: Answer) -> Array:
    """Writes an answer as the whole vector that is added: (n,) uint64.

    It holds 1 for the answer, and then, as far as the question asks for them, 1 for each of its
    items, the values in the rows of these items, the upper triangle of their products, and what was
    measured; of a gradient, what it adds to the stored entries and to all of the explored rows.
    Zeros stand for all other items: nothing of the list can be told from the packet.
    """
    if question.kind == Kind.GRADIENT:
        return GradientSums(question).vector_of(answer).view(np.uint64)
    parts = [np.ones(1, np.int64)]
    if question.kind == Kind.RANK:
        return np.concatenate([*parts, answer.values.astype(np.int64)]).view(np.uint64)
    values = answer.values.astype(np.int64) << answer.shift
    if question.lands:
        counts = np.zeros(question.n_items, np.int64)
        rows = np.zeros((question.n_items, question.width), np.int64)
        counts[answer.items] = 1
        rows[answer.items] = values
        parts += [counts, rows.ravel()]
    if question.kind == Kind.SOLVE:
        parts.append(np.outer(values, values)[np.triu_indices(question.width)])
    return np.concatenate(parts).view(np.uint64)
