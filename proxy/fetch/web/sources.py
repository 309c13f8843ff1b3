"""The sources of this process, one per blob, shared by its readers and closed with the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .ports import Forecast, Forecasts, WebSource

_READ_WITHIN: Final = 5.0
"""Seconds after which an answer that nobody has begun to read is let go."""


class Alone:
    """The forecast of a process that has no other workers beside it."""

    def of(self, key: BlobKey) -> Forecast:
        return self

    def say(self, span: Span) -> None: ...

    def unsay(self, span: Span) -> None: ...

    def front(self, offset: int) -> int | None:
        return None

    def ahead(self, span: Span) -> int:
        return span.stop

    def read(self, *, here: bool) -> None: ...

    is_read_elsewhere = False


@dataclass(slots=True)
class _Shared:
    source: WebSource
    users: int = 0


class Sources:
    """Finds the source of a blob, or makes it."""

    def __init__(self, tasks: TaskSet, forecasts: Forecasts) -> None:
        self.forecasts = forecasts
        self._tasks = tasks
        self._shared: dict[BlobKey, _Shared] = {}
        self.is_flying: Callable[[BlobKey], bool] = lambda _key: False

    def of(self, key: BlobKey, make: Callable[[], WebSource]) -> WebSource:
        """The source of the blob. Whoever reads from it does so inside `use`."""
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(make())
        return shared.source

    def known(self, key: BlobKey) -> WebSource | None:
        """The source of the blob, if it has one now."""
        shared = self._shared.get(key)
        return None if shared is None else shared.source

    @contextmanager
    def use(self, key: BlobKey, source: WebSource) -> Iterator[None]:
        """Keep it open meanwhile, and for as long as a flight of the blob needs it."""
        shared = self._shared.setdefault(key, _Shared(source))
        shared.users += 1
        if shared.users == 1:
            self.forecasts.of(key).read(here=True)
        try:
            yield
        finally:
            shared.users -= 1
            if not shared.users:
                self.forecasts.of(key).read(here=False)
            self.settle(key)

    def expect_reader(self, key: BlobKey) -> None:
        """An answer was begun for somebody, who may have left: it is let go if nobody comes to read it."""
        if not self._tasks.is_closing:
            self._tasks.start(self._let_go(key), "let go what nobody reads")

    async def _let_go(self, key: BlobKey) -> None:
        await asyncio.sleep(_READ_WITHIN)
        self.settle(key)

    def settle(self, key: BlobKey) -> None:
        """Close the source of the blob if nobody needs it."""
        shared = self._shared.get(key)
        if shared is None or shared.users or self.is_flying(key):
            return
        del self._shared[key]
        if not self._tasks.is_closing:
            self._tasks.start(shared.source.aclose(), "close a source")

    async def aclose(self) -> None:
        """Close them all."""
        shared, self._shared = list(self._shared.values()), {}
        for one in shared:
            await one.source.aclose()
