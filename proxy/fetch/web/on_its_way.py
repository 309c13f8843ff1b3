"""The ring around a fill: what an answer under way brings in a moment is not asked for again.

An answer to a plain GET runs to the end of the body, whoever reads it: here, or at another worker, which forecasts what
it is to bring. What is asked for besides comes twice. So who wants a part that is forecast looks how fast it comes
nearer, and asks only if it takes long; and where several read, each asks for what it needs next, not for all it wants.

    the answer stands just before it ── waits, for as long as the answer is forecast and bytes come
    it comes within half a second    ── waits
    it is further, or nothing comes  ── asks, up to what is there, or forecast, or what half a second brings
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.spans import Span, total
from proxy.fetch.node import Filler
from proxy.fetch.pace import LEAST, Stride
from proxy.fetch.ports import Blob, Source

from .ports import Forecast, WebSource
from .sources import Sources

SOON: Final = 0.5
"""Seconds within which what is forecast has to come."""
_LOOKED_AT: Final = 0.25
"""Seconds after which it is judged how fast an answer comes nearer."""
_STALLED: Final = 1.0
"""Seconds for which an answer may bring nothing to who is the next to get its bytes."""
_REMEMBERED: Final = 2.0
"""Seconds for which what was seen of an answer is taken to hold."""
_MOST: Final = 64 << 20
_READ_OVER: Final = 4 << 20
"""Bytes that are here, and are rather had again than a second request made for what is behind them."""
_BLOBS: Final = 1000
_POLL_FIRST: Final = 0.001
_POLL_LAST: Final = 0.02


@dataclass(frozen=True, slots=True)
class Seen:
    """How an answer came nearer: where it stood, bytes per second, and when that was seen (monotonic seconds)."""

    front: int
    pace: float
    at: float


def comes(left: int, front: int, gained: int, seconds: float, seen: Seen | None) -> bool:
    """Whether to wait (on) for an answer that stands at `front`, with `left` missing bytes to bring before those that
    are wanted, and has brought `gained` in so many `seconds` of waiting. `seen`: what was seen of it a moment ago."""
    still = seen is not None and seen.front == front and not seen.pace
    if not left:
        return seconds < _STALLED and not still
    if seconds >= _LOOKED_AT:
        return left <= gained / seconds * SOON
    if seen is None or not seen.pace:
        return not still
    return left <= seen.pace * SOON


class NotTwice:
    """The ring."""

    def __init__(self, inner: Filler, sources: Sources, clock: Clock) -> None:
        self._inner = inner
        self._sources = sources
        self._clock = clock
        self._seen: BoundedDict[BlobKey, Seen] = BoundedDict(entries=_BLOBS)
        self._strides: BoundedDict[BlobKey, Stride] = BoundedDict(entries=_BLOBS)

    async def fill(self, blob: Blob, span: Span, source: Source) -> None:
        """See `Filler`."""
        key = blob.record.key
        web, forecast = self._sources.known(key), self._sources.forecasts.of(key)
        if web is None:
            await self._inner.fill(blob, span, source)
            return
        await self._waited(blob, span, web, forecast)
        if not blob.missing(span):
            return
        stride = self._strides.get(key) or Stride(LEAST, _MOST)
        self._strides.put(key, stride)
        began = self._clock.monotonic()
        with web.reaching(_reach(blob, span, web, forecast, stride)):
            await self._inner.fill(blob, span, source)
        stride.landed(len(span), self._clock.monotonic() - began)

    async def _waited(self, blob: Blob, span: Span, web: WebSource, forecast: Forecast) -> None:
        """Until it is here, or is to be asked for."""
        pause, first, most, waited = _POLL_FIRST, -1, 0, 0.0
        while (gaps := blob.missing(span)) and not web.is_near(gaps[0]):
            front = await _front(blob, gaps[0].start, web, forecast)
            if front is None:
                return
            now, left = self._clock.monotonic(), _missing(blob, front, gaps[0].start)
            if gaps[0].start != first:
                first, most, waited = gaps[0].start, left, 0.0
            if not comes(left, front, most - left, waited, self._lately(blob.record.key, now)):
                if waited >= _LOOKED_AT:
                    self._seen.put(blob.record.key, Seen(front, (most - left) / waited, now))
                return
            await asyncio.wait([blob.progress()], timeout=pause)
            # Not all of the time that a busy worker was late: the one that is waited for may have been late as well.
            waited += min(self._clock.monotonic() - now, 2 * pause)
            pause = min(2 * pause, _POLL_LAST)

    def _lately(self, key: BlobKey, now: float) -> Seen | None:
        seen = self._seen.get(key)
        return seen if seen is not None and now - seen.at < _REMEMBERED else None


async def _front(blob: Blob, first: int, web: WebSource, forecast: Forecast) -> int | None:
    """Where the answer stands, ours or another worker's, that is to bring the byte at `first`; None when none is."""
    own = web.front(first)
    if own is not None and not _missing(blob, own, first):
        await web.let_go(own)  # what it would bring up to there others have brought
        own = None
    fronts = [front for front in (own, forecast.front(first)) if front is not None]
    return max(fronts, default=None)


def _missing(blob: Blob, start: int, stop: int) -> int:
    return total(blob.missing(Span(start, stop))) if start < stop else 0


def _to_what_is_here(blob: Blob, span: Span) -> int:
    """Where what is missing from `span` on ends; short stretches that are here are read over, not asked around."""
    stop = span.stop
    for gap in blob.missing(Span(span.start, blob.record.size)):
        if gap.start > stop + _READ_OVER:
            break
        stop = max(stop, gap.stop)
    return stop


def _reach(blob: Blob, span: Span, web: WebSource, forecast: Forecast, stride: Stride) -> Span:
    """What a request for `span` may ask for: all that its reader wants and is missing, if nobody else reads."""
    if not web.is_shared and not forecast.is_read_elsewhere:
        return Span(span.start, _to_what_is_here(blob, span))
    far = Span(span.start, min(blob.record.size, span.start + stride.size))
    free = next(iter(blob.missing(far)), far)
    return Span(span.start, max(span.stop, forecast.ahead(Span(span.start, free.stop))))
