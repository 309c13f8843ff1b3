"""Blobs, and a content function: any byte of a terabyte is computed, none is stored.

A synthetic blob is one random 4 MiB tile repeated, with a 16-byte stamp (blob id, block number, both big-endian) at
the start of every 4 KiB block. So two blobs differ in every block, a shifted or swapped block is seen at once, and a
reader compares at the speed of memory. Load generators and verifying clients import this module alone; the wire form
of a blob is (seed, size).
"""

import hashlib
import os
import random
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Protocol

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

BLOCK = 4 * KIB
TILE = 4 * MIB
PIECE = 512 * KIB
_STAMP = struct.Struct(">QQ")
_TILE_SEED = 0x50454E53544F434B


class Blob(Protocol):
    """Immutable bytes of a known length whose sha256 is known or can be computed."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str:
        """Hex digest; computed on first use (about 1 s per GiB), so ask off the event loop while `is_hashed` is
        false.
        """
        ...

    @property
    def is_hashed(self) -> bool: ...

    @property
    def identity(self) -> str:
        """A cheap name of the content, for commit ids; needs no hashing."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), clamped to the blob."""
        ...


class _HashedOnce(ABC):
    """What blobs share whose digest is computed when it is first asked for, and kept."""

    __slots__ = ("_digest", "_lock", "_size")

    def __init__(self, size: int, digest: str | None) -> None:
        self._size = size
        self._digest = digest
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._size

    @property
    def is_hashed(self) -> bool:
        return self._digest is not None

    @property
    def sha256(self) -> str:
        with self._lock:
            if self._digest is None:
                self._digest = _digest_of(self)
            return self._digest

    @property
    @abstractmethod
    def identity(self) -> str: ...

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes: ...


class SyntheticBlob(_HashedOnce):
    """The content function for one seed. `sha256` may be declared, for blobs too large to hash; a lie is then the
    caller's.
    """

    __slots__ = ("blob_id", "seed")

    def __init__(self, seed: str, size: int, *, sha256: str | None = None) -> None:
        if size < 0:
            raise ValueError(f"blob size {size} is negative")
        if sha256 is not None and len(sha256) != 64:
            raise ValueError(f"declared sha256 {sha256!r} is not 64 hex digits")
        self.seed = seed
        self.blob_id = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
        super().__init__(size, sha256)

    @property
    def identity(self) -> str:
        return f"synthetic:{self.blob_id:016x}:{self._size}"

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.view(offset, length))

    def view(self, offset: int, length: int) -> memoryview:
        """As `read`, without the last copy."""
        stop = min(offset + length, self._size)
        if offset >= stop:
            return memoryview(b"")
        first = offset // BLOCK
        blocks = _stamped(self.blob_id, first, -(-stop // BLOCK))
        lead = offset - first * BLOCK
        return memoryview(blocks)[lead : lead + stop - offset]

    def __repr__(self) -> str:
        return f"SyntheticBlob(seed={self.seed!r}, size={self._size})"


class BytesBlob:
    """A blob held in memory."""

    __slots__ = ("_bytes", "sha256")

    def __init__(self, content: bytes) -> None:
        self._bytes = content
        self.sha256 = hashlib.sha256(content).hexdigest()

    @property
    def size(self) -> int:
        return len(self._bytes)

    @property
    def is_hashed(self) -> bool:
        return True

    @property
    def identity(self) -> str:
        return f"bytes:{self.sha256}"

    def read(self, offset: int, length: int) -> bytes:
        return self._bytes[offset : offset + length]


class PathBlob(_HashedOnce):
    """A blob that is a real file, which must not change while it is served."""

    __slots__ = ("_mtime", "_path")

    def __init__(self, path: Path) -> None:
        stat = path.stat()
        self._path = path
        super().__init__(stat.st_size, None)
        self._mtime = stat.st_mtime_ns

    @property
    def identity(self) -> str:
        return f"path:{self._path}:{self._size}:{self._mtime}"

    def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), max(0, min(length, self._size - offset)), offset)


def pieces(blob: Blob, start: int, stop: int, size: int = PIECE) -> Iterator[bytes | memoryview]:
    """The bytes [start, stop) of a blob in pieces that end at multiples of `size`."""
    while start < stop:
        end = min(stop, start - start % size + size)
        yield blob.view(start, end - start) if isinstance(blob, SyntheticBlob) else blob.read(start, end - start)
        start = end


@cache
def tile() -> bytes:
    """The random tile under all synthetic blobs; the same in every process."""
    return random.Random(_TILE_SEED).randbytes(TILE)


def _stamped(blob_id: int, first: int, last: int) -> bytearray:
    """The blocks [first, last) of a blob."""
    blocks = bytearray().join(_tile_slices(first * BLOCK, last * BLOCK))
    pack_into = _STAMP.pack_into
    for position, number in enumerate(range(first, last)):
        pack_into(blocks, position * BLOCK, blob_id, number)
    return blocks


def _tile_slices(start: int, stop: int) -> Iterator[memoryview]:
    whole = memoryview(tile())
    while start < stop:
        within = start % TILE
        length = min(stop - start, TILE - within)
        yield whole[within : within + length]
        start += length


def _digest_of(blob: Blob) -> str:
    digest = hashlib.sha256()
    for piece in pieces(blob, 0, blob.size, MIB):
        digest.update(piece)
    return digest.hexdigest()
