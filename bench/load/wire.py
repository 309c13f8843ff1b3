"""HTTP/1.1 on raw sockets, as fast as Python can: one buffer for the whole process, bodies looked at as they arrive.

Theory of operation. The loop calls `_readable` when a connection has bytes; it makes one recv(2) into the process' only
buffer, and the bytes are checked before the next call, so a thousand connections cost no memory and the bytes are still
in the processor's cache when they are compared. What nobody looks at is thrown away inside the kernel (MSG_TRUNC).
A connection stays with the loop while it is idle: a peer that closes it is noticed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
import time
from dataclasses import dataclass
from typing import Final, Protocol

from .heads import LONGEST_HEAD, Chunks, Head, Malformed, parse_head

Address = tuple[str, int]
"""Host and port."""
BUFFER: Final = 1 << 20
_DISCARD: Final = socket.MSG_TRUNC


class Broken(Exception):
    """The connection ended before the answer did. `received` body bytes had come."""


class Silent(Exception):
    """No byte came for longer than the client's patience."""


class Enough(Exception):
    """Raised by a taker that wants no more: the exchange ends here, and the connection with it."""


class Taker(Protocol):
    """What becomes of a body."""

    @property
    def looks(self) -> bool:
        """False: bytes may be thrown away unseen; `take` is then given views of the right length and any content."""
        ...

    def begin(self, head: Head) -> None:
        """The head is here. May raise: the exchange ends with that."""
        ...

    def take(self, received: memoryview) -> None:
        """The next bytes; the view is only good during the call. May raise: the exchange ends with that."""
        ...


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Times are of the loop, in seconds; `first_byte` is of the body if there is one."""

    sent: float
    head: Head | None = None
    first_byte: float | None = None
    ended: float | None = None
    received: int = 0
    is_cut: bool = False
    """Ended before the whole answer had come."""
    unread: int = 0
    """Bytes of a cut one that had arrived and were not read."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a slow reader takes bytes: `rate` a second, `step` at once."""

    rate: float
    step: int = 64 * 1024


class Surroundings:
    """What all connections of a process share."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self.loop = loop
        self.buffer = memoryview(bytearray(BUFFER))
        self.patience = patience
        self.waiting: set[Connection] = set()

    @staticmethod
    def now() -> float:
        """Seconds on the loop's clock, but finer: uvloop's own `time` counts whole milliseconds, and a hit takes a
        fraction of one."""
        return time.monotonic()

    def sweep(self) -> None:
        """End exchanges whose peer has been silent for too long. Call it several times a second."""
        now = self.now()
        for connection in [one for one in self.waiting if now - one.progress > self.patience]:
            connection.give_up(Silent(f"no byte for {self.patience:g} s"))


class Connection:
    """One connection, one exchange at a time. Make it with `await open(...)`; `close` it."""

    def __init__(self, around: Surroundings, sock: socket.socket, address: Address) -> None:
        self.address = address
        self._around = around
        self._socket = sock
        self._taker: Taker | None = None
        self._to_head = False
        self._pace: Pace | None = None
        self._exchange: Exchange | None = None
        self._done: asyncio.Future[None] | None = None
        self._head = b""
        self._left: int | None = 0
        self._chunks: Chunks | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self.progress = 0.0
        self.usable = True
        self.served = 0
        """Exchanges so far."""

    @classmethod
    async def open(cls, around: Surroundings, address: Address, *, receive_buffer: int | None = None) -> Connection:
        """Connect. `receive_buffer` (bytes) keeps the kernel from reading ahead of a slow reader. Raises OSError, also
        when it takes longer than the patience."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            async with asyncio.timeout(around.patience):
                await around.loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        connection = cls(around, sock, address)
        around.loop.add_reader(sock, connection._readable)
        return connection

    async def ask(
        self, request: bytes, taker: Taker, exchange: Exchange, *, to_head: bool = False, pace: Pace | None = None
    ) -> None:
        """Send `request` and give its answer to `taker`; returns when all of it has come, and fills in `exchange`.

        Raises Broken, Silent, Malformed, OSError, and whatever `taker` raises; the connection is then closed.
        """
        assert self.usable, "it is open"
        assert self._done is None, "one exchange at a time"
        loop = self._around.loop
        self._taker, self._to_head, self._pace, self._exchange = taker, to_head, pace, exchange
        self._head, self._chunks = b"", None
        self._done = loop.create_future()
        self.progress = self._around.now()
        self._around.waiting.add(self)
        try:
            await self._send(request)
            await self._done
            self.served += 1
        except BaseException:
            exchange.is_cut, exchange.unread = True, _waiting_in(self._socket)
            self.close()
            raise
        finally:
            exchange.ended = self._around.now()
            self._around.waiting.discard(self)
            self._done = None
        if exchange.head is not None and not exchange.head.keeps_alive:
            self.close()

    def give_up(self, error: Exception) -> None:
        """End the exchange under way with `error`."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def close(self) -> None:
        if not self.usable:
            return
        self.usable = False
        if self._resuming is not None:
            self._resuming.cancel()
        self._around.loop.remove_reader(self._socket)
        self._socket.close()

    async def _send(self, request: bytes) -> None:
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = self._socket.send(request)
        if sent < len(request):
            await self._around.loop.sock_sendall(self._socket, request[sent:])

    # -- called by the loop -----------------------------------------------------------------------------------------

    def _readable(self) -> None:
        done, exchange = self._done, self._exchange
        if done is None or done.done() or exchange is None:
            self._idle_readable()
            return
        try:
            self.progress = self._around.now()
            if exchange.head is None:
                self._read_head(exchange)
            else:
                self._read_body(exchange)
            if exchange.head is not None and self._is_complete():
                done.set_result(None)
            elif self._pace is not None and exchange.head is not None:
                self._rest(self._pace)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            done.set_exception(error)

    def _idle_readable(self) -> None:
        """Nobody asked: the peer has closed, or says what nobody wants to hear. Either way it is of no use any more."""
        self.close()

    def _read_head(self, exchange: Exchange) -> None:
        received = self._socket.recv(LONGEST_HEAD)
        if not received:
            raise Broken("closed before the answer")
        self._head += received
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) >= LONGEST_HEAD:
                raise Malformed(f"a head of more than {LONGEST_HEAD} bytes")
            return
        head = parse_head(self._head[:end])
        self._left = head.framing(to_head=self._to_head)
        self._chunks = Chunks() if self._left is None else None
        exchange.head = head
        rest, self._head = self._head[end + 4 :], b""
        assert self._taker is not None
        self._taker.begin(head)
        if self._left == 0 or rest:
            exchange.first_byte = self.progress
        if rest:
            self._took(exchange, memoryview(rest))

    def _read_body(self, exchange: Exchange) -> None:
        assert self._taker is not None
        buffer = self._around.buffer
        room = len(buffer) if self._pace is None else min(len(buffer), self._pace.step)
        unseen = self._left is not None and not self._taker.looks
        wanted = room if self._left is None else min(room, self._left)
        count = self._socket.recv_into(buffer, wanted, _DISCARD if unseen else 0)
        if count == 0:
            raise Broken(f"closed after {exchange.received} bytes of the body")
        if exchange.first_byte is None:
            exchange.first_byte = self.progress
        self._took(exchange, buffer[:count])

    def _took(self, exchange: Exchange, received: memoryview) -> None:
        assert self._taker is not None
        if self._chunks is not None:
            for part in self._chunks.feed(received):
                exchange.received += len(part)
                self._taker.take(part)
            return
        assert self._left is not None
        if len(received) > self._left:
            raise Malformed(f"{len(received) - self._left} bytes more than announced")
        self._left -= len(received)
        exchange.received += len(received)
        self._taker.take(received)

    def _is_complete(self) -> bool:
        return self._left == 0 if self._chunks is None else self._chunks.done

    def _rest(self, pace: Pace) -> None:
        """Take nothing until the next step is due."""
        loop = self._around.loop
        loop.remove_reader(self._socket)
        self._resuming = loop.call_later(pace.step / pace.rate, self._go_on)

    def _go_on(self) -> None:
        if self.usable:
            self.progress = self._around.now()
            self._around.loop.add_reader(self._socket, self._readable)


def _waiting_in(sock: socket.socket) -> int:
    """Bytes that have arrived on a socket and nobody has read; 0 for one that is broken or closed."""
    try:
        waiting = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
    except (OSError, ValueError):
        return 0
    return int.from_bytes(waiting, sys.byteorder)
