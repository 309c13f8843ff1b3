"""Whether received bytes are those of the file, found out at the speed of memory.

A synthetic file is one tile repeated, with a stamp at the start of each 4 KiB block (`bench.hub.content`). A checker
owns one tile; before each comparison it writes into the tile the stamps that this very span must have, and compares
once (memcmp). Nothing is copied, and the received bytes are still in the processor's cache: 20 GB/s and more.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cache

from bench.hub.content import BLOCK, TILE, SyntheticBlob, tile
from bench.record import Check

_STAMP = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes that a file must have: the content function for one seed."""

    blob_id: int
    size: int


@cache
def content_of(seed: str, size: int) -> Content:
    """What `SyntheticBlob(seed, size)` holds. Cached: one entry for each file of a catalogue."""
    return Content(SyntheticBlob(seed, size).blob_id, size)


class Checker:
    """Compares received bytes with the content function. One of these serves a whole process; not for threads."""

    def __init__(self) -> None:
        self._tile = bytearray(tile())

    def differs(self, content: Content, offset: int, received: memoryview) -> int | None:
        """The offset in the file of a wrong byte in `received`, which stands at `offset`; None when all are right.

        Bytes past the end of the file are wrong.
        """
        if offset + len(received) > content.size:
            return content.size
        at = offset
        while received:
            within = at % TILE
            part = received[: TILE - within]
            self._stamp(content.blob_id, at, within, len(part))
            if not self._tile.startswith(part, within):
                return at + self._first_difference(part, within)
            at += len(part)
            received = received[len(part) :]
        return None

    def stamps_differ(self, content: Content, offset: int, received: memoryview) -> int | None:
        """As `differs`, looking at whole stamps alone."""
        if offset + len(received) > content.size:
            return content.size
        first = -(-offset // BLOCK)
        last = (offset + len(received) - _STAMP.size) // BLOCK
        blob_id, unpack = content.blob_id, _STAMP.unpack_from
        for number in range(first, last + 1):
            if unpack(received, number * BLOCK - offset) != (blob_id, number):
                return number * BLOCK
        return None

    def _stamp(self, blob_id: int, at: int, within: int, length: int) -> None:
        number = at // BLOCK
        pack = _STAMP.pack_into
        for position in range(within - within % BLOCK, within + length, BLOCK):
            pack(self._tile, position, blob_id, number)
            number += 1

    def _first_difference(self, part: memoryview, within: int) -> int:
        low, high = 0, len(part)  # the first byte that differs is in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            if self._tile.startswith(part[low:middle], within + low):
                low = middle
            else:
                high = middle
        return low


class WrongByte(Exception):
    """A byte that is not the file's: the one thing a run never forgives."""


class Scrutiny:
    """One body on its way in: checks what is taken, from `offset` of the file on.

    `digest` is the sha256 the whole must have (hex), for a body that begins at the file's first byte; None: not hashed.
    """

    __slots__ = ("_at", "_checker", "_content", "_expected", "_hash", "_mode", "checked")

    def __init__(self, checker: Checker, content: Content, offset: int, mode: Check, digest: str | None = None) -> None:
        assert digest is None or offset == 0, "only a body from the start can be hashed"
        self._checker = checker
        self._content = content
        self._at = offset
        self._mode = mode
        self._expected = digest
        self._hash = hashlib.sha256() if digest is not None else None
        self.checked = 0

    def take(self, received: memoryview) -> None:
        """Raises WrongByte."""
        match self._mode:
            case Check.FULL:
                wrong = self._checker.differs(self._content, self._at, received)
            case Check.STAMPS:
                wrong = self._checker.stamps_differ(self._content, self._at, received)
            case Check.NONE:
                wrong = None
        if wrong is not None:
            raise WrongByte(f"byte {wrong} of {self._content.size} is wrong")
        if self._hash is not None:
            self._hash.update(received)
        self._at += len(received)
        self.checked += 0 if self._mode is Check.NONE else len(received)

    def finish(self) -> None:
        """Call when the body is complete. Raises WrongByte."""
        if self._hash is not None and self._at == self._content.size and self._hash.hexdigest() != self._expected:
            raise WrongByte(f"the sha256 is {self._hash.hexdigest()}, not {self._expected}")
