"""Files that the origin does not give by plain HTTP: refused there, they are fetched by Xet.

The Hub's store refuses plain HTTP for its largest files (HUB-PROTOCOL §4.3), in ranges too. It is tried first all the
same: the limit is the Hub's and may change, and a plain range costs exactly that range. An address that was just given
out and is refused twice in a row means: not this way. That is remembered for the blob for a while.

The bytes that come by Xet are not verified by hf_xet (§4.1). Nothing new: bytes on the way are pinned by validator and
length alone, and the digest of the blob decides before it counts as whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.core.bounded import BoundedDict
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginBusy, OriginLied, OriginUnreachable, PenstockError, PlainRefused
from proxy.core.rights import Plane
from proxy.core.secret import Secret
from proxy.core.sizes import KIB
from proxy.core.spans import Span
from proxy.hub.facts import FileFacts

from .answers import refusal
from .askers import Askers
from .handover import vet
from .head import Head
from .patience import Patience
from .redirects import Abroad
from .source import HubSource, Ways
from .xet_streams import XetAccess, XetStreams

log: Final = logging.getLogger(__name__)

REMEMBERED: Final = 600.0
"""Seconds for which a blob that was refused is not asked for by plain HTTP again."""
_BLOBS: Final = 1000
_LARGEST_ANSWER: Final = 64 * KIB
_USED_UP: Final = 30.0
"""Seconds before the end of an access token at which a new one is asked for: a stretch of a file takes a few."""


class PlainRefusals:
    """Which blobs the origin refuses to give by plain HTTP."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: BoundedDict[str, float] = BoundedDict(entries=_BLOBS)

    def stands(self, sha256: str) -> bool:
        return (self._until.get(sha256) or 0.0) > self._clock.monotonic()

    def note(self, sha256: str) -> None:
        self._until.put(sha256, self._clock.monotonic() + REMEMBERED)


@dataclass(frozen=True, slots=True)
class XetWays:
    """What every file of a worker that may come by Xet shares. `resolver` replaces DNS in tests."""

    ways: Ways
    streams: XetStreams
    refusals: PlainRefusals
    resolver: AbstractResolver | None = None


class PlainElseXet:
    """A file by plain HTTP, or by Xet when that is refused (`fetch.ports.Source`)."""

    def __init__(self, plain: HubSource, xet: XetSource, refusals: PlainRefusals, facts: FileFacts) -> None:
        self._plain = plain
        self._xet = xet
        self._refusals = refusals
        self._facts = facts

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """As `HubSource.read`. Raises XetNeeded besides, when Xet is all there is and hf_xet is not installed."""
        offset = span.start
        if not self._refusals.stands(self._facts.etag):
            try:
                async with aclosing(self._plain.read(span, can_wait=can_wait)) as pieces:
                    async for piece in pieces:
                        offset += len(piece)
                        yield piece
                return
            except PlainRefused:
                self._turn_to_xet()
        async with aclosing(self._xet.read(Span(offset, span.stop), can_wait=can_wait)) as pieces:
            async for piece in pieces:
                yield piece

    def _turn_to_xet(self) -> None:
        if self._xet.at_hand:  # else the way may open by itself, and is the only one
            log.info("refused by plain HTTP, fetched by Xet", extra={"blob": self._facts.etag})
            self._refusals.note(self._facts.etag)


class XetSource:
    """One file in the Xet store; `read` may run several times at once. Holds a token, so it is never printed."""

    def __init__(self, xet: XetWays, url: URL, facts: FileFacts, caller: Caller, lent: Caller | None = None) -> None:
        """`url` is where the origin gives access tokens for the file's repo; `lent` asks there in the place of
        `caller` as long as it is let in."""
        self._ways = xet.ways
        self._streams = xet.streams
        self._resolver = xet.resolver
        self._url = url
        self._facts = facts
        self._askers = Askers(caller, lent)
        self._access: XetAccess | None = None
        self._finding = asyncio.Lock()

    @property
    def at_hand(self) -> bool:
        return self._streams.at_hand

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """The bytes of `span`, exactly, in order, as they come; see `source.HubSource.read`. Raises XetNeeded besides,
        before anybody is asked for what cannot be used."""
        assert self._facts.xet is not None, "only a file with a Xet hash is in the Xet store"
        self._streams.require()
        offset, patience = span.start, Patience(self._ways.retries, self._ways.chance)
        while offset < span.stop:
            access = None
            try:
                access = await self._accessed(can_wait)
                left = Span(offset, span.stop)
                async with aclosing(self._streams.read(access, self._facts.xet, self._facts.size, left)) as pieces:
                    async for piece in pieces:
                        offset += len(piece)
                        patience.progressed()
                        yield piece
            except OriginBusy as busy:
                if can_wait or offset == span.start:
                    raise
                await self._ways.wait(patience, busy)
            except OriginUnreachable as away:
                self._leave(access)  # whatever it was: the next attempt shall not fail for an old token
                await self._ways.wait(patience, away)

    async def _accessed(self, can_wait: bool) -> XetAccess:
        """The access token, asked for by the first who needs it while the others wait."""
        async with self._finding:
            if self._access is None or self._access.until - _USED_UP < self._ways.wall():
                self._access = await self._askers.asked(lambda caller: self._find_as(caller, can_wait))
            return self._access

    def _leave(self, access: XetAccess | None) -> None:
        if self._access is access:
            self._access = None

    async def _find_as(self, caller: Caller, can_wait: bool) -> XetAccess:
        async with self._ways.line.ask("GET", self._url, caller, Plane.API, can_wait=can_wait) as answer:
            if answer.head.status != 200:
                raise no_access(answer.head, await answer.drain())
            access = read_access(await answer.whole(_LARGEST_ANSWER))
        place = self._ways.rules.judge(self._url, access.url)
        if isinstance(place, Abroad) and not place.vouched and not self._ways.rules.allow_private:
            await vet(place.url, self._resolver)
        return access


def read_access(body: bytes) -> XetAccess:
    """What the origin's token endpoint answered. Raises OriginLied. Pure."""
    try:
        said: Any = orjson.loads(body)
        url, token, until = said["casUrl"], said["accessToken"], said["exp"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise OriginLied("the origin's access token for Xet cannot be read") from None
    if not (isinstance(url, str) and isinstance(token, str) and isinstance(until, int) and token.isprintable()):
        raise OriginLied("the origin's access token for Xet is not made of what it should be")
    return XetAccess(url.rstrip("/"), Secret(token), float(until))


def no_access(head: Head, body: bytes) -> PenstockError:
    """What a status other than 200 of the token endpoint means. A bare 404 there says nothing of the file: it must not
    be passed on as its absence. Pure."""
    if head.status in (401, 403) or head.first("x-error-code") is not None:
        return refusal(head, body)
    return OriginUnreachable(f"the origin gives no access to its Xet storage: status {head.status}")
