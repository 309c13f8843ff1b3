"""What the store does of its own accord: hung calls found, hits booked, dead workers cleaned up after, disks trimmed,
failed disks tried again, books counted anew in another boot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from proxy.core.errors import StoreError

from .disk import Disk, DiskState
from .layout import Entry
from .rack import SWEEPS, Rack
from .recovery import DiskAccount, branches, count_anew, reclaim, stretches, strike_phantoms
from .shelf import Shelf

TICK: Final = 1.0
"""Seconds between rounds."""
RECLAIM_EVERY: Final = 10
"""Rounds between looks for workers that died."""


class Upkeep:
    """The rounds over the disks of `rack`. `once` is the store's lock by name."""

    def __init__(self, rack: Rack, once: Callable[[str], AbstractAsyncContextManager[None]]) -> None:
        self._rack = rack
        self._once = once
        self._hits: set[Entry] = set()

    def watch(self) -> None:
        """Look for hung calls from now on: before the first disk is opened."""
        self._rack.tasks.start(self._watching(), "watch")

    def start(self) -> None:
        """Begin the rest, over disks that have been opened."""
        for shelf in self._rack.accounts():
            self._rebuild_in_background(shelf)
        self._rack.tasks.start(self._rounds(), "upkeep")

    def hit(self, entry: Entry) -> None:
        """Count a reading of `entry`, with the next round."""
        self._hits.add(entry)

    async def flush_hits(self) -> None:
        """Book the readings counted so far."""
        hits, self._hits = self._hits, set()
        if hits:
            await self._rack.on_all(lambda shelf: shelf.index.touch(hits))

    async def _watching(self) -> None:
        # Apart from the rounds, which call the disks themselves: a disk that hangs first in one of theirs would hang
        # for ever, as nobody would be left to find it so.
        while True:
            await asyncio.sleep(TICK)
            for disk in self._rack.disks:
                disk.watch()

    async def _rounds(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(TICK)
            rounds += 1
            await self.flush_hits()
            for shelf in self._rack.accounts():
                await self._tend(shelf, look_for_dead=rounds % RECLAIM_EVERY == 0)
            for disk in self._rack.disks:
                if disk.probe_due:
                    await self._probe(disk)

    async def _tend(self, shelf: DiskAccount, *, look_for_dead: bool) -> None:
        with contextlib.suppress(StoreError):
            if look_for_dead:
                await shelf.disk.run(reclaim, shelf)
            if shelf.disk.state is DiskState.OK:
                await self._trim(shelf)

    async def _trim(self, shelf: Shelf) -> None:
        """Down to the soft limit, sweep by sweep, while anything goes."""
        for _ in range(SWEEPS):
            over = await shelf.disk.run(shelf.excess)
            gone = await shelf.disk.run(shelf.evict, over) if over else None
            if not gone:
                return
            self._rack.note_evicted(shelf, gone, "trim")

    async def _probe(self, disk: Disk) -> None:
        shelf = self._rack.account_of(disk)
        if shelf is None:
            opened = await self._rack.open_disk(disk)
            if opened is not None:
                self._rebuild_in_background(opened)
            return
        disk.keep_failed()
        try:
            await disk.submit(shelf.try_out, even_out=True).result
        except StoreError:
            return
        disk.recover()
        self._rebuild_in_background(shelf)  # its failure may have broken the count off

    def _rebuild_in_background(self, shelf: DiskAccount) -> None:
        self._rack.tasks.start(self._rebuild(shelf), f"rebuild {shelf.disk.name}")

    async def _rebuild(self, shelf: DiskAccount) -> None:
        """Count what is on the disk when the index is fresh, or of another boot; one worker does it, the others find it
        done."""
        with contextlib.suppress(StoreError):
            if (await shelf.disk.run(shelf.index.totals)).rebuilt:
                return
            async with self._once(f"rebuild {shelf.id}"):
                if (await shelf.disk.run(shelf.index.totals)).rebuilt:
                    return
                await self._count_anew(shelf)
                await shelf.disk.run(shelf.index.mark_rebuilt)

    async def _count_anew(self, shelf: DiskAccount) -> None:
        """In many short calls, between which others have their turn."""
        for folder, branch in await shelf.disk.run(branches, shelf):
            for entries in await shelf.disk.run(stretches, shelf, folder, branch):
                await shelf.disk.run(count_anew, shelf, entries)
        last = await shelf.disk.run(strike_phantoms, shelf, None)
        while last is not None:
            last = await shelf.disk.run(strike_phantoms, shelf, last)
