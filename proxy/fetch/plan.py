"""What to fetch next, decided from what is wanted, present and under way. Pure.

A reader is interested in a stretch of the blob, from the byte it needs next to the end of what it asked for. Parts that
nobody fetches yet are handed out most urgent first: the gap nearest to a reader's next byte, one for each reader
before any gets a second, so that a reader deep in the blob does not queue behind one at its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from proxy.core.sizes import SLICE
from proxy.core.spans import Span, subtract


@dataclass(frozen=True, slots=True)
class Interest:
    """A reader needs `span` (from its next byte to the end of its range)."""

    span: Span
    waiting: bool
    """Whether the reader stands still for the first byte of it."""


def next_spans(
    interests: Iterable[Interest],
    missing: Callable[[Span], tuple[Span, ...]],
    running: Iterable[Span],
    *,
    span_size: int,
    parallel: int,
    eager: bool = True,
) -> tuple[Span, ...]:
    """The spans to start fetching now, most urgent first.

    Each is missing, not running, at most `span_size` bytes, and inside one slice. At most `parallel` run at a time; a
    reader that stands still at a byte nobody fetches gets one more, up to twice `parallel`. Without `eager` no interest
    gets a span while some of what it wants is fetched already, but for a reader that stands still elsewhere in it.
    """
    busy = list(running)
    chosen: list[Span] = []
    order = sorted(interests, key=lambda interest: (not interest.waiting, interest.span))
    queues = [_Gaps(interest, missing, span_size) for interest in order]
    while queues and len(busy) < 2 * parallel:
        still: list[_Gaps] = []
        for queue in queues:
            # Who waits may have been served this moment and not know it yet: without `eager` that counts.
            starved = queue.is_starved(busy) and (eager or queue.lacks_its_first())
            if len(busy) >= (2 * parallel if starved else parallel) or not (eager or starved or queue.is_idle(busy)):
                continue
            span = queue.take(busy)
            if span is None:
                continue
            busy.append(span)
            chosen.append(span)
            still.append(queue)
        queues = still
    return tuple(chosen)


class _Gaps:
    """The gaps of one interest, taken from the front, a slice at a time: a blob may have a million chunks."""

    def __init__(self, interest: Interest, missing: Callable[[Span], tuple[Span, ...]], span_size: int) -> None:
        self._interest = interest
        self._missing = missing
        self._span_size = span_size
        self._rest = interest.span

    def is_starved(self, busy: list[Span]) -> bool:
        first = self._interest.span.start
        return self._interest.waiting and not any(first in span for span in busy)

    def lacks_its_first(self) -> bool:
        first = self._interest.span.start
        return bool(self._missing(Span(first, first + 1)))

    def is_idle(self, busy: list[Span]) -> bool:
        return not any(self._interest.span.overlaps(span) for span in busy)

    def take(self, busy: list[Span]) -> Span | None:
        while self._rest:
            window = next(self._rest.split(SLICE))
            for gap in self._missing(window):
                for free in subtract(gap, busy):
                    span = _first_part(free, self._span_size)
                    self._rest = Span(max(self._rest.start, min(span.stop, self._rest.stop)), self._rest.stop)
                    return span
            self._rest = Span(window.stop, self._rest.stop)
        return None


def _first_part(gap: Span, span_size: int) -> Span:
    """The first span to fetch of `gap`: ends at a multiple of `span_size`, so that parallel spans stay aligned."""
    stop = (gap.start // span_size + 1) * span_size
    return Span(gap.start, min(gap.stop, stop))
