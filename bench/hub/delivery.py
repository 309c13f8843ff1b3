"""An answer becomes bytes on a socket: at full speed, or as slowly and badly as the acts say."""

import asyncio
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from . import faults
from .content import PIECE, pieces
from .counters import Counters, RequestRecord
from .distort import Acts
from .messages import Answer, Body, Part

_INVERT = bytes(255 - value for value in range(256))
_SMALLEST_PIECE = 4096
_UNSENT = 128 * 1024
"""Bytes of a transfer at a limited rate that may wait in its socket (the kernel takes twice that). What waits there was
counted and has not left: of a reader that stands still it would be 4 MB each."""


class Bucket:
    """Hands out time for bytes at a rate that may change while it is used; None is no limit."""

    def __init__(self, rate: Callable[[], float | None]) -> None:
        self._rate = rate
        self._free_at = 0.0

    @property
    def rate(self) -> float | None:
        return self._rate()

    async def take(self, length: int) -> None:
        """Returns when these bytes may leave. What goes first waits for nothing; what follows pays for it."""
        rate = self._rate()
        if rate is None:
            return
        now = asyncio.get_running_loop().time()
        due = max(self._free_at, now)
        self._free_at = due + length / rate
        if due > now:
            await asyncio.sleep(due - now)


class Hangup(Exception):
    """An act ends the connection here."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


@dataclass(frozen=True, slots=True)
class _Mark:
    """An act that strikes after so many body bytes."""

    after: int
    act: faults.Cut | faults.Stall | faults.Hold


async def before_answer(acts: Acts, latency: float) -> None:
    """What happens before an answer is decided, in the order armed. Raises Hangup."""
    if latency > 0:
        await asyncio.sleep(latency)
    for act in acts:
        match act:
            case faults.Delay():
                await asyncio.sleep(act.seconds)
            case faults.Hold(gate, None):
                await gate.pass_through()
            case faults.Do():
                act.call()
            case faults.Reset():
                raise Hangup(reset=True)
            case _:
                continue


class Delivery:
    """Sends answers and counts what it sends. `total` is shared by all transfers of a Hub."""

    def __init__(self, knobs: faults.Faults, counters: Counters) -> None:
        self._knobs = knobs
        self._counters = counters
        self._total = Bucket(lambda: knobs.bandwidth)

    async def send(
        self, request: web.BaseRequest, answer: Answer, acts: Acts, record: RequestRecord
    ) -> web.StreamResponse:
        """Write the answer; returns when the last byte is handed to the socket or the connection is gone."""
        response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        await response.prepare(request)
        if request.method == "HEAD" or answer.status in {204, 304}:
            return response
        try:
            if any(bucket.rate is not None for bucket in self._buckets(acts)):
                _hold_little(request)
            await self._write_body(response, answer.body, acts, record)
            if any(isinstance(act, faults.WrongLength) and act.by > 0 for act in acts):
                raise Hangup(reset=False)
        except Hangup as hangup:
            self._counters.cut(record)
            hang_up(request, reset=hangup.reset)
        except BaseException:
            self._counters.cut(record)
            raise
        return response

    async def _write_body(self, response: web.StreamResponse, body: Body, acts: Acts, record: RequestRecord) -> None:
        buckets = self._buckets(acts)
        marks = _marks(acts)
        sent = 0
        for piece in _encoded(_bent_pieces(body, acts, _piece_size(buckets)), acts):
            whole = memoryview(piece)
            while len(whole):
                sent_to = min([mark.after for mark in marks if mark.after > sent], default=sent + len(whole))
                await _strike(marks, sent)
                part, whole = whole[: sent_to - sent], whole[sent_to - sent :]
                for bucket in buckets:
                    await bucket.take(len(part))
                self._counters.sent(record, len(part))
                try:
                    await response.write(part)
                except ConnectionError:
                    self._counters.sent(record, -len(part))  # nobody is there any more to send it to
                    raise
                await asyncio.sleep(0)  # a reader faster than we are would never let the others have a turn
                sent += len(part)
        await _strike(marks, sent)

    def _buckets(self, acts: Acts) -> tuple[Bucket, ...]:
        knobs = self._knobs
        throttles = [_fixed(act.rate) for act in acts if isinstance(act, faults.Throttle)]
        return (self._total, Bucket(lambda: knobs.connection_bandwidth), *throttles)


def hang_up(request: web.BaseRequest, *, reset: bool) -> None:
    """Close the connection after what is written, or reset it."""
    transport = request.transport
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    handle = transport.get_extra_info("socket")
    with socket.socket(fileno=os.dup(handle.fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _hold_little(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT)


def _fixed(rate: float) -> Bucket:
    return Bucket(lambda: rate)


def _marks(acts: Acts) -> list[_Mark]:
    return [
        _Mark(act.after, act)
        for act in acts
        if isinstance(act, faults.Cut | faults.Stall | faults.Hold) and act.after is not None
    ]


async def _strike(marks: list[_Mark], sent: int) -> None:
    """Let the acts due at this byte happen, once each. Raises Hangup."""
    for mark in [mark for mark in marks if mark.after == sent]:
        marks.remove(mark)
        match mark.act:
            case faults.Cut():
                raise Hangup(reset=mark.act.reset)
            case faults.Stall():
                await asyncio.sleep(mark.act.seconds if mark.act.seconds is not None else 86_400)
            case faults.Hold():
                await mark.act.gate.pass_through()


def _piece_size(buckets: tuple[Bucket, ...]) -> int:
    """Small enough for 50 writes a second under a limit."""
    rates = [bucket.rate for bucket in buckets if bucket.rate is not None]
    return max(_SMALLEST_PIECE, min(PIECE, int(min(rates) / 50))) if rates else PIECE


def _bent_pieces(body: Body, acts: Acts, size: int) -> Iterator[bytes | memoryview]:
    offset = body.offset
    bends = [act for act in acts if isinstance(act, faults.FlipByte | faults.ChangeContent)]
    for piece in _pieces_of(body, size):
        length = len(piece)
        for act in bends:
            piece = _bent(piece, offset, act)
        yield piece
        offset += length


def _pieces_of(body: Body, size: int) -> Iterator[bytes | memoryview]:
    if isinstance(body, Part):
        yield from pieces(body.blob, body.start, body.stop, size)
        return
    content = memoryview(body.content)
    for at in range(0, len(content), size):
        yield content[at : at + size]


def _bent(piece: bytes | memoryview, offset: int, act: faults.FlipByte | faults.ChangeContent) -> bytes | memoryview:
    at = max(0, act.at - offset)
    if at >= len(piece) or (isinstance(act, faults.FlipByte) and act.at < offset):
        return piece
    until = at + 1 if isinstance(act, faults.FlipByte) else len(piece)
    content = bytes(piece)
    return content[:at] + content[at:until].translate(_INVERT) + content[until:]


def _encoded(plain: Iterator[bytes | memoryview], acts: Acts) -> Iterator[bytes | memoryview]:
    if not any(isinstance(act, faults.Gzip) for act in acts):
        yield from plain
        return
    packer = zlib.compressobj(1, wbits=31)
    for piece in plain:
        yield packer.compress(piece)
    yield packer.flush()
