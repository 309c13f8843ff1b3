"""Responses of generic origins: their heads, as rows beside everything else that can be asked for again.

Look-ups are synchronous, writes return when other workers of the node can see them; see `catalogue`. While the state
disk fails, heads are kept in memory.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.changes import Noted
from proxy.core.errors import StoreError
from proxy.core.purging import Purge, ThisTarget
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import StoredResponse

from . import purges
from .database import Change
from .heads import head_of, response_of, selecting_text
from .place_changes import PlaceChanges
from .state_disk import StateDisk

MOST_VARIANTS: Final = 32
"""Responses kept for one place; the oldest goes first."""
MOST_RESPONSES: Final = 1_000_000
BATCH: Final = 500
_NOT_TAKEN: Final = "the state disk did not take the purge; ask again"
_AT: Final = "SELECT head FROM responses WHERE place = ?"


class StoredResponses:
    """The heads of one node's generic origins (`fetch.web.ports.Responses`)."""

    def __init__(self, disk: StateDisk, changes: PlaceChanges | None = None, *, most: int = MOST_RESPONSES) -> None:
        self._disk = disk
        self._changes = changes or PlaceChanges()
        self._most = most

    def noted(self, place: bytes) -> Noted:
        """Holds until any worker of the node keeps or drops a response of the place."""
        return self._changes.noted(place)

    def at(self, place: bytes) -> tuple[StoredResponse, ...]:
        """All responses kept for the place."""
        unwritten = self._disk.unwritten("responses", place)
        if isinstance(unwritten, tuple):
            return unwritten
        found = []
        for (head,) in self._disk.rows(_AT, (place,)):
            try:
                found.append(response_of(head))
            except (ValueError, KeyError, TypeError) as error:
                self._disk.fail(ValueError(f"a stored head is damaged: {error}"))
        return tuple(found)

    async def keep(self, place: bytes, origin: str, target: str, stored: StoredResponse) -> None:
        """Keep `stored`, in place of the one for the same requests."""
        others = tuple(other for other in self.at(place) if other.selecting != stored.selecting)
        await self._disk.write(
            _put(place, origin, target, stored, self._most), ("responses", place), (*others, stored)[-MOST_VARIANTS:]
        )
        self._changes.happened(place)

    def is_purged(self, origin: str, target: str, stored: StoredResponse) -> bool:
        """Whether a purge covers `stored`, which was asked for before it: a soft one too, since nothing has confirmed
        it after that."""
        rows = self._disk.rows(purges.SINCE, (origin, stored.requested_at))
        return next(purges.covering(rows, origin, target, stored), None) is not None

    async def drop(self, place: bytes, selecting: Fields | None = None) -> None:
        """Forget what is kept for the place: all, or that for the requests with these fields."""
        rest = () if selecting is None else tuple(one for one in self.at(place) if one.selecting != selecting)
        await self._disk.take_back(_drop(place, selecting), ("responses", place), rest, _drop(place, None))
        self._changes.happened(place)

    async def void(self, place: bytes, origin: str, target: str, at: float) -> None:
        """Forget what is kept for the place and was asked for by `at` (wall clock), and keep nothing such that any
        worker of the node brings later. Raises RequestRefused for a target that no purge can name."""
        purge = Purge(origin, ThisTarget(target), at, soft=False)
        rest = tuple(one for one in self.at(place) if one.requested_at > at)
        change = purges.at_once(purge)
        await self._disk.take_back(change, ("responses", place), rest, change)
        self._changes.happened(place)

    async def purge(self, purge: Purge) -> tuple[int, tuple[BlobKey, ...]]:
        """Carry out `purge`, for what is kept and for what is on its way: how many responses it was about, and the
        names of bodies that nothing else has. Raises StoreError when the disk did not take it."""
        try:
            return await self._purged(purge)
        finally:
            self._changes.happened_everywhere()

    async def count(self, purge: Purge) -> int:
        """How many responses `purge` would be about; nothing is changed."""
        count, after = 0, purges.BEGINNING
        while True:
            rows = self._disk.rows(*purges.selection(purge, after, BATCH))
            count += sum(purges.is_met(purge, row) for row in rows)
            last = purges.following(rows, BATCH)
            if last is None:
                return count
            after = last
            await asyncio.sleep(0)  # requests are answered between two looks

    async def _purged(self, purge: Purge) -> tuple[int, tuple[BlobKey, ...]]:
        self._disk.drop_unwritten(lambda name: name[0] == "responses")
        if not await self._disk.written(purges.remember(purge)):
            raise StoreError(_NOT_TAKEN)
        count, keys, after = 0, list[BlobKey](), purges.BEGINNING
        while True:
            round_ = purges.Round(purge, after, BATCH)
            if not await self._disk.written(round_.carry_out):
                raise StoreError(_NOT_TAKEN)
            count, keys = count + round_.count, [*keys, *round_.keys]
            if round_.last is None:
                return count, tuple(keys)
            after = round_.last


def _put(place: bytes, origin: str, target: str, stored: StoredResponse, most: int) -> Change:
    row = (place, selecting_text(stored.selecting), origin, target, head_of(stored), stored.received_at)

    def change(connection: sqlite3.Connection) -> None:
        put = connection.execute(
            "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (place, selecting) DO UPDATE SET "
            "head = excluded.head, received_at = excluded.received_at WHERE excluded.received_at >= received_at",
            row,
        )
        if not put.rowcount:
            return  # a later one is kept: neither the tags of this one nor what purges say of it are for that
        connection.execute(
            "DELETE FROM responses WHERE place = ? AND selecting NOT IN (SELECT selecting FROM responses "
            f"WHERE place = ? ORDER BY received_at DESC LIMIT {MOST_VARIANTS})",
            (place, place),
        )
        purges.tag(connection, place, row[1], stored.fields)
        purges.overtake(connection, origin, target, place, row[1], stored)
        (count,) = connection.execute("SELECT amount FROM totals WHERE name = 'responses'").fetchone()
        if count > most:
            connection.execute(
                "DELETE FROM responses WHERE (place, selecting) IN "
                f"(SELECT place, selecting FROM responses ORDER BY received_at LIMIT {min(BATCH, count - most)})"
            )

    return change


def _drop(place: bytes, selecting: Fields | None) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        if selecting is None:
            connection.execute("DELETE FROM responses WHERE place = ?", (place,))
        else:
            connection.execute(
                "DELETE FROM responses WHERE place = ? AND selecting = ?", (place, selecting_text(selecting))
            )

    return change
