"""The ring of the fleet: each byte comes from the origin once for all nodes. Route first, lease second (DESIGN D8).

A span (inside one slice) is read from the first of these that gives it; where one stops, the next goes on at that byte:

    hops 0 (for a client)     the peers that rank before us, best first
    hops 0, 1                 whoever holds the lease on the slice; or who may have it by chance, if it has
    always                    the origin; until the lease turns out to be another's by then: from the start, once

`hops` is how many nodes a question has come through. What keeps two nodes from waiting for each other: `crossings`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, assert_never

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, PeerFailed, PeerLeaving
from proxy.core.fleet import Ours, Theirs, Unsure
from proxy.core.sizes import SLICE
from proxy.core.spans import Span, whole
from proxy.hub.peering import PeerQuestion, Question

from .crossings import Crossings, Place
from .givers import ORIGIN, Givers, GiversObserver
from .node import Filler
from .pace import HedgeBudget, Pace
from .ports import Blob, Fleet, Source

log: Final = logging.getLogger(__name__)

FOLLOWING: Final = 1
"""Most nodes a question may have come through to be passed on once more, to the holder of a lease."""
HOLDERS_ASKED: Final = 3
"""Nodes that may have a slice are asked for it, so many at most."""

QUESTIONS: Final = 4096
"""Files of which is remembered how to ask for them."""


class FleetObserver(GiversObserver, Protocol):
    """Who counts. Called on the loop; returns at once."""

    def fetched(self, reason: str, count: int) -> None:
        """`count` bytes came from the origin, and why here: see penstock_fleet_origin_bytes_total."""
        ...


class _TooSlow(Exception):
    """A peer gives too little, and what it has not given may be had from the origin as well."""


class _Taken(Exception):
    """The lease under which we read from the origin is another's: we slept, and the bytes are there by now."""


@dataclass(frozen=True, slots=True)
class _Errand:
    """What is to be brought."""

    origin: Source
    question: Question
    place: Place
    span: Span
    part: float
    """How much `span` is of the slice."""
    hops: int
    can_wait: bool
    gives_way: bool
    """Whether we stop when another is found to have become the one to fetch it."""


_Way = Callable[[Span], AsyncGenerator[bytes, None]]
"""Reads a span from one who may have it."""


class OncePerFleet:
    """The ring; one for a process. It wraps the origin's sources."""

    def __init__(
        self,
        fleet: Fleet,
        observer: FleetObserver,
        clock: Clock,
        *,
        floor: float,
        window: float,
        prove_after: float = 10.0,
    ) -> None:
        """A peer that gives less than `floor` bytes per second over `window` seconds is slow. `prove_after`: seconds
        until bytes that were read unproven are proven, if nobody has the whole."""
        self.prove_after = prove_after
        self.fleet = fleet
        self._observer = observer
        self._clock = clock
        self._floor = floor
        self._window = window
        self._hedges = HedgeBudget()
        self._questions: BoundedDict[BlobKey, PeerQuestion] = BoundedDict(entries=QUESTIONS)
        self.givers = Givers(fleet, observer)
        self.crossings = Crossings()

    def source(self, origin: Source, question: Question, *, hops: int) -> FleetSource:
        """The bytes of the file in `question`, from a peer if one has them or should, else from `origin`."""
        if isinstance(question, PeerQuestion):
            self._questions.put(question.name, question.without_caller())
        return FleetSource(self, origin, question, hops)

    def check(self, question: Question, index: int) -> None:
        """Raise AskAnother for a question about bytes that we have not got, nor read from the origin just now, if who
        asks is to be told to look elsewhere. See `crossings`."""
        if question.stored_only:
            raise AskAnother("the bytes are not here, nor on their way from the origin")
        if not question.asker or not self.fleet.ranks_before_us(question.asker, question.name, index):
            return
        if self.fleet.is_leaving:
            raise PeerLeaving("this node hands its slices over")
        raise AskAnother("as this node sees the fleet, who asks ranks before it")

    def ours(self, name: BlobKey, span: Span) -> Span:
        """As much of `span`, from its start on, as is in slices that are ours to fetch."""
        stop = span.start
        for part in span.split(SLICE):
            if self.fleet.ranked(name, part.start // SLICE)[0] != self.fleet.us:
                break
            stop = part.stop
        return Span(span.start, stop)

    def question(self, name: BlobKey) -> PeerQuestion | None:
        """What to ask of peers about the Hub's blob, in nobody's name; None when nobody here has read it lately."""
        return self._questions.get(name)

    def fetched(self, reason: str, count: int) -> None:
        """Bytes came from the origin."""
        self._observer.fetched(reason, count)

    def completed(self, name: BlobKey, index: int) -> None:
        """All of the slice is here."""
        self.fleet.completed(name, index)

    async def read(
        self,
        origin: Source,
        question: Question,
        span: Span,
        hops: int,
        *,
        can_wait: bool = False,
        is_second: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """As `Source.read`, for a span inside one slice. The second time nobody is given way to any more."""
        (index,) = span.units(SLICE)
        rest = span
        after: Callable[[_Errand, Span], AsyncGenerator[bytes, None]] = partial(self._from_origin, reason="hedge")
        part = len(span) / min(SLICE, max(1, question.size - index * SLICE))
        gives_way = hops <= FOLLOWING and not is_second
        errand = _Errand(origin, question, (question.name, index), span, part, hops, can_wait, gives_way)
        # The lease is not the generator's: that is closed when a way has led to the end, and would seem to have failed.
        async with AsyncExitStack() as lease, aclosing(self._ways(errand, lease)) as ways:
            async for way in ways:
                try:
                    async with aclosing(way(rest)) as pieces:
                        async for piece in pieces:
                            rest = Span(rest.start + len(piece), rest.stop)
                            self._hedges.fetched(len(piece))
                            yield piece
                    return
                except _TooSlow:
                    break
                except _Taken:
                    after = self._anew
                    break
                except (PeerFailed, AskAnother) as failed:
                    log.info("the next is asked", extra={"blob": str(question.name), "why": str(failed)})
        async with aclosing(after(errand, rest)) as pieces:
            async for piece in pieces:
                yield piece

    def _anew(self, errand: _Errand, rest: Span) -> AsyncGenerator[bytes, None]:
        origin, question, hops, can_wait = errand.origin, errand.question, errand.hops, errand.can_wait
        return self.read(origin, question, rest, hops, can_wait=can_wait, is_second=True)

    async def _ways(self, errand: _Errand, lease: AsyncExitStack) -> AsyncGenerator[_Way, None]:
        """The origin is the last, and raises its own errors. Once peers have been asked, `lease` holds the lease."""
        asked: set[str] = set()
        if self.givers.are_distrusted(errand.place):
            yield lambda span: self._from_origin(errand, span, "distrust")
            return
        for ask in self.fleet.route(*errand.place, errand.part) if errand.hops == 0 else ():
            if self.crossings.is_serving(errand.place, errand.span):
                break
            asked.add(ask.peer)
            yield partial(self._from_peer, errand, ask.peer, stored_only=ask.stored_only)
        reason = "peers_failed" if asked else "owner"
        standing = await lease.enter_async_context(self.fleet.lease(*errand.place))
        match standing:
            case Ours(have) | Unsure(have):
                if isinstance(standing, Unsure) and not asked:
                    reason = "unsure"
                others = [name for name in dict.fromkeys(have) if name not in asked] if errand.hops <= FOLLOWING else []
                for peer in others[:HOLDERS_ASKED]:
                    yield partial(self._from_peer, errand, peer, stored_only=True)
            case Theirs(peer):
                reason = "lease_ignored"
                if errand.hops <= FOLLOWING:
                    yield partial(self._from_peer, errand, peer, follow=True)
            case _:
                assert_never(standing)
        is_taken = standing.is_taken if isinstance(standing, Ours) and errand.gives_way else None
        yield partial(self._from_origin, errand, reason=reason, is_taken=is_taken)

    async def _from_peer(
        self, errand: _Errand, peer: str, span: Span, *, stored_only: bool = False, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        question = errand.question.anew(stored_only=stored_only)
        read = self.fleet.read(peer, question, span, hops=errand.hops + 1, follow=follow)
        pace = Pace(self._floor, self._window, self._clock.monotonic())
        left = len(span)
        with ExitStack() as crossing:
            if not stored_only:
                crossing.enter_context(self.crossings.asking(errand.place, span))
            async with aclosing(read) as pieces:
                async for piece in pieces:
                    if left == len(span) and stored_only:
                        # An answer to an inquiry: from now on we depend on that peer.
                        crossing.enter_context(self.crossings.asking(errand.place, span))
                    self.givers.note(errand.place, peer)
                    left -= len(piece)
                    yield piece
                    if left and pace.is_slow(len(piece), self._clock.monotonic()) and self._hedges.take(left):
                        raise _TooSlow

    async def _from_origin(
        self, errand: _Errand, span: Span, reason: str, is_taken: Callable[[], bool] | None = None
    ) -> AsyncGenerator[bytes, None]:
        left = len(span)
        read = errand.origin.read(span, can_wait=errand.can_wait)
        with self.crossings.fetching(errand.place, span):
            async with aclosing(read) as pieces:
                async for piece in pieces:
                    self.givers.note(errand.place, ORIGIN)
                    self._observer.fetched(reason, len(piece))
                    left -= len(piece)
                    yield piece
                    if left and is_taken is not None and is_taken():
                        raise _Taken


class FleetSource:
    """`ports.Source`: the bytes of one record, from wherever in the fleet they are, or from the origin."""

    def __init__(self, ring: OncePerFleet, origin: Source, question: Question, hops: int) -> None:
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


class ToldToTheFleet:
    """The ring (`node.Filler`) that tells the fleet of slices that are whole."""

    def __init__(self, inner: Filler, ring: OncePerFleet) -> None:
        self._inner = inner
        self._ring = ring

    async def fill(self, blob: Blob, span: Span, source: Source) -> None:
        await self._inner.fill(blob, span, source)
        index = span.start // SLICE
        if not blob.missing(Span(index * SLICE, (index + 1) * SLICE).clip(whole(blob.record.size))):
            self._ring.completed(blob.record.key, index)
