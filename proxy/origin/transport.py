"""HTTP towards origins: one request, one answer, nothing followed, nothing decoded, nothing remembered.

Transfers without TLS go over `wires`, which copy less; everything else is aiohttp's (`sessions`). The proxies of the
environment (HTTPS_PROXY, NO_PROXY) are honoured; a proxy resolves names itself, so behind one the address check falls
to the proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import Enum
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver
from yarl import URL

from proxy.config.origins import OriginSite
from proxy.core.clock import Clock
from proxy.core.turns import Turns
from proxy.telemetry import tracing

from .addresses import is_public
from .credentials import Fields
from .incoming import Answer, Incoming, Interim
from .observer import HostClass, OriginObserver
from .sessions import SessionAnswer, require_c_parser, session, translated
from .sockets import ForbiddenAddress, guarded_socket, is_literal, plain_socket
from .upload import Upload
from .wires import Wires


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
    interim: Interim | None = None
    """Who hears of interim answers; of plain transfers alone, aiohttp keeps them to itself."""

    @property
    def is_plain_transfer(self) -> bool:
        """Whether it is for many bytes that come without TLS."""
        return self.lane is Lane.TRANSFER and (self.method, self.url.scheme, self.body) == ("GET", "http", None)


class Transport:
    """The connections of one worker: two pools, so that one made without an address check is never used with one."""

    def __init__(
        self,
        config: OriginSite,
        allow_private: bool,
        clock: Clock,
        observer: OriginObserver,
        proxies: Mapping[str, str],
        trusted: aiohttp.ClientSession,
        guarded: aiohttp.ClientSession,
        wires: Wires,
    ) -> None:
        self._wires = wires
        self._allow_private = allow_private
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
        config: OriginSite,
        *,
        clock: Clock,
        observer: OriginObserver,
        allow_private: bool = False,
        proxies: Mapping[str, str] | None = None,
        resolver: AbstractResolver | None = None,
    ) -> AsyncIterator[Transport]:
        """`proxies` by scheme, as urllib reads them from the environment; `resolver` for tests;
        `allow_private`: requests that are not trusted go to any address too. Raises ConfigError."""
        require_c_parser()
        found = getproxies_environment() if proxies is None else proxies
        async with (
            session(config, plain_socket, resolver) as trusted,
            session(config, plain_socket if allow_private else guarded_socket, resolver) as guarded,
        ):
            limits = {"connecting": config.connect_timeout, "silence": config.read_timeout}
            with contextlib.closing(Wires(resolver or DefaultResolver(), **limits)) as wires:
                yield cls(config, allow_private, clock, observer, found, trusted, guarded, wires)

    @contextlib.asynccontextmanager
    async def ask(self, asking: Asking) -> AsyncIterator[Answer]:
        """Send, and wait for the head of the answer; leaving before the body's end closes the connection.

        Ask inside a `turn`. Raises OriginUnreachable (Disconnected), OriginLied."""
        traits = {"server.address": asking.url.host or "", "http.request.method": asking.method}
        with tracing.asking(f"origin {asking.host_class.value}", traits) as span:
            if span is not None and asking.trusted:
                asking = replace(asking, fields=(*asking.fields, *span.fields(outside=True).items()))
            incoming = await self._begin(asking)
            async with incoming:
                if span is not None:
                    span.note({"http.response.status_code": incoming.status})
                yield Answer(incoming, asking.host_class, self._observer)

    def turn(self, asking: Asking) -> AbstractAsyncContextManager[None]:
        """Wait until fewer than `connections_per_host` requests of this lane are under way to this host."""
        return self._turns.turn((asking.lane, asking.url.authority))

    async def _begin(self, asking: Asking) -> Incoming:
        began = self._clock.monotonic()
        code = 0
        try:
            async with asyncio.timeout(self._head_deadline + asking.patience):
                incoming = await self._send(asking)
            code = incoming.status
            return incoming
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(asking.body, Upload) and asking.body.failure is not None:
                raise asking.body.failure from None  # the client's doing, not the origin's
            raise translated(error, asking.url.host or "the origin") from None
        finally:
            self._observer.request(asking.host_class.value, code, self._clock.monotonic() - began)

    async def _send(self, asking: Asking) -> Incoming:
        proxy = self._proxy_for(asking.url)
        if proxy is None and asking.is_plain_transfer:
            guarded = not (asking.trusted or self._allow_private)
            return await self._wires.ask(asking.url, asking.fields, guarded=guarded, interim=asking.interim)
        chosen = self._trusted if asking.trusted or proxy else self._guarded
        if not asking.trusted and proxy:
            self._refuse_private_literal(asking.url)
        sent = chosen.request(
            asking.method, asking.url, headers=asking.fields, data=asking.body, allow_redirects=False, proxy=proxy
        )
        return SessionAnswer(await sent)

    def _proxy_for(self, url: URL) -> str | None:
        proxy = self._proxies.get(url.scheme)
        if not proxy or proxy_bypass_environment(f"{url.host}:{url.port}", dict(self._proxies)):
            return None
        return proxy

    def _refuse_private_literal(self, url: URL) -> None:
        if is_literal(url.host or "") and not is_public(url.host or ""):
            raise ForbiddenAddress(url.host or "")
