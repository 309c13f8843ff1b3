"""The ring of the fleet: each byte comes from the origin once for all nodes. Route first, lease second (DESIGN D8).

A span (inside one slice) is read from the first of these that gives it; where one stops, the next goes on at that byte:

    hops 0 (for a client)     the peers that rank before us, best first
    hops 0, 1                 whoever holds the lease on the slice, or is said to have it
    always                    the origin

`hops` is how many nodes a question has come through. No two nodes may wait for each other:

    1. A asks B for a slice (in A's view B owns it)      2. B's client wants it too, and in B's view A owns it
    3. B asks A     4. each waits for the other

so a node that is asked for what it has not got fetches it itself (hops 1: no peer that would ask a peer), and while it
reads a slice from a peer it answers AskAnother to those that ask for it; see `Crossings`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

from proxy.core.blob import BlobKey
from proxy.core.errors import AskAnother, PeerFailed
from proxy.core.fleet import Ours, Theirs, Unsure
from proxy.core.sizes import SLICE
from proxy.core.spans import Span
from proxy.hub.peering import PeerQuestion

from .ports import Fleet, Source

log: Final = logging.getLogger(__name__)

FOLLOWING: Final = 1
"""Most nodes a question may have come through to be passed on once more, to the holder of a lease."""
HOLDERS_ASKED: Final = 2
"""Nodes that are said to have a slice are asked for it, so many at most."""

Place = tuple[BlobKey, int]
"""A slice of a blob, by the name that all nodes know it by."""


class FleetObserver(Protocol):
    """Who counts. Called on the loop; returns at once."""

    def fetched(self, reason: str, count: int) -> None:
        """`count` bytes came from the origin, and why here; see `Reason`."""
        ...


class Crossings:
    """Which slices this process reads from peers just now, and which peers read from it: never the same one."""

    def __init__(self) -> None:
        self._asking: Counter[Place] = Counter()
        self._serving: Counter[Place] = Counter()

    def __len__(self) -> int:
        return len(self._asking) + len(self._serving)

    def is_serving(self, place: Place) -> bool:
        return place in self._serving

    @contextmanager
    def asking(self, place: Place) -> Iterator[None]:
        """We read it from a peer."""
        with _counted(self._asking, place):
            yield

    @contextmanager
    def serving(self, place: Place) -> Iterator[None]:
        """A peer reads it from us, and it is not all here. Raises AskAnother while we read it from a peer."""
        if place in self._asking:
            raise AskAnother("this node is reading the slice from a peer itself")
        with _counted(self._serving, place):
            yield


@contextmanager
def _counted(counter: Counter[Place], place: Place) -> Iterator[None]:
    counter[place] += 1
    try:
        yield
    finally:
        counter[place] -= 1
        if not counter[place]:
            del counter[place]


@dataclass(frozen=True, slots=True)
class _Way:
    """One who may have a span: `read` reads it; `asks` is true for a peer."""

    read: Callable[[Span], AsyncGenerator[bytes, None]]
    asks: bool


class OncePerFleet:
    """The ring; one for a process. It wraps the origin's sources."""

    def __init__(self, fleet: Fleet, observer: FleetObserver) -> None:
        self._fleet = fleet
        self._observer = observer
        self.crossings = Crossings()

    def source(self, origin: Source, question: PeerQuestion, *, hops: int) -> FleetSource:
        """The bytes of the file in `question`, from a peer if one has them or should, else from `origin`."""
        return FleetSource(self, origin, question, hops)

    async def read(
        self, origin: Source, question: PeerQuestion, span: Span, hops: int, *, can_wait: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """As `Source.read`, for a span inside one slice."""
        (index,) = span.units(SLICE)
        place = (question.name, index)
        rest = span
        async with aclosing(self._ways(origin, question, place, hops, can_wait)) as ways:
            async for way in ways:
                with self.crossings.asking(place) if way.asks else _nothing():
                    try:
                        async with aclosing(way.read(rest)) as pieces:
                            async for piece in pieces:
                                rest = Span(rest.start + len(piece), rest.stop)
                                yield piece
                        return
                    except (PeerFailed, AskAnother) as failed:
                        log.info("the next is asked", extra={"blob": str(question.name), "why": str(failed)})
        raise AssertionError("the origin is the last way, and raises its own errors")

    async def _ways(
        self, origin: Source, question: PeerQuestion, place: Place, hops: int, can_wait: bool
    ) -> AsyncGenerator[_Way, None]:
        tried = 0
        if hops == 0:
            for peer in self._fleet.route(*place):
                if self.crossings.is_serving(place):
                    break
                tried += 1
                yield self._peer(peer, question, hops)
        async with self._fleet.lease(*place) as standing:
            reason = "owner" if not tried else "peers_failed"
            match standing:
                case Ours(holders):
                    for peer in holders[:HOLDERS_ASKED]:
                        yield self._peer(peer, question.anew(stored_only=True), hops)
                case Theirs(peer) if hops <= FOLLOWING:
                    yield self._peer(peer, question, hops, follow=True)
                    reason = "lease_ignored"
                case Theirs():
                    reason = "lease_ignored"
                case Unsure():
                    reason = "unsure" if not tried else reason
                case _:
                    assert_never(standing)
            yield _Way(lambda span: self._from_origin(origin, span, reason, can_wait), asks=False)

    def _peer(self, peer: str, question: PeerQuestion, hops: int, *, follow: bool = False) -> _Way:
        return _Way(lambda span: self._fleet.read(peer, question, span, hops=hops + 1, follow=follow), asks=True)

    async def _from_origin(
        self, origin: Source, span: Span, reason: str, can_wait: bool
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(origin.read(span, can_wait=can_wait)) as pieces:
            async for piece in pieces:
                self._observer.fetched(reason, len(piece))
                yield piece


class FleetSource:
    """`ports.Source`: the bytes of one record, from wherever in the fleet they are, or from the origin."""

    def __init__(self, ring: OncePerFleet, origin: Source, question: PeerQuestion, hops: int) -> None:
        self._ring = ring
        self._origin = origin
        self._question = question
        self._hops = hops

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """The bytes of `span`, exactly, in order. Raises what the origin's source raises.

        `can_wait` counts for what this node asks the origin; a peer is asked as by any reader."""
        for part in span.split(SLICE):
            reading = self._ring.read(self._origin, self._question, part, self._hops, can_wait=can_wait)
            async with aclosing(reading) as pieces:
                async for piece in pieces:
                    yield piece


@contextmanager
def _nothing() -> Iterator[None]:
    yield
