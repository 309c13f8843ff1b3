"""Calls shared by all who ask for the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from proxy.core.tasks import TaskSet

T = TypeVar("T")


class SharedCalls(Generic[T]):
    """One call under way per key; whoever comes meanwhile waits for the same outcome, error included.

    The call belongs to the task set, not to the first who asked: a caller who leaves stops nobody's answer.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self._tasks = tasks
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def is_under_way(self, key: Hashable) -> bool:
        return key in self._under_way

    async def run(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
        """The outcome of `call()` for `key`, begun now or joined."""
        task = self._under_way.get(key)
        if task is None:
            task = self._tasks.start(self._quiet(call()), name)
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, BaseException):
            raise outcome.with_traceback(None)
        return outcome

    @staticmethod
    async def _quiet(coroutine: Coroutine[Any, Any, T]) -> Any:
        # An error is an outcome to be shared, not a failed task to be reported: nobody may be left to await it.
        try:
            return await coroutine
        except Exception as error:  # noqa: BLE001 - handed to every waiter by `run`
            return error
