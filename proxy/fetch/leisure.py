"""Leisure: what is fetched although nobody waits for it (read-ahead, the end of what was abandoned).

It is not worth one of the last requests that the origin allows. When the origin is short of them it is put off, and
taken up again when the origin's window begins anew; a reader who comes to it meanwhile has it fetched at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .ports import Source


class AtLeisure:
    """The same bytes, for nobody in particular (`ports.Source`)."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, span: Span, *, can_wait: bool = True) -> AsyncGenerator[bytes, None]:
        return self._source.read(span, can_wait=can_wait)


class Leisure:
    """Whether there is any, for one flight. `back` is called when there is again."""

    def __init__(self, tasks: TaskSet, back: Callable[[], None]) -> None:
        self._tasks = tasks
        self._back = back
        self._pause: asyncio.Task[None] | None = None

    @property
    def is_put_off(self) -> bool:
        return self._pause is not None

    def put_off(self, seconds: float) -> None:
        """Not for so many seconds; the first of several who say so decides, the others ask again then."""
        if self._pause is None and not self._tasks.is_closing:
            self._pause = self._tasks.start(self._wait(seconds), "leisure put off")

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._pause = None
        self._back()
