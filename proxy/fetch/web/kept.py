"""Bodies that are kept: opened for one reader at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from proxy.core.blob import BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import NoDisk, OriginLied, OriginRefused, PenstockError, SourceChanged
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span, whole
from proxy.fetch.coordinator import CacheOutcome, Reading
from proxy.fetch.flights import Flights
from proxy.fetch.follow import FromPeers, follow
from proxy.fetch.ports import BlobStore, Source
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece, Piece
from proxy.fetch.relay import RelayedEnd, relay
from proxy.fetch.small import SmallReading, Stored, forgetting
from proxy.rfc9111.stored import SmallBody

from .ports import WebSource
from .sources import Sources
from .spool import Spool


class SmallHeld:
    """A body of one file, or of no byte."""

    def __init__(self, store: BlobStore, body: SmallBody) -> None:
        self._store = store
        self._body = body
        self.size = body.size

    async def completed(self) -> int:
        return self.size

    @asynccontextmanager
    async def open(self, span: Span | None) -> AsyncIterator[Reading]:
        """Raises SourceChanged when it is here no more."""
        async with self._store.open_small(self._body.key) as extent:
            if extent is None or extent.length != self.size:
                raise SourceChanged("the answer has left the cache; ask again")
            failed = forgetting(self._store, lambda: self._body.key)
            yield SmallReading(span or whole(self.size), Stored(extent), CacheOutcome.HIT, failed)


class LargeHeld:
    """A body with a chunk map: what is missing comes from the origin, for all its readers together."""

    def __init__(
        self,
        rooms: Rooms,
        record: BlobRecord,
        ways: Callable[[], tuple[WebSource, Source]],
        forget: Callable[[PenstockError], Awaitable[None]],
        from_peers: FromPeers | None = None,
    ) -> None:
        """`ways` finds the origin's source of it, and who gives the bytes: asked by who reads, since many an answer is
        told without a byte. `forget` is told that the origin has something else by now, or refuses it, so that its
        head is not served again. `from_peers`: which slices came from other nodes."""
        self._from_peers = from_peers
        self._rooms = rooms
        self._record = record
        self._ways = ways
        self._forget = forget
        self.size = record.size

    async def completed(self) -> int:
        return self.size

    @asynccontextmanager
    async def open(self, span: Span | None) -> AsyncIterator[Reading]:
        """Raises what fetching raises; SourceChanged: the origin has another version by now."""
        span = span or Span(0, self.size)
        wanted = span.aligned(CHUNK, self.size)
        source, through = self._ways()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._rooms.sources.use(self._record.key, source))
            stack.enter_context(source.wanting(wanted))
            try:
                yield await self._begun(stack, span, wanted, through)
            except (OriginLied, OriginRefused) as error:
                await self._forget(error)
                raise

    async def _begun(self, stack: AsyncExitStack, span: Span, wanted: Span, through: Source) -> Reading:
        try:
            return await stack.enter_async_context(self._followed(span, wanted, through))
        except NoDisk:
            return await stack.enter_async_context(relay(self._record, span, through))

    @asynccontextmanager
    async def _followed(self, span: Span, wanted: Span, through: Source) -> AsyncIterator[RelayedEnd]:
        rooms, record = self._rooms, self._record
        async with (
            rooms.store.open_blob(record) as blob,
            follow(
                blob,
                span,
                rooms.flights.boarding(record, through, wanted),
                rooms.store.disk_failed,
                rooms.clock,
                rooms.patience,
                from_peers=self._from_peers,
            ) as reading,
        ):
            yield RelayedEnd(reading, record, span, through)


@dataclass(frozen=True, slots=True)
class Rooms:
    """What large bodies are read with. `patience`: seconds without progress."""

    store: BlobStore
    flights: Flights
    sources: Sources
    clock: Clock
    patience: float


class Coming:
    """A body that is still on its way."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    @property
    def size(self) -> int | None:
        return self._spool.size

    async def completed(self) -> int:
        return self._spool.size if self._spool.size is not None else await self._spool.completed()

    @asynccontextmanager
    async def open(self, span: Span | None) -> AsyncIterator[Reading]:
        async with aclosing(_pieces(self._spool, span)) as pieces:
            yield _ComingReading(pieces)


class _ComingReading:
    cache = CacheOutcome.MISS
    verified = True

    def __init__(self, pieces: AsyncIterator[Piece]) -> None:
        self._pieces = pieces

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        raise AssertionError("what comes is in memory: no file of the store can fail")

    def pieces(self) -> AsyncIterator[Piece]:
        return self._pieces


async def _pieces(spool: Spool, span: Span | None) -> AsyncGenerator[Piece, None]:
    async for content in spool.pieces(span):
        yield MemoryPiece(content, ByteSource.FILL)
