"""Passing bytes on without keeping them: when no disk takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from proxy.core.blob import BlobRecord
from proxy.core.errors import DigestMismatch, NoDisk, OriginUnreachable
from proxy.core.spans import Span, whole

from .coordinator import CacheOutcome
from .follow import BlobReading
from .ports import Source
from .reading import ByteSource, FilePiece, MemoryPiece, Piece


class RelayReading:
    """One reader straight from the origin. A whole body is hashed as it passes, its end held back until it is right.

    Each reader costs the origin a transfer of its own: there is nothing to share it through.
    """

    def __init__(self, record: BlobRecord, span: Span, stream: AsyncIterator[bytes]) -> None:
        self._record = record
        self._span = span
        self._stream = stream
        self._first: bytes | None = None
        self.verified = False
        self.cache = CacheOutcome.BYPASS

    async def begin(self) -> None:
        self._first = await anext(self._stream, None)
        if self._first is None:
            raise OriginUnreachable("the origin sent no byte of the file")

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        raise AssertionError("a relay has no file to fail")

    async def pieces(self) -> AsyncIterator[Piece]:
        digest = self._record.digest if self._span == whole(self._record.size) else None
        hasher = digest.hasher(self._record.size) if digest else None
        held = self._first
        assert held is not None, "a relay is begun before it is read"
        async for piece in self._stream:
            yield MemoryPiece(held, ByteSource.RELAY)
            if hasher:
                hasher.update(held)
            held = piece
        if hasher and digest:
            hasher.update(held)
            if hasher.hexdigest() != digest.hex:
                raise DigestMismatch("the bytes that the origin sent are not those it announced")
        yield MemoryPiece(held, ByteSource.RELAY)


class RelayedEnd:
    """A reading of a stored blob that goes on by relay when the disks give up in the middle.

    A whole is broken off instead: its end may not come before its digest is right, and its beginning can no longer be
    hashed along. The client resumes with a range, which is relayed to its end as it is (and was announced as unproven,
    even if it would have completed the blob).
    """

    def __init__(self, reading: BlobReading, record: BlobRecord, span: Span, source: Source) -> None:
        self._reading = reading
        self._record = record
        self._span = span
        self._source = source
        self.cache = reading.cache
        self.verified = reading.verified

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        await self._reading.recover(piece, sent, error)

    async def pieces(self) -> AsyncIterator[Piece]:
        try:
            async for piece in self._reading.pieces():
                yield piece
            return
        except NoDisk:
            if self._reading.proves and self._span == whole(self._record.size):
                raise
        async with relay(self._record, Span(self._reading.position, self._span.stop), self._source) as rest:
            async for piece in rest.pieces():
                yield piece


@asynccontextmanager
async def relay(record: BlobRecord, span: Span, source: Source) -> AsyncIterator[RelayReading]:
    """Read `span` from the origin, storing nothing. Entering waits for the first bytes."""
    async with aclosing(source.read(span)) as stream:
        reading = RelayReading(record, span, stream)
        await reading.begin()
        yield reading
