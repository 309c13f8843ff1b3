"""HTTP towards origins: one request, one answer, nothing followed, nothing decoded, nothing remembered.

aiohttp is set up here and nowhere else, and its exceptions end here. What it would do on its own and must not:
follow redirects, re-encode presigned addresses, keep cookies, unpack bodies, read ~/.netrc (which `trust_env` would: an
anonymous caller would then be given the operator's rights). The proxies of the environment (HTTPS_PROXY, NO_PROXY) are
honoured; a proxy resolves names itself, so behind one the address check falls to the proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.config.schema import OriginSection
from proxy.core.clock import Clock
from proxy.core.errors import ConfigError, OriginLied, OriginUnreachable, PenstockError
from proxy.core.turns import Turns

from .addresses import is_public
from .credentials import Fields
from .head import Head
from .observer import HostClass, OriginObserver
from .upload import Upload

FIELD_SIZE: Final = 16 * 1024
"""Longest line and field of an answer's head: presigned addresses run to kilobytes."""
DRAINED: Final = 64 * 1024
"""Bytes of an unwanted body we read so that the connection can be used again."""
_NOT_PUBLIC: Final = "not a public address"


class Disconnected(OriginUnreachable):
    """The connection ended before an answer began: an idle one that the origin had just closed, most often."""


class TransferCut(OriginUnreachable):
    """The body ended early, or went silent for longer than the read timeout."""


class _ForbiddenAddress(OSError):
    def __init__(self, address: str) -> None:
        super().__init__(errno.EPERM, f"{address} is {_NOT_PUBLIC}")


class Lane(Enum):
    """The queues of a host."""

    CALL = "call"
    TRANSFER = "transfer"
    STREAM = "stream"
    """What is passed on as it comes, as slowly as the client takes it: it must not keep fills waiting."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One request. `trusted`: may go to any address; else only to public ones. `lane` keeps short questions and long
    transfers from waiting for one another."""

    method: str
    url: URL
    fields: Fields
    host_class: HostClass
    trusted: bool
    lane: Lane
    body: bytes | Upload | None = None
    patience: float = 0.0
    """Seconds that a body which has yet to come may take, on top of those for an answer."""


class Answer:
    """An answer whose head is here and whose body is read while it lasts."""

    def __init__(self, response: aiohttp.ClientResponse, host_class: HostClass, observer: OriginObserver) -> None:
        self.head = Head.of(response.status, response.headers.items())
        self.is_delimited = response.method == "HEAD" or "content-length" in response.headers or _is_chunked(response)
        self._response = response
        self._host_class = host_class
        self._observer = observer

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes, in pieces of any size. Raises TransferCut."""
        try:
            async for piece in self._response.content.iter_any():
                self._observer.bytes(self._host_class.value, len(piece))
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransferCut(f"the transfer from {self._response.url.host} was cut: {_in_short(error)}") from None

    async def whole(self, limit: int) -> bytes:
        """All of the body. Raises OriginLied when it is longer than `limit` bytes, or when its end cannot be told from
        a cut; TransferCut."""
        if not self.is_delimited:
            raise OriginLied("the origin's answer says neither how long it is nor where it ends")
        taken = bytearray()
        async for piece in self.pieces():
            taken += piece
            if len(taken) > limit:
                raise OriginLied(f"the origin's answer is longer than {limit} bytes")
        return bytes(taken)

    async def drain(self) -> bytes:
        """Read a small body to its end, for the sake of the connection; a large one costs it, and is given as b""."""
        if (self._response.content_length or DRAINED) < DRAINED:
            with contextlib.suppress(OriginUnreachable, OriginLied):
                return await self.whole(DRAINED)
        return b""


class Transport:
    """The connections of one worker: two pools, so that one made without an address check is never used with one."""

    def __init__(
        self,
        config: OriginSection,
        clock: Clock,
        observer: OriginObserver,
        proxies: Mapping[str, str],
        trusted: aiohttp.ClientSession,
        guarded: aiohttp.ClientSession,
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._proxies = proxies
        self._trusted = trusted
        self._guarded = guarded
        self._turns = Turns(config.connections_per_host)
        self._head_deadline = config.connect_timeout + 2 * config.read_timeout

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        config: OriginSection,
        *,
        clock: Clock,
        observer: OriginObserver,
        proxies: Mapping[str, str] | None = None,
        resolver: AbstractResolver | None = None,
    ) -> AsyncIterator[Transport]:
        """`proxies` by scheme, as urllib reads them from the environment; `resolver` for tests. Raises ConfigError."""
        require_c_parser()
        found = getproxies_environment() if proxies is None else proxies
        async with (
            _session(config, _socket, resolver) as trusted,
            _session(config, _socket if config.allow_private else _guarded_socket, resolver) as guarded,
        ):
            yield cls(config, clock, observer, found, trusted, guarded)

    @contextlib.asynccontextmanager
    async def ask(self, asking: Asking) -> AsyncIterator[Answer]:
        """Send, and wait for the head of the answer; leaving before the body's end closes the connection.

        Ask inside a `turn`. Raises OriginUnreachable (Disconnected), OriginLied."""
        response = await self._begin(asking)
        async with response:
            yield Answer(response, asking.host_class, self._observer)

    def turn(self, asking: Asking) -> AbstractAsyncContextManager[None]:
        """Wait until fewer than `connections_per_host` requests of this lane are under way to this host."""
        return self._turns.turn((asking.lane, asking.url.authority))

    async def _begin(self, asking: Asking) -> aiohttp.ClientResponse:
        began = self._clock.monotonic()
        code = 0
        try:
            async with asyncio.timeout(self._head_deadline + asking.patience):
                response = await self._send(asking)
            code = response.status
            return response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(asking.body, Upload) and asking.body.failure is not None:
                raise asking.body.failure from None  # the client's doing, not the origin's
            raise _translated(error, asking.url.host or "the origin") from None
        finally:
            self._observer.request(asking.host_class.value, code, self._clock.monotonic() - began)

    async def _send(self, asking: Asking) -> aiohttp.ClientResponse:
        proxy = self._proxy_for(asking.url)
        session = self._trusted if asking.trusted or proxy else self._guarded
        if not asking.trusted and proxy:
            self._refuse_private_literal(asking.url)
        return await session.request(
            asking.method, asking.url, headers=asking.fields, data=asking.body, allow_redirects=False, proxy=proxy
        )

    def _proxy_for(self, url: URL) -> str | None:
        proxy = self._proxies.get(url.scheme)
        if not proxy or proxy_bypass_environment(f"{url.host}:{url.port}", dict(self._proxies)):
            return None
        return proxy

    def _refuse_private_literal(self, url: URL) -> None:
        if _is_literal(url.host or "") and not is_public(url.host or ""):
            raise _ForbiddenAddress(url.host or "")


def require_c_parser() -> None:
    """aiohttp's pure-Python HTTP parser takes what its C parser refuses: start with the C one or not at all.

    Raises ConfigError."""
    from aiohttp import http_parser

    if http_parser.HttpResponseParser.__module__ == http_parser.__name__:
        raise ConfigError(["aiohttp's C parser is not loaded; unset AIOHTTP_NO_EXTENSIONS, or install a binary wheel"])


def _session(
    config: OriginSection, factory: Callable[[Any], socket.socket], resolver: AbstractResolver | None
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
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        requote_redirect_url=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout, sock_read=config.read_timeout),
        max_line_size=FIELD_SIZE,
        max_field_size=FIELD_SIZE,
    )


def _socket(address_info: Any) -> socket.socket:
    """A socket that notices a peer that is gone."""
    family, kind, protocol, _, _ = address_info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return made


def _guarded_socket(address_info: Any) -> socket.socket:
    """A socket for exactly this address, if it is public. Asked at connect time, per attempt: no name can turn after
    the check."""
    address = str(address_info[4][0])
    if not is_public(address):
        raise _ForbiddenAddress(address)
    return _socket(address_info)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _is_chunked(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("transfer-encoding", "").lower() == "chunked" or response.status in (204, 304)


def _translated(error: Exception, host: str) -> PenstockError:
    """Our word for what aiohttp raised before an answer. Never its text, which may hold a presigned address."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return OriginUnreachable(f"no address is known for {host}")
        case aiohttp.ClientConnectorError() | _ForbiddenAddress() if _NOT_PUBLIC in str(error):
            return OriginLied(f"the origin redirects to {host}, which is at {_NOT_PUBLIC}")
        case aiohttp.ClientSSLError():
            return OriginUnreachable(f"TLS with {host} failed: {_in_short(error)}")
        case aiohttp.ClientHttpProxyError():
            return OriginUnreachable(f"the HTTP proxy refused the way to {host} with status {error.status}")
        case aiohttp.ClientConnectorError():
            return OriginUnreachable(f"cannot connect to {host}: {_in_short(error)}")
        case TimeoutError():
            return OriginUnreachable(f"{host} did not answer in time")
        case aiohttp.InvalidURL():
            return OriginLied(f"the origin redirects to {host}, which is no proper address")
        case aiohttp.ClientResponseError():
            return OriginLied(f"the answer of {host} is not proper HTTP")
        case _:
            return Disconnected(f"{host} closed the connection without an answer")


def _in_short(error: BaseException) -> str:
    """A word on an error: the system's where there is one, else its class."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
