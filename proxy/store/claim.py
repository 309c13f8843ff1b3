"""The right to fill one span of a blob, and the writer that has it.

try_claim   locks the chunks (no I/O)          ──┐
enter       chooses a disk, books the room       │ leaving undoes these in reverse, whatever happened,
write       bytes, then marks and states         │ once no thread writes for it any more
leave       books what was written, unlocks    ──┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from isal.isal_zlib import crc32

from proxy.core.errors import BlobDropped, NoDisk, StoreError
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .disk import Call
from .part import Part
from .syscalls import beginning


@dataclass(slots=True)
class Grant:
    """Where a claim writes: the part, the promise its room is booked under, and the chunks it has to bring."""

    part: Part
    promise: int
    chunks: frozenset[int]
    """Complete ones inside the span are left out: what is there stays as it is."""

    def finished(self) -> list[int]:
        """Those that have been brought."""
        flags = self.part.map.complete
        return sorted(chunk for chunk in self.chunks if flags(chunk, chunk + 1)[0])

    def gained(self) -> int:
        """Their bytes."""
        return sum(map(self.part.map.length, self.finished()))


class SpanWriter:
    """Writes a claimed span front to back. Not for two tasks at once."""

    def __init__(self, span: Span, grant: Grant, wrote: Callable[[Part, int, list[int]], None]) -> None:
        self._span = span
        self._grant = grant
        self._wrote = wrote
        self._offset = span.start
        self._crc = 0
        self._failed_syncs = 0
        self._broken = False
        self._call: Call[list[int]] | None = None

    @property
    def offset(self) -> int:
        """Where the next byte goes."""
        return self._offset

    async def write(self, pieces: list[bytes]) -> None:
        """Append `pieces`. When it returns they are in the file and readers may have them.

        Raises DiskFailed, NoDisk (the disk is full), BlobDropped, ValueError (past the end of the span)."""
        size = sum(map(len, pieces))
        if self._offset + size > self._span.stop:
            raise ValueError(f"{size} bytes at {self._offset} reach beyond {self._span}")
        if self._grant.part.map.dropped:
            raise BlobDropped(f"{self._grant.part.map.record.key} was dropped")
        if self._call is not None and not self._call.finished.done():
            raise RuntimeError("an earlier write was abandoned; leave the claim")
        if self._broken:
            raise RuntimeError("an earlier write failed; leave the claim")
        offset, self._offset = self._offset, self._offset + size
        self._call = self._grant.part.disk.submit(self._append, pieces, offset)
        try:
            finished = await self._call.result
        except StoreError:
            self._broken = True  # a chunk is torn: whatever came after would be booked under a wrong CRC
            raise
        self._wrote(self._grant.part, size, finished)

    async def quiet(self) -> None:
        """Wait until no thread writes for this writer any more, however its caller left."""
        if self._call is not None:
            await self._call.finished

    def _append(self, pieces: list[bytes], offset: int) -> list[int]:
        """In a disk thread: the chunks that became complete."""
        finished: list[int] = []
        rest = [memoryview(piece) for piece in pieces if piece]
        while rest:
            chunk, start = divmod(offset, CHUNK)
            now, rest = beginning(rest, self._grant.part.map.length(chunk) - start)
            if chunk in self._grant.chunks and self._append_to_chunk(chunk, start, now):
                finished.append(chunk)
            offset += sum(map(len, now))
        return finished

    def _append_to_chunk(self, chunk: int, start: int, pieces: list[memoryview]) -> bool:
        """Write at `start` of `chunk` and show it; whether the chunk is complete."""
        part = self._grant.part
        if start == 0:
            part.map.begin(chunk)
            self._crc, self._failed_syncs = 0, part.failed_syncs
        part.write(pieces, chunk * CHUNK + start)
        for piece in pieces:
            self._crc = crc32(piece, self._crc)
        mark = start + sum(map(len, pieces))
        if mark < part.map.length(chunk):
            part.map.advance(chunk, mark)
            return False
        part.finish(chunk, self._crc, failed_syncs=self._failed_syncs)
        return True


class Claim:
    """See the head of the file. `obtain` makes the grant, `settle` ends it, `unlock` frees the chunks."""

    def __init__(
        self,
        span: Span,
        tasks: TaskSet,
        *,
        obtain: Callable[[Span], Awaitable[Grant]],
        settle: Callable[[Grant], Awaitable[None]],
        unlock: Callable[[], None],
        wrote: Callable[[Part, int, list[int]], None],
    ) -> None:
        self._span = span
        self._tasks = tasks
        self._obtain = obtain
        self._settle = settle
        self._unlock = unlock
        self._wrote = wrote
        self._obtaining: asyncio.Task[Grant | StoreError] | None = None
        self._writer: SpanWriter | None = None

    async def __aenter__(self) -> SpanWriter:
        self._obtaining = self._tasks.start(self._granted(), f"reserve {self._span}")
        try:
            outcome = await asyncio.shield(self._obtaining)
        except BaseException:
            # Cancelled. The room may be booked all the same, a moment from now: see to it in our own time.
            self._tasks.start(self._leave(), f"leave {self._span}")
            raise
        if isinstance(outcome, StoreError):
            self._unlock()
            raise outcome
        self._writer = SpanWriter(self._span, outcome, self._wrote)
        return self._writer

    async def __aexit__(self, *exc_info: object) -> None:
        # Shielded: a cancelled caller leaves, the books are set right without it.
        await asyncio.shield(self._tasks.start(self._leave(), f"leave {self._span}"))

    async def _granted(self) -> Grant | StoreError:
        """A refusal is an answer here, not the failure of a task."""
        try:
            return await self._obtain(self._span)
        except StoreError as error:
            return error

    async def _leave(self) -> None:
        try:
            assert self._obtaining is not None, "left after it was entered"
            grant = await self._obtaining
            if isinstance(grant, StoreError):
                return
            if self._writer is not None:
                await self._writer.quiet()
            await self._settle(grant)
        finally:
            self._unlock()


class NoClaim:
    """A claim that no disk can honour: entering raises NoDisk."""

    async def __aenter__(self) -> Any:
        raise NoDisk("no healthy disk is left")

    async def __aexit__(self, *exc_info: object) -> None:
        return None
