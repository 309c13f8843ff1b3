"""The parts of an open blob on the disks, who uses it in this process, and the steps its readers wait for.

Parts are added while it is open (by this worker, or noticed when another adds one) and closed all at once, so a
descriptor handed out stays valid.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from proxy.core.blob import BlobRecord
from proxy.core.errors import NoDisk, SourceChanged, StoreError
from proxy.core.sizes import CHUNK, chunk_count

from .chunkmap import union
from .disk import DiskState
from .part import Part, close_part
from .rack import Rack
from .shelf import Shelf


class Parts:
    """See the head of the file. `idle` is called when the last user has left."""

    def __init__(self, record: BlobRecord, rack: Rack, idle: Callable[[], None]) -> None:
        self.record = record
        self.rack = rack
        self.chunks = chunk_count(record.size)
        self._idle = idle
        self._users = 0
        self._by_disk: dict[str, Part] = {}
        self._siblings: dict[str, bytes] = {}
        self._step: asyncio.Future[None] | None = None
        self._joining: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Part]:
        return iter(self._by_disk.values())

    def __len__(self) -> int:
        return len(self._by_disk)

    # --- users and steps ----------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Keep the blob open until `release`."""
        self._users += 1

    def release(self) -> None:
        """Let go."""
        self._users -= 1
        assert self._users >= 0, "a blob is released as often as it is held"
        if not self._users:
            self._idle()

    def progress(self) -> asyncio.Future[None]:
        """A future that is done at the next step; shared by all who wait."""
        if self._step is None or self._step.done():
            self._step = asyncio.get_running_loop().create_future()
        return self._step

    def step(self) -> None:
        """Wake all who wait for progress."""
        if self._step is not None and not self._step.done():
            self._step.set_result(None)
        self._step = None

    # --- which parts --------------------------------------------------------------------------------------------

    def on(self, disk_name: str) -> Part | None:
        """The part on that disk, healthy or not."""
        return self._by_disk.get(disk_name)

    def shelf_of(self, part: Part) -> Shelf:
        """Where the part is kept."""
        return self.rack.shelf_of(part.disk)

    def healthy(self) -> list[Part]:
        """Those on disks that are not out, but for abandoned ones."""
        parts = self._by_disk.values()
        return [part for part in parts if part.disk.state is not DiskState.OUT and not part.abandoned]

    def writable_on(self, shelf: Shelf) -> Part | None:
        """The part on that shelf, if fills may go there."""
        part = self._by_disk.get(shelf.disk.name)
        return part if part is not None and part.writable and not part.abandoned else None

    def ranked(self, slice_index: int) -> list[Shelf]:
        """Shelves that take fills of this blob, the home of the slice first; with a part there already or not."""
        shelves = self.rack.ranked(self.record, slice_index)
        return [shelf for shelf in shelves if self.on(shelf.disk.name) is None or self.writable_on(shelf)]

    def anchor(self, slice_index: int) -> Part | None:
        """The part on which all workers lock the chunks of a slice, wherever their bytes go: the first in rank."""
        return next((part for shelf in self.ranked(slice_index) if (part := self.writable_on(shelf))), None)

    def complete(self, first: int, stop: int) -> bytes:
        """A 1 for every chunk of [first, stop) that a usable disk has whole, else a 0."""
        parts = self.healthy()
        if not parts:
            return bytes(stop - first)
        if len(parts) == 1:
            return parts[0].map.complete(first, stop)
        return union(part.map.complete(first, stop) for part in parts)

    def holder_of(self, chunk: int) -> Part | None:
        """A part that has `chunk` whole and beyond doubt."""
        edge = min((chunk + 1) * CHUNK, self.record.size)
        for part in self.healthy():
            if part.map.complete(chunk, chunk + 1)[0] and part.map.readable_to(chunk * CHUNK, edge) == edge:
                return part
        return None

    # --- opening and closing ------------------------------------------------------------------------------------

    async def open(self, make_on: Iterable[Shelf] | None) -> None:
        """Open what every usable disk has of the blob, and make parts on `make_on` (None: nowhere at all).
        Disks that fail are left out.

        Raises NoDisk when there is no part to be had at all, SourceChanged when a sealed one contradicts the record."""
        make = {shelf.disk.name for shelf in make_on or ()}
        wanted = [shelf for shelf in self.rack.usable() if shelf.disk.name not in self._by_disk]
        errors: list[StoreError | SourceChanged | None]
        if len(wanted) == 1:  # no task for the ordinary hit
            errors = [await self.join(wanted[0], make=wanted[0].disk.name in make)]
        else:
            errors = await asyncio.gather(*(self.join(shelf, make=shelf.disk.name in make) for shelf in wanted))
        for error in errors:
            if isinstance(error, SourceChanged):
                raise error
        if not self._by_disk and make_on is not None:
            errors += await self._make_anywhere()
        if not self._by_disk:
            reasons = "; ".join(str(error) for error in errors if error) or "no healthy disk has any of it"
            raise NoDisk(reasons)

    async def _make_anywhere(self) -> list[StoreError | SourceChanged | None]:
        """The homes have failed just now: make a part on the first in rank that takes one."""
        errors: list[StoreError | SourceChanged | None] = []
        for shelf in self.rack.ranked(self.record, 0):
            errors.append(await self.join(shelf, make=True))
            if self._by_disk:
                break
        return errors

    async def join(self, shelf: Shelf, *, make: bool) -> StoreError | SourceChanged | None:
        """Open the part on one shelf, made there if `make`; what failed, if it did."""
        try:
            part = await shelf.disk.take(lambda: shelf.open(self.record, make=make), give_back=close_part)
        except (StoreError, SourceChanged) as error:
            return error
        if part is not None:
            self._adopt(shelf, part)
        return None

    def _adopt(self, shelf: Shelf, part: Part) -> None:
        name = shelf.disk.name
        if name in self._by_disk:  # two tasks of this process were at it
            part.close()
            return
        self._by_disk[name] = part
        self._siblings = {known: its.map.siblings for known, its in self._by_disk.items()}
        if len(self._by_disk) > 1 and part.map.bytes_kept() == 0:
            self.hold()
            self.rack.tasks.start(self._announce(), "announce a part")
        self.step()

    async def _announce(self) -> None:
        """Readers in other workers learn of a new part from the ones they know: also on a disk that is out in our eyes,
        which it may not be in theirs."""
        news = secrets.token_bytes(8)
        for known in list(self._by_disk.values()):
            if known.writable:
                call = known.disk.submit(known.map.tell_siblings, news, even_out=True)
                await call.finished
                with suppress(StoreError):
                    await call.result
        self._siblings = {known: its.map.siblings for known, its in self._by_disk.items()}
        self.release()

    def look_for_siblings(self) -> None:
        """When another worker has made a part on one more disk: open it, in the background."""
        if all(part.map.siblings == self._siblings[name] for name, part in self._by_disk.items()):
            return
        self._siblings = {name: part.map.siblings for name, part in self._by_disk.items()}
        self.open_in_background(())

    def open_in_background(self, make_on: Iterable[Shelf]) -> None:
        """As `open`, unless that is under way."""
        if self._joining is None or self._joining.done():
            self.hold()
            self._joining = self.rack.tasks.start(self._open_more(list(make_on)), "open parts")

    async def _open_more(self, make_on: list[Shelf]) -> None:
        with suppress(NoDisk, SourceChanged):
            await self.open(make_on)
        self.step()
        self.release()

    def close_at_once(self) -> None:
        """Close the files here and now: that takes no time unless they were deleted."""
        for part in self._by_disk.values():
            part.close()
        self._by_disk.clear()

    async def close(self) -> None:
        """Close the files in a thread: the last one to close a file that was dropped waits until its blocks are
        free."""
        for part in self._by_disk.values():
            await part.disk.submit(part.close, even_out=True).finished
        self._by_disk.clear()
