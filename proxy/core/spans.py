"""Spans: half-open stretches of bytes, the one number system of the project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes `start` up to, not including, `stop`; 0 <= start <= stop."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a span: {self.start}..{self.stop}")

    def __len__(self) -> int:
        return self.stop - self.start

    def __bool__(self) -> bool:
        return self.stop > self.start

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset < self.stop

    def __str__(self) -> str:
        return f"[{self.start},{self.stop})"

    def covers(self, other: Span) -> bool:
        """Whether every byte of `other` is in this span; an empty span is covered by any."""
        return not other or (self.start <= other.start and other.stop <= self.stop)

    def overlaps(self, other: Span) -> bool:
        """Whether the two share a byte."""
        return max(self.start, other.start) < min(self.stop, other.stop)

    def clip(self, other: Span) -> Span:
        """The part of this span inside `other`; empty (at this span's nearer edge) when they share nothing."""
        start = min(max(self.start, other.start), self.stop)
        return Span(start, max(start, min(self.stop, other.stop)))

    def aligned(self, unit: int, size: int) -> Span:
        """The smallest span of whole `unit`s that covers this one, clipped to a blob of `size` bytes."""
        if not self:
            return self
        return Span(self.start // unit * unit, min(size, -(-self.stop // unit) * unit))

    def units(self, unit: int) -> range:
        """The indexes of the `unit`s this span touches (chunks, slices)."""
        return range(self.start // unit, -(-self.stop // unit)) if self else range(0)

    def split(self, unit: int) -> Iterator[Span]:
        """The pieces of this span between multiples of `unit`, in order."""
        for index in self.units(unit):
            yield self.clip(Span(index * unit, (index + 1) * unit))


def whole(size: int) -> Span:
    """The span of all bytes of a blob of `size` bytes."""
    return Span(0, size)


def coalesce(spans: Iterable[Span], gap: int = 0) -> tuple[Span, ...]:
    """`spans` sorted, with those that touch, overlap, or lie at most `gap` bytes apart joined; empty ones dropped."""
    joined: list[Span] = []
    for span in sorted(filter(None, spans)):
        if joined and span.start <= joined[-1].stop + gap:
            joined[-1] = Span(joined[-1].start, max(joined[-1].stop, span.stop))
        else:
            joined.append(span)
    return tuple(joined)


def subtract(span: Span, holes: Iterable[Span]) -> tuple[Span, ...]:
    """What remains of `span` without the bytes of `holes`, in order."""
    rest: list[Span] = []
    start = span.start
    for hole in coalesce(holes):
        if hole.stop <= start:
            continue
        if hole.start >= span.stop:
            break
        if hole.start > start:
            rest.append(Span(start, hole.start))
        start = hole.stop
    if start < span.stop:
        rest.append(Span(start, span.stop))
    return tuple(rest)


def total(spans: Iterable[Span]) -> int:
    """How many bytes `spans` hold together, overlaps counted twice."""
    return sum(len(span) for span in spans)
