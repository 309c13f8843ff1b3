"""What an operator asks of the disks: what is kept and how much of it, what stays for ever, what is to go now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from proxy.core.blob import BlobKey
from proxy.core.clock import Clock
from proxy.core.errors import NoDisk, StoreError

from .disk import DiskState
from .layout import Entry, entries_of
from .rack import SWEEPS, Rack
from .shelf import Shelf


@dataclass(frozen=True, slots=True)
class Pruned:
    """What eviction by hand came to on one disk, in bytes."""

    disk: str
    before: int
    target: int
    after: int
    blobs: int


class Inventory:
    """Over the disks of `rack`; the door is `BlobStore.inventory`."""

    def __init__(self, rack: Rack, clock: Clock) -> None:
        self._rack = rack
        self._clock = clock

    async def kept(self, entries: Sequence[Entry]) -> dict[Entry, int]:
        """Bytes kept of each of `entries`, over all usable disks; those of which nothing is here are left out."""
        found: dict[Entry, int] = {}
        for of_disk in await self._rack.on_all(lambda shelf: shelf.index.booked_of(entries)):
            for entry, size in of_disk.items():
                found[entry] = found.get(entry, 0) + size
        return {entry: size for entry, size in found.items() if size}

    async def where(self, key: BlobKey) -> dict[str, int]:
        """Bytes kept under `key`, by disk."""
        entries = entries_of(key)
        rows = await self._rack.on_all(lambda shelf: (shelf.disk.name, sum(shelf.index.booked_of(entries).values())))
        return {name: size for name, size in rows if size}

    async def pin(self, keys: Iterable[BlobKey], *, pinned: bool) -> None:
        """Keep whatever is under `keys`, now or later, from eviction; or no longer. A disk that is out is not told.
        Raises NoDisk when none could be."""
        named = list(keys)
        if named and not await self._rack.on_all(lambda shelf: shelf.index.pin_all(named, pinned=pinned)):
            raise NoDisk("no disk took it down; penstock stats says how they are")

    async def prune(self, share: float, *, dry_run: bool, within: float) -> list[Pruned]:
        """Evict from every disk that takes fills what is used least, down to `share` of its size, for at most `within`
        seconds. What is open or pinned stays."""
        until = self._clock.monotonic() + within
        done: list[Pruned] = []
        for shelf in self._rack.writable():
            with contextlib.suppress(StoreError):
                done.append(await self._prune(shelf, share, dry_run, lambda: self._clock.monotonic() < until))
        return done

    async def _prune(self, shelf: Shelf, share: float, dry_run: bool, has_time: Callable[[], bool]) -> Pruned:
        before = (await shelf.disk.run(shelf.index.totals)).books.stored
        target, stored, blobs, idle = int(shelf.limits.hard * share), before, 0, 0
        while not dry_run and stored > target and idle < SWEEPS and has_time():
            gone = await shelf.disk.run(shelf.evict, stored - target)
            if gone is None or shelf.disk.state is not DiskState.OK:
                break
            self._rack.note_evicted(shelf, gone, "prune")
            idle = 0 if gone else idle + 1
            blobs += len(gone)
            stored = (await shelf.disk.run(shelf.index.totals)).books.stored
        return Pruned(shelf.disk.name, before, target, stored, blobs)


__all__ = ["Entry", "Inventory", "Pruned", "entries_of"]
