"""The fast lane for large files: a plain head for one that is hot is answered from its open blob.

Head and first bytes leave at once, in the turn of the loop in which the question came. What the kernel does not take
then, or what is not in memory, is sent by a task as in the full lane (`delivery`), which also takes over when a disk
fails underneath (`recovery`). Nobody reads from the connection meanwhile: what is asked behind it waits in the kernel.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.core.caller import ANONYMOUS
from proxy.core.clock import Clock
from proxy.core.errors import BlobDropped, DiskFailed
from proxy.core.sizes import MIB
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet
from proxy.fetch.coordinator import CacheOutcome, Coordinator, HeldFile, Located
from proxy.fetch.reading import ByteSource, FilePiece

from .cold import ColdReader, read_now, resident
from .delivery import AT_ONCE, STEP, Delivery, Unreadable, send_some
from .hot import HOLD
from .hot_files import HeadTemplate, HotFile, HotFiles
from .observer import Exchange, Observer
from .opened import begun
from .plainhead import PlainHead
from .presence import ClientGone
from .recovery import deliver
from .request_ids import FRESH

if TYPE_CHECKING:
    from .connection import Connection
    from .fastlane import Candidate

log = logging.getLogger(__name__)

_PIECE: Final = 8 * MIB
"""Most bytes that are sent before the blob is asked again whether it is still good, as in the full lane."""


@dataclass(slots=True)
class _Sending:
    """One answer under way: `position` is the next byte to send."""

    file: HotFile
    connection: Connection
    head: PlainHead
    request_id: str
    span: Span
    began: float
    first_byte: float
    position: int
    sent: Counter[ByteSource] = field(default_factory=Counter)
    failure: str | None = None

    def account(self, now: float) -> Exchange:
        head = self.head
        return replace(
            self.file.like,
            request_id=self.request_id,
            client=self.connection.client,
            sent=tuple(self.sent.items()),
            size=len(self.span),
            range=None if head.range is None else head.range[:128],
            first_byte_seconds=self.first_byte - self.began,
            seconds=now - self.began,
            aborted=self.failure is not None,
            failure=self.failure,
            user_agent=None if head.agent is None else head.agent[:256],
            host=head.host[:255],
        )


class FileLane:
    """Answers for one listener."""

    def __init__(self, coordinator: Coordinator, cold: ColdReader, observer: Observer, clock: Clock) -> None:
        self._coordinator = coordinator
        self._cold = cold
        self._observer = observer
        self._now = clock.monotonic
        self._wall = clock.wall
        self._files = HotFiles(clock.monotonic)
        self._tasks = TaskSet("file lane")

    def __repr__(self) -> str:
        return f"<FileLane {len(self._files)} files, {len(self._tasks)} under way>"

    def keep(
        self, candidate: Candidate, like: Exchange, answer: web.StreamResponse, located: Located, held: HeldFile
    ) -> None:
        """Give parts of `held` again, with heads like that of `answer`, which goes out now; `like` is its account."""
        if like.code != (206 if candidate.has_range else 200) or like.cache is not CacheOutcome.HIT:
            return
        holds = min(HOLD, located.fresh_for, self._coordinator.open_for(located.target)) - like.seconds
        template = HeadTemplate(f"HTTP/1.1 {answer.status} {answer.reason}", tuple(answer.headers.items()))
        file = HotFile(like, located, held, template, candidate.noted, self._now() + holds)
        self._files.put((candidate.key, candidate.has_range), file)

    def serve(self, head: PlainHead, began: float, connection: Connection) -> bool:
        """Answer `head`, which came just now (`began`, monotonic). False when that is for the full lane to do."""
        file = self._files.get((head.key, head.range is not None), began)
        if file is None or (span := file.span_of(head)) is None or (out := connection.at_hand) is None:
            return False
        piece = file.held.piece(span.start, min(span.stop, span.start + STEP))
        if piece is None:
            return False
        file.held.hold()
        request_id = head.request_id or next(FRESH)
        sending = _Sending(file, connection, head, request_id, span, began, self._now(), span.start)
        self._observer.request_began()
        try:
            self._begin(sending, file.head(int(self._wall()), request_id, span), piece, out)
        except ClientGone as gone:
            self._break_off(sending, gone)
        if sending.position == span.stop or sending.failure is not None:
            self._end(sending)
        else:
            connection.body_began()
            self._tasks.start(self._go_on(sending), "a body")
        return True

    def _begin(self, sending: _Sending, head: bytes, piece: FilePiece, out: int) -> None:
        """Send what goes at once. Raises ClientGone."""
        body = read_now(piece.fd, piece.offset, piece.length) if piece.length <= AT_ONCE else None
        written = _write(out, head if body is None else head + body)
        if written < len(head):
            sending.connection.transport.write(head[written:])
        elif body is not None:
            self._took(sending, piece.source, written - len(head))
        elif resident(piece.fd, piece.offset, piece.length):
            with suppress(DiskFailed):  # whoever goes on meets it again, and knows what to do
                self._took(sending, piece.source, send_some(out, piece, piece.offset, piece.length))

    async def _go_on(self, sending: _Sending) -> None:
        connection = sending.connection
        try:
            async with connection.while_connected():
                booked = self._booking(sending)
                with Delivery(connection, self._cold, connection.patience, booked) as delivery:
                    await self._send_rest(sending, delivery)
        except ConnectionError as gone:  # ClientGone is one
            self._break_off(sending, gone)
        except Exception as error:  # noqa: BLE001 - the request boundary
            self._report(error, sending)
            self._break_off(sending, error)
        except BaseException as error:
            self._break_off(sending, error)
            raise
        finally:
            self._end(sending)
            connection.body_ended()

    async def _send_rest(self, sending: _Sending, delivery: Delivery) -> None:
        writer = _Passing(sending.connection)
        stop = sending.span.stop
        while sending.position < stop:
            piece = sending.file.held.piece(sending.position, min(stop, sending.position + _PIECE))
            if piece is None:
                break
            try:
                await delivery.send_piece(piece, writer)
            except Unreadable:
                break
        if sending.position == stop:
            return
        if sending.file.held.dropped:
            raise BlobDropped("the file was dropped from the cache while it was being read; ask again")
        rest = Span(sending.position, stop)
        async with self._coordinator.read(ANONYMOUS, sending.file.located, rest) as reading, begun(reading) as ready:
            await deliver(delivery, ready, writer)

    def _booking(self, sending: _Sending) -> Callable[[ByteSource, int], None]:
        def book(source: ByteSource, count: int) -> None:
            self._took(sending, source, count)

        return book

    def _took(self, sending: _Sending, source: ByteSource, count: int) -> None:
        if count:
            sending.position += count
            sending.sent[source] += count
            self._observer.bytes_sent(sending.file.like.route, source, count)

    def _break_off(self, sending: _Sending, error: BaseException) -> None:
        sending.failure = type(error).__name__
        sending.connection.abort()

    def _report(self, error: Exception, sending: _Sending) -> None:
        named = {"request_id": sending.request_id, "route": sending.file.like.route, "error": type(error).__name__}
        log.warning("body broke off", extra=named)

    def _end(self, sending: _Sending) -> None:
        sending.file.held.release()
        self._observer.request_ended(sending.account(self._now()))


class _Passing:
    """Writes to the transport; `Delivery` waits until that is empty."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._connection.transport.write(data)


def _write(out: int, head: bytes) -> int:
    """Bytes the kernel took. Raises ClientGone."""
    try:
        return os.write(out, head)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise ClientGone("the client left") from error
