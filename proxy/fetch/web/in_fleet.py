"""Long bodies of generic origins, read by the nodes of a fleet from one another: each slice by the node that owns it.

What is asked of a peer is what a shared cache may keep, under the strong validator that the origin gave to the node
that asks, and in nobody's name. The peer asks its own origin under that validator. If that has something else by then,
or refuses, the peer says no; the node that asks turns to the origin itself, and learns there what there is to learn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from proxy.core.blob import BlobRecord
from proxy.core.errors import AskAnother, OriginLied, OriginRefused, Stalled
from proxy.core.sizes import CHUNK, SLICE
from proxy.core.spans import Span, whole
from proxy.fetch.coordinator import Reading
from proxy.fetch.fleet import OncePerFleet
from proxy.fetch.flight import FlightLimits
from proxy.fetch.follow import FromPeers
from proxy.fetch.for_peers import Lending
from proxy.fetch.ports import Source
from proxy.hub.web_peering import CREDENTIALS, WebQuestion
from proxy.rfc9111.fields import Fields, without
from proxy.rfc9111.relaying import via
from proxy.rfc9111.stored import LargeBody, StoredResponse

from .answers import WebRequest
from .kept import Rooms
from .ports import WebAnswer, WebOrigin, WebSource
from .telling import has_slices

WITHIN: Final = SLICE
"""No request of a node of a fleet goes past a multiple of so many bytes: what comes next may be another's to fetch."""


class Neighbours:
    """The peers, for the bodies of one origin."""

    def __init__(self, ring: OncePerFleet, origin: str) -> None:
        """`origin`: the name that all nodes know it by."""
        self._ring = ring
        self._origin = origin

    def through(self, source: Source, request: WebRequest, stored: StoredResponse) -> Source:
        """The bytes of `stored` from whoever of the fleet is to have them, else from `source`."""
        question = self._question(request, stored)
        return source if question is None else self._ring.source(source, question, hops=0)

    def gave(self, record: BlobRecord) -> FromPeers:
        """Which slices of the body came from peers."""
        return partial(self._ring.givers.are_peers, record.key)

    async def adopt(
        self, source: WebSource, request: WebRequest, stored: StoredResponse, answer: WebAnswer, span: Span
    ) -> None:
        """As `WebSource.adopt`, for as much of the answer as is ours to fetch; the rest of it is let go."""
        question = self._question(request, stored)
        if question is not None:
            span = self._ring.ours(question.name, span)
        if span:
            source.adopt(answer, span)
        else:
            await answer.aclose()

    def _question(self, request: WebRequest, stored: StoredResponse) -> WebQuestion | None:
        """What to ask of peers; None for what this node asks the origin for itself."""
        body = stored.body
        selecting = {name for name, _ in stored.selecting}
        if not isinstance(body, LargeBody) or not body.strong or selecting & CREDENTIALS:
            return None
        if request.field("authorization") is not None:
            return None  # that the answer may be shared does not make the origin give it to a peer, who asks for nobody
        if not has_slices(stored):
            return None
        fields = without(stored.selecting, {"accept-encoding"})
        if not all(text.isascii() for field in fields for text in field):
            return None
        return WebQuestion(self._origin, request.target, body.record.validator, body.record.size, fields)


class WebLending:
    """Reads for peers what they ask of generic origins."""

    def __init__(self, ring: OncePerFleet, rooms: Rooms, limits: FlightLimits) -> None:
        self._ring = ring
        self._rooms = rooms
        self._first_byte = limits.first_byte
        self._lending = Lending(rooms.store, ring, rooms.flights, rooms.clock, limits)
        self.origins: dict[str, WebOrigin] = {}
        """By the name that all nodes know them by."""

    def held(self, question: WebQuestion, hops: int) -> LentBody:
        """The body in `question`, which has come through `hops` nodes. Raises AskAnother."""
        origin = self.origins.get(question.origin)
        if origin is None:
            raise AskAnother("this node has no such origin")
        return LentBody(self, origin, question, hops)

    @asynccontextmanager
    async def read(self, origin: WebOrigin, question: WebQuestion, span: Span, hops: int) -> AsyncIterator[Reading]:
        """`span` (inside one slice). Entering waits for its first byte. Raises AskAnother, Stalled, StoreError,
        OriginAway."""
        record, sources = question.record, self._rooms.sources
        forecast = sources.forecasts.of(record.key)
        source = sources.of(
            record.key,
            lambda: origin.source(question.target, question.record, strong=True, forecast=forecast, within=WITHIN),
        )
        through = self._ring.source(source.asked_with(_fields(question)), question, hops=hops)
        async with AsyncExitStack() as stack:
            stack.enter_context(sources.use(record.key, source))
            stack.enter_context(source.wanting(span.aligned(CHUNK, record.size)))
            try:
                async with asyncio.timeout(self._first_byte):
                    blob = await stack.enter_async_context(self._lending.blob(question))
                    opened = self._lending.reading(blob, question, span, through)
                    reading = await stack.enter_async_context(opened)
            except TimeoutError:
                raise Stalled("the first byte of the body did not come in time") from None
            except (OriginLied, OriginRefused) as error:
                # Whoever asks sees for itself, and tells its client.
                raise AskAnother(f"it is not to be had from the origin any more: {error}") from error
            yield reading


class LentBody:
    """A body for another node (`answers.Held`)."""

    def __init__(self, lending: WebLending, origin: WebOrigin, question: WebQuestion, hops: int) -> None:
        self._lending = lending
        self._origin = origin
        self._question = question
        self._hops = hops
        self.size = question.size

    async def completed(self) -> int:
        return self.size

    @asynccontextmanager
    async def open(self, span: Span | None) -> AsyncIterator[Reading]:
        """Raises what `WebLending.read` raises."""
        wanted = span or whole(self.size)
        async with self._lending.read(self._origin, self._question, wanted, self._hops) as reading:
            yield reading


def _fields(question: WebQuestion) -> Fields:
    """In nobody's name."""
    return (*question.fields, ("Via", via(None, "1.1")), ("Accept-Encoding", "identity"))
