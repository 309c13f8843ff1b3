"""The disk of the catalogue, which may fail: rows read on the loop thread, changes written by one thread.

While it fails requests go on: what was to be written is kept in memory, one event is logged, every lost batch is
counted, and writing is tried again with the next change.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.hub.facts import Listing
from proxy.hub.names import RepoId

from . import changes, schema
from .database import Change, mark_damaged, open_database, open_reader
from .limits import Limits
from .memory import Recent
from .writer import Writer

NOTHING: Final = False
"""Stands, while the disk fails, for a row that was dropped."""
_OWED: Final = 10_000
"""Rows that are to go, of which it is remembered while the disk fails."""
Name = tuple[Any, ...]
log = logging.getLogger(__name__)


class StateDisk:
    """The file of one worker's catalogue, and what could not be written to it."""

    def __init__(self, folder: Path, limits: Limits, on_failure: Callable[[], None]) -> None:
        self._folder = folder
        self._limits = limits
        self._on_failure = on_failure
        self._reader: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self._failing = False
        # Repos to forget whose rows are still on disk. As many as an operator names while the disk fails.
        self._unforgotten: set[RepoId] = set()
        # What was to be taken back whose rows are still on disk.
        self._owed: BoundedDict[Name, Change] = BoundedDict(entries=_OWED)
        # What could not be written; looked at only while the disk fails, or where something is owed.
        self._unwritten: Recent[Name, Any] = Recent(10_000, 64 * 1024 * 1024, _weight)

    @contextlib.asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[None]:
        """Never fails: without a disk there are no rows and nothing is written."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                connection = open_database(self._folder, clock)
                self._reader = stack.enter_context(contextlib.closing(open_reader(self._folder)))
            except (sqlite3.Error, OSError) as error:
                self.fail(error)
            else:
                self._writer = Writer(connection, self._limits, failed=self.fail, ok=self._recover)
                await stack.enter_async_context(self._writer.running())
            yield

    # --- reading --------------------------------------------------------------------------------------------------

    def row(self, statement: str, values: tuple[Any, ...]) -> Any:
        """The first row, None when there is none."""
        return next(iter(self.rows(statement, values)), None)

    def rows(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        if self._reader is None:
            return []
        try:
            return self._reader.execute(statement, values).fetchall()
        except (sqlite3.Error, ValueError) as error:
            self.fail(error)
            return []

    def row_of(self, repo: RepoId, statement: str, name: str) -> Any:
        """A row of what `forget` drops; none while a repo is forgotten here and not yet on disk."""
        return None if repo in self._unforgotten else self.row(statement, (schema.repo_text(repo), name))

    # --- writing --------------------------------------------------------------------------------------------------

    async def written(self, change: Change) -> bool:
        """Whether `change` is on disk; False when the disk fails, or takes longer than a request can wait."""
        if self._writer is not None and await self._writer.written(change):
            return True
        if not self._failing:
            self.fail(TimeoutError("the state disk takes longer than a request can wait"))
        return False

    async def write(self, change: Change, name: Name, value: Any) -> None:
        """Write `change`, or keep what it says: `value` under `name`."""
        if not await self.written(change):
            self.keep_unwritten(name, value)

    async def take_back(self, change: Change, name: Name, value: Any, owed: Change) -> None:
        """As `write`, of a change that takes something back: should the disk not take it, `owed` is written when it is
        back, and until then `value` stands for `name`."""
        if not await self.written(change):
            self.keep_unwritten(name, value)
            self._owed.put(name, owed)

    def submit(self, change: Change) -> None:
        """Write `change` some time; nobody waits."""
        if self._writer is not None:
            self._writer.submit(change)

    async def forget(self, repo: RepoId) -> None:
        """Drop the rows of `repo`; hidden until they are dropped on disk."""
        self._unforgotten.add(repo)
        if await self.written(changes.forget(repo)):
            self._unforgotten.discard(repo)

    # --- what is not written --------------------------------------------------------------------------------------

    def unwritten(self, *name: Any) -> Any:
        """What is kept under `name` while the disk fails; NOTHING where a row was dropped; None when there is none."""
        return self._unwritten.get(name) if self._failing or name in self._owed else None

    def keep_unwritten(self, name: Name, value: Any) -> None:
        self._unwritten.put(name, value)

    def drop_unwritten(self, which: Callable[[Name], bool]) -> None:
        self._unwritten.drop_where(lambda name: which(name) and name not in self._owed)

    # --- failing --------------------------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """A look-up or a batch was lost, or a row made no sense."""
        self._on_failure()
        if _is_damage(error):
            mark_damaged(self._folder)
        if not self._failing:
            self._failing = True
            log.error(
                "catalogue in memory only",
                extra={
                    "folder": str(self._folder),
                    "why": str(error),
                    "effect": "a restart will forget what is learnt",
                },
            )

    def _recover(self) -> None:
        if self._failing:
            self._failing = False
            self._unwritten.drop_where(lambda name: name not in self._owed)
            self._forget_now()
            self._pay()
            log.warning("catalogue on disk again", extra={"folder": str(self._folder)})

    def _forget_now(self) -> None:
        """Catch up on what was to be forgotten while the disk failed; hidden until that is written."""
        for repo in self._unforgotten:
            if self._writer is not None:
                written = self._writer.submit(changes.forget(repo))
                written.add_done_callback(functools.partial(self._has_forgotten, repo))

    def _has_forgotten(self, repo: RepoId, written: asyncio.Future[bool]) -> None:
        if not written.cancelled() and written.result():
            self._unforgotten.discard(repo)

    def _pay(self) -> None:
        """Catch up on what was to be taken back while the disk failed."""
        for name, owed in self._owed.items():
            if self._writer is not None:
                written = self._writer.submit(owed)
                written.add_done_callback(functools.partial(self._has_paid, name, owed))

    def _has_paid(self, name: Name, owed: Change, written: asyncio.Future[bool]) -> None:
        if not written.cancelled() and written.result() and self._owed.get(name) is owed:
            self._owed.discard(name)
            self._unwritten.drop(name)


def _is_damage(error: Exception) -> bool:
    """Whether the file itself is broken (malformed, not a database), rather than the disk under it."""
    if isinstance(error, ValueError):
        return not isinstance(error, UnicodeError)
    return type(error) is sqlite3.DatabaseError


def _weight(value: Any) -> int:
    return 512 + (len(value.body) if isinstance(value, Listing) else 0)
