"""Reading on behalf of another node: the same store, flights and followers, and fewer places to ask.

The node that asks has proven its caller's right and verifies what it gets, so a peer waits for no seal; nobody reads
ahead for it, and nothing is relayed to it that no disk here takes (it can do that itself).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, Stalled
from proxy.core.sizes import CHUNK, SLICE
from proxy.core.spans import Span
from proxy.hub.peering import PeerQuestion, Question

from .coordinator import Reading
from .crossings import Place
from .fleet import OncePerFleet
from .flight import FlightLimits
from .flights import Flights
from .follow import follow
from .ports import Blob, BlobStore, Source
from .prover import Prover
from .sealer import Sealer
from .small import SmallFiles


class Lending:
    """Opens stretches of blobs for peers."""

    def __init__(
        self, store: BlobStore, ring: OncePerFleet, flights: Flights, clock: Clock, limits: FlightLimits
    ) -> None:
        self._store = store
        self._ring = ring
        self._flights = flights
        self._clock = clock
        self._patience = limits.progress_timeout

    @asynccontextmanager
    async def blob(self, question: Question) -> AsyncIterator[Blob]:
        """The blob that is asked about. Raises AskAnother when only what is here is wanted, and nothing of it is."""
        if question.stored_only and not await self._store.holds(question.record.key):
            raise AskAnother("the file is not here")
        async with self._store.open_blob(question.record) as blob:
            yield blob

    @asynccontextmanager
    async def reading(self, blob: Blob, question: Question, span: Span, source: Source) -> AsyncIterator[Reading]:
        """`span` (inside one slice) of the open blob; what is missing comes from `source`."""
        wanted, place = span.aligned(CHUNK, blob.record.size), (question.name, span.start // SLICE)
        board = self._flights.boarding(blob.record, source, wanted)
        gaps = blob.missing(span)
        if gaps and not self._ring.crossings.is_fetching(place, gaps):
            self._ring.check(question, place[1])
        with self._ring.crossings.serving(place, span) if gaps else nullcontext():
            reading = follow(blob, span, board, self._store.disk_failed, self._clock, self._patience, may_prove=False)
            async with reading as opened:
                yield opened


class PeerReadings:
    """Opens what a peer asks for."""

    def __init__(
        self,
        *,
        store: BlobStore,
        from_origin: Callable[[PeerQuestion, Caller], Source],
        ring: OncePerFleet,
        flights: Flights,
        small: SmallFiles,
        sealer: Sealer,
        prover: Prover,
        clock: Clock,
        limits: FlightLimits,
    ) -> None:
        self._lending = Lending(store, ring, flights, clock, limits)
        self._from_origin = from_origin
        self._ring = ring
        self._flights = flights
        self._small = small
        self._limits = limits
        self._sealer = sealer
        self._prover = prover

    @asynccontextmanager
    async def read(self, caller: Caller, question: PeerQuestion, span: Span, hops: int) -> AsyncIterator[Reading]:
        """`span` (inside one slice) of the file in `question`. Entering waits for its first byte.

        Raises AskAnother, Stalled, StoreError, and what the origin says."""
        source = self._ring.source(self._from_origin(question, caller), question, hops=hops)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._limits.first_byte):
                    place = (question.name, span.start // SLICE)
                    opened = self._opened(caller, question, span, place, source)
                    reading = await stack.enter_async_context(opened)
            except TimeoutError:
                raise Stalled("the first byte of the file did not come in time") from None
            yield reading

    async def manifest(self, question: PeerQuestion) -> bytes:
        """The stamped manifest of the blob. Raises AskAnother when it is not known (yet), FoundWrong."""
        if question.facts.is_small:
            raise AskAnother("a small file is proven as it comes")
        return await self._sealer.given(question)

    @asynccontextmanager
    async def _opened(
        self, caller: Caller, question: PeerQuestion, span: Span, place: Place, source: Source
    ) -> AsyncIterator[Reading]:
        target, facts = question.target, question.facts
        if facts.is_small:
            async with self._small.stored(target, facts, span) as stored:
                if stored is not None:
                    yield stored
                    return
            self._ring.check(question, place[1])
            with self._ring.crossings.serving(place, span):
                async with self._small.read(caller, target, facts, span, source) as small:
                    yield small
            return
        self._flights.mistrust.check(question.record.key)
        async with (
            self._lending.blob(question) as blob,
            self._lending.reading(blob, question, span, source) as large,
        ):
            if not large.verified:
                self._prover.unproven(blob)
            yield large
