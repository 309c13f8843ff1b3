"""The door of `cluster`: the other nodes, as `fetch` needs them (its port `Fleet`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from itertools import dropwhile, takewhile
from random import Random
from typing import Final, Protocol, assert_never

from proxy.config.cluster import ClusterSection
from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, PeerFailed, PeerLeaving, PeerSlow
from proxy.core.fleet import Ask, Ours, Standing, Theirs, Unsure
from proxy.core.manifest import Manifest
from proxy.core.spans import Span
from proxy.hub.peering import PeerQuestion, Question

from .answers import Answers
from .lease import Busy, Leases, Mine, Outcome, Unknown
from .members import Member, MemberState
from .membership import Membership, MembershipObserver, ourselves
from .observer import CommonsObserver, LeaseObserver, RedisObserver
from .peers import PeerLimits, PeerObserver, Peers
from .placement import Demand, relief
from .redis import SharedRedis
from .roster import MOST
from .secret import cluster_secret, redis_address
from .shared import Shared
from .signing import Signer

LEASE_PATIENCE: Final = 1.2
"""A holder that makes no progress for so many times the life of its lease is ignored."""

SLOW_FOR: Final = 3.0
"""Seconds for which a peer that was slow to say whether it has a slice is not asked that."""

LEASES_REMEMBERED: Final = 4096
"""Slices whose lease we hold, or held, and that are not whole here yet."""


class ClusterObserver(PeerObserver, MembershipObserver, RedisObserver, LeaseObserver, CommonsObserver, Protocol):
    """Who counts what happens in this room. Called on the loop; returns at once."""

    def peer_lied(self, peer: str) -> None:
        """`peer`, a name, gave a slice that was wrong."""
        ...


class Cluster:
    """See the head of the file."""

    def __init__(
        self,
        membership: Membership,
        leases: Leases | None,
        peers: Peers,
        signer: Signer,
        shared: Shared | None,
        *,
        lease_ttl: float,
        clock: Clock,
        chance: Random,
        observer: ClusterObserver,
    ) -> None:
        self._observer = observer
        self.membership = membership
        self.signer = signer
        self.shared = shared
        self._leases = leases
        self._peers = peers
        self.answers = Answers(membership, peers, clock)
        self._lease_ttl = lease_ttl
        self._chance = chance
        self._clock = clock
        self._slow: BoundedDict[str, float] = BoundedDict(entries=MOST)
        self._demand = Demand(clock)
        self._mine: BoundedDict[tuple[BlobKey, int], Mine] = BoundedDict(entries=LEASES_REMEMBERED)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, section: ClusterSection, *, weight: int, boot: str, clock: Clock, observer: ClusterObserver
    ) -> AsyncIterator[Cluster]:
        """The fleet that `section` (which is on) describes. `weight` is the bytes of our disks, `boot` one life of the
        node, the same for its workers. Raises ConfigError."""
        assert section.secret_file is not None, "a cluster has a secret"
        us = ourselves(section, weight=weight, boot=boot)
        secret = cluster_secret(section.secret_file)
        signer = Signer(secret, us.name, clock)
        limits = PeerLimits(section.connect_timeout, section.progress_timeout, section.connections_per_peer)
        async with (
            _redis(section, clock, observer) as redis,
            _leases(redis, us, section.lease_ttl, clock, observer) as leases,
            _shared(redis, secret, clock, observer) as shared,
            Membership.open(section, us=us, line=redis, clock=clock, observer=observer) as membership,
            Peers.open(signer, limits, observer) as peers,
        ):
            ttl, chance = section.lease_ttl, Random()
            yield cls(
                membership, leases, peers, signer, shared, lease_ttl=ttl, clock=clock, chance=chance, observer=observer
            )

    def route(self, name: BlobKey, index: int, part: float) -> tuple[Ask, ...]:
        """The peers that rank before us for the slice, best first; before them one that relieves its owner, if it is
        hot. None while we are up and have the lease: others follow us, and two that ask each other both say no."""
        view, place = self.membership.view, (name, index)
        if view.ourselves.state is MemberState.UP and self._leases is not None and self._leases.has(name, index):
            return ()
        ranked = view.ranked(name, index)
        before = tuple(takewhile(lambda member: member.name != view.us, ranked))
        if not before:
            return ()
        self._demand.asked(place, before[0].url, part)
        instead = relief(place, ranked, view.us, self._demand, self._chance)
        first = () if instead is None else (Ask(instead.name, stored_only=True),)
        return (*first, *(Ask(member.name) for member in before))

    async def read(
        self, peer: str, question: Question, span: Span, *, hops: int, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """See `fetch.ports.Fleet`. What it gives, or does not, is remembered of the peer."""
        patience = LEASE_PATIENCE * self._lease_ttl if follow else None
        if question.stored_only and self._is_slow(peer):
            raise AskAnother(f"{peer} was slow to say whether it has a slice")
        if not (follow or question.stored_only or self._is_aside):
            question = question.asked_by(self.membership.view.ourselves.url)
        reading = self._peers.read(self._member(peer), question, span, hops=hops, patience=patience)
        try:
            async with aclosing(reading) as pieces:
                async for piece in pieces:
                    yield piece
            self.membership.succeeded(peer)
        except PeerLeaving:
            self.membership.leaving(peer)
            raise
        except PeerSlow:
            # It may be busy with the very bytes, so it is left in the fleet, and not asked by the way for a moment.
            self._slow.put(peer, self._clock.monotonic() + SLOW_FOR)
            raise
        except PeerFailed:
            self.membership.failed(peer)
            raise

    async def has(self, peer: str, question: PeerQuestion, span: Span) -> bool:
        """Whether `peer` has all of `span` (inside one slice) now; asked for an operator, so nothing is made of the
        answer. Raises PeerFailed, FoundWrong."""
        member = next((member for member in self.membership.view.members if member.name == peer), None)
        return member is not None and await self._peers.has(member, question, span)

    def ranks_before_us(self, url: str, name: BlobKey, index: int) -> bool:
        """Whether, as we see the fleet, the member at `url` is asked for the slice before us; False for a stranger,
        whom we never ask."""
        return self.membership.view.ranks_before_us(url, name, index)

    def owns(self, name: BlobKey, index: int) -> bool:
        """Whether we fetch the slice for all. For any thread."""
        view = self.membership.last_view
        return len(view.members) > 1 and view.ranked(name, index)[0].name == view.us

    @property
    def is_leaving(self) -> bool:
        """Whether we hand our slices over."""
        return self.membership.view.ourselves.state is MemberState.DRAINING

    @property
    def _is_aside(self) -> bool:
        return self.membership.view.ourselves.state is MemberState.ASIDE

    def _is_slow(self, peer: str) -> bool:
        return self._clock.monotonic() < (self._slow.get(peer) or 0.0)

    @asynccontextmanager
    async def lease(self, name: BlobKey, index: int) -> AsyncIterator[Standing]:
        """Who is to fetch the slice, as Redis has it; unsure without one, or without an answer."""
        if self._leases is None:
            yield Unsure(self._likely(name, index))
            return
        async with self._leases.hold(name, index, self.membership.unreached) as outcome:
            if isinstance(outcome, Mine):
                self._mine.put((name, index), outcome)
            yield self._standing(outcome, self._likely(name, index))

    def ranked(self, name: BlobKey, index: int) -> tuple[str, ...]:
        """See `fetch.ports.Fleet`."""
        return tuple(member.name for member in self.membership.view.ranked(name, index))

    @property
    def us(self) -> str:
        return self.membership.view.us

    async def manifest(self, peer: str, question: PeerQuestion) -> Manifest:
        """See `fetch.ports.Fleet`."""
        try:
            stamped = await self._peers.manifest(self._member(peer), question)
            manifest = self.unstamped(stamped, question.record)
            if manifest is None:
                raise PeerFailed(f"{peer} gave a manifest of something else, or that no node of the fleet has made")
        except PeerFailed:
            self.membership.failed(peer)
            raise
        return manifest

    def stamped(self, manifest: Manifest) -> bytes:
        """See `fetch.ports.Fleet`."""
        return self.signer.stamp(manifest)

    def unstamped(self, stamped: bytes, record: BlobRecord) -> Manifest | None:
        """See `fetch.ports.Fleet`."""
        return self.signer.unstamp(stamped, record)

    def lied(self, peer: str) -> None:
        """See `fetch.ports.Fleet`."""
        self.membership.lied(peer)
        self._observer.peer_lied(peer)

    def completed(self, name: BlobKey, index: int) -> None:
        """All of the slice is here; if we had the lease, others are told so."""
        mine = self._mine.get((name, index))
        if mine is not None:
            self._mine.discard((name, index))
            mine.done()

    def _standing(self, outcome: Outcome, likely: tuple[str, ...]) -> Standing:
        match outcome:
            case Mine(holders=holders):
                # 1. we read from the origin   2. the others lose their way to us and read it too   3. we hear of that
                return Ours((*self._useful(holders), *likely), partial(self._is_taken, outcome, self._is_aside))
            case Busy(url, holders) if url == self.membership.view.ourselves.url:
                return Ours((*self._useful(holders), *likely))  # another worker of ours: the node's own ring knows
            case Busy(url, holders):
                # Whoever can write to Redis could send us anywhere: only members are followed.
                # Nor is one that stands aside: it may be asking us.
                member, useful = self.membership.view.at(url), self._useful((url,))
                peer = useful[0] if useful and member and member.state is not MemberState.ASIDE else None
                return Unsure((*self._useful(holders), *likely)) if peer is None else Theirs(peer)
            case Unknown():
                return Unsure(likely)
            case _:
                assert_never(outcome)

    def _is_taken(self, mine: Mine, was_aside: bool) -> bool:
        return mine.is_passed_on or (self._is_aside and not was_aside)

    def _useful(self, urls: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the peers at `urls` that are members and have not failed us lately."""
        view = self.membership.view
        found = (view.at(url) for url in urls)
        return tuple(m.name for m in found if m is not None and m.name != view.us and m.name not in view.ejected)

    def _likely(self, name: BlobKey, index: int) -> tuple[str, ...]:
        """Who may have what was fetched of the slice so far: those that owned it until they began to drain; and the one
        that ranks next after us, which owned it before we came, or came back."""
        view = self.membership.view
        leavers = tuple(member.name for member in view.leavers(name, index))
        after = tuple(dropwhile(lambda member: member.name != view.us, view.ranked(name, index)))[1:2]
        return (*leavers, *(member.name for member in after if member.name not in leavers))

    def _member(self, name: str) -> Member:
        """Raises AskAnother for one that has left."""
        found = next((member for member in self.membership.view.members if member.name == name), None)
        if found is None:
            raise AskAnother(f"{name} has left the fleet")
        return found


@asynccontextmanager
async def _redis(section: ClusterSection, clock: Clock, observer: RedisObserver) -> AsyncIterator[SharedRedis | None]:
    address = redis_address(section)
    if address is None:
        yield None
        return
    async with SharedRedis.open(address, clock=clock, observer=observer) as redis:
        yield redis


@asynccontextmanager
async def _leases(
    redis: SharedRedis | None, us: Member, ttl: float, clock: Clock, observer: LeaseObserver
) -> AsyncIterator[Leases | None]:
    if redis is None:
        yield None
        return
    opened = Leases.open(redis, node=us.name, boot=us.boot, url=us.url, ttl=ttl, clock=clock, observer=observer)
    async with opened as leases:
        yield leases


@asynccontextmanager
async def _shared(
    redis: SharedRedis | None, secret: bytes, clock: Clock, observer: CommonsObserver
) -> AsyncIterator[Shared | None]:
    if redis is None:
        yield None
        return
    async with Shared.open(redis, secret, clock=clock, observer=observer) as shared:
        yield shared
