"""The gate: all connections of one listener. It counts them, in all and per client address, refuses those beyond a
limit, and drains them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

from aiohttp import web

from .connection import Connection
from .fastlane import FastLane
from .limits import Limits
from .observer import Observer, SilentObserver
from .presence import ClientGone

Parser = Callable[[], web.RequestHandler]


class Gate:
    """All connections of one listener. `parser` makes aiohttp's protocol for each; `lane` answers what is hot.

    An instance is the protocol factory to give to `loop.create_server`. `limits` may be replaced at any time: new
    connections, heads and answers obey the new ones.
    """

    def __init__(self, limits: Limits, observer: Observer | None = None, lane: FastLane | None = None) -> None:
        self.limits = limits
        self.observer = observer or SilentObserver()
        self.lane = lane
        self.parser: Parser | None = None
        self._connections: dict[web.RequestHandler, Connection] = {}
        self._per_client: Counter[str] = Counter()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        busy = sum(connection.pending > 0 for connection in self._connections.values())
        return f"<Gate {len(self)} connections, {busy} busy{', draining' if self._draining else ''}>"

    def __call__(self) -> Connection:
        return Connection(self)

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def draining(self) -> bool:
        """Whether answers should ask their client to go (`Connection: close`)."""
        return self._draining

    def connection(self, protocol: object) -> Connection:
        """The connection whose requests `protocol` parses. Raises ClientGone when it has ended."""
        found = self._connections.get(cast(web.RequestHandler, protocol))
        if found is None:
            raise ClientGone("the connection has ended")
        return found

    async def drain(self, *, gently: bool = False) -> None:
        """Answer what was asked, close what is idle, and return when no connection is left. The caller sets the limit
        (and calls `abort` when it is over). The listener is closed before.

        `gently`: what is idle may ask once more, and ends with that answer or its own deadline. A request that is on
        its way just now is then answered instead of being met by a closed connection."""
        self._draining = True
        if not gently:
            for connection in list(self._connections.values()):
                connection.wind_down()
        await self._empty.wait()

    def abort(self) -> None:
        """Cut every connection now."""
        for connection in list(self._connections.values()):
            connection.abort()

    def refusal(self, client: str) -> str | None:
        """Why one more connection from `client` is not taken: "limit", "client_limit", or None when it is."""
        if len(self._connections) >= self.limits.connections:
            return "limit"
        if self._per_client[client] >= self.limits.connections_per_client:
            return "client_limit"
        return None

    def entered(self, parser: web.RequestHandler, connection: Connection) -> None:
        self._connections[parser] = connection
        self._per_client[connection.client] += 1
        self._empty.clear()
        self.observer.connection_opened()

    def left(self, parser: web.RequestHandler, connection: Connection) -> None:
        del self._connections[parser]
        self._per_client[connection.client] -= 1
        if self._per_client[connection.client] <= 0:
            del self._per_client[connection.client]
        if not self._connections:
            self._empty.set()
        self.observer.connection_closed()
        if self.lane is not None:
            self.lane.flush()
