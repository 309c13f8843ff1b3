"""Reading everything that is kept, to find what has rotted: a chunk that does not match its CRC, a small blob that does
not match its name. What is wrong is dropped, and the next reader has it fetched anew.

It reads what is published, disk by disk in the order of names, at the pace that its caller allows; it makes nothing,
and an entry that goes while it is looked at is simply gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from proxy.core.errors import StoreError

from .chunkmap import MapDamaged
from .disk import Call
from .layout import Entry
from .part import Part, close_part, open_part
from .rack import Rack
from .shelf import Shelf
from .syscalls import read_all

T = TypeVar("T")
_BATCH: Final = 256

Spend = Callable[[int], Awaitable[None]]
"""Books bytes that were read, and waits until more may be."""


@dataclass(slots=True)
class Scrubbed:
    """How far a pass is. `at` is, by disk, the name of the last entry that was looked at: where to go on."""

    blobs: int = 0
    bytes: int = 0
    wrong: int = 0
    at: dict[str, str] = field(default_factory=dict)


class Scrubber:
    """Over the disks of `rack`."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack

    async def scrub(self, done: Scrubbed, spend: Spend) -> None:
        """Look at every blob of every usable disk, from `done.at` on; what comes of it goes into `done`. A disk that
        fails meanwhile is left out."""
        for shelf in self._rack.usable():
            with contextlib.suppress(StoreError):
                await self._scrub_disk(shelf, done, spend)

    async def _scrub_disk(self, shelf: Shelf, done: Scrubbed, spend: Spend) -> None:
        name = shelf.disk.name
        last = Entry.parse(done.at[name]) if done.at.get(name) else None
        while batch := await shelf.disk.run(shelf.index.entries, last, _BATCH):
            for last, _ in batch:
                look = self._scrub_small if last.small else self._scrub_large
                await look(shelf, last, done, spend)
                done.blobs += 1
                done.at[name] = last.text

    async def _scrub_small(self, shelf: Shelf, entry: Entry, done: Scrubbed, spend: Spend) -> None:
        size, right = await shelf.disk.run(_small_is_right, shelf, entry)
        await self._read(size, done, spend)
        if not right:
            await shelf.disk.run(shelf.forget, entry.key)
            self._found_wrong(shelf, done)

    async def _scrub_large(self, shelf: Shelf, entry: Entry, done: Scrubbed, spend: Spend) -> None:
        try:
            place = shelf.layout.place(entry)
            part = await shelf.disk.take(open_part, shelf.disk, place, shelf.boot, give_back=close_part)
        except MapDamaged:
            await shelf.disk.run(shelf.settle_entry, entry)
            self._found_wrong(shelf, done)
            return
        if part is not None:
            calls = _Calls(shelf, part)
            try:
                await self._scrub_part(shelf, part, calls, done, spend)
            finally:
                calls.close_part()

    async def _scrub_part(self, shelf: Shelf, part: Part, calls: _Calls, done: Scrubbed, spend: Spend) -> None:
        for chunk in range(part.map.chunks):
            if part.map.dropped:
                return
            if not part.map.complete(chunk, chunk + 1)[0]:
                continue
            crc = part.map.crc(chunk)
            if not await calls.run(part.is_right, chunk) and await calls.run(_lose, shelf, part, chunk, crc):
                self._found_wrong(shelf, done)
            await self._read(part.map.length(chunk), done, spend)

    async def _read(self, count: int, done: Scrubbed, spend: Spend) -> None:
        done.bytes += count
        self._rack.observer.scrubbed(count)
        await spend(count)

    def _found_wrong(self, shelf: Shelf, done: Scrubbed) -> None:
        done.wrong += 1
        self._rack.observer.corrupted(shelf.disk.name, "scrub")


class _Calls:
    """Calls on an open part, which is closed when the last of them has ended: a thread goes on when its caller is
    cancelled, and must not read from a descriptor that is another file's by now."""

    def __init__(self, shelf: Shelf, part: Part) -> None:
        self._shelf = shelf
        self._part = part
        self._last: Call[object] | None = None

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        call = self._shelf.disk.submit(function, *arguments)
        self._last = call  # type: ignore[assignment]
        return await call.result

    def close_part(self) -> None:
        if self._last is None or self._last.finished.done():
            self._part.close()
        else:
            self._last.finished.add_done_callback(self._close_late)

    def _close_late(self, _finished: asyncio.Future[None]) -> None:
        self._part.close()


def _small_is_right(shelf: Shelf, entry: Entry) -> tuple[int, bool]:
    """Bytes of a small blob, and whether they match its name; one that is gone is not wrong. Raises OSError."""
    try:
        fd = shelf.calls.open(shelf.layout.place(entry), os.O_RDONLY)
    except FileNotFoundError:
        return 0, True
    try:
        content = read_all(shelf.calls, fd, shelf.calls.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    return len(content), hashlib.sha256(content).hexdigest() == entry.key.hex


def _lose(shelf: Shelf, part: Part, chunk: int, crc: int) -> bool:
    """Make the chunk missing, unless it is another by now; whether it was. Raises OSError."""

    def still(chunk: int) -> bool:
        return bool(part.map.complete(chunk, chunk + 1)[0]) and part.map.crc(chunk) == crc

    lost = part.lose_those([chunk], still)
    if lost:
        shelf.recount(part)
    return bool(lost)
