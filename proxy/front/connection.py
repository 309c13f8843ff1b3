"""One client connection: an asyncio protocol in front of aiohttp's, that answers what is hot and forwards the rest.

What it adds, because aiohttp has no place for it:

- it bounds what a slow reader costs (socket buffers, user timeout) and keeps aiohttp's own buffer empty;
- it gives a head a deadline and a length (408, 431) before any of it is parsed;
- it knows whether a request is under way, so that a drain cuts none, and closes what was idle for too long;
- it tells a handler, by cancellation, that its client has gone;
- it lets the fast lane answer (`fastlane`), but only while aiohttp has nothing to do with the connection.

A connection is *idle* (between requests), *reading* (a head has begun) or *busy* (`pending` heads not answered yet).

When is aiohttp done with it? Its parser is between two messages then, and its task waits for the next:

    every head that was forwarded is answered     `pending` is 0
    no byte of a further one was forwarded        the scanner is between heads
    the last answer did not end the connection    else a request behind a refused one would be answered after all
    nothing but GET and HEAD was forwarded        the end of a body is not ours to see: what looks like a head behind
                                                  one could be a part of it

The last two hold for the rest of the connection's life.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from . import tcp
from .heads import HeadScanner, farewell
from .late import LateAnswer
from .presence import ClientGone, ClientStalled, Presence, WhileConnected

if TYPE_CHECKING:
    from .fastlane import Candidate, Late
    from .gate import Gate

_LINGER: Final = 1.0
"""Seconds a refused client has to read the refusal before the connection is cut: closing a socket with unread input
resets it, and the refusal would be lost."""


class Connection(asyncio.Protocol):
    """One client connection: forwards to aiohttp what may pass, and knows what is under way."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._inner: web.RequestHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._heads = HeadScanner()
        self._timer: asyncio.TimerHandle | None = None
        self.paused = False
        """Whether the transport holds bytes that the kernel has not taken."""
        self._dismissed = False
        self._resumed: asyncio.Future[None] | None = None
        self._presence = Presence()
        self._idle_since = 0.0
        self._rest_timer: asyncio.TimerHandle | None = None
        self._late_answer: LateAnswer | None = None
        self._at_once = False  # aiohttp is done with the connection: the fast lane may answer
        self._is_aiohttps = gate.lane is None  # for the rest of its life
        self._body_under_way = False
        self.client = ""
        self.pending = 0
        """Heads that were complete and are not answered yet."""
        self.candidate: Candidate | None = None
        """The request in hand, if the fast lane would like to have its answer."""
        self.late: Late | None = None
        """What the fast lane has just answered and the kernel has not taken."""

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
        self.backlog = tcp.tune(transport, send_buffer=limits.send_buffer, user_timeout=limits.send_timeout)
        # An empty buffer is what `flushed` waits for: with such marks "paused" means not empty, "resumed" means empty.
        # A TLS transport pauses at its mark, a plain one above it.
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)
        self._inner = self._gate.parser()
        self._gate.entered(self._inner, self)
        self._inner.connection_made(transport)
        self._at_once = not self._is_aiohttps
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._at_once and not self._gate.draining and self._answered_at_once(data):
            return
        if self._inner is None or self._dismissed:
            return  # what a refused client still sends is thrown away until it has read why
        self._at_once = False
        completed, longest = self._heads.feed(data)
        if longest > self._gate.limits.header_bytes:
            self._dismiss(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "header_size")
            return
        if self._heads.is_loose:
            self._dismiss(HTTPStatus.BAD_REQUEST, "request_line")
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
        self.paused = True
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self.paused = False
        if self._late_answer is not None:
            self._late_answer.end(None)
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        if self._late_answer is not None:
            self._late_answer.end(ClientGone.__name__)
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        self._transport, self._at_once = None, False
        inner, self._inner = self._inner, None
        if inner is not None:
            self._gate.left(inner, self)
            inner.connection_lost(exc)
        self._presence.left()

    # --- at once

    def _answered_at_once(self, data: bytes) -> bool:
        """Whether the fast lane has answered `data`, which is all that has arrived."""
        lane, transport = self._gate.lane, self._transport
        if lane is None or transport is None or self.paused or not lane.serve(data, transport.write, self):
            return False
        if self._timer is not None:
            self._disarm()
        if self.late is not None:
            self._late_answer = LateAnswer(transport, self.patience, partial(self._late_ended, self.late))
        if not self._body_under_way:
            self._rest()
        return True

    def _late_ended(self, late: Late, failure: str | None) -> None:
        assert self._gate.lane is not None, "the fast lane has given it"
        self.late = self._late_answer = None
        self._gate.lane.ended(late, self.client, failure)
        self._rest()

    @property
    def at_hand(self) -> int | None:
        """The socket, when bytes may be written to it past the transport, which holds none; None over TLS."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return None
        sock = None if transport.get_extra_info("sslcontext") else transport.get_extra_info("socket")
        return None if sock is None else int(sock.fileno())

    def body_began(self) -> None:
        """The fast lane sends a body: until `body_ended` nothing is read, so nothing else is answered."""
        self._body_under_way, self._at_once = True, False
        self.pending = 1
        self.transport.pause_reading()

    def body_ended(self) -> None:
        """It is over, well or not."""
        self._body_under_way = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self.answered(had_body=False, goes_on=True)

    # --- for the application

    @property
    def patience(self) -> float:
        """Seconds a client may take no byte."""
        return self._gate.limits.send_timeout

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

    def answered(self, *, had_body: bool, goes_on: bool) -> None:
        """A request of this connection is over, its answer written to the last byte. `goes_on`: the connection may
        have another."""
        self.pending = max(0, self.pending - 1)
        self.candidate = None
        self._is_aiohttps |= had_body or not goes_on
        if had_body or not (self.pending or self._heads.length):
            self._heads.resume()
        if self.pending or self._transport is None:
            return
        if self._gate.draining:
            self._transport.close()
        elif self._heads.length:
            self._arm()
        else:
            self._at_once = not self._is_aiohttps
            self._rest()

    def while_connected(self) -> WhileConnected:
        """A block that is cancelled, and raises ClientGone, when the client leaves."""
        return WhileConnected(self._presence)

    async def flushed(self, patience: float) -> None:
        """Wait until the transport holds no byte that the kernel has not taken.

        Raises ClientGone, or ClientStalled when not one byte left for `patience` seconds."""
        while waiting := self.transport.get_write_buffer_size():
            if not self.paused:
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
        self._at_once = False
        if self._transport is None or self._inner is None:
            return
        if self._body_under_way:
            return  # the end of it closes
        if self.pending:
            self._inner.close()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection: a body under way must not look complete."""
        if self._transport is not None:
            self._transport.abort()

    # --- deadlines

    def _rest(self) -> None:
        """It is idle from now on. The timer is not set anew for each request: it looks how long that is ago."""
        self._idle_since = self._loop.time()
        if self._rest_timer is None:
            self._rest_timer = self._loop.call_later(self._gate.limits.keepalive_timeout, self._look_at_rest)

    def _look_at_rest(self) -> None:
        self._rest_timer = None
        if self._transport is None or self.pending or self._heads.length or self.late is not None:
            return  # whoever ends that calls `_rest`
        left = self._idle_since + self._gate.limits.keepalive_timeout - self._loop.time()
        if left > 0.0:
            self._rest_timer = self._loop.call_later(left, self._look_at_rest)
        else:
            self._at_once = False
            self._transport.close()

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
