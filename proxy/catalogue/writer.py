"""One thread that writes: what arrives while it commits goes into the next batch (group commit)."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from proxy.core.tasks import TaskSet

from .changes import drop_oldest_listings, drop_oldest_resolutions
from .database import Change, apply
from .limits import Limits
from .schema import SELECT_TOTAL

PATIENCE: Final = 2.0
"""Seconds a request waits for its write; a disk slower than that must not hold requests up."""
BATCH: Final = 1000
QUEUED: Final = 20_000
"""Writes waiting at most; beyond, they are not written (the next answer of the origin brings them again)."""
TRIM_EVERY: Final = 256
"""Written changes between two looks at the limits."""


class Writer:
    """Takes changes, tells when they are committed. `failed` is called on the loop thread when a batch was lost."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        limits: Limits,
        *,
        failed: Callable[[Exception], None],
        ok: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._failed = failed
        self._ok = ok
        self._waiting: list[tuple[Change, asyncio.Future[bool]]] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalogue")
        self._since_trim = 0
        self._closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while inside; what was taken before the end is written before it returns (or after `PATIENCE`)."""
        async with TaskSet("catalogue") as tasks:
            task = tasks.start(self._run(), "writer")
            try:
                yield
            finally:
                self._closing = True
                self._wake.set()
                await asyncio.wait({task}, timeout=PATIENCE)
        self._thread.shutdown(wait=False)

    def submit(self, change: Change) -> asyncio.Future[bool]:
        """Write `change` soon; the future is True when other workers can see it, False when it was lost."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= QUEUED or self._closing:
            future.set_result(False)
            return future
        self._waiting.append((change, future))
        self._wake.set()
        return future

    async def written(self, change: Change) -> bool:
        """`submit`, and wait up to `PATIENCE` for it. A caller that leaves takes nothing back."""
        future = self.submit(change)
        await asyncio.wait({future}, timeout=PATIENCE)
        return future.done() and future.result()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    break
                self._wake.clear()
                await self._wake.wait()
                continue
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            await self._commit(batch)
        await self._in_thread(self._connection.close)

    async def _commit(self, batch: list[tuple[Change, asyncio.Future[bool]]]) -> None:
        written = False
        try:
            await self._in_thread(apply, self._connection, [change for change, _ in batch])
            written = True
            self._ok()
            await self._trim_now_and_then(len(batch))
        except (sqlite3.Error, OSError, ValueError, OverflowError) as error:
            self._failed(error)
        finally:
            for _, future in batch:
                if not future.done():
                    future.set_result(written)

    async def _trim_now_and_then(self, changes: int) -> None:
        self._since_trim += changes
        if self._since_trim < TRIM_EVERY:
            return
        self._since_trim = 0
        await self._in_thread(trim, self._connection, self._limits)

    async def _in_thread(self, function: Callable[..., object], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def trim(connection: sqlite3.Connection, limits: Limits) -> int:
    """Drop the least recently used until all is within `limits`; gives the number of transactions it took."""
    rounds = 0
    while _too_many_listings(connection, limits):
        apply(connection, [drop_oldest_listings])
        rounds += 1
    while _total(connection, "resolutions") > limits.resolutions:
        apply(connection, [drop_oldest_resolutions])
        rounds += 1
    return rounds


def _too_many_listings(connection: sqlite3.Connection, limits: Limits) -> bool:
    return (
        _total(connection, "listings") > limits.listings or _total(connection, "listing bytes") > limits.listing_bytes
    )


def _total(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(SELECT_TOTAL, (name,)).fetchone()[0])
