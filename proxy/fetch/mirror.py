"""The mirror: `coordinator.Coordinator` put together from its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from typing import Final, assert_never

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.core.errors import BlobDropped, NoDisk, OriginRefused, Stalled
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span, whole
from proxy.core.tasks import TaskSet
from proxy.hub.facts import FileFacts
from proxy.hub.lfs_batch import LfsPointer
from proxy.hub.names import FileTarget, ObjectTarget, RepoId, Revision
from proxy.hub.notices import BlobPurged, Notice, RepoClosed, RepoPurged, ResponsesPurged
from proxy.hub.oci import Agent
from proxy.hub.peering import PeerQuestion
from proxy.hub.targets import GitPack, GitRefs, LfsBatch, OciBlob, OciManifest, RepoListing

from .coordinator import (
    CacheOutcome,
    Elsewhere,
    Granted,
    LfsAnswer,
    Located,
    LocatedObject,
    Metadata,
    MovedTo,
    Readable,
    Reading,
    Streaming,
)
from .fleet import OncePerFleet, ToldToTheFleet
from .flight import Flight, FlightLimits
from .flights import Flights
from .follow import follow
from .followers import Follower
from .for_peers import PeerReadings
from .git import GitPassage
from .held import HeldBlob
from .in_fleet import InFleet
from .inquiries import Inquiries
from .listings import Listings
from .locate import CONTRADICTIONS, Locator
from .node import OncePerNode
from .objects import Objects
from .ports import BlobStore, Catalogue, Commons, FillObserver, Gatekeeper, Notices, Origin, Source
from .purging import BlobPurges
from .readahead import ReadAhead
from .registry import Manifests
from .relay import RelayedEnd, relay
from .rights import Freshness, Rights, is_about_the_repo, plane_of
from .small import SmallFiles
from .xet import XetFiles

_DROPPED_AT_MOST: Final = 2
"""Times a reader begins anew on a blob that is dropped under it before its first byte."""


class Mirror:
    """Locates, reads and lists on behalf of the front. All its work belongs to `tasks`, none to a client."""

    def __init__(
        self,
        *,
        store: BlobStore,
        catalogue: Catalogue,
        gatekeeper: Gatekeeper,
        origin: Origin,
        tasks: TaskSet,
        clock: Clock,
        freshness: Freshness,
        limits: FlightLimits,
        read_ahead: int,
        observer: FillObserver,
        advertise_above: int | None = None,
        ring: OncePerFleet | None = None,
        commons: Commons | None = None,
        notices: Notices | None = None,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._purges = BlobPurges(store, catalogue, clock, notices)
        self._origin = origin
        self._clock = clock
        self.freshness = freshness
        self._limits = limits
        self._observer = observer
        rights = self._rights = Rights(gatekeeper, catalogue, clock, freshness, notices)
        inquiries = Inquiries(store, tasks)
        self._locator = Locator(origin, catalogue, rights, inquiries, tasks, clock, freshness, commons)
        self._listings = Listings(origin, catalogue, rights, inquiries, clock, freshness, advertise_above, commons)
        self._xet = XetFiles(catalogue, self._locator, self._listings, clock)
        self._git = GitPassage(origin, tasks, clock, freshness)
        self._objects = Objects(origin, catalogue, rights, inquiries)
        self._manifests = Manifests(origin, catalogue, rights, self._objects, inquiries, clock, freshness)
        self._small = SmallFiles(store, catalogue, tasks, observer, ring=ring)
        self._ahead = ReadAhead(read_ahead)
        once_per_node = OncePerNode(observer)
        filler = once_per_node if ring is None else ToldToTheFleet(once_per_node, ring)
        fleet = self._fleet = None if ring is None else InFleet(ring, store, origin, tasks, clock)
        self.flights = Flights(store, filler, tasks, clock, limits, None if fleet is None else fleet.mender)
        self._prover = None if fleet is None else fleet.prover(self.flights)
        self._peers: PeerReadings | None = None
        if fleet is not None and self._prover is not None:
            self._peers = fleet.readings(self.flights, self._small, self._prover, limits)

    async def purge(self, key: BlobKey) -> None:
        """Drop the blob from the disks of this node, and of all others when they hear of it."""
        await self._purges.purge(key)

    async def hear(self, notice: Notice) -> None:
        """Another node says that something is no longer as it was."""
        match notice:
            case RepoClosed(repo, planes, at):
                await self._rights.closed(repo, planes, at)
            case BlobPurged():
                await self._purges.hear(notice)
            case ResponsesPurged():
                pass  # `web.purging` hears it
            case RepoPurged():
                pass  # `purging` does
            case _:
                assert_never(notice)

    async def take_in(self, target: FileTarget, facts: FileFacts, source: Source) -> None:
        """Keep a file at a commit whose bytes `source` gives, proven like those of the origin; read nothing of what is
        here. The file is known from then on; who may read it is not said. Raises what reading raises, and NoDisk."""
        if facts.size and facts.is_small:
            async with self._small.read(ANONYMOUS, target, facts, whole(facts.size), source):
                pass
        elif facts.size:
            await self._take_in_large(facts.record(target.repo), source)
        kept = self._catalogue.resolution(target)
        if not isinstance(kept, FileFacts) or kept.etag != facts.etag:
            await self._catalogue.keep_resolution(target, facts)

    async def _take_in_large(self, record: BlobRecord, source: Source) -> None:
        span = whole(record.size)
        patience = self._limits.progress_timeout
        board = self.flights.boarding(record, source, span)
        async with (
            self._store.open_blob(record) as blob,
            follow(blob, span, board, self._store.disk_failed, self._clock, patience) as reading,
        ):
            async for _ in reading.pieces():
                pass

    async def locate(self, caller: Caller, target: FileTarget) -> Located | Elsewhere:
        return await self._locator.locate(caller, target)

    def open_for(self, target: FileTarget) -> float:
        return self._locator.open_for(target)

    async def grant(self, caller: Caller, repo: RepoId, revision: Revision) -> Granted:
        return await self._xet.grant(caller, repo, revision)

    def located_by_xet(self, repo: RepoId, commit: str, xet: str) -> Located | None:
        return self._xet.located_by_xet(repo, commit, xet)

    async def metadata(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        return await self._listings.metadata(caller, target, body)

    async def pass_through(
        self, caller: Caller, method: str, raw_target: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> Metadata:
        return await self._listings.pass_through(caller, method, raw_target, headers, body)

    async def git_refs(self, caller: Caller, target: GitRefs, protocol: str) -> Metadata:
        return await self._git.refs(caller, target, protocol)

    def git_pack(
        self,
        caller: Caller,
        target: GitPack,
        headers: tuple[tuple[str, str], ...],
        body: bytes | AsyncIterable[bytes],
        patience: float,
    ) -> AbstractAsyncContextManager[Streaming]:
        return self._git.pack(caller, target, headers, body, patience)

    async def lfs_batch(self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer]) -> LfsAnswer | MovedTo:
        return await self._objects.lfs_batch(caller, target, wanted)

    async def manifest(self, caller: Caller, target: OciManifest, agent: Agent) -> Metadata | MovedTo:
        return await self._manifests.manifest(caller, target, agent)

    async def layer(self, caller: Caller, target: OciBlob) -> LocatedObject | MovedTo:
        return await self._objects.layer(caller, target)

    async def vouch_for_file(self, caller: Caller, target: FileTarget) -> Located:
        return await self._locator.vouch(caller, target)

    async def vouch_for_object(self, caller: Caller, target: ObjectTarget, size: int) -> LocatedObject:
        return await self._objects.vouch(caller, target, size)

    @asynccontextmanager
    async def read(self, caller: Caller, located: Readable, span: Span) -> AsyncIterator[Reading]:
        assert span, "a reader asks for at least one byte"
        source = self._source(caller, located)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._limits.first_byte):
                    reading = await self._begun(stack, caller, located, span, source)
            except TimeoutError:
                raise Stalled("the first byte of the file did not come in time; ask again in a moment") from None
            except OriginRefused as refusal:
                if is_about_the_repo(refusal):
                    await self._rights.unlearn(caller, located.target.repo, plane_of(located.target), refusal)
                raise
            except CONTRADICTIONS:
                await self._doubt(located)
                raise
            try:
                yield reading
            except CONTRADICTIONS:
                await self._doubt(located)
                raise

    def lend(self, located: Located) -> HeldBlob | None:
        if located.facts.is_small:
            return None
        blob = self._store.lend(located.facts.record(located.target.repo))
        if blob is not None and not blob.is_right:
            blob.release()
            return None
        return None if blob is None else HeldBlob(blob)

    async def _doubt(self, located: Readable) -> None:
        """The bytes are not what we were told of them. Whichever of the two was the lie: what is kept for ever must not
        be it."""
        match located:
            case Located(file, facts):
                await self._locator.doubt(file, facts)
            case LocatedObject(thing):
                await self._objects.doubt(thing)
            case _:
                assert_never(located)

    def read_for_peer(
        self, caller: Caller, question: PeerQuestion, span: Span, hops: int
    ) -> AbstractAsyncContextManager[Reading]:
        assert self._peers is not None, "only a node of a fleet is asked by peers"
        return self._peers.read(caller, question, span, hops)

    async def manifest_for_peer(self, question: PeerQuestion) -> bytes:
        assert self._peers is not None, "only a node of a fleet is asked by peers"
        return await self._peers.manifest(question)

    def _source(self, caller: Caller, located: Readable) -> Source:
        # Whatever bytes are asked for, of whatever counter: carried by the mirror's own token only for nobody in
        # particular, whom the origin itself has just let in.
        lend = caller.is_anonymous and self._rights.proven(caller, located.target.repo, plane_of(located.target))
        match located:
            case Located(file, facts):
                origin = self._origin.source(file, facts, caller, lend=lend)
            case LocatedObject(thing, facts):
                origin = self._origin.object_source(thing, facts, caller, lend=lend)
            case _:
                assert_never(located)
        if self._fleet is None:
            return origin
        return self._fleet.ring.source(origin, PeerQuestion(located.target, facts, caller.token, lend), hops=0)

    async def _begun(
        self, stack: AsyncExitStack, caller: Caller, located: Readable, span: Span, source: Source
    ) -> Reading:
        try:
            self._check_fits(located, span)
            for _ in range(_DROPPED_AT_MOST):
                with suppress(BlobDropped):  # between our opening it and its first byte: the next one is new
                    return await stack.enter_async_context(self._stored(caller, located, span, source))
            return await stack.enter_async_context(self._stored(caller, located, span, source))
        except NoDisk:
            record = located.facts.record(located.target.repo)
            return await stack.enter_async_context(relay(record, span, source))

    def _check_fits(self, located: Readable, span: Span) -> None:
        """Raises NoDisk for a whole that all disks together cannot hold: it could not be proven from them at its end,
        and would push out everything else before it broke off. Ranges of it are kept like any other."""
        if span == whole(located.facts.size) and located.facts.size > self._store.capacity:
            raise NoDisk("the file is larger than all disks together")

    def _stored(
        self, caller: Caller, located: Readable, span: Span, source: Source
    ) -> AbstractAsyncContextManager[Reading]:
        if located.facts.is_small:
            return self._small.read(caller, located.target, located.facts, span, source)
        return self._large(located, span, source)

    @asynccontextmanager
    async def _large(self, located: Readable, span: Span, source: Source) -> AsyncIterator[RelayedEnd]:
        record = located.facts.record(located.target.repo)
        wanted = span.aligned(CHUNK, record.size)
        self.flights.mistrust.check(record.key)
        patience, from_peers = self._limits.progress_timeout, self._fleet.from_peers(located) if self._fleet else None
        joined = self.flights.is_under_way(record.key)

        @asynccontextmanager
        async def board(needs_seal: bool) -> AsyncIterator[tuple[Flight, Follower]]:
            async with self.flights.board(record, source, wanted, needs_seal=needs_seal) as place:
                with self._waiter() if joined else nullcontext():
                    yield place

        async with (
            self._store.open_blob(record) as blob,
            follow(blob, span, board, self._store.disk_failed, self._clock, patience, from_peers=from_peers) as reading,
        ):
            if joined and reading.cache is CacheOutcome.MISS:
                reading.cache = CacheOutcome.COALESCED
            ahead = self._ahead.after(record.key, span, record.size).aligned(CHUNK, record.size)
            if blob.missing(ahead):
                async with self.flights.board(record, source, Span(0, 0), needs_seal=False) as (flight, _):
                    flight.read_ahead(ahead)
            if self._prover is not None and not reading.verified:
                self._prover.unproven(blob)
            yield RelayedEnd(reading, record, span, source)

    @contextmanager
    def _waiter(self) -> Iterator[None]:
        self._observer.waiters(+1)
        try:
            yield
        finally:
            self._observer.waiters(-1)
