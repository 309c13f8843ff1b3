"""The door of `cluster`: the other nodes, as `fetch` needs them (its port `Fleet`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol

from proxy.config.cluster import ClusterSection
from proxy.core.blob import BlobKey
from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, PeerFailed
from proxy.core.fleet import Ask, Standing, Unsure
from proxy.core.spans import Span
from proxy.hub.peering import PeerQuestion

from .members import Member
from .membership import Membership, MembershipObserver, ourselves
from .observer import RedisObserver
from .peers import PeerLimits, PeerObserver, Peers
from .redis import SharedRedis
from .secret import cluster_secret, redis_address
from .signing import Signer

LEASE_PATIENCE: Final = 1.2
"""A holder that makes no progress for so many times the life of its lease is ignored."""


class ClusterObserver(PeerObserver, MembershipObserver, RedisObserver, Protocol):
    """Who counts what happens in this room. Called on the loop; returns at once."""


class Cluster:
    """See the head of the file."""

    def __init__(self, membership: Membership, peers: Peers, signer: Signer, *, lease_ttl: float) -> None:
        self.signer = signer
        self.membership = membership
        self._peers = peers
        self._lease_ttl = lease_ttl

    @classmethod
    @asynccontextmanager
    async def open(
        cls, section: ClusterSection, *, weight: int, boot: str, clock: Clock, observer: ClusterObserver
    ) -> AsyncIterator[Cluster]:
        """The fleet that `section` (which is on) describes. `weight` is the bytes of our disks, `boot` one life of the
        node, the same for its workers. Raises ConfigError."""
        assert section.secret_file is not None, "a cluster has a secret"
        signer = Signer(cluster_secret(section.secret_file), section.name, clock)
        us = ourselves(section, weight=weight, boot=boot)
        limits = PeerLimits(section.connect_timeout, section.progress_timeout, section.connections_per_peer)
        async with (
            _redis(section, clock, observer) as redis,
            Membership.open(section, us=us, line=redis, clock=clock, observer=observer) as membership,
            Peers.open(signer, limits, observer) as peers,
        ):
            yield cls(membership, peers, signer, lease_ttl=section.lease_ttl)

    def route(self, name: BlobKey, index: int) -> tuple[Ask, ...]:
        """The peers that rank before us for the slice, best first."""
        view = self.membership.view
        names = [member.name for member in view.ranked(name, index)]
        return tuple(Ask(peer) for peer in names[: names.index(view.us)])

    async def read(
        self, peer: str, question: PeerQuestion, span: Span, *, hops: int, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """See `fetch.ports.Fleet`. What it gives, or does not, is remembered of the peer."""
        patience = LEASE_PATIENCE * self._lease_ttl if follow else None
        reading = self._peers.read(self._member(peer), question, span, hops=hops, patience=patience)
        try:
            async with aclosing(reading) as pieces:
                async for piece in pieces:
                    yield piece
            self.membership.succeeded(peer)
        except PeerFailed:
            self.membership.failed(peer)
            raise

    @asynccontextmanager
    async def lease(self, name: BlobKey, index: int) -> AsyncIterator[Standing]:
        """Who is to fetch the slice. Without Redis nobody can be asked."""
        yield Unsure(self._leavers(name, index))

    def completed(self, name: BlobKey, index: int) -> None:
        """Without Redis nobody can be told."""

    def _leavers(self, name: BlobKey, index: int) -> tuple[str, ...]:
        """Nodes that drain, and owned the slice until they did: they have what was fetched of it so far."""
        return tuple(member.name for member in self.membership.view.leavers(name, index))

    def _member(self, name: str) -> Member:
        """Raises AskAnother for one that has left."""
        found = next((member for member in self.membership.view.members if member.name == name), None)
        if found is None:
            raise AskAnother(f"{name} has left the fleet")
        return found


@asynccontextmanager
async def _redis(section: ClusterSection, clock: Clock, observer: RedisObserver) -> AsyncIterator[SharedRedis | None]:
    """The line to Redis, if there is to be one."""
    address = redis_address(section)
    if address is None:
        yield None
        return
    async with SharedRedis.open(address, clock=clock, observer=observer) as redis:
        yield redis
