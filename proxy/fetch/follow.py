"""Following a blob: its bytes for one reader, in order, as the map fills.

Every reader follows the file, the one that caused the fill too. A body that makes the blob whole ends only after the
digest was found right: its last chunk is held back until then, so that no wrong body ever ends cleanly. That the disks
know of it, which the seal means as well, concerns a power cut and no reader.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import Extent
from proxy.core.clock import Clock
from proxy.core.errors import BlobDropped
from proxy.core.sizes import CHUNK, MIB, SLICE
from proxy.core.spans import Span, whole

from .coordinator import CacheOutcome
from .flight import Flight
from .followers import Follower
from .ports import Blob
from .reading import ByteSource, FilePiece, Piece

log = logging.getLogger(__name__)

_PIECE: Final = 8 * MIB
"""Most bytes of one piece: how often a long read tells its flight where it is."""

Board = Callable[[bool], AbstractAsyncContextManager[tuple[Flight, Follower]]]
"""Boards the blob's flight; the argument says whether the reader needs the seal."""

Blame = Callable[[str, OSError], None]
"""Counts an I/O error against the disk of that name."""


FromPeers = Callable[[int], bool]
"""Whether the slice of that index came from other nodes, as far as anything of it has come."""


def needs_seal(blob: Blob, span: Span) -> bool:
    """Whether a body of `span` makes the blob whole, and so must not end before the digest is right.

    A range of a blob of which other parts stay missing cannot be proven; it goes out as it is, and says so.
    """
    if blob.sealed or not blob.pending_seal():
        return False
    size = blob.record.size
    return span.stop == size and all(span.covers(gap) for gap in blob.missing(whole(size)))


@dataclass(slots=True)
class _Place:
    """A reader's place aboard a flight, once it has one."""

    flight: Flight
    follower: Follower


class BlobReading:
    """One reader of an open blob (see `coordinator.Reading`)."""

    def __init__(
        self,
        blob: Blob,
        span: Span,
        board: Board,
        blame: Blame,
        clock: Clock,
        patience: float,
        *,
        may_prove: bool = True,
        from_peers: FromPeers | None = None,
    ) -> None:
        self._from_peers = from_peers
        self._blob = blob
        self._span = span
        self._board = board
        self._blame = blame
        self._clock = clock
        self._patience = patience
        self._seal = may_prove and needs_seal(blob, span)
        self._absent = blob.missing(span)
        self._place: _Place | None = None
        self._stack = AsyncExitStack()
        self.verified = blob.is_proven(span)
        self.position = span.start
        self.cache = CacheOutcome.MISS if self._absent else CacheOutcome.HIT

    async def aclose(self) -> None:
        """Leave the flight, if one was boarded."""
        await self._stack.aclose()

    async def begin(self) -> None:
        """Return when the first byte can be given. Raises what fetching raises."""
        if self._absent:
            await self._boarded()
        while await self._extent(self._span.start) is None:
            await self._wait(self._span.start)

    async def pieces(self) -> AsyncIterator[Piece]:
        while self.position < self._span.stop:
            extent = await self._extent(self.position)
            if extent is None:
                await self._wait(self.position)
                continue
            if self._place is not None:
                self._place.follower.under_way = True
            yield FilePiece(extent.fd, extent.offset, extent.length, extent.disk, self._source_of(extent))
            self.position += extent.length
            if self._place is not None:
                self._place.follower.moved(self.position)

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        """Forget the chunks that could not be read; they are missing now, and are fetched like any other."""
        self.position = piece.offset + sent
        self._blame(piece.disk, error)
        await self._blob.lose(Span(self.position, self.position + 1), piece.disk)
        self._absent = self._blob.missing(self._span)

    @property
    def proves(self) -> bool:
        """Whether the end of this body waits for the digest."""
        return self._seal

    def _held_back(self) -> int:
        """The offset from which bytes wait for the seal."""
        if not self._seal or self._blob.is_right:
            return self._span.stop
        return max(self._span.start, (self._blob.record.size - 1) // CHUNK * CHUNK)

    async def _extent(self, position: int) -> Extent | None:
        stop = min(self._held_back(), position + _PIECE)
        if position >= stop or self._blob.dropped:
            return None
        await self._blob.checked(Span(position, stop))
        return self._blob.readable(position, self._boundary(position, stop))

    def _boundary(self, position: int, stop: int) -> int:
        """`stop`, or the nearest edge before it between what was here at first and what has come since."""
        edges = (edge for gap in self._absent for edge in (gap.start, gap.stop) if position < edge < stop)
        return min(edges, default=stop)

    def _source_of(self, extent: Extent) -> ByteSource:
        if not any(extent.offset in gap for gap in self._absent):
            return ByteSource.DISK
        is_peers = self._from_peers is not None and self._from_peers(extent.offset // SLICE)
        return ByteSource.PEER if is_peers else ByteSource.FILL

    async def _wait(self, position: int) -> None:
        """Wait until the byte at `position` may be readable: by the flight's doing, or because it was sealed."""
        if self._blob.dropped:
            raise BlobDropped("the file was dropped from the cache while it was being read; ask again")
        place = await self._boarded()
        place.follower.moved(position)
        place.follower.under_way = position > self._span.start
        place.follower.awaits_seal = position >= self._held_back()
        deadline = self._clock.monotonic() + self._patience
        while not self._can_read(position):
            await place.flight.wait(place.follower, deadline)

    def _can_read(self, position: int) -> bool:
        held_back = self._held_back()
        return position < held_back and self._blob.readable(position, position + 1) is not None

    async def _boarded(self) -> _Place:
        if self._place is None:
            flight, follower = await self._stack.enter_async_context(self._board(self._seal))
            self._place = _Place(flight, follower)
        return self._place


@asynccontextmanager
async def follow(
    blob: Blob,
    span: Span,
    board: Board,
    blame: Blame,
    clock: Clock,
    patience: float,
    *,
    may_prove: bool = True,
    from_peers: FromPeers | None = None,
) -> AsyncIterator[BlobReading]:
    """Read `span` of an open blob. Entering waits for its first byte; `patience` is in seconds without progress.

    Without `may_prove` nothing waits for the digest: for a reader that sees to it itself."""
    reading = BlobReading(blob, span, board, blame, clock, patience, may_prove=may_prove, from_peers=from_peers)
    try:
        await reading.begin()
        yield reading
    finally:
        await reading.aclose()
