"""Hashing in threads, which keeps no loop waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, Self, TypeVar

from .threads import Threads

HASH_THREADS: Final = 2
Content = TypeVar("Content")


class Hasher(Protocol):
    """What hashlib makes."""

    def update(self, content: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Self: ...


class HashThreads:
    """A few threads that hash. Close it at the end."""

    def __init__(self, name: str = "hash", count: int = HASH_THREADS) -> None:
        self._threads = Threads(name, count)

    async def run(self, update: Callable[[Content], None], content: Content) -> None:
        """Run `update(content)` in a thread. Raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def work() -> None:
            error: BaseException | None = None
            try:
                update(content)
            except BaseException as raised:  # noqa: BLE001 - handed over, not swallowed
                error = raised
            with suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(_resolve, done, error)

        self._threads.submit(work)
        await done

    def close(self) -> None:
        self._threads.close()


def _resolve(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
