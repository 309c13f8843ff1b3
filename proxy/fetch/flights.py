"""The flights of this process, one per blob; each keeps its blob open for as long as it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import PenstockError
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .flight import Flight, FlightLimits
from .follow import Board
from .followers import Follower
from .mend import Mender
from .mistrust import Mistrust
from .node import Filler
from .ports import BlobStore, Source


@dataclass(slots=True)
class _Entry:
    ready: asyncio.Future[Flight]
    boarding: int = 0


class Flights:
    """Finds or begins the flight of a blob."""

    def __init__(
        self,
        store: BlobStore,
        filler: Filler,
        tasks: TaskSet,
        clock: Clock,
        limits: FlightLimits,
        mender: Mender | None = None,
        ended: Callable[[BlobKey], None] = lambda _key: None,
        eager: bool = True,
    ) -> None:
        """`mender` sees to blobs that are whole and wrong, in a fleet. `ended` is told of blobs that nobody fetches any
        more. Without `eager` a reader has one span fetched at a time."""
        self._ended = ended
        self._eager = eager
        self._mender = mender
        self._store = store
        self._filler = filler
        self._tasks = tasks
        self._clock = clock
        self._limits = limits
        self.mistrust = Mistrust(clock)
        self._entries: dict[BlobKey, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def readers(self) -> int:
        """Readers aboard all flights: those who wait for, or follow, a download."""
        ready = (entry.ready for entry in self._entries.values())
        return sum(future.result().followers for future in ready if future.done() and not _is_over(future))

    def is_under_way(self, key: BlobKey) -> bool:
        return key in self._entries

    @asynccontextmanager
    async def board(
        self, record: BlobRecord, source: Source, wanted: Span, *, needs_seal: bool
    ) -> AsyncIterator[tuple[Flight, Follower]]:
        """A place aboard the flight of `record` for one reader. Raises NoDisk."""
        entry = self._entry(record)
        entry.boarding += 1
        try:
            flight = await asyncio.shield(entry.ready)
        except asyncio.CancelledError:
            entry.boarding -= 1
            if entry.ready.done() and not entry.ready.cancelled() and entry.ready.exception() is None:
                entry.ready.result().touch()  # it may have waited for us alone
            raise
        except BaseException:
            entry.boarding -= 1
            raise
        entry.boarding -= 1
        follower = flight.join(source, wanted, needs_seal=needs_seal)
        try:
            yield flight, follower
        finally:
            flight.leave(follower)

    def boarding(self, record: BlobRecord, source: Source, wanted: Span) -> Board:
        """As `board`, for a reader that finds out only later whether it needs the seal."""
        return lambda needs_seal: self.board(record, source, wanted, needs_seal=needs_seal)

    def _entry(self, record: BlobRecord) -> _Entry:
        entry = self._entries.get(record.key)
        if entry is None or _is_over(entry.ready):
            entry = _Entry(asyncio.get_running_loop().create_future())
            self._entries[record.key] = entry
            self._tasks.start(self._live(record, entry), f"flight {record.key}")
        return entry

    async def _live(self, record: BlobRecord, entry: _Entry) -> None:
        """The life of a flight, from opening its blob to the moment nobody needs it."""
        try:
            async with self._store.open_blob(record) as blob, TaskSet(f"flight {record.key}") as tasks:
                flight = Flight(
                    blob,
                    self._filler,
                    tasks,
                    self._clock,
                    self._limits,
                    self.mistrust,
                    self._mender,
                    eager=self._eager,
                )
                entry.ready.set_result(flight)
                # Between the check for idleness and the removal nothing else runs: whoever boards later begins anew.
                await flight.until_idle(lambda: entry.boarding > 0)
                self._remove(record.key, entry)
        except asyncio.CancelledError:
            entry.ready.cancel()
            raise
        except PenstockError as error:
            if entry.ready.done():
                raise
            entry.ready.set_exception(error)
            entry.ready.exception()  # seen, even if everybody who waited has left
        finally:
            self._remove(record.key, entry)
            if not entry.ready.done():
                entry.ready.cancel()

    def _remove(self, key: BlobKey, entry: _Entry) -> None:
        if self._entries.get(key) is entry:
            del self._entries[key]
            self._ended(key)


def _is_over(ready: asyncio.Future[Flight]) -> bool:
    """Whether the flight's blob is gone: new readers need a new one."""
    if not ready.done():
        return False
    return ready.cancelled() or ready.exception() is not None or ready.result().blob.dropped
