"""The map of a blob on one disk: which chunks are there, shared by all workers of the node.

A file of one page of header, one state byte per chunk, one 32-bit field per chunk, mapped MAP_SHARED. Theory of
operation:

* One writer per chunk (the range lock sees to it), any number of readers, in any process. A state is one byte, so two
  writers of neighbouring chunks never share a word that is read, changed and written back.
* The bytes are in the file before the state says so. After a process crash the map is right, because the page cache
  outlives the process.
* While the state is MISSING, the field is the *mark*: how many bytes of the chunk have arrived so far, so that
  readers can follow a chunk that comes slowly. When it is complete the field becomes the CRC32 of the chunk. A reader
  that sees MISSING, reads the field, and sees MISSING again has read a mark:

      1. writer: state := CLOSING    2. writer: field := CRC    3. writer: state := WRITTEN

  A writer that dies in between leaves CLOSING, which counts as missing.
* WRITTEN becomes DURABLE after fdatasync of the bytes. In another boot WRITTEN means nothing, so it becomes MISSING;
  DURABLE and VERIFIED become doubtful (high bit), until a reader has compared the chunk with its CRC.

* The map is read through the mapping and written with pwrite(2), which goes to the same page cache. A store into a
  mapping whose page the disk does not take any more is no error but a SIGBUS, the death of the process (seen on XFS
  when its disk died); a pwrite says EIO or EROFS.

A state is one byte, so it is written whole. A mark may be seen half-written: the kernel copies its four bytes from the
lowest on, the least significant first, so what is seen is at most the new mark, and those bytes are in the file.
"""

from __future__ import annotations

import array
import mmap
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import orjson

from proxy.core.blob import BlobKey, BlobRecord, Digest, DigestKind
from proxy.core.sizes import CHUNK, chunk_count

from .layout import FORMAT

MISSING: Final = 0
WRITTEN: Final = 1
DURABLE: Final = 2
VERIFIED: Final = 3
CLOSING: Final = 5
DOUBT: Final = 0x80

HEADER: Final = 4096
READERS_BYTE: Final = 0
"""Locked shared by whoever has the blob open, exclusively by who evicts it."""
SEALER_BYTE: Final = 1
"""Locked by the one worker that verifies the blob."""
BOOT_BYTE: Final = 2
"""Locked while the states are brought over from another boot."""
STATES_BYTE: Final = 3
"""Locked while states of complete chunks are looked at and changed."""

_MAGIC: Final = b"PENSTKMP"
_HEAD: Final = struct.Struct("=8sIIQQI")
_TEXT_ROOM: Final = 1500
_BOOT: Final = 2048
_SEALED: Final = 2064
_DROPPED: Final = 2065
_SIBLINGS: Final = 2072
_RUN: Final = 64
"""States looked at and written in one go, at most: the less, the less comes between the two."""

CHECKED_STATES: Final = frozenset((MISSING, WRITTEN, DURABLE, VERIFIED, CLOSING))
"""States that say nothing of another boot."""
_COMPLETE_STATES: Final = bytes((WRITTEN, DURABLE, VERIFIED, DOUBT | DURABLE, DOUBT | VERIFIED))


def _table(ones: Iterable[int]) -> bytes:
    wanted = set(ones)
    return bytes(1 if state in wanted else 0 for state in range(256))


_IS_COMPLETE: Final = _table(_COMPLETE_STATES)
_IS_CERTAIN: Final = _table((WRITTEN, DURABLE, VERIFIED))
_IS_VERIFIED: Final = _table((VERIFIED, DOUBT | VERIFIED))
_IS_DOUBTFUL: Final = _table((DOUBT | DURABLE, DOUBT | VERIFIED))
_OTHER_BOOT: Final = bytes(
    {DURABLE: DOUBT | DURABLE, VERIFIED: DOUBT | VERIFIED}.get(s, s if s & DOUBT else MISSING) for s in range(256)
)
_ZEROS: Final = re.compile(rb"\x00+")
_ONES: Final = re.compile(rb"\x01+")


class MapDamaged(Exception):
    """The file is no map of this format; the message says why."""


def _fields_offset(chunks: int) -> int:
    return HEADER + -(-chunks // 8) * 8


def map_size(size: int) -> int:
    """Bytes of the map file of a blob of `size` bytes."""
    chunks = chunk_count(size)
    return _fields_offset(chunks) + 4 * chunks


def header(record: BlobRecord, generation: int, boot: bytes) -> bytes:
    """The first page of a fresh map: `generation` is 64 random bits, `boot` the 16 bytes of the boot id."""
    digest = record.digest and f"{record.digest.kind.value}:{record.digest.hex}"
    text = orjson.dumps({"key": str(record.key), "validator": record.validator, "digest": digest})
    assert len(text) <= _TEXT_ROOM, "a record fits in its page"
    head = _HEAD.pack(_MAGIC, FORMAT, CHUNK, record.size, generation, len(text)) + text
    page = bytearray(HEADER)
    page[: len(head) + 4] = head + zlib.crc32(head).to_bytes(4, "little")
    page[_BOOT : _BOOT + 16] = boot
    return bytes(page)


def read_header(page: bytes | memoryview) -> tuple[BlobRecord, int]:
    """The record and generation that the page `header` made holds. Raises MapDamaged."""
    if len(page) < HEADER:
        raise MapDamaged(f"{len(page)} bytes are no header")
    magic, version, chunk, size, generation, length = _HEAD.unpack_from(page)
    if magic != _MAGIC or version != FORMAT or chunk != CHUNK or length > _TEXT_ROOM:
        raise MapDamaged(f"not a map of format {FORMAT}")
    end = _HEAD.size + length
    if zlib.crc32(page[:end]) != int.from_bytes(page[end : end + 4], "little"):
        raise MapDamaged("its header does not match its checksum")
    return _record(orjson.loads(bytes(page[_HEAD.size : end])), size), generation


def _record(text: dict[str, str | None], size: int) -> BlobRecord:
    digest: Digest | None = None
    if text["digest"] is not None:
        kind, _, digits = text["digest"].partition(":")
        digest = Digest(DigestKind(kind), digits)
    return BlobRecord(BlobKey.parse(str(text["key"])), size, str(text["validator"]), digest)


def _runs(flags: bytes, pattern: re.Pattern[bytes], first: int) -> Iterator[range]:
    for match in pattern.finditer(flags):
        yield range(first + match.start(), first + match.end())


def union(flags: Iterable[bytes]) -> bytes:
    """Flag by flag, whether any of the equally long `flags` (bytes of 0 and 1) has it."""
    joined, length = 0, 0
    for some in flags:
        joined |= int.from_bytes(some, "little")
        length = len(some)
    return joined.to_bytes(length, "little")


def zero_runs(flags: bytes, first: int = 0) -> Iterator[range]:
    """The ranges of chunks whose flag is 0; flag 0 stands for chunk `first`."""
    return _runs(flags, _ZEROS, first)


class ChunkMap:
    """The map over an open mapping. Chunks are numbered from 0 on. Close it before the mapping's file.

    `store(offset, content)` writes to the mapped file, and what it raises comes out of every method under "writing";
    without it the mapping itself is written, which is right for a private one."""

    def __init__(self, mapping: mmap.mmap, store: Callable[[int, bytes], None] | None = None) -> None:
        view = memoryview(mapping)
        try:
            self.record, self.generation = read_header(view[:HEADER])
            self.chunks = chunk_count(self.record.size)
            if len(mapping) < map_size(self.record.size):
                raise MapDamaged(f"{len(mapping)} bytes are too few for {self.chunks} chunks")
        except MapDamaged:
            view.release()
            raise
        self._mapping = mapping
        self._view = view
        self._store = store or self._assign
        fields = _fields_offset(self.chunks)
        self._fields_at = fields
        self._states = view[HEADER : HEADER + self.chunks]
        self._fields = view[fields : fields + 4 * self.chunks].cast("I")

    def close(self) -> None:
        for view in (self._states, self._fields, self._view):
            view.release()
        self._mapping.close()

    def _assign(self, offset: int, content: bytes) -> None:
        self._view[offset : offset + len(content)] = content

    def _put_state(self, chunk: int, state: int) -> None:
        self._store(HEADER + chunk, bytes((state,)))

    def _put_field(self, chunk: int, field: int) -> None:
        self._store(self._fields_at + 4 * chunk, field.to_bytes(4, sys.byteorder))

    # --- the blob as a whole ------------------------------------------------------------------------------------

    @property
    def sealed(self) -> bool:
        return bool(self._view[_SEALED])

    @property
    def dropped(self) -> bool:
        return bool(self._view[_DROPPED])

    @property
    def boot(self) -> bytes:
        return bytes(self._view[_BOOT : _BOOT + 16])

    @property
    def siblings(self) -> bytes:
        """Eight bytes that change when the blob gets a map on another disk."""
        return bytes(self._view[_SIBLINGS : _SIBLINGS + 8])

    # --- reading ------------------------------------------------------------------------------------------------

    def length(self, chunk: int) -> int:
        """Bytes of `chunk`: the last one may be short."""
        return min(CHUNK, self.record.size - chunk * CHUNK)

    def state(self, chunk: int) -> int:
        return self._states[chunk]

    def crc(self, chunk: int) -> int:
        """The CRC32 of a complete chunk."""
        return self._fields[chunk]

    def mark(self, chunk: int) -> int:
        """How many bytes of an incomplete chunk have arrived; 0 when it is complete or being closed."""
        if self._states[chunk] != MISSING:
            return 0
        mark = self._fields[chunk]
        # Look at the state again: between the two looks the writer may have closed the chunk, and then this is a CRC.
        if self._states[chunk] != MISSING:
            return 0
        return min(mark, self.length(chunk))

    def complete(self, first: int, stop: int) -> bytes:
        """A 1 for every chunk of [first, stop) that is here whole, of doubtful past or not; else a 0."""
        return bytes(self._states[first:stop]).translate(_IS_COMPLETE)

    def verified(self, first: int = 0, stop: int | None = None) -> bytes:
        """A 1 for every chunk of [first, stop) that was part of a whole, or of a slice, whose digest was right."""
        return bytes(self._states[first:stop]).translate(_IS_VERIFIED)

    def doubtful(self, first: int, stop: int) -> list[int]:
        """The chunks of [first, stop) that were written in another boot and not compared with their CRC since."""
        flags = bytes(self._states[first:stop]).translate(_IS_DOUBTFUL)
        return [chunk for run in _runs(flags, _ONES, first) for chunk in run]

    def readable_to(self, offset: int, stop: int) -> int:
        """Up to where (at most `stop`) the bytes from `offset` on may be read; `offset` itself when none may."""
        first, last = offset // CHUNK, -(-stop // CHUNK)
        certain = bytes(self._states[first:last]).translate(_IS_CERTAIN)
        run = certain.find(0)
        if run < 0:
            return stop
        edge = first + run
        return min(stop, max(offset, edge * CHUNK + self.mark(edge)))

    def bytes_kept(self, without: Iterable[int] = ()) -> int:
        """Bytes of all complete chunks but those in `without`."""
        flags = bytearray(self.complete(0, self.chunks))
        for chunk in without:
            flags[chunk] = 0
        count = flags.count(1)
        if count and flags[-1]:
            return (count - 1) * CHUNK + self.length(self.chunks - 1)
        return count * CHUNK

    # --- writing ------------------------------------------------------------------------------------------------

    def seal(self) -> None:
        """Say that every chunk here is of a whole that was found right."""
        self._store(_SEALED, b"\1")

    def drop(self) -> None:
        """Let every worker that has it open know that the blob is gone."""
        self._store(_DROPPED, b"\1")

    def tell_siblings(self, news: bytes) -> None:
        """Put eight other bytes into `siblings`."""
        self._store(_SIBLINGS, news)

    def begin(self, chunk: int) -> None:
        """Take over a chunk to be written: a writer that died while closing it left it half-way."""
        if self._states[chunk] == CLOSING:
            self._put_field(chunk, 0)
            self._put_state(chunk, MISSING)

    def advance(self, chunk: int, mark: int) -> None:
        """Let readers have the first `mark` bytes of a chunk; what an earlier writer showed stays shown."""
        assert self._states[chunk] == MISSING, "a mark is for a chunk that is not there yet"
        if mark > self._fields[chunk]:
            self._put_field(chunk, mark)

    def finish(self, chunk: int, crc: int) -> None:
        """Say that the chunk is in the file, whole."""
        assert self._states[chunk] == MISSING, "one writer per chunk"
        self._put_state(chunk, CLOSING)
        self._put_field(chunk, crc)
        self._put_state(chunk, WRITTEN)

    def lose(self, chunk: int) -> None:
        """Forget a chunk, and that the blob was sealed. This, `raise_to` and `trust`: one at a time."""
        self._store(_SEALED, b"\0")
        self._put_state(chunk, CLOSING)
        self._put_field(chunk, 0)
        self._put_state(chunk, MISSING)

    def raise_to(self, chunks: Iterable[int], state: int) -> None:
        """Lift complete chunks of certain past to at least `state` (DURABLE or VERIFIED)."""
        wanted = bytearray(self.chunks)
        for chunk in chunks:
            wanted[chunk] = 1
        for first in range(0, self.chunks, _RUN):
            if 1 in wanted[first : first + _RUN]:
                self._raise_run(bytes(wanted[first : first + _RUN]), first, state)

    def _raise_run(self, wanted: bytes, first: int, state: int) -> None:
        now = bytes(self._states[first : first + len(wanted)])
        low = bytes(want and WRITTEN <= was < state for want, was in zip(wanted, now, strict=True))
        for run in _runs(low, _ONES, first):
            self._store(HEADER + run.start, bytes((state,)) * len(run))

    def trust(self, chunk: int) -> None:
        """The chunk was compared with its CRC and is right."""
        self._put_state(chunk, self._states[chunk] & ~DOUBT & 0xFF)

    def enter_boot(self, boot: bytes) -> None:
        """Bring the states over from another boot. Killed midway, it is simply done again."""
        states = bytes(self._states)
        fields = self._fields.tolist()
        kept = (
            0 if state in (MISSING, CLOSING, WRITTEN) else field for state, field in zip(states, fields, strict=True)
        )
        self._store(HEADER, states.translate(_OTHER_BOOT))
        self._store(self._fields_at, array.array("I", kept).tobytes())
        self._store(_BOOT, boot)
