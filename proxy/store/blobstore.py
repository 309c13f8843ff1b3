"""The door of the store: blobs over several disks, shared by the workers of one node.

Each worker opens the same folders; what they share they share by the kernel: mapped maps, range locks, SQLite.
A disk that fails is left out and tried again; the store is open as long as it is of any use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

from proxy.config.schema import StoreSection
from proxy.core.blob import BlobKey, BlobRecord, Extent
from proxy.core.changes import Changes
from proxy.core.clock import Clock
from proxy.core.errors import StoreError
from proxy.core.hashing import HashThreads
from proxy.core.tasks import TaskSet

from . import rangelock
from .blobfile import OpenBlob
from .disk import DiskState
from .fsck import Finding
from .inventory import Inventory
from .layout import Entry, name_byte
from .observer import NoObserver, StoreObserver
from .owned import Owns
from .rack import DiskStatus, Rack, Tenant, read_boot_id
from .recovery import DiskRefused
from .scrubber import Scrubber
from .shelf import Shelf, proven_otherwise
from .small import SmallBlobs
from .syscalls import Syscalls
from .turnstile import Turnstile
from .upkeep import Upkeep

_CLOSE_LIMIT: Final = 5.0
"""Seconds for a blob to be made durable and closed at the end; one on a disk that hangs is left to the kernel."""
_ONCE_POLL: Final = (0.002, 0.05)
"""Shortest and longest pause between tries for a lock that another worker holds, seconds."""


class BlobStore:
    """See the head of the file. Make it with `open`."""

    def __init__(self, rack: Rack, changes: Changes) -> None:
        self._changes = changes
        self.tasks = rack.tasks
        self.rack = rack
        self.blobs: dict[BlobKey, OpenBlob] = {}
        """Those that are open just now."""
        self._opening: Turnstile[BlobKey] = Turnstile()
        self._names: Turnstile[int] = Turnstile()
        self._upkeep = Upkeep(rack, self.once)
        self._small = SmallBlobs(rack, self._upkeep.hit)
        self.inventory = Inventory(rack, rack.clock)
        self.scrubber = Scrubber(rack)
        self._hashers = HashThreads()
        self._closing = False
        self._being_closed: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        config: StoreSection,
        *,
        clock: Clock,
        node: str,
        worker: int,
        observer: StoreObserver | None = None,
        boot: bytes | None = None,
        syscalls: Callable[[str], Syscalls] = lambda _path: Syscalls(),
        changes: Changes | None = None,
    ) -> AsyncIterator[Self]:
        """The store over `config.disks`, for worker number `worker` (unique on the node) of `node`.

        `boot` is this boot's id (the kernel's if None), `syscalls` gives the calls to use for a folder, `changes`
        counts the blobs that are dropped by their key.
        Raises StoreError when no disk can be used, saying why of each."""
        rack = Rack(
            config,
            Tenant(node, worker, boot or read_boot_id()),
            clock=clock,
            observer=observer or NoObserver(),
            tasks=TaskSet("store"),
            syscalls=syscalls,
        )
        store = cls(rack, changes or Changes())
        try:
            await store._start()
            yield store
        finally:
            await store._stop()

    async def _start(self) -> None:
        self.rack.changed = self._step_all
        self._upkeep.watch()
        await self.rack.start()
        self._upkeep.start()

    def _step_all(self) -> None:
        for blob in self.blobs.values():
            blob.step()

    async def _stop(self) -> None:
        self._closing = True
        if self._being_closed:  # not cancelled with the rest: what they wrote is not durable yet
            await asyncio.wait(self._being_closed, timeout=_CLOSE_LIMIT)
        await self.tasks.aclose()
        for blob in list(self.blobs.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_LIMIT):
                    await blob.close()
        with contextlib.suppress(StoreError):
            await self._upkeep.flush_hits()
        await self.rack.stop()
        self._hashers.close()

    # --- blobs --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def open_blob(self, record: BlobRecord) -> AsyncIterator[OpenBlob]:
        """The blob of `record`, made if it does not exist; for blobs of more than one chunk. Raises NoDisk.

        Readers of one process share it. Another generation under that key is dropped first; but what was found
        right is proven, and a record that contradicts it is not believed: SourceChanged."""
        blob = await self._opened(record)
        self._upkeep.hit(Entry(record.key, small=False))
        try:
            yield blob
        finally:
            blob.release()

    @contextlib.asynccontextmanager
    async def open_kept(self, record: BlobRecord) -> AsyncIterator[OpenBlob]:
        """The blob of `record` if something of it is here; makes nothing, and counts as no use of it. Raises NoDisk."""
        blob = await self._opened(record, make=False)
        try:
            yield blob
        finally:
            blob.release()

    def lend(self, record: BlobRecord) -> OpenBlob | None:
        """The blob of `record` if it is open just now, held once for the caller; opens nothing, and is no use of it."""
        blob = self._current(record)
        if blob is not None:
            blob.hold()
        return blob

    async def _opened(self, record: BlobRecord, *, make: bool = True) -> OpenBlob:
        """An open blob, held once for the caller."""
        blob = self._current(record)
        if blob is not None:
            blob.hold()
            return blob
        async with self._opening.one_at_a_time(record.key):
            blob = self._current(record)
            if blob is not None:
                blob.hold()
                return blob
            old = self.blobs.get(record.key)
            if old is not None and not old.dropped and old.record.contradicts(record) and old.is_right:
                raise proven_otherwise(old.record)
            self.blobs.pop(record.key, None)
            if old is not None and not old.dropped:
                await old.drop("changed")
            return await self._open_anew(record, make=make)

    def _current(self, record: BlobRecord) -> OpenBlob | None:
        blob = self.blobs.get(record.key)
        if blob is None or blob.dropped:
            return None
        same = (blob.record.size, blob.record.validator) == (record.size, record.validator)
        return blob if same else None

    async def _open_anew(self, record: BlobRecord, *, make: bool) -> OpenBlob:
        blob = OpenBlob(record, self.rack, self._hashers, self._idle)
        blob.hold()
        try:
            await blob.open(self.rack.homes(record) if make else None)
        except BaseException:
            blob.release()
            raise
        self.blobs[record.key] = blob
        return blob

    def _idle(self, blob: OpenBlob) -> None:
        """The last user has left: close it, in the background."""
        if self._closing:
            return
        if self.blobs.get(blob.record.key) is blob:
            del self.blobs[blob.record.key]
        if not blob.close_at_once():
            closing = self.tasks.start(blob.close(), f"close {blob.record.key}")
            self._being_closed.add(closing)
            closing.add_done_callback(self._being_closed.discard)

    def open_small(self, key: BlobKey) -> contextlib.AbstractAsyncContextManager[Extent | None]:
        """The one-file blob of at most one chunk, or None when it is not here."""
        return self._small.open(key)

    async def put_small(self, key: BlobKey, content: bytes) -> bool:
        """Publish verified `content` (at most one chunk) under its sha256 key. False when no disk takes it."""
        return await self._small.put(key, content)

    async def drop(self, key: BlobKey, reason: str) -> None:
        """Forget whatever is kept under `key`, on every disk, open or not."""
        blob = self.blobs.get(key)
        if blob is not None:
            await blob.drop(reason)
        await self.rack.on_all(lambda shelf: shelf.forget(key))
        self._changes.happened()

    async def found_wrong(self, key: BlobKey, found_by: str) -> None:
        """Bytes kept under `key` were found wrong: count it, and forget them."""
        self.rack.observer.corrupted("any", found_by)
        await self.drop(key, "corrupt")

    async def holds(self, key: BlobKey) -> bool:
        """Whether any usable disk keeps something of it; opens and makes nothing."""
        return key in self.blobs or any(await self.rack.on_all(lambda shelf: shelf.holds(key)))

    def keep_longer(self, owns: Owns) -> None:
        """What this node is to fetch for others too is not evicted with the newcomers. `owns` is asked of slices, by
        any thread, and answers at once."""
        self.rack.keep_longer(owns)

    async def pin(self, key: BlobKey) -> None:
        """Never evict `key`, whether it is here already or comes later."""
        await self.rack.on_all(lambda shelf: shelf.index.pin(key, pinned=True))

    async def unpin(self, key: BlobKey) -> None:
        """Let `key` be evicted like any other."""
        await self.rack.on_all(lambda shelf: shelf.index.pin(key, pinned=False))

    # --- locks by name ------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def once(self, name: str) -> AsyncIterator[None]:
        """Hold the node-wide lock called `name`: one holder among all tasks and workers; it dies with its holder.

        Not for nesting under the same name. With no disk left it holds among the tasks of this process only."""
        byte = name_byte(name)
        async with self._names.one_at_a_time(byte):
            shelf = next(iter(self.rack.usable()), None)
            pause, longest = _ONCE_POLL
            while shelf is not None and not rangelock.try_lock(shelf.lock_fd, byte):
                await asyncio.sleep(pause)
                pause = min(longest, pause * 1.5)
            try:
                yield
            finally:
                if shelf is not None and not self._closing:
                    rangelock.unlock(shelf.lock_fd, byte)

    # --- disks --------------------------------------------------------------------------------------------------

    def disk_failed(self, disk_name: str, error: OSError) -> None:
        """Count an I/O error that a reader of an extent met against its disk."""
        self.rack.blame(disk_name, error)

    def ranked(self, record: BlobRecord, slice_index: int) -> list[Shelf]:
        """Disks that take fills, the home of the slice first."""
        return self.rack.ranked(record, slice_index)

    @property
    def capacity(self) -> int:
        """Bytes that the usable disks together may hold."""
        return self.rack.capacity

    async def snapshot(self) -> tuple[DiskStatus, ...]:
        """Every configured disk, usable or not."""
        return await self.rack.snapshot()

    async def fsck(self, *, full: bool) -> list[Finding]:
        """Books against files; `full` also reads every byte. Only while nothing fills. Raises OSError."""
        return await self.rack.fsck(full=full)


__all__ = ["BlobStore", "DiskRefused", "DiskState", "DiskStatus", "Finding", "StoreObserver"]
