"""HTTP/1.1 without TLS on sockets of our own, for transfers: a byte is copied once, from the kernel into its piece.

aiohttp copies it twice more (its transport's buffer, its parser's body), which is most of what a fill from a plain
origin costs besides the kernel's own work. Only GETs without a body come here, and no TLS, no HTTP proxy: all else is
aiohttp's. Heads are h11's business, both ways; a body of announced length is read past it, any other through it.

A connection is used again after an answer of announced length that has come to its end and was followed by nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import h11

from proxy.core.connections import in_short
from proxy.core.errors import OriginLied
from proxy.core.sizes import KIB

from .incoming import FIELD_SIZE, Disconnected, Interim, TransferCut

PIECE: Final = 256 * KIB
"""Most bytes of one piece."""
HEAD_SIZE: Final = 64 * KIB
"""Longest head of an answer."""
FIELDS: Final = 128
"""Most fields of an answer's head."""
INTERIM: Final = 32
"""Most interim answers (1xx) before the real one."""
_LOOSE: Final = re.compile(rb"(?<!\r)\n|\r\n[ \t]")
"""Lines that end in a line feed alone, and folded ones: a recipient may take both, and may refuse both (RFC 9112 §2.2,
§5.2). Who puts fields into another's answer does so by one of them."""


class Wire:
    """One connection. `silence`: the seconds without a byte after which it is given up."""

    def __init__(self, sock: socket.socket, host: str, silence: float) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = host
        self.is_closed = False
        self._socket = sock
        self._silence = silence

    def __repr__(self) -> str:
        return f"<Wire to {self.host}{' closed' if self.is_closed else ''}>"

    def close(self) -> None:
        """Idempotent."""
        self.is_closed = True
        self._socket.close()

    def is_quiet(self) -> bool:
        """Whether it can be used again: its other end has neither closed it nor said anything unasked."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def send(self, content: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, content)

    async def receive(self, most: int) -> bytes:
        """What has come, at most `most` bytes; b"" at the end. Raises OSError, TimeoutError after the silence."""
        try:
            piece = self._socket.recv(most)
        except BlockingIOError:
            async with asyncio.timeout(self._silence):
                return await asyncio.get_running_loop().sock_recv(self._socket, most)
        await asyncio.sleep(0)  # who always has something to read would never let the others have a turn
        return piece


class WireAnswer:
    """The answer on a wire (`incoming.Incoming`); `kept` takes the wire back when it can be used again."""

    def __init__(self, wire: Wire, grammar: h11.Connection, head: h11.Response, kept: Callable[[Wire], None]) -> None:
        lengths = {text for name, text in head.headers if name == b"content-length"}
        encodings = [text for name, text in head.headers if name == b"transfer-encoding"]
        if lengths and encodings:
            raise OriginLied(f"the answer of {wire.host} says in two ways how long it is")
        self.status = head.status_code
        self.version = (int(head.http_version[:1]), int(head.http_version[2:]))
        self.fields = tuple((_text(name), _text(value)) for name, value in head.headers)
        self.length = 0 if self.status in (204, 304) else int(lengths.pop()) if lengths else None
        self.is_delimited = self.length is not None or bool(encodings)
        early, _ = grammar.trailing_data
        self._early = bytes(early)
        self._left = self.length
        self._is_lasting = _is_lasting(head) and self.length is not None and len(early) <= self.length
        self._wire = wire
        self._grammar = grammar
        self._kept = kept

    async def __aenter__(self) -> WireAnswer:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._is_lasting and not self._left:
            self._kept(self._wire)
        else:
            self._wire.close()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises TransferCut."""
        pieces = self._framed() if self._left is None else self._counted(self._left)
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except (h11.RemoteProtocolError, OSError) as error:
            raise TransferCut(f"the transfer from {self._wire.host} was cut: {in_short(error)}") from None

    async def _counted(self, left: int) -> AsyncGenerator[bytes, None]:
        """A body of known length: what came with the head, then what comes, none of it looked at."""
        piece = self._early[:left]
        while left:
            piece = piece or await self._wire.receive(min(left, PIECE))
            if not piece:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed")
            left -= len(piece)
            self._left = left
            yield piece
            piece = b""

    async def _framed(self) -> AsyncGenerator[bytes, None]:
        """A body that says itself where it ends, or that ends with the connection."""
        while not isinstance(event := self._grammar.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self._grammar.receive_data(await self._wire.receive(PIECE))
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed")


async def asked(
    wire: Wire, request: h11.Request, kept: Callable[[Wire], None], interim: Interim | None = None
) -> WireAnswer:
    """Send `request` and read the head of its answer; the wire is closed when that fails.

    Raises Disconnected, OriginLied, TimeoutError after the silence."""
    grammar = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_SIZE)
    try:
        await wire.send((grammar.send(request) or b"") + (grammar.send(h11.EndOfMessage()) or b""))
        return WireAnswer(wire, grammar, await _head(wire, grammar, interim), kept)
    except BaseException as error:
        wire.close()
        if isinstance(error, h11.RemoteProtocolError):
            raise OriginLied(f"the answer of {wire.host} is not proper HTTP") from None
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise Disconnected(f"{wire.host} closed the connection without an answer") from None
        raise


async def _head(wire: Wire, grammar: h11.Connection, interim: Interim | None) -> h11.Response:
    """The head of the answer, after those that are only interim. Raises h11.RemoteProtocolError, OSError."""
    before = 0
    came = b""
    while not isinstance(event := grammar.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            if not (received := await wire.receive(HEAD_SIZE)):
                raise ConnectionResetError(errno.ECONNRESET, "no answer")
            came += received
            grammar.receive_data(received)
        elif not isinstance(event, h11.InformationalResponse) or (before := before + 1) > INTERIM:
            raise h11.RemoteProtocolError("no answer after many interim ones")
        elif interim is not None:
            _refuse_loose(came, grammar)
            interim(event.status_code, tuple((_text(name), _text(value)) for name, value in event.headers))
    if len(event.headers) > FIELDS or any(len(name) + len(text) > FIELD_SIZE for name, text in event.headers):
        raise h11.RemoteProtocolError("a head beyond all measure")
    _refuse_loose(came, grammar)
    return event


def _refuse_loose(came: bytes, grammar: h11.Connection) -> None:
    """`came` are all bytes that the grammar has got so far, the last of which it may not have read yet."""
    if _LOOSE.search(came, 0, len(came) - len(grammar.trailing_data[0])):
        raise h11.RemoteProtocolError("a line that not everybody ends at the same place")


def _is_lasting(head: h11.Response) -> bool:
    """Whether the connection stays open after the answer (RFC 9112 §9.3)."""
    said = b",".join(text for name, text in head.headers if name == b"connection").lower()
    return head.http_version >= b"1.1" and b"close" not in {token.strip() for token in said.split(b",")}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
