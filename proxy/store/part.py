"""A blob's share of one disk, open: its map, its bytes, and the lock that keeps it from eviction.

The functions here block: they run in the disk's threads, inside `Shelf.named_lock` where they look at names.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from isal.isal_zlib import crc32

from proxy.core.blob import BlobRecord
from proxy.core.sizes import CHUNK

from . import rangelock
from .chunkmap import (
    BOOT_BYTE,
    CHECKED_STATES,
    DURABLE,
    HEADER,
    READERS_BYTE,
    STATES_BYTE,
    VERIFIED,
    WRITTEN,
    ChunkMap,
    MapDamaged,
    header,
    map_size,
)
from .disk import Disk
from .syscalls import Syscalls, read_all, read_into, write_all


@dataclass(eq=False, slots=True)
class Part:
    """The open files of a blob's share of `disk`. Close it once, when nobody reads or writes through it."""

    disk: Disk
    map: ChunkMap
    map_fd: int
    bytes_fd: int
    writable: bool
    abandoned: bool = False
    """Not used any more in this process: something must be said in the map, and the disk does not take it."""
    failed_syncs: int = 0
    """How often this process failed to make the bytes durable."""
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        """Close the files; the kernel frees the locks with them."""
        self.map.close()
        os.close(self.map_fd)
        os.close(self.bytes_fd)

    def is_at(self, calls: Syscalls, place: str) -> bool:
        """Whether the part published at `place` is this one, not another generation."""
        try:
            there = calls.stat(f"{place}/map")
        except FileNotFoundError:
            return False
        ours = os.fstat(self.map_fd)
        return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)

    # --- locks --------------------------------------------------------------------------------------------------

    def try_lock_chunks(self, chunks: range) -> bool:
        return rangelock.try_lock(self.map_fd, HEADER + chunks.start, len(chunks))

    def unlock_chunks(self, chunks: range) -> None:
        rangelock.unlock(self.map_fd, HEADER + chunks.start, len(chunks))

    def others_fill(self) -> bool:
        """Whether another worker holds a claim on any chunk, locked here."""
        return rangelock.held_by_another(self.map_fd, HEADER, max(1, self.map.chunks))

    @contextlib.contextmanager
    def changing_states(self) -> Iterator[None]:
        """Held to look at states of complete chunks and change them, by one thread of the node.

            1. A, after fdatasync, sees chunk 7 written   2. B seals: verified   3. A: durable
            1. A sees chunk 7 durable   2. B finds it bad: missing   3. A: verified

        without this the first would cost the seal, the second would serve what is bad."""
        with self._changing:  # two threads of this process share the open file, so the kernel would let both in
            if not self.writable:
                yield
                return
            rangelock.lock(self.map_fd, STATES_BYTE)
            try:
                yield
            finally:
                rangelock.unlock(self.map_fd, STATES_BYTE)

    # --- bytes --------------------------------------------------------------------------------------------------

    def write(self, pieces: list[memoryview], offset: int) -> None:
        write_all(self.disk.calls, self.bytes_fd, pieces, offset)

    def read(self, offset: int, length: int) -> bytes:
        return read_all(self.disk.calls, self.bytes_fd, length, offset)

    def read_into(self, room: memoryview, offset: int) -> int:
        return read_into(self.disk.calls, self.bytes_fd, room, offset)

    def make_durable(self, chunks: list[int]) -> None:
        """fdatasync the bytes, then say so of those of `chunks` that were complete before.

        When it fails the kernel has thrown the pages away and would call the next fdatasync a success (fsyncgate). So
        all chunks that were not durable are lost, not only `chunks`: the call is for the whole file. Raises OSError."""
        before = [chunk for chunk in chunks if self.map.state(chunk) == WRITTEN]
        try:
            self.disk.calls.fdatasync(self.bytes_fd)
        except OSError:
            self._lose_undurable()
            raise
        self._raise_to(before, DURABLE)

    def _lose_undurable(self) -> None:
        """Those that are being written are refused when they are `finish`ed. What other workers wrote they hear of from
        their own fdatasync; to lose it here already costs no more."""
        with self._changing:
            self.failed_syncs += 1
        self.lose([chunk for chunk in range(self.map.chunks) if self.map.state(chunk) == WRITTEN])

    def finish(self, chunk: int, crc: int, *, failed_syncs: int) -> None:
        """Say that the chunk is in the file, whole; `failed_syncs` as it was when its first byte was written. Raises
        OSError when one has failed since: some of the chunk may be gone."""
        with self._changing:
            if self.failed_syncs != failed_syncs:
                raise OSError(errno.ECANCELED, "what was written before could not be made durable")
            self.map.finish(chunk, crc)

    def _raise_to(self, chunks: list[int], state: int) -> None:
        with self.changing_states():
            self.map.raise_to(chunks, state)

    def lose(self, chunks: list[int]) -> None:
        """Make complete chunks missing; when not even that can be written, the whole part is abandoned."""
        try:
            with self.changing_states():
                for chunk in chunks:
                    self.map.lose(chunk)
        except OSError:
            self.abandoned = True

    def seal(self, crcs: Sequence[int]) -> dict[int, int]:
        """Mark what is here of a blob that was found right, whole, as verified; `crcs` are those of all its chunks, as
        they were hashed. The CRCs of those that are others here, by chunk: nothing is sealed while there are any.

            1. chunk 7 is hashed   2. a reader cannot read it: lost   3. it comes anew, wrong   4. the whole was right
        without the CRCs the wrong one would be verified, as would one that another disk has and nobody hashed.

        Truthful after a power cut as well: bytes first, then states, then the flag. On a disk that takes no writes only
        this process knows. Raises OSError."""
        here = self.map.complete(0, self.map.chunks)
        chunks = [chunk for chunk in range(self.map.chunks) if here[chunk]]
        if self.writable:
            self.make_durable(chunks)
        others = self._verify_alike(chunks, crcs)
        if self.writable:
            self.disk.calls.fdatasync(self.map_fd)
        if not others:
            self.map.seal()
            if self.writable:
                self.disk.calls.fdatasync(self.map_fd)
        return others

    def _verify_alike(self, chunks: list[int], crcs: Sequence[int]) -> dict[int, int]:
        """Mark those of `chunks` that are here with their CRC as verified; the CRCs of those with another."""
        with self.changing_states():
            here = self.map.complete(0, self.map.chunks)
            found = {chunk: self.map.crc(chunk) for chunk in chunks if here[chunk]}
            others = {chunk: crc for chunk, crc in found.items() if crc != crcs[chunk]}
            self.map.raise_to(found.keys() - others.keys(), VERIFIED)
        return others

    def verify_those(self, crcs: Mapping[int, int]) -> bool:
        """Mark chunks as verified that were found right when they had these CRCs; False when one is another now.

        Bytes first, then states. Raises OSError."""
        if self.writable:
            self.make_durable(sorted(crcs))
        with self.changing_states():
            if not all(self.map.complete(chunk, chunk + 1)[0] and self.map.crc(chunk) == crcs[chunk] for chunk in crcs):
                return False
            self.map.raise_to(crcs, VERIFIED)
        if self.writable:
            self.disk.calls.fdatasync(self.map_fd)
        return True

    def lose_those(self, chunks: list[int], still: Callable[[int], bool]) -> list[int]:
        """Lose those of `chunks` that `still` are as they were found, and that nobody fills; which they were."""
        lost: list[int] = []
        for chunk in chunks:
            if not self.try_lock_chunks(range(chunk, chunk + 1)):
                continue
            try:
                if still(chunk):
                    self.lose([chunk])
                    lost.append(chunk)
            finally:
                self.unlock_chunks(range(chunk, chunk + 1))
        return lost

    def prove(self, chunk: int) -> bool:
        """Compare a doubtful chunk with its CRC, and say so in the map when it is right. Raises OSError."""
        if not self.is_right(chunk):
            return False
        with self.changing_states():
            if self.is_doubtful(chunk):
                self.map.trust(chunk)
        return True

    def is_right(self, chunk: int) -> bool:
        """Whether a complete chunk still matches its CRC. Raises OSError."""
        expected = self.map.crc(chunk)
        content = self.read(chunk * CHUNK, self.map.length(chunk))
        return len(content) == self.map.length(chunk) and crc32(content) == expected

    def is_doubtful(self, chunk: int) -> bool:
        """Whether the chunk is complete, but from another boot and not compared with its CRC yet."""
        return self.map.state(chunk) not in CHECKED_STATES


def create(calls: Syscalls, folder: str, record: BlobRecord, generation: int, boot: bytes) -> None:
    """Make the two files of an empty part in the new folder `folder`. Raises OSError, ENOSPC when there is no room for
    the map: it is allocated now, because a page of a mapping that finds no block later kills the process (SIGBUS)."""
    calls.mkdir(folder)
    fd = calls.open(f"{folder}/bytes", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        calls.truncate(fd, record.size)
    finally:
        os.close(fd)
    fd = calls.open(f"{folder}/map", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        calls.allocate(fd, map_size(record.size))
        write_all(calls, fd, [header(record, generation, boot)], 0)
        calls.fdatasync(fd)
    finally:
        os.close(fd)


def open_part(disk: Disk, place: str, boot: bytes) -> Part | None:
    """The part published at `place`, locked against eviction, its states those of this boot; None when there is none.

    Raises MapDamaged, OSError."""
    try:
        map_fd, writable = _open_map(disk.calls, f"{place}/map")
    except FileNotFoundError:
        return None
    try:
        rangelock.lock(map_fd, READERS_BYTE, shared=True)
        chunk_map = _mapped(disk.calls, map_fd, writable)
    except BaseException:
        os.close(map_fd)
        raise
    try:
        _enter_boot(chunk_map, map_fd, boot, writable)
        bytes_fd = _open_bytes(disk.calls, f"{place}/bytes", chunk_map.record.size, writable)
    except BaseException:
        chunk_map.close()
        os.close(map_fd)
        raise
    return Part(disk, chunk_map, map_fd, bytes_fd, writable)


def close_part(part: Part | None) -> None:
    """Close what `open_part` gave."""
    if part is not None:
        part.close()


def _open_map(calls: Syscalls, path: str) -> tuple[int, bool]:
    try:
        return calls.open(path, os.O_RDWR), True
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
    return calls.open(path, os.O_RDONLY), False


def _open_bytes(calls: Syscalls, path: str, size: int, writable: bool) -> int:
    """The file of the bytes. The map would call its holes data, so one that is gone or cut is damage."""
    try:
        fd = calls.open(path, os.O_RDWR if writable else os.O_RDONLY)
    except FileNotFoundError:
        raise MapDamaged("its bytes are gone") from None
    try:
        if calls.fstat(fd).st_size < size:
            raise MapDamaged("its bytes were cut")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _mapped(calls: Syscalls, map_fd: int, writable: bool) -> ChunkMap:
    size = calls.fstat(map_fd).st_size
    if size < HEADER:
        raise MapDamaged(f"its map has {size} bytes")
    # Read first, because a page of a mapping that cannot be read kills the process (SIGBUS), and a read says EIO.
    # Populated then, in a thread: the loop looks at it, and must not wait for the disk.
    if len(read_all(calls, map_fd, size, 0)) != size:
        raise MapDamaged("its map was cut")
    # Never written through the mapping (see `chunkmap`). On a disk that takes no writes it is a private copy: nobody
    # can change the file anyway.
    kind, access = (mmap.MAP_SHARED, 0) if writable else (mmap.MAP_PRIVATE, mmap.PROT_WRITE)
    mapping = mmap.mmap(map_fd, size, flags=kind | mmap.MAP_POPULATE, prot=mmap.PROT_READ | access)
    try:
        return ChunkMap(mapping, functools.partial(_poke, calls, map_fd) if writable else None)
    except BaseException:
        mapping.close()
        raise


def _poke(calls: Syscalls, fd: int, offset: int, content: bytes) -> None:
    calls.poke(fd, content, offset)


def _enter_boot(chunk_map: ChunkMap, map_fd: int, boot: bytes, writable: bool) -> None:
    if chunk_map.boot == boot:
        return
    if not writable:
        chunk_map.enter_boot(boot)
        return
    rangelock.lock(map_fd, BOOT_BYTE)
    try:
        # Look again: another worker may have done it while we waited, and chunks have been written since.
        if chunk_map.boot != boot:
            chunk_map.enter_boot(boot)
    finally:
        rangelock.unlock(map_fd, BOOT_BYTE)
