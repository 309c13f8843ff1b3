"""How much may wait in the kernel behind a reader: what it takes in a moment, within bounds. Decides, does nothing.

A small backlog bounds what a slow reader costs. For a fast one it would mean to be woken for every little piece, and
each time costs as much as sending some hundred KiB.
"""

from __future__ import annotations

from typing import Final

from proxy.core.sizes import MIB

MOMENT: Final = 0.05
"""Seconds of a reader's own pace that may wait for it; also how long its pace is measured, so that what the buffers on
the way swallow at first says nothing."""
MOST: Final = 8 * MIB
"""Bytes that may wait for the fastest; what the kernel gives one connection (net.ipv4.tcp_wmem) is less by default."""


class Backlog:
    """The bound for one connection, in bytes: at first, and for the slow, `least`."""

    def __init__(self, least: int) -> None:
        self.bound = least
        self._least = least
        self._count = 0
        self._seconds = 0.0

    def took(self, count: int, seconds: float) -> bool:
        """The reader took `count` more bytes, in `seconds`: whether `bound` is another now.

        It follows in leaps: a change costs a system call."""
        self._count += count
        self._seconds += seconds
        if self._seconds < MOMENT:
            return False
        wanted = max(self._least, min(MOST, int(self._count / self._seconds * MOMENT)))
        self._count, self._seconds = 0, 0.0
        if self.bound // 2 < wanted < 2 * self.bound:
            return False
        changed, self.bound = wanted != self.bound, wanted
        return changed
