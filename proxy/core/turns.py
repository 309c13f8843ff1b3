"""Turns: at most so many at once at one place (a host, a peer), first come first served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Queue:
    free: asyncio.Semaphore
    users: int = field(default=0)


class Turns:
    """One queue per key, `most` at once in each. A queue exists while somebody is in it or waits, so keys cost nothing
    when they are gone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: dict[Hashable, _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def is_full(self, key: Hashable) -> bool:
        """Whether whoever comes now has to wait."""
        return key in self._queues and self._queues[key].free.locked()

    @contextlib.asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, hold it while inside."""
        queue = self._queues.setdefault(key, _Queue(asyncio.Semaphore(self._most)))
        queue.users += 1
        try:
            async with queue.free:
                yield
        finally:
            queue.users -= 1
            if queue.users == 0:
                del self._queues[key]
