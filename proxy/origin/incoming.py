"""Answers of origins: a head that is here, and a body that is read while it lasts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Final, Protocol

from proxy.core.errors import OriginLied, OriginUnreachable

from .head import Head
from .observer import HostClass, OriginObserver

FIELD_SIZE: Final = 16 * 1024
"""Longest line and field of an answer's head: presigned addresses run to kilobytes."""
DRAINED: Final = 64 * 1024
"""Bytes of an unwanted body we read so that the connection can be used again."""


class Disconnected(OriginUnreachable):
    """The connection ended before an answer began: an idle one that the origin had just closed, most often."""


class TransferCut(OriginUnreachable):
    """The body ended early, or went silent for longer than the read timeout."""


Interim = Callable[[int, tuple[tuple[str, str], ...]], None]
"""Hears of the answers that come before the real one (1xx): status and fields."""


class Incoming(Protocol):
    """An answer as whoever speaks HTTP for us gives it. It is an asynchronous context manager too: leaving it before
    the body's end closes the connection."""

    status: int
    version: tuple[int, int]
    """Of HTTP, as the answer says."""
    length: int | None
    """Bytes of the body, when the head says so."""
    is_delimited: bool
    """Whether the end of the body can be told from a cut."""

    @property
    def fields(self) -> Iterable[tuple[str, str]]: ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises TransferCut."""
        ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


class Answer:
    """An answer whose head is here and whose body is read while it lasts."""

    def __init__(self, incoming: Incoming, host_class: HostClass, observer: OriginObserver) -> None:
        self.head = Head.of(incoming.status, incoming.fields)
        self.head.framed_as(incoming.version)
        self.is_delimited = incoming.is_delimited
        self._incoming = incoming
        self._host_class = host_class
        self._observer = observer

    @property
    def raw_fields(self) -> tuple[tuple[str, str], ...]:
        """The fields of the head to the byte: those that are no UTF-8 are lone surrogates."""
        return tuple((name.lower(), value) for name, value in self._incoming.fields)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes, in pieces of any size. Raises TransferCut."""
        async for piece in self._incoming.pieces():
            self._observer.bytes(self._host_class.value, len(piece))
            yield piece

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
        if (self._incoming.length or DRAINED) < DRAINED:
            with contextlib.suppress(OriginUnreachable, OriginLied):
                return await self.whole(DRAINED)
        return b""
