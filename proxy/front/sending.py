"""Sending an answer: the thin part between a decision and the wire."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import assert_never

from aiohttp import web

from proxy.core.byterange import Ignored, Multi, Single, content_range, multipart
from proxy.core.errors import BlobDropped, RangeMangled, SourceChanged
from proxy.core.spans import Span, whole
from proxy.fetch.coordinator import CacheOutcome, Coordinator, Located
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece, Piece
from proxy.hub import xet

from .answers import (
    Answer,
    Body,
    FileBody,
    FilePart,
    Flow,
    Headers,
    HeldBody,
    PackRelay,
    PeerBody,
    PointerText,
    Small,
    XorbBody,
)
from .cache_status import cache_status
from .cold import ColdReader, read_now
from .delivery import AT_ONCE, Delivery
from .fastlane import leads_away
from .gate import Gate
from .labels import WEB
from .leak_watch import LeakWatch
from .opened import Opened, ShortBody, begun, opened
from .raw_fields import prepare_raw
from .recovery import deliver
from .visit import Visit
from .xorbs import XorbReading


class Sender:
    """Sends the answers of one listener."""

    def __init__(self, coordinator: Coordinator, gate: Gate, cold: ColdReader, watch: LeakWatch) -> None:
        self._watch = watch
        self._coordinator = coordinator
        self._gate = gate
        self._cold = cold

    async def send(self, answer: Answer, visit: Visit) -> web.StreamResponse:
        """Send `answer` whole. Raises PenstockError (look at `visit.head_sent`), ClientGone, ShortBody."""
        while True:
            try:
                return await self._send(answer, visit)
            except (SourceChanged, RangeMangled, BlobDropped):
                if visit.head_sent or not isinstance(answer, FilePart) or not isinstance(answer.body, HeldBody):
                    raise
                if answer.body.again is None:
                    raise
                again = answer.body.again
            answer = await again()

    async def _send(self, answer: Answer, visit: Visit) -> web.StreamResponse:
        if isinstance(answer, Small):
            return await self.send_small(answer, visit)
        if isinstance(answer, PackRelay):
            return await self._send_pack(answer, visit)
        if isinstance(answer, Flow):
            return await self._send_flow(answer, visit)
        match answer.part:
            case Ignored():
                if not visit.wants_body and not answer.sized:
                    return await self._send_head(answer.status, answer.body, None, answer.headers, visit)
                return await self._send_span(answer.status, answer.body, whole(answer.size), answer.headers, visit)
            case Single(span):
                headers = (*answer.headers, ("Content-Range", content_range(span, answer.size)))
                return await self._send_span(206, answer.body, span, headers, visit)
            case Multi(spans):
                return await self._send_parts(answer, spans, visit)
            case _:
                assert_never(answer.part)

    async def send_small(self, answer: Small, visit: Visit) -> web.StreamResponse:
        """Head and body in one write."""
        visit.cache = answer.cache
        response = web.Response(status=answer.status, body=answer.body)
        if visit.cache_status is None:
            self._watch.body(answer.headers, answer.plain or answer.body, visit)
        self._dress(response, answer.headers, visit)
        if answer.close:
            response.force_close()
        if not visit.wants_body:
            response.headers["Content-Length"] = str(len(answer.body))
        await self._hand_over(response, visit, len(answer.body))
        await response.write_eof()
        await visit.connection.flushed(self._gate.limits.send_timeout)
        if visit.wants_body and answer.body:
            self._booking(visit)(ByteSource.MEMORY, len(answer.body))
        return response

    async def _send_pack(self, pack: PackRelay, visit: Visit) -> web.StreamResponse:
        """An answer of the origin as it comes: of unknown length, and kept nowhere."""
        asked = self._coordinator.git_pack(visit.caller, pack.target, pack.fields, pack.body, pack.patience)
        async with asked as stream, contextlib.aclosing(stream.pieces()) as pieces:
            visit.cache = CacheOutcome.BYPASS
            response = web.StreamResponse(status=stream.status)
            self._dress(response, (*stream.headers, ("Cache-Control", "no-store")), visit)
            with self._delivery(visit) as delivery:
                await self._hand_over(response, visit, 0)
                async for piece in pieces:
                    await delivery.send_bytes(piece, ByteSource.RELAY, response)
        await response.write_eof()
        return response

    async def _send_flow(self, flow: Flow, visit: Visit) -> web.StreamResponse:
        async with flow.begin() as pieces:
            response = self._head(flow.status, flow.length, flow.headers, visit, unverified=False)
            with self._delivery(visit) as delivery:
                await self._hand_over(response, visit, flow.length or 0)
                if flow.has_body and visit.wants_body:
                    await delivery.send(pieces, response)
                    if flow.length is not None:
                        _check(delivery, flow.length)
        await response.write_eof()
        return response

    async def _send_span(
        self, status: int, body: Body, span: Span, headers: Headers, visit: Visit
    ) -> web.StreamResponse:
        if not span or not visit.wants_body:
            return await self._send_head(status, body, len(span), headers, visit)
        async with self._open(body, span, visit) as ready:
            if not isinstance(body, HeldBody):
                visit.cache = ready.cache
            unverified = status == 206 and not ready.verified
            if (content := _at_hand(ready.first, len(span))) is not None:
                response: web.StreamResponse = web.Response(status=status, body=content)
                self._dress(response, headers, visit, unverified=unverified)
                await self._hand_over(response, visit, len(span))
                self._offer(body, ready, response, visit)
                return await self._send_at_once(response, len(content), ready.first.source, visit)
            response = self._head(status, len(span), headers, visit, unverified=unverified)
            with self._delivery(visit) as delivery:
                await self._hand_over(response, visit, len(span))
                self._offer(body, ready, response, visit)
                await deliver(delivery, ready, response)
                _check(delivery, len(span))
        await response.write_eof()
        return response

    async def _send_at_once(
        self, response: web.StreamResponse, length: int, source: ByteSource, visit: Visit
    ) -> web.StreamResponse:
        """Head and body in one write: for a short body that is cheaper than a descriptor and three system calls."""
        await response.write_eof()
        await visit.connection.flushed(self._gate.limits.send_timeout)
        self._booking(visit)(source, length)
        return response

    def _offer(self, body: Body, ready: Opened, response: web.StreamResponse, visit: Visit) -> None:
        """Let the fast lane have the open blob behind an answer that it would have liked to give; now, because a client
        may take longer for a body than copies live."""
        lane, candidate = self._gate.lane, visit.connection.candidate
        if lane is None or candidate is None or not ready.verified or visit.leaks or not response.keep_alive:
            return
        if not isinstance(body, FileBody) or body.located is not visit.located or leads_away(response):
            return
        held = self._coordinator.lend(visit.located)
        if held is not None:
            lane.files.keep(candidate, visit.exchange(), response, visit.located, held)
            held.release()

    async def _send_parts(self, answer: FilePart, spans: tuple[Span, ...], visit: Visit) -> web.StreamResponse:
        """multipart/byteranges. The first part is opened before the head, so that its errors can be answers."""
        layout = multipart(spans, answer.size, _type_of(answer.headers), secrets.token_hex(16))
        others = (field for field in answer.headers if field[0] != "Content-Type")
        headers = (*others, ("Content-Type", layout.content_type))
        async with self._open(answer.body, spans[0], visit) as first:
            if not isinstance(answer.body, HeldBody):
                visit.cache = first.cache
            response = self._head(206, layout.length, headers, visit, unverified=not first.verified)
            with self._delivery(visit) as delivery:
                await self._hand_over(response, visit, layout.length)
                await delivery.send_bytes(layout.parts[0].head, ByteSource.MEMORY, response)
                await deliver(delivery, first, response)
                for part in layout.parts[1:]:
                    await delivery.send_bytes(part.head, ByteSource.MEMORY, response)
                    async with self._open(answer.body, part.span, visit) as further:
                        await deliver(delivery, further, response)
                await delivery.send_bytes(layout.tail, ByteSource.MEMORY, response)
                _check(delivery, layout.length)
        await response.write_eof()
        return response

    async def _send_head(
        self, status: int, body: Body, length: int | None, headers: Headers, visit: Visit
    ) -> web.StreamResponse:
        """The same head as for a GET (None: without its length), and no body: HEAD, and the empty file."""
        match body:
            case PointerText():
                visit.cache = CacheOutcome.HIT
            case HeldBody():
                pass
            case _:
                visit.cache = body.located.cache
        response = self._head(status, length, headers, visit, unverified=False)
        await self._hand_over(response, visit, length or 0)
        await response.write_eof()
        return response

    @contextlib.asynccontextmanager
    async def _open(self, body: Body, span: Span, visit: Visit) -> AsyncIterator[Opened]:
        match body:
            case PointerText(content):
                yield Opened.in_memory(content[span.start : span.stop])
            case FileBody(located):
                read = self._coordinator.read(visit.caller, located, span)
                async with read as reading, opened(located, reading) as ready:
                    yield ready
            case PeerBody(question, hops):
                asked = self._coordinator.read_for_peer(visit.caller, question, span, hops)
                async with asked as reading, opened(body.located, reading) as ready:
                    yield ready
            case HeldBody(held=held):
                async with held.open(span) as reading, begun(reading) as ready:
                    yield ready
            case XorbBody(located, index):
                async with self._open_xorb(located, index, span, visit) as ready:
                    yield ready
            case _:
                assert_never(body)

    @contextlib.asynccontextmanager
    async def _open_xorb(self, located: Located, index: int, wire: Span, visit: Visit) -> AsyncIterator[Opened]:
        size = located.facts.size
        layout = tuple(xet.layout(size, index, wire))
        held = xet.file_span(size, index, wire)
        if not held:
            yield Opened.in_memory(b"".join(part for part in layout if isinstance(part, bytes)))
            return
        read = self._coordinator.read(visit.caller, located, held)
        async with read as reading, opened(located, XorbReading(reading, layout)) as ready:
            yield ready

    def _head(
        self, status: int, length: int | None, headers: Headers, visit: Visit, *, unverified: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        self._dress(response, headers, visit, unverified=unverified)
        response.content_length = length
        return response

    def _dress(self, response: web.StreamResponse, headers: Headers, visit: Visit, *, unverified: bool = False) -> None:
        """The fields that every answer carries, and its own."""
        if visit.cache_status is None:
            self._watch.fields(headers, visit)
        for name, text in headers:
            response.headers.add(name, text)
        response.headers.setdefault("Server", "penstock")
        response.headers["X-Request-Id"] = visit.request_id
        response.headers["Cache-Status"] = visit.cache_status or cache_status(visit.cache, unverified=unverified)
        # what stood behind an offer of another protocol in the same packet, the parser has thrown away
        if self._gate.draining or "Upgrade" in visit.fields or visit.leaves_body:
            response.force_close()

    async def _hand_over(self, response: web.StreamResponse, visit: Visit, length: int) -> None:
        visit.head_goes_out(response.status, length)
        if visit.route == WEB:
            await prepare_raw(response, visit.request)
        else:
            await response.prepare(visit.request)

    def _delivery(self, visit: Visit) -> Delivery:
        return Delivery(visit.connection, self._cold, self._gate.limits.send_timeout, self._booking(visit))

    def _booking(self, visit: Visit) -> Callable[[ByteSource, int], None]:
        def book(source: ByteSource, count: int) -> None:
            visit.sent[source] += count
            self._gate.observer.bytes_sent(visit.route, source, count)

        return book


def _at_hand(piece: Piece, length: int) -> bytes | None:
    """The whole body, if `piece` is all of its `length` bytes, short, and in memory already."""
    match piece:
        case FilePiece(fd, offset, size) if size == length <= AT_ONCE:
            return read_now(fd, offset, size)
        case MemoryPiece(content) if len(content) == length <= AT_ONCE:
            return content
        case _:
            return None


def _type_of(headers: Headers) -> str:
    return next((text for name, text in headers if name == "Content-Type"), "application/octet-stream")


def _check(delivery: Delivery, promised: int) -> None:
    if delivery.sent != promised:
        raise ShortBody(f"{delivery.sent} bytes were sent where {promised} were promised")
