"""Threads that wait for disks, and keep nobody else waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Threads:
    """A fixed number of daemon threads with one queue. (An executor's are joined at exit: one hung read would keep the
    process from ending.)"""

    def __init__(self, name: str, count: int) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{index}", daemon=True) for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        self._queue.put(work)

    def close(self) -> None:
        """Let the threads end when they have worked off the queue; does not wait for them."""
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
