"""A cap on bytes per second."""

from __future__ import annotations

import asyncio

from proxy.core.clock import Clock

BURST = 1.0
"""Seconds of saved-up allowance at most: who was idle may not make up for all of it at once."""


class Rate:
    """At most so many bytes a second, over all who spend from it; None is no cap."""

    def __init__(self, per_second: int | None, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._free_at = clock.monotonic()

    @property
    def is_capped(self) -> bool:
        return self._per_second is not None

    def wait_for(self, count: int) -> float:
        """Book `count` bytes; seconds to wait before any more."""
        if self._per_second is None:
            return 0.0
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - BURST) + count / self._per_second
        return max(0.0, self._free_at - now)

    async def spend(self, count: int) -> None:
        """Book `count` bytes, and wait until they were allowed."""
        pause = self.wait_for(count)
        if pause:
            await asyncio.sleep(pause)
