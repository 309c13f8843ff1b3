"""A generic origin: requests as they are made, answers as they come, nothing followed (RFC 9110)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from random import Random
from typing import Final, Self

from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.config.origins import OriginSite
from proxy.core.blob import BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import OriginLied

from .credentials import Fields
from .incoming import Answer, Disconnected, Interim
from .observer import HostClass, OriginObserver, Unobserved
from .transport import Asking, Lane, Transport
from .upload import Upload
from .web_source import Forecast, WebSource

_UPLOAD_PATIENCE: Final = 3600.0
"""Seconds that a request body may take: how long each pause of it lasts is bounded where it is read."""


class WebAnswer:
    """An answer whose head is here (`fetch.web.ports.WebAnswer`). To be closed, however it ends."""

    def __init__(self, answer: Answer, stack: contextlib.AsyncExitStack, length: int | None) -> None:
        self.status = answer.head.status
        self.fields = answer.raw_fields  # RFC 9110 §5.5: what is no ASCII is passed on as it is
        self.length = length
        self.is_delimited = answer.is_delimited
        """Whether the body's end can be told from a cut."""
        self._answer = answer
        self._stack = stack

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises OriginUnreachable when it is cut."""
        return self._answer.pieces()

    async def aclose(self) -> None:
        """Let go of the connection; one with a body still on its way is cut."""
        await self._stack.aclose()


class WebOrigin:
    """One configured origin, for one worker."""

    def __init__(self, config: OriginSite, transport: Transport, chance: Random, clock: Clock) -> None:
        self._config = config
        self._transport = transport
        self._chance = chance
        self._clock = clock
        self._base = config.url.rstrip("/")
        self.site: Final = URL(config.url).authority
        """Host and port, as an address of the origin has them."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        config: OriginSite,
        *,
        clock: Clock,
        observer: OriginObserver | None = None,
        chance: Random | None = None,
        proxies: Mapping[str, str] | None = None,
        resolver: AbstractResolver | None = None,
    ) -> AsyncIterator[Self]:
        """Connections are made when needed and closed at the end. Raises ConfigError."""
        opened = Transport.open(
            config, clock=clock, observer=observer or Unobserved(), proxies=proxies, resolver=resolver
        )
        async with opened as transport:
            yield cls(config, transport, chance or Random(), clock)

    async def ask(
        self,
        method: str,
        target: str,
        fields: Fields,
        body: AsyncIterable[bytes] | None = None,
        interim: Interim | None = None,
    ) -> WebAnswer:
        """Send one request for `target` (path and query, as it came) and wait for the head of the answer; `interim`
        hears of what comes before it, if it comes without TLS to a GET.

        `fields` go as they are. What a body raises is raised here. Raises OriginUnreachable, OriginLied."""
        url = self._url(target)
        if body is not None:
            upload = Upload(body)
            return await self._asked(
                Asking(method, url, fields, HostClass.WEB, True, Lane.STREAM, upload, _UPLOAD_PATIENCE)
            )
        lane = Lane.TRANSFER if method == "GET" else Lane.CALL  # whatever is got may be long
        asking = Asking(method, url, fields, HostClass.WEB, True, lane, interim=interim)
        try:
            return await self._asked(asking)
        except Disconnected:
            if method != "GET":
                raise  # it may have been done already, or was asked twice
            return await self._asked(asking)

    async def _asked(self, asking: Asking) -> WebAnswer:
        # No turn is held while a body is read: readers at their own pace would keep out those who ask something short.
        async with contextlib.AsyncExitStack() as stack:
            async with self._transport.turn(asking):
                answer = await stack.enter_async_context(self._transport.ask(asking))
            length = _length(answer, asking.method)
            return WebAnswer(answer, stack.pop_all(), length)

    def source(
        self,
        target: str,
        record: BlobRecord,
        *,
        strong: bool,
        forecast: Forecast,
        within: int | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> WebSource:
        """The bytes of `record` at `target`. Asks nothing yet. No request goes past a multiple of `within` bytes."""
        return WebSource(
            lambda fields: self.ask("GET", target, fields),
            record,
            strong=strong,
            retries=self._config.retries,
            chance=self._chance,
            pause=pause,
            forecast=forecast,
            within=within,
        )

    def _url(self, target: str) -> URL:
        return URL(self._base + target, encoded=True)


def _length(answer: Answer, method: str) -> int | None:
    """The bytes of the body that its head announces; None when it does not. Raises OriginLied."""
    if answer.head.status == 204 and answer.head.first("content-length") not in (None, "0"):
        raise OriginLied("the origin announces a body where none can be (status 204)")  # RFC 9110 §8.6
    if any(name == "transfer-encoding" for name, _ in answer.head.fields):
        return None
    try:
        return answer.head.length()
    except OriginLied:
        if method == "HEAD":
            return None
        raise
