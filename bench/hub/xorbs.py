"""Large files as the CAS keeps them: cut into chunks, the chunks in rows (xorbs), each behind a header of 8 bytes.

    file    | 40 KiB | 88 KiB | 64 KiB | 64 KiB | 40 KiB | …        in turn, as if cut by content
    xorb 0  [8 bytes, chunk 0][8 bytes, chunk 1] … [8 bytes, chunk 255]
    xorb 1  [8 bytes, chunk 256] …

As everything here it is computed, so a xorb of a terabyte costs nothing. Chunks are not compressed (scheme 0).
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from .content import KIB, Blob

_TURN = (40 * KIB, 88 * KIB, 64 * KIB, 64 * KIB)
_CHUNKS = 256
"""In one xorb."""
_EDGES = tuple(accumulate(_TURN * (_CHUNKS // len(_TURN)), initial=0))
"""Where the chunks of a xorb begin, in bytes of the file; the last edge is its end."""
XORB = _EDGES[-1]
"""Bytes of the file in one xorb: 16 MiB."""
HEADER = 8


@dataclass(frozen=True, slots=True)
class Term:
    """The chunks [first, stop) of a xorb, and the bytes of the file that they hold."""

    xorb: "XorbBlob"
    first: int
    stop: int

    @property
    def start(self) -> int:
        """Where it begins in the file."""
        return self.xorb.index * XORB + self.xorb.edge(self.first)

    @property
    def length(self) -> int:
        return self.xorb.edge(self.stop) - self.xorb.edge(self.first)

    @property
    def places(self) -> tuple[int, int]:
        """Its part [start, stop) of the xorb, headers included."""
        return self.xorb.place(self.first), self.xorb.place(self.stop)


class XorbBlob:
    """One xorb of a blob as it lies in the store (`content.Blob`)."""

    __slots__ = ("_blob", "_start", "chunks", "index", "name")

    def __init__(self, blob: Blob, index: int) -> None:
        self._blob = blob
        self._start = index * XORB
        length = min(blob.size - self._start, XORB)
        if length <= 0:
            raise ValueError(f"a blob of {blob.size} bytes has no xorb {index}")
        self.index = index
        self.chunks = bisect_right(_EDGES, length - 1)
        self.name = hashlib.sha256(f"xorb {index} of {blob.sha256}".encode()).hexdigest()

    @property
    def size(self) -> int:
        return self.place(self.chunks)

    @property
    def sha256(self) -> str:
        return self.name

    @property
    def is_hashed(self) -> bool:
        return True

    @property
    def identity(self) -> str:
        return f"xorb:{self.name}"

    def edge(self, chunk: int) -> int:
        """Where a chunk begins in the file, counted from the xorb's first byte; the file's end cuts the last."""
        return min(_EDGES[chunk], self._blob.size - self._start)

    def place(self, chunk: int) -> int:
        """Where the header of a chunk stands in the xorb."""
        return self.edge(chunk) + HEADER * chunk

    def chunk_at(self, offset: int) -> int:
        """The chunk that holds the byte `offset` of the file, counted from the xorb's first."""
        return bisect_right(_EDGES, offset) - 1

    def read(self, offset: int, length: int) -> bytes:
        stop = min(offset + length, self.size)
        chunk = bisect_right(range(self.chunks), offset, key=self.place) - 1
        parts, lead = [], offset - self.place(chunk)
        while self.place(chunk) < stop:
            parts.append(self._chunk(chunk))
            chunk += 1
        return b"".join(parts)[lead : lead + stop - offset]

    def _chunk(self, chunk: int) -> bytes:
        start, length = self.edge(chunk), self.edge(chunk + 1) - self.edge(chunk)
        said = length.to_bytes(3, "little")
        return b"\x00" + said + b"\x00" + said + self._blob.read(self._start + start, length)


def terms_of(blob: Blob, start: int, stop: int) -> list[Term]:
    """What holds the bytes [start, stop) of a blob (not empty, inside), in whole chunks."""
    terms = []
    for index in range(start // XORB, -(-stop // XORB)):
        xorb, base = XorbBlob(blob, index), index * XORB
        first = xorb.chunk_at(max(start - base, 0))
        last = xorb.chunk_at(min(stop - base, XORB) - 1)
        terms.append(Term(xorb, first, last + 1))
    return terms
