"""When a peer is too slow, how much may be fetched a second time because of that, and how much is asked for at once.
Decides, does nothing.

A peer that gives little is not left for that alone: the origin may be what is slow. So what is fetched anyhow (hedged)
is a share of all that was fetched, at most: a fleet whose every node is slow does not turn to the origin as one.
"""

from __future__ import annotations

from typing import Final

HEDGED: Final = 0.05
"""Share of the bytes fetched that may be fetched although a peer is at it."""
LASTS: Final = 0.5
"""Seconds that a span shall take: ten times what a request costs by itself, over some distance."""
LEAST: Final = 4 << 20
"""Bytes of the smallest span that is asked for of the Hub, and in a fleet, where a span may be that large."""
CREDIT: Final = 256 << 20
"""Bytes of hedging saved up at most."""


class Pace:
    """How fast one read goes. Slow is less than `floor` bytes per second over `window` seconds."""

    def __init__(self, floor: float, window: float, now: float) -> None:
        self._least = floor * window
        self._window = window
        self._began = now
        self._count = 0

    def is_slow(self, count: int, now: float) -> bool:
        """`count` more bytes came. Whether the window that ends now brought too few; then the next begins."""
        self._count += count
        if now - self._began < self._window:
            return False
        slow = self._count < self._least * (now - self._began) / self._window
        self._began, self._count = now, 0
        return slow


class Stride:
    """How many bytes are asked for in one request: what comes in `LASTS` seconds, from `least` to `most`.

    Those under way share the line, and a reader has the first of them at its share of the pace: where bytes come
    slowly, large ones make him wait, and all that has come in the meantime has to leave at once (64 readers over
    50 MB/s: 3.2 s with spans of 16 MiB, which is the server's limit, 2.8 with 4, which is the line's). What a node of a
    fleet has asked for and not given on is lost when it falls silent. Where bytes come quickly large spans cost
    neither."""

    def __init__(self, least: int, most: int) -> None:
        """Sizes are `least` times a power of two, or `most`."""
        self._least = min(least, most)
        self._most = most
        self._doublings = 0

    @property
    def size(self) -> int:
        return min(self._most, self._least << self._doublings)

    def landed(self, count: int, seconds: float) -> None:
        """`count` bytes of one request came within so many seconds. The next is twice as large at most, or half."""
        in_time = count * LASTS / max(seconds, 1e-9)
        if in_time >= 2 * self.size and self.size < self._most:
            self._doublings += 1
        elif in_time < self.size and self._doublings:
            self._doublings -= 1


class HedgeBudget:
    """What may be hedged: `HEDGED` of all that was fetched, less what was hedged already."""

    def __init__(self) -> None:
        self._credit = 0.0

    def fetched(self, count: int) -> None:
        """`count` bytes came, from wherever."""
        self._credit = min(CREDIT, self._credit + HEDGED * count)

    def take(self, count: int) -> bool:
        """Whether `count` bytes may be hedged; they are taken off when they may."""
        if count > self._credit:
            return False
        self._credit -= count
        return True
