"""The connections of `wire`: made when needed, by an address that was checked, and kept for the next request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohappyeyeballs
import h11
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.core.connections import in_short
from proxy.core.errors import OriginLied, OriginUnreachable

from .credentials import Fields
from .incoming import Disconnected, Interim
from .sockets import NOT_PUBLIC, guarded_socket, is_literal, plain_socket
from .wire import Wire, WireAnswer, asked

IDLE: Final = 30.0
"""Seconds for which a connection is kept for the next request."""
KEPT: Final = 64
"""Most connections kept for the next request, of all places together."""
_EYEBALLS: Final = 0.25
"""Seconds after which the next of several addresses is tried beside the first (RFC 8305 §8)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whom a connection leads to; one made without the check for public addresses is never used with it."""

    host: str
    port: int
    guarded: bool

    async def connected(self, resolver: AbstractResolver) -> socket.socket:
        """A socket that is connected. Raises OSError."""
        infos = [
            (found["family"], socket.SOCK_STREAM, found["proto"], "", (found["host"], found["port"]))
            for found in await self._addresses(resolver)
        ]
        factory = guarded_socket if self.guarded else plain_socket
        return await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=_EYEBALLS, socket_factory=factory)

    async def _addresses(self, resolver: AbstractResolver) -> Any:
        if not is_literal(self.host):
            return await resolver.resolve(self.host, self.port, family=socket.AF_UNSPEC)
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return [{"family": family, "proto": 0, "host": self.host, "port": self.port}]


class Wires:
    """The connections of one worker. `connecting` and `silence` in seconds."""

    def __init__(self, resolver: AbstractResolver, *, connecting: float, silence: float) -> None:
        self._resolver = resolver
        self._connecting = connecting
        self._silence = silence
        self._idle: dict[Place, list[tuple[Wire, asyncio.TimerHandle]]] = {}

    def close(self) -> None:
        """Close what is kept for later; what is in use is its user's."""
        for place in list(self._idle):
            while (wire := self._take(place)) is not None:
                wire.close()

    async def ask(self, url: URL, fields: Fields, *, guarded: bool, interim: Interim | None = None) -> WireAnswer:
        """GET `url`; returns with the head of the answer.

        Raises Disconnected, OriginUnreachable, OriginLied, TimeoutError after the silence."""
        assert url.host is not None
        assert url.port is not None
        place = Place(url.host, url.port, guarded)
        request = _request(url, fields)
        if (wire := self._take_quiet(place)) is not None:
            with contextlib.suppress(Disconnected):  # it was closed as we wrote: nobody has answered, so ask anew
                return await asked(wire, request, partial(self._keep, place), interim)
        return await asked(await self._connected(place), request, partial(self._keep, place), interim)

    async def _connected(self, place: Place) -> Wire:
        try:
            async with asyncio.timeout(self._connecting):
                return Wire(await place.connected(self._resolver), place.host, self._silence)
        except socket.gaierror:
            raise OriginUnreachable(f"no address is known for {place.host}") from None
        except (OSError, RuntimeError) as error:
            if NOT_PUBLIC in str(error):
                raise OriginLied(f"the origin redirects to {place.host}, which is at {NOT_PUBLIC}") from None
            raise OriginUnreachable(f"cannot connect to {place.host}: {in_short(error)}") from None

    # --- what is kept for the next request ------------------------------------------------------------------------

    def _keep(self, place: Place, wire: Wire) -> None:
        if sum(map(len, self._idle.values())) >= KEPT:
            wire.close()
            return
        timer = asyncio.get_running_loop().call_later(IDLE, self._expire, place, wire)
        self._idle.setdefault(place, []).append((wire, timer))

    def _expire(self, place: Place, wire: Wire) -> None:
        wires = [kept for kept in self._idle.pop(place, []) if kept[0] is not wire]
        if wires:
            self._idle[place] = wires
        wire.close()

    def _take_quiet(self, place: Place) -> Wire | None:
        while (wire := self._take(place)) is not None:
            if wire.is_quiet():
                return wire
            wire.close()
        return None

    def _take(self, place: Place) -> Wire | None:
        """The one used last: the others may come to rest."""
        if place not in self._idle:
            return None
        wire, timer = self._idle[place].pop()
        timer.cancel()
        if not self._idle[place]:
            del self._idle[place]
        return wire


def _request(url: URL, fields: Fields) -> h11.Request:
    """Raises OriginLied for an address or field that HTTP has no words for."""
    try:
        host = ("Host", url.host_port_subcomponent or "")
        told = [(name.encode("ascii"), text.encode("utf-8", "surrogateescape")) for name, text in (host, *fields)]
        return h11.Request(method="GET", target=url.raw_path_qs, headers=told)
    except (h11.LocalProtocolError, UnicodeEncodeError):
        raise OriginLied(f"the origin redirects to {url.host}, which is no proper address") from None
