"""One task of this process at a time, per name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Turnstile(Generic[K]):
    """Locks by name that exist only while somebody holds or wants them."""

    def __init__(self) -> None:
        self._locks: dict[K, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @contextlib.asynccontextmanager
    async def one_at_a_time(self, name: K) -> AsyncIterator[None]:
        """Wait for the turn, hold it for the block. Fair: first come, first in."""
        lock, wanting = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, wanting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, wanting = self._locks.pop(name)
            if wanting > 1:
                self._locks[name] = (lock, wanting - 1)
