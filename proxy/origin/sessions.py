"""aiohttp, set up here and nowhere else, and its exceptions end here.

What it would do on its own and must not: follow redirects, re-encode presigned addresses, keep cookies, unpack bodies,
read ~/.netrc (which `trust_env` would: an anonymous caller would then be given the operator's rights).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from aiohttp.connector import Connection

from proxy.config.origins import OriginSite
from proxy.core.connections import in_short
from proxy.core.errors import ConfigError, OriginLied, OriginUnreachable, PenstockError

from .incoming import FIELD_SIZE, Disconnected, TransferCut
from .sockets import NOT_PUBLIC, ForbiddenAddress

CONTINUES_WITHIN: Final = 1.0
"""Seconds that a body waits for the origin's word that it is wanted, where the client waits for that."""


class _Request(aiohttp.ClientRequest):
    """As aiohttp's, but a body that waits for `100 Continue` goes after a while without it: an origin that does not
    know the expectation waits for the body, too (RFC 9110 §10.1.1)."""

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        if self._continue is None:
            await super().write_bytes(writer, conn, content_length)
            return
        timer = asyncio.get_running_loop().call_later(CONTINUES_WITHIN, self._go_on, self._continue)
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            timer.cancel()

    def _go_on(self, awaited: asyncio.Future[bool]) -> None:
        # Behind the head of an answer nobody wants the body any more: the writer is cancelled where the answer ends.
        is_answered = self.response is not None and self.response.version is not None
        if not is_answered and not awaited.done():
            awaited.set_result(True)


def session(
    config: OriginSite, factory: Callable[[Any], socket.socket], resolver: AbstractResolver | None
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # Turns limits, per host and lane, in fair order
        keepalive_timeout=30,
        ttl_dns_cache=30,
        dns_cache_max_size=256,
        socket_factory=factory,
        resolver=resolver,
    )
    return aiohttp.ClientSession(
        connector=connector,
        request_class=_Request,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        requote_redirect_url=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout, sock_read=config.read_timeout),
        max_line_size=FIELD_SIZE,
        max_field_size=FIELD_SIZE,
    )


class SessionAnswer:
    """An answer by aiohttp (`incoming.Incoming`)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.version = (0, 9) if response.version is None else (response.version.major, response.version.minor)
        self.length = response.content_length
        self.is_delimited = response.method == "HEAD" or "content-length" in response.headers or _is_chunked(response)
        self._response = response

    @property
    def fields(self) -> Iterable[tuple[str, str]]:
        return self._response.headers.items()

    async def __aenter__(self) -> object:
        return await self._response.__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._response.__aexit__(None, None, None)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises TransferCut."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:  # the last: "Connection closed."
            raise TransferCut(f"the transfer from {self._response.url.host} was cut: {in_short(error)}") from None


def _is_chunked(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("transfer-encoding", "").lower() == "chunked" or response.status in (204, 304)


def translated(error: Exception, host: str) -> PenstockError:
    """Our word for what aiohttp raised before an answer. Never its text, which may hold a presigned address."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return OriginUnreachable(f"no address is known for {host}")
        case aiohttp.ClientConnectorError() | ForbiddenAddress() if NOT_PUBLIC in str(error):
            return OriginLied(f"the origin redirects to {host}, which is at {NOT_PUBLIC}")
        case aiohttp.ClientSSLError():
            return OriginUnreachable(f"TLS with {host} failed: {in_short(error)}")
        case aiohttp.ClientHttpProxyError():
            return OriginUnreachable(f"the HTTP proxy refused the way to {host} with status {error.status}")
        case aiohttp.ClientConnectorError():
            return OriginUnreachable(f"cannot connect to {host}: {in_short(error)}")
        case TimeoutError():
            return OriginUnreachable(f"{host} did not answer in time")
        case aiohttp.InvalidURL():
            return OriginLied(f"the origin redirects to {host}, which is no proper address")
        case aiohttp.ClientResponseError():
            return OriginLied(f"the answer of {host} is not proper HTTP")
        case _:
            return Disconnected(f"{host} closed the connection without an answer")


def require_c_parser() -> None:
    """aiohttp's pure-Python HTTP parser takes what its C parser refuses: start with the C one or not at all.

    Raises ConfigError."""
    from aiohttp import http_parser

    if http_parser.HttpResponseParser.__module__ == http_parser.__name__:
        raise ConfigError(["aiohttp's C parser is not loaded; unset AIOHTTP_NO_EXTENSIONS, or install a binary wheel"])
