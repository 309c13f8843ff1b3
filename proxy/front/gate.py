"""The gate: an asyncio protocol in front of aiohttp's, one per connection, that forwards everything to it.

What it adds, because aiohttp has no place for it:

- it counts connections, in all and per client address, and closes those beyond a limit;
- it bounds what a slow reader costs (socket buffers, user timeout) and keeps aiohttp's own buffer empty;
- it gives a head a deadline and a length (408, 431) before any of it is parsed;
- it knows which connections have a request under way, so that a drain cuts none;
- it tells a handler, by cancellation, that its client has gone.

A connection is in one of three states: *idle* (between requests), *reading* (a head has begun), *busy* (heads complete,
`pending` of them not answered yet).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web

from . import tcp
from .heads import HeadScanner, farewell
from .limits import Limits
from .observer import Observer, SilentObserver
from .presence import ClientGone, ClientStalled, Presence, WhileConnected

log = logging.getLogger(__name__)

_LINGER: Final = 1.0
"""Seconds a refused client has to read the refusal before the connection is cut: closing a socket with unread input
resets it, and the refusal would be lost."""

Parser = Callable[[], web.RequestHandler]


class Gate:
    """All connections of one listener. `parser` makes aiohttp's protocol for each.

    An instance is the protocol factory to give to `loop.create_server`. `limits` may be replaced at any time: new
    connections, heads and answers obey the new ones.
    """

    def __init__(self, limits: Limits, observer: Observer | None = None) -> None:
        self.limits = limits
        self.observer = observer or SilentObserver()
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


class Connection(asyncio.Protocol):
    """One client connection: forwards to aiohttp what may pass, and knows what is under way."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._inner: web.RequestHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._heads = HeadScanner()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._dismissed = False
        self._resumed: asyncio.Future[None] | None = None
        self._presence = Presence()
        self.client = ""
        self.pending = 0
        """Heads that were complete and are not answered yet."""

    def __repr__(self) -> str:
        return f"<Connection {self.client or 'new'} pending={self.pending} {self._heads!r}>"

    # --- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self._gate.parser is not None, "the gate was opened before it had a parser"
        self._transport = cast(asyncio.Transport, transport)
        self._presence.arrived()
        self.client = tcp.client_address(transport)
        if (reason := self._gate.refusal(self.client)) is not None:
            self._gate.observer.connection_refused(reason)
            self._transport.abort()
            return
        limits = self._gate.limits
        tcp.tune(transport, send_buffer=limits.send_buffer, user_timeout=limits.send_timeout)
        # An empty buffer is what `flushed` waits for: with such marks "paused" means not empty, "resumed" means empty.
        # A TLS transport pauses at its mark, a plain one above it.
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)
        self._inner = self._gate.parser()
        self._gate.entered(self._inner, self)
        self._inner.connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._inner is None or self._dismissed:
            return  # what a refused client still sends is thrown away until it has read why
        completed, longest = self._heads.feed(data)
        if longest > self._gate.limits.header_bytes:
            self._dismiss(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "header_size")
            return
        self.pending += completed
        if self.pending:
            self._disarm()
        elif self._heads.length and self._timer is None:
            self._arm()
        self._inner.data_received(data)

    def eof_received(self) -> None:
        if self._inner is not None:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        self._paused = True
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        self._transport = None
        inner, self._inner = self._inner, None
        if inner is not None:
            self._gate.left(inner, self)
            inner.connection_lost(exc)
        self._presence.left()

    # --- for the application

    @property
    def transport(self) -> asyncio.Transport:
        """Raises ClientGone when the connection is lost or closing."""
        if self._transport is None or self._transport.is_closing():
            raise ClientGone("the connection has ended")
        return self._transport

    def began(self) -> None:
        """A request of this connection is in hand.

        Its head may have come unseen, in one piece with the body before it; without this, the connection would look
        idle while its answer is sent, and a drain would cut it."""
        self.pending = max(1, self.pending)

    def answered(self, *, had_body: bool) -> None:
        """A request of this connection is over, its answer written to the last byte."""
        self.pending = max(0, self.pending - 1)
        if had_body or not (self.pending or self._heads.length):
            self._heads.resume()
        if self.pending or self._transport is None:
            return
        if self._gate.draining:
            self._transport.close()
        elif self._heads.length:
            self._arm()

    def while_connected(self) -> WhileConnected:
        """A block that is cancelled, and raises ClientGone, when the client leaves."""
        return WhileConnected(self._presence)

    async def flushed(self, patience: float) -> None:
        """Wait until the transport holds no byte that the kernel has not taken.

        Raises ClientGone, or ClientStalled when not one byte left for `patience` seconds."""
        while waiting := self.transport.get_write_buffer_size():
            if not self._paused:
                await asyncio.sleep(0)  # uvloop writes at the end of the loop's round
                continue
            self._resumed = self._loop.create_future()
            try:
                async with asyncio.timeout(patience):
                    await self._resumed
            except TimeoutError:
                if self.transport.get_write_buffer_size() >= waiting:
                    raise ClientStalled(f"the client took no byte for {patience:g} s") from None
            finally:
                self._resumed = None

    def wind_down(self) -> None:
        """Close when what was asked is answered; now, when nothing was."""
        if self._transport is None or self._inner is None:
            return
        if self.pending:
            self._inner.close()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection: a body under way must not look complete."""
        if self._transport is not None:
            self._transport.abort()

    # --- deadlines

    def _arm(self) -> None:
        self._disarm()
        self._timer = self._loop.call_later(self._gate.limits.header_timeout, self._head_is_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if self._transport is None or self.pending:
            return
        if self._heads.length:
            self._dismiss(HTTPStatus.REQUEST_TIMEOUT, "header_timeout")
        else:
            self._transport.close()  # it never said a word: an unasked 408 would confuse a client that is just slow

    def _dismiss(self, status: HTTPStatus, reason: str) -> None:
        """Refuse a head that is not parsed yet, and end."""
        assert self._transport is not None
        self._gate.observer.connection_refused(reason)
        self._dismissed = True
        self._disarm()
        if self.pending:
            # An earlier request is being answered: a word in between would land inside its body.
            self._transport.abort()
            return
        self._transport.write(farewell(status, request_id=secrets.token_hex(16)))
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._timer = self._loop.call_later(_LINGER, self._transport.abort)
