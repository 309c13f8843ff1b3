"""A generic origin: requests as they are made, answers as they come, nothing followed (RFC 9110)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from random import Random
from typing import Final, Self

from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.config.schema import OriginSection
from proxy.core.blob import BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import OriginLied

from .credentials import Fields
from .incoming import Answer
from .observer import HostClass, OriginObserver, Unobserved
from .transport import Asking, Lane, Transport
from .upload import Upload
from .web_source import WebSource

_UPLOAD_PATIENCE: Final = 3600.0
"""Seconds that a request body may take: how long each pause of it lasts is bounded where it is read."""


class WebAnswer:
    """An answer whose head is here (`fetch.web.ports.WebAnswer`). To be closed, however it ends."""

    def __init__(self, answer: Answer, stack: contextlib.AsyncExitStack, method: str) -> None:
        self.status = answer.head.status
        self.fields = answer.head.fields
        self.length = _length(answer, method)
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

    def __init__(self, config: OriginSection, transport: Transport, chance: Random, clock: Clock) -> None:
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
        config: OriginSection,
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
    ) -> WebAnswer:
        """Send one request for `target` (path and query, as it came) and wait for the head of the answer.

        `fields` go as they are. What a body raises is raised here. Raises OriginUnreachable, OriginLied."""
        upload = None if body is None else Upload(body)
        lane = Lane.CALL if upload is None else Lane.STREAM
        patience = 0.0 if upload is None else _UPLOAD_PATIENCE
        asking = Asking(method, self._url(target), fields, HostClass.WEB, True, lane, upload, patience)
        return await self._asked(asking)

    async def _part(self, target: str, fields: Fields) -> WebAnswer:
        """A GET of many bytes, on connections made for that."""
        return await self._asked(
            Asking("GET", self._url(target), fields, HostClass.WEB, True, Lane.TRANSFER, None, 0.0)
        )

    async def _asked(self, asking: Asking) -> WebAnswer:
        # No turn is held while a body is read: readers at their own pace would keep out those who ask something short.
        async with contextlib.AsyncExitStack() as stack:
            async with self._transport.turn(asking):
                answer = await stack.enter_async_context(self._transport.ask(asking))
            return WebAnswer(answer, stack.pop_all(), asking.method)

    def source(
        self,
        target: str,
        fields: Fields,
        record: BlobRecord,
        *,
        strong: bool,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> WebSource:
        """The bytes of `record` at `target`, asked for with `fields`. Asks nothing yet."""
        return WebSource(
            lambda extra: self._part(target, (*fields, *extra)),
            record,
            strong=strong,
            retries=self._config.retries,
            chance=self._chance,
            pause=pause,
        )

    def _url(self, target: str) -> URL:
        return URL(self._base + target, encoded=True)


def _length(answer: Answer, method: str) -> int | None:
    """The bytes of the body that its head announces; None when it does not."""
    if any(name == "transfer-encoding" for name, _ in answer.head.fields):
        return None
    try:
        return answer.head.length()
    except OriginLied:
        if method == "HEAD":
            return None
        raise
