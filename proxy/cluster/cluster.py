"""The door of `cluster`: the other nodes, as `fetch` needs them (its port `Fleet`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol

from proxy.config.cluster import ClusterSection, name_of
from proxy.core.blob import BlobKey
from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, PeerFailed
from proxy.core.fleet import Standing, Unsure
from proxy.core.spans import Span
from proxy.hub.peering import PeerQuestion

from .members import Member, View
from .peers import PeerLimits, PeerObserver, Peers
from .secret import cluster_secret
from .signing import Signer

LEASE_PATIENCE: Final = 1.2
"""A holder that makes no progress for so many times the life of its lease is ignored."""


class Views(Protocol):
    """Who is there, as `membership` knows it."""

    @property
    def view(self) -> View: ...

    def failed(self, name: str) -> None:
        """The member did not do what it was asked."""
        ...

    def succeeded(self, name: str) -> None:
        """The member answered as it should."""
        ...


class Cluster:
    """See the head of the file."""

    def __init__(self, views: Views, peers: Peers, signer: Signer, *, lease_ttl: float) -> None:
        self.signer = signer
        self._views = views
        self._peers = peers
        self._lease_ttl = lease_ttl

    @classmethod
    @asynccontextmanager
    async def open(cls, config: ClusterSection, *, clock: Clock, observer: PeerObserver) -> AsyncIterator[Cluster]:
        """The fleet that `config` (which is on) describes. Raises ConfigError."""
        assert config.advertise is not None, "a node of a cluster has an address"
        assert config.secret_file is not None, "a cluster has a secret"
        signer = Signer(cluster_secret(config.secret_file), config.name, clock)
        us = Member(config.name, config.advertise, config.weight or 1)
        others = (Member(name_of(peer.url), peer.url, peer.weight or us.weight) for peer in config.peers)
        members = tuple(sorted((us, *others), key=lambda member: member.name))
        limits = PeerLimits(config.connect_timeout, config.progress_timeout, config.connections_per_peer)
        async with Peers.open(signer, limits, observer) as peers:
            yield cls(KnownPeers(View(1, members, us.name)), peers, signer, lease_ttl=config.lease_ttl)

    def route(self, name: BlobKey, index: int) -> tuple[str, ...]:
        """The peers that rank before us for the slice, best first."""
        view = self._views.view
        names = [member.name for member in view.ranked(name, index)]
        return tuple(names[: names.index(view.us)])

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
            self._views.succeeded(peer)
        except PeerFailed:
            self._views.failed(peer)
            raise

    @asynccontextmanager
    async def lease(self, name: BlobKey, index: int) -> AsyncIterator[Standing]:
        """Who is to fetch the slice. Without Redis nobody can be asked."""
        yield Unsure()

    def _member(self, name: str) -> Member:
        """Raises AskAnother for one that has left."""
        found = next((member for member in self._views.view.members if member.name == name), None)
        if found is None:
            raise AskAnother(f"{name} has left the fleet")
        return found


class KnownPeers:
    """Members that a list names and that are never left out (`Views`)."""

    def __init__(self, view: View) -> None:
        self.view = view

    def failed(self, name: str) -> None: ...

    def succeeded(self, name: str) -> None: ...
