"""Verifying a whole blob while it arrives.

The hash follows the complete chunks front to back, through the page cache. Only complete chunks: the bytes below a mark
may be written again by another, whose bytes nobody hashed. One sealer per node, by a lock that dies with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import mmap
from typing import TYPE_CHECKING, Final

from proxy.core.errors import BlobDropped, DigestMismatch, DiskFailed, NoDisk, PenstockError
from proxy.core.hashing import Hasher, HashThreads
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span

from . import rangelock
from .chunkmap import SEALER_BYTE
from .rack import Rack

if TYPE_CHECKING:
    from .blobfile import OpenBlob
    from .part import Part

STEP: Final = 4
"""Chunks hashed in one go, at most."""
POLL: Final = 0.02
"""Seconds between looks at the map while another worker fills."""
IDLE_POLLS: Final = 50
"""Polls without a claim or a new chunk until the sealer gives up: about a second."""
_BREATH: Final = 1024
"""Chunks looked at before other tasks have their turn."""


class Sealing:
    """The verification of one open blob; one at a time, shared by all tasks of the process that ask for it."""

    def __init__(self, blob: OpenBlob, rack: Rack, hashers: HashThreads) -> None:
        self._blob = blob
        self._rack = rack
        self._hashers = hashers
        self._task: asyncio.Task[bool | PenstockError] | None = None

    async def run(self) -> bool:
        """As `OpenBlob.seal`. A caller that is cancelled leaves; the hashing goes on for the others."""
        if self._task is None or self._task.done():
            self._task = self._rack.tasks.start(self._attempt(), f"seal {self._blob.record.key}")
        outcome = await asyncio.shield(self._task)
        if isinstance(outcome, PenstockError):
            raise outcome
        return outcome

    async def content(self, span: Span) -> bytes:
        """As `OpenBlob.content`."""
        pieces = []
        for chunk in span.split(CHUNK):
            part = self._blob.holder_of(chunk.start // CHUNK)
            if part is None:
                raise NoDisk(f"no disk has {chunk} of {self._blob.record.key}")
            pieces.append(await part.disk.run(part.read, chunk.start, len(chunk)))
        return b"".join(pieces)

    async def digest(self, span: Span) -> str:
        """As `OpenBlob.digest`."""
        hasher = hashlib.sha256()
        for step in span.split(STEP * CHUNK):
            await self._hashers.run(hasher.update, await self.content(step))
        return hasher.hexdigest()

    async def _attempt(self) -> bool | PenstockError:
        """A refusal is an answer for all who wait, not the failure of a task."""
        self._blob.hold()
        try:
            return await self._locked()
        except PenstockError as error:
            return error
        finally:
            self._blob.release()

    async def _locked(self) -> bool:
        part = self._blob.sealer_part()
        if part is None or not rangelock.try_lock(part.map_fd, SEALER_BYTE):
            return self._blob.sealed
        try:
            # Look again: whoever had the lock may have sealed it before leaving.
            return self._blob.sealed or await self._verify()
        finally:
            rangelock.unlock(part.map_fd, SEALER_BYTE)

    async def _verify(self) -> bool:
        record = self._blob.record
        hasher = record.digest.hasher(record.size) if record.digest else None
        seen: list[int] = []
        # One buffer for all of it: memory that is new for every step costs more than the reading. When a read fails
        # nothing is read into it any more: a thread that hangs may write there until the disk answers. Mapped, because
        # a bytearray is filled with zeros here and now: 4 ms in which the loop stands, before a file's first byte.
        room = memoryview(mmap.mmap(-1, min(STEP * CHUNK, record.size)))
        while len(seen) < self._blob.chunks:
            if not await self._wait_for(len(seen)):
                return False
            await self._follow(seen, hasher, room)
        if not await self._as_seen(seen):
            return False
        if hasher is None or record.digest is None or hasher.hexdigest() == record.digest.hex:
            return await self._blob.seal_parts(seen)
        found = hasher.hexdigest()
        self._rack.observer.corrupted(self._blob.disk_names(), "seal")
        await self._blob.drop("digest")
        raise DigestMismatch(
            f"{record.key} should have the {record.digest.kind.value} {record.digest.hex}, not {found}"
        )

    async def _wait_for(self, chunk: int) -> bool:
        """Wait until `chunk` is there whole; False when for a second nobody fills and nothing comes."""
        blob, idle = self._blob, 0
        await blob.checked(Span(chunk * CHUNK, min((chunk + STEP) * CHUNK, blob.record.size)))
        while blob.holder_of(chunk) is None:
            if blob.dropped:
                raise BlobDropped(f"{blob.record.key} was dropped")
            if idle >= IDLE_POLLS:
                return False
            done, _ = await asyncio.wait([blob.progress()], timeout=POLL)
            idle = 0 if done or blob.filling() else idle + 1
        return True

    async def _follow(self, seen: list[int], hasher: Hasher | None, room: memoryview) -> None:
        """Hash the complete chunks from the end of `seen` on that lie on one disk, at most STEP of them, which `room`
        is for."""
        first, blob = len(seen), self._blob
        part = blob.holder_of(first)
        if part is None:
            return
        stop = min(first + STEP, blob.chunks)
        end = part.map.readable_to(first * CHUNK, min(stop * CHUNK, blob.record.size))
        chunks = range(first, stop) if end == blob.record.size else range(first, end // CHUNK)
        crcs = [part.map.crc(chunk) for chunk in chunks]
        if hasher is not None and chunks:
            length = min(chunks.stop * CHUNK, blob.record.size) - first * CHUNK
            await self._read(part, room[:length], first * CHUNK)
            await self._hashers.run(hasher.update, room[:length])
        seen += crcs

    async def _read(self, part: Part, room: memoryview, offset: int) -> None:
        """Fill `room` from complete chunks; those that cannot be read are missing from now on. Raises DiskFailed."""
        try:
            if await part.disk.run(part.read_into, room, offset) < len(room):
                raise DiskFailed(f"disk {part.disk.name}: the file of {self._blob.record.key} was cut")
        except DiskFailed:
            await self._blob.lose(Span(offset, offset + len(room)), part.disk.name)
            raise

    async def _as_seen(self, seen: list[int]) -> bool:
        """Whether every chunk still is the one that was hashed: one that was lost meanwhile (a failed fdatasync) and
        filled anew may be another."""
        for chunk, crc in enumerate(seen):
            part = self._blob.holder_of(chunk)
            if part is None or part.map.crc(chunk) != crc:
                return False
            if chunk % _BREATH == 0:
                await asyncio.sleep(0)
        return True
