"""How a body leaves: pieces in order, files by `os.sendfile` on a duplicate of the connection's socket.

uvloop has no sendfile and refuses to watch a socket that belongs to a transport, so we watch a duplicate of its
descriptor. That puts two writers on one stream; three rules keep them apart:

1. Nothing is sent on the duplicate before the transport's own buffer is empty (`Connection.flushed`): what waits there
   (a head, a part of a multipart body) was meant to come first.
2. While we send, nobody writes to the transport: a connection answers one request at a time.
3. The duplicate is taken off the loop's watch list before it is closed: its number is soon somebody else's.

A slow reader costs no memory of this process: the kernel holds a bounded send buffer, we hold an offset. Over TLS there
is no sendfile; bytes go through memory, 256 KiB at a time.

Whatever goes wrong after the head was sent ends in `Connection.abort`: a short body never ends cleanly.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, Protocol, assert_never

from proxy.core.errors import DiskFailed
from proxy.core.sizes import KIB, MIB
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece, Piece

from . import tcp
from .cold import ColdReader, read_now, resident
from .presence import ClientGone, ClientStalled

if TYPE_CHECKING:
    from .connection import Connection

STEP: Final = MIB
"""Most bytes sent before the others have their turn: the longest the loop is held up for one client."""

FOLLOWING: Final = 256 * KIB
"""As `STEP`, for one who follows a fill and so may have company: the readers of a herd that have their turns in long
steps one after another each wake up for theirs alone, and waking them is what costs (64 of them, GB per CPU-second: 2.3
with a MiB, 3.3 with 256 KiB)."""

CALL: Final = 256 * KIB
"""Most bytes handed to the kernel in one call. Less are more calls; more keep the reader waiting while the kernel
collects them (a bare loop on loopback, GB per CPU-second: 4.8 with 128 KiB, 5.2 with 256 KiB, 4.0 with 1 MiB)."""

AT_ONCE: Final = 32 * KIB
"""Longest body that is copied into one write with its head; a reader that stalls on it holds that much memory."""

COPY: Final = 256 * KIB
"""Most bytes of a body in our memory at once, where they must pass through it (TLS, memory pieces)."""

_MEMORY_HOLDS: Final = 0.5
"""Seconds for which pages found in memory are taken to be there still; a reader that waits longer has them looked at
again."""

_CLIENT_GONE: Final = frozenset(
    {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT, errno.ESHUTDOWN, errno.EHOSTUNREACH}
)


class Unreadable(Exception):
    """Between delivery and sender alone: the disk gave the first `sent` bytes of `piece`, and then said `error`."""

    def __init__(self, piece: FilePiece, sent: int, error: OSError) -> None:
        super().__init__(f"reading from disk {piece.disk} failed: {error.strerror or error}")
        self.piece = piece
        self.sent = sent
        self.error = error


class Writer(Protocol):
    """Where bytes go that must pass through memory."""

    async def write(self, data: bytes | bytearray | memoryview, /) -> None: ...


class Delivery:
    """The sending of one body on one connection; `book` is told of body bytes as the kernel takes them.

    Enter it after the decision what to send and before the head; it holds the duplicate descriptor.
    """

    def __init__(
        self,
        connection: Connection,
        cold: ColdReader,
        send_timeout: float,
        book: Callable[[ByteSource, int], None],
    ) -> None:
        self._connection = connection
        self._cold = cold
        self._patience = send_timeout
        self._transport = connection.transport
        self._duplicate: socket.socket | None = None
        self._corked = False
        self._book = book
        self.sent = 0

    def __enter__(self) -> Delivery:
        if self._transport.get_extra_info("sslcontext") is None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                self._duplicate = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
                self._cork(on=True)
        return self

    def __exit__(self, *_: object) -> None:
        # First of all: as long as a duplicate is open, the client whose connection was closed does not hear of it.
        if self._duplicate is not None:
            self._uncork()
            self._duplicate.close()
            self._duplicate = None

    async def send(self, pieces: AsyncIterator[Piece], response: Writer) -> None:
        """Send all `pieces`. Raises whatever they raise, ClientGone, and Unreadable when a file cannot be read."""
        async for piece in pieces:
            await self.send_piece(piece, response)

    async def send_piece(self, piece: Piece, response: Writer) -> None:
        match piece:
            case FilePiece():
                if self._duplicate is None:
                    await self._copy_file(piece, response)
                else:
                    await self._send_file(piece, self._duplicate.fileno())
            case MemoryPiece():
                await self.send_bytes(piece.content, piece.source, response)
            case _:
                assert_never(piece)

    async def send_bytes(self, content: bytes, source: ByteSource, response: Writer) -> None:
        """Send `content` through the transport, waiting while the client is slower than we are."""
        view = memoryview(content)
        for start in range(0, len(view), COPY):
            step = view[start : start + COPY]
            await response.write(step)
            self._uncork()
            await self._connection.flushed(self._patience)
            self._took(source, len(step))

    async def _send_file(self, piece: FilePiece, out: int) -> None:
        await self._connection.flushed(self._patience)
        offset = seen = piece.offset
        stop = piece.offset + piece.length
        since, before = asyncio.get_running_loop().time(), offset
        turn = STEP if piece.source is ByteSource.DISK else FOLLOWING
        while offset < stop:
            step = min(turn, stop - offset)
            try:
                if seen < offset + step:  # a call mostly takes a part: what it left was looked at already
                    ahead = min(seen + STEP, stop) if turn < STEP else offset + step
                    await self._warm(piece, seen, ahead - seen)
                    seen = ahead
                count = send_some(out, piece, offset, step)
            except DiskFailed as failed:
                raise _unreadable(piece, offset, failed) from failed
            self._uncork()
            self._took(piece.source, count)
            offset += count
            if count == step:
                await asyncio.sleep(0)  # the others' turn
            elif offset < stop:
                now = await self._writable(out)
                if self._connection.backlog.took(offset - before, now - since):
                    tcp.bound_unsent(self._transport, self._connection.backlog.bound)
                if now - since > _MEMORY_HOLDS:
                    seen = offset
                since, before = now, offset

    async def _copy_file(self, piece: FilePiece, response: Writer) -> None:
        offset, stop = piece.offset, piece.offset + piece.length
        while offset < stop:
            step = min(COPY, stop - offset)
            try:
                content = read_now(piece.fd, offset, step)
                if content is None:
                    content = await self._cold.read(piece.disk, piece.fd, offset, step)
            except DiskFailed as failed:
                raise _unreadable(piece, offset, failed) from failed
            await self.send_bytes(content, piece.source, response)
            offset += step
            await asyncio.sleep(0)

    async def _warm(self, piece: FilePiece, offset: int, length: int) -> None:
        """Have these bytes in memory, so that sending them does not wait for the disk."""
        if not resident(piece.fd, offset, length):
            await self._cold.warm(piece.disk, piece.fd, offset, length)

    async def _writable(self, out: int) -> float:
        """Wait until the kernel takes more; the loop's time then. Raises ClientStalled when the peer acknowledged
        nothing for the send timeout: a reader that crawls frees no room for a long while, and is still alive."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = tcp.unacknowledged(out)
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_writer(out, _wake, ready)
            try:
                async with asyncio.timeout(self._patience):
                    await ready
                return loop.time()
            except TimeoutError:
                if tcp.unacknowledged(out) >= waiting:
                    raise ClientStalled(f"the client took no byte for {self._patience:g} s") from None
            finally:
                loop.remove_writer(out)

    def _took(self, source: ByteSource, count: int) -> None:
        self.sent += count
        self._book(source, count)

    def _uncork(self) -> None:
        if self._corked:
            self._cork(on=False)

    def _cork(self, *, on: bool) -> None:
        assert self._duplicate is not None, "it was corked by its duplicate"
        tcp.cork(self._duplicate, on=on)
        self._corked = on


def _unreadable(piece: FilePiece, offset: int, failed: DiskFailed) -> Unreadable:
    """`failed` with what the room that owns the file needs to go on. A file that ends too early has no errno: EIO."""
    cause = failed.__cause__
    error = cause if isinstance(cause, OSError) else OSError(errno.EIO, str(failed))
    return Unreadable(piece, offset - piece.offset, error)


def send_some(out: int, piece: FilePiece, offset: int, count: int) -> int:
    """Bytes the kernel took; fewer than `count` when it takes no more now, or failed after some: the next call says."""
    sent = 0
    while sent < count:
        step = min(CALL, count - sent)
        try:
            taken = _sendfile(out, piece, offset + sent, step)
        except (ClientGone, DiskFailed):
            if sent:
                break
            raise
        sent += taken
        if taken < step:
            break
    return sent


def _sendfile(out: int, piece: FilePiece, offset: int, count: int) -> int:
    """Bytes the kernel took, 0 when it takes none now."""
    try:
        sent = os.sendfile(out, piece.fd, offset, count)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno in _CLIENT_GONE:
            raise ClientGone("the client left") from error
        raise DiskFailed(f"sending from disk {piece.disk} failed: {error.strerror}") from error
    if not sent:
        raise DiskFailed(f"a file on disk {piece.disk} ends before byte {offset}")
    return sent


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
