"""The bytes of one file at a commit, from wherever the Hub keeps them.

Theory of operation. A *landing* is where ranged GETs go; it is found by a GET of the file's resolve address:

    302 abroad      a presigned address at the store of large files; no credential goes there; it expires
    307 home        /api/resolve-cache/…, for small git files; the token goes along
    200, 206        the resolve address itself (a mirror as origin)

All reads of a source share one landing. A read is a row of attempts, each asking for what is still missing:

    cut, silence, 5xx, refused connection     ask again from the exact offset, after a pause
    401, 403, 404, 410 at the landing         it has expired: find it anew (refused again: a failure like a cut, or,
                                              for a file that is in the Xet store too, PlainRefused)
    anything that is not exactly the range    SourceChanged or RangeMangled; nothing of that answer is used

The ETag that a store's host gave first is pinned, sent as If-Range from then on, and compared with every later one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from yarl import URL

from proxy.core.caller import Caller
from proxy.core.errors import (
    AddressRefused,
    OriginAway,
    OriginBusy,
    OriginLied,
    OriginUnreachable,
    PlainRefused,
    RangeMangled,
    SourceChanged,
)
from proxy.core.rights import Plane
from proxy.core.spans import Span
from proxy.hub.facts import FileFacts

from .answers import REDIRECTS, linked_facts_differ, refusal
from .askers import Askers
from .budget import UNSAID, retry_after
from .credentials import abroad_fields
from .exactness import Body, guard, judge_transfer
from .head import Head
from .hubline import HubLine
from .incoming import Answer, TransferCut
from .observer import HostClass
from .patience import Patience
from .redirects import Abroad, Home, RedirectRules
from .transport import Asking, Lane, Transport

log: Final = logging.getLogger(__name__)

HOPS: Final = 3
"""Most redirects between the file's address and its bytes."""
WAITED_OUT: Final = 30
"""Seconds: a "come back later" in the middle of a read is waited out up to this long."""
HOSTS: Final = 16
"""Most hosts whose ETag is pinned for one source."""
Landing = Home | Abroad
_EXPIRED: Final = frozenset({401, 403, 404, 410})
_NOT_THIS_WAY: Final = frozenset({400, 403, 413})
"""How a store refuses an object that is too large for it; which of them the Hub's gives is not documented."""


class _Expired(Exception):
    """A landing that does not work any more, and what it answered."""

    def __init__(self, head: Head, body: bytes) -> None:
        super().__init__(head.status)
        self.head = head
        self.body = body


@dataclass(frozen=True, slots=True)
class Ways:
    """What every source of a worker shares. `pause` sleeps; tests pass one that does not."""

    line: HubLine
    transport: Transport
    rules: RedirectRules
    retries: int
    chance: Random
    wall: Callable[[], float]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def wait(self, patience: Patience, error: Exception) -> None:
        """Pause before the next attempt. Raises `error` when waiting is no use, or patience is at its end."""
        pause = patience.pause()
        asked_for = error.retry_after if isinstance(error, OriginBusy) else 0
        if pause is None or asked_for > WAITED_OUT or not isinstance(error, OriginAway):
            raise error
        await self.pause(max(pause, float(asked_for)))


class HubSource:
    """One file at the Hub; `read` may run several times at once. Holds a presigned address, so it is never printed."""

    def __init__(
        self,
        ways: Ways,
        url: URL,
        facts: FileFacts,
        caller: Caller,
        lent: Caller | None = None,
        *,
        else_xet: bool = False,
    ) -> None:
        """`lent` asks in the place of `caller` as long as it is let in. `else_xet`: there is another way, so that a
        refusal is not waited out."""
        self._else_xet = else_xet
        self._ways = ways
        self._url = url
        self._facts = facts
        self._askers = Askers(caller, lent)
        self._landing: Landing | None = None
        self._finding = asyncio.Lock()
        self._pins: dict[str, str] = {}

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """The bytes of `span`, exactly, in order, as they come. Close it (`contextlib.aclosing`) when leaving early.

        `can_wait`: not worth one of the last requests that the origin allows; OriginBusy then. A store's host abroad
        has no such limit: while the landing there holds, reading goes on.

        Raises OriginRefused, OriginAway (PlainRefused), SourceChanged, RangeMangled, OriginLied. After an error the
        bytes given so far are right and in order."""
        offset, renewed = span.start, False
        patience = Patience(self._ways.retries, self._ways.chance)
        while offset < span.stop:
            landing = None
            try:
                landing = await self._land(can_wait)
                async with contextlib.aclosing(self._attempt(landing, Span(offset, span.stop), can_wait)) as pieces:
                    async for piece in pieces:
                        offset += len(piece)
                        patience.progressed()
                        renewed = False
                        yield piece
            except _Expired as expired:
                assert landing is not None
                self._leave(landing)
                if renewed:
                    refused = _refused_twice(landing, expired)
                    if self._else_xet and isinstance(refused, PlainRefused):
                        raise refused from None
                    await self._ways.wait(patience, refused)
                renewed = True
            except OriginBusy as busy:
                if can_wait or offset == span.start:
                    raise
                await self._ways.wait(patience, busy)
            except OriginUnreachable as away:
                await self._ways.wait(patience, away)

    # --- landings -------------------------------------------------------------------------------------------------

    async def _land(self, can_wait: bool) -> Landing:
        """The landing, found by the first who needs it while the others wait. Cancelling one of them harms no other."""
        if self._landing is None:
            async with self._finding:
                if self._landing is None:
                    self._landing = await self._askers.asked(lambda caller: self._find_as(caller, can_wait))
        return self._landing

    def _leave(self, landing: Landing) -> None:
        # Several reads may find the same landing expired; the second must not throw away what the first found anew.
        if self._landing is landing:
            self._landing = None

    async def _find_as(self, caller: Caller, can_wait: bool) -> Landing:
        one_byte = (("Range", "bytes=0-0"),)  # the Hub redirects anyway; a mirror in its place must not send 50 GB
        line = self._ways.line
        async with line.ask("GET", self._url, caller, Plane.FILES, ranged=one_byte, can_wait=can_wait) as answer:
            body = await answer.drain()
            head = answer.head
        if head.status not in (*REDIRECTS, 200, 206):
            raise refusal(head, body)
        if linked_facts_differ(head, self._facts):
            raise SourceChanged("the origin speaks of other bytes at this commit than before")
        if head.status in REDIRECTS:
            return self._ways.rules.judge(self._url, head.one("location"))
        return Home(self._url)

    # --- one attempt ----------------------------------------------------------------------------------------------

    async def _attempt(self, landing: Landing, span: Span, can_wait: bool) -> AsyncGenerator[bytes, None]:
        place = landing
        for _ in range(HOPS):
            async with self._asked(place, span, can_wait) as answer:
                if answer.head.status not in REDIRECTS:
                    body = await self._judged(answer, place, span)
                    async with contextlib.aclosing(_exactly(answer, body, len(span))) as pieces:
                        async for piece in pieces:
                            yield piece
                    return
                await answer.drain()
                place = self._ways.rules.judge(place.url, answer.head.one("location"))
        raise OriginLied(f"the origin redirects more than {HOPS} times")

    def _asked(self, place: Landing, span: Span, can_wait: bool) -> contextlib.AbstractAsyncContextManager[Answer]:
        fields = [("Range", f"bytes={span.start}-{span.stop - 1}")]
        if (tag := guard(self._pin(place))) is not None:
            fields.append(("If-Range", tag))
        match place:
            case Home(url):
                line = self._ways.line
                asker = self._askers.present
                ranged = tuple(fields)
                return line.ask("GET", url, asker, Plane.FILES, ranged=ranged, lane=Lane.TRANSFER, can_wait=can_wait)
            case Abroad(url, vouched):
                ranged = (*abroad_fields(), *fields)
                return self._abroad(Asking("GET", url, ranged, HostClass.CDN, vouched, Lane.TRANSFER))

    @contextlib.asynccontextmanager
    async def _abroad(self, asking: Asking) -> AsyncIterator[Answer]:
        transport = self._ways.transport
        async with transport.turn(asking), transport.ask(asking) as answer:
            yield answer

    async def _judged(self, answer: Answer, place: Landing, span: Span) -> Body:
        head = answer.head
        if head.status in _EXPIRED or (self._facts.xet is not None and head.status in _NOT_THIS_WAY):
            raise _Expired(head, await answer.drain())
        if head.status == 429:
            wait = retry_after(head, self._ways.wall()) or UNSAID
            raise OriginBusy("the origin's file store asks us to slow down", wait)
        if head.status >= 500 or head.status == 408:
            raise OriginUnreachable(f"the origin's file store failed with status {head.status}")
        body = judge_transfer(head, span, self._facts.size, self._pin(place))
        self._pin_down(place, head.one("etag"))
        return body

    def _pin(self, place: Landing) -> str | None:
        """The ETag this place has to show: at home the file's own, abroad what its host showed first."""
        return f'"{self._facts.etag}"' if isinstance(place, Home) else self._pins.get(place.url.authority)

    def _pin_down(self, place: Landing, tag: str | None) -> None:
        if isinstance(place, Abroad) and tag is not None and len(self._pins) < HOSTS:
            self._pins.setdefault(place.url.authority, tag)


async def _exactly(answer: Answer, body: Body, wanted: int) -> AsyncGenerator[bytes, None]:
    """`wanted` bytes of the body after `body.skip`. Raises TransferCut when they end early, RangeMangled when more come
    than there can be."""
    skip, left = body.skip, wanted
    async with contextlib.aclosing(answer.pieces()) as pieces:
        async for piece in pieces:
            if skip >= len(piece):
                skip -= len(piece)
                continue
            piece, skip = piece[skip:] if skip else piece, 0
            if len(piece) > left and body.ends_there:
                raise RangeMangled("the origin sent more bytes than the file has")
            yield piece[:left]
            left -= min(left, len(piece))
            if left == 0 and not body.ends_there:
                return
    if left:
        raise TransferCut(f"the transfer ended {left} bytes early")


def _refused_twice(landing: Landing, expired: _Expired) -> Exception:
    if isinstance(landing, Home):
        return refusal(expired.head, expired.body)
    told = f"the origin's file store refuses the address it was just given ({expired.head.status})"
    return PlainRefused(told) if expired.head.status in _NOT_THIS_WAY else AddressRefused(told)
