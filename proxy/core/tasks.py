"""Tasks with an owner and a name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class TaskSet:
    """The tasks of one owner: started here, named, reported when they fail, cancelled and awaited at the end.

    An async context manager; leaving it cancels what still runs and waits for it.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def is_closing(self) -> bool:
        """Whether the owner is ending: nothing can be started any more."""
        return self._closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `coroutine` as a task of this owner. An exception nobody awaits is logged, never lost."""
        if self._closing:
            coroutine.close()
            raise RuntimeError(f"{self._owner} is closing: {name} cannot start")
        task = asyncio.create_task(coroutine, name=f"{self._owner}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def join(self) -> None:
        """Wait until no task is left, without cancelling any."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def aclose(self) -> None:
        """Cancel every task and wait until all have ended. Idempotent."""
        self._closing = True
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.wait(set(self._tasks))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task failed", extra={"task": task.get_name()}, exc_info=error)
