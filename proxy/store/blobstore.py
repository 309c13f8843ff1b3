"""The door of the store: blobs over several disks, shared by the workers of one node.

Each worker opens the same folders; what they share they share by the kernel: mapped maps, range locks, SQLite.
A disk that fails is left out and tried again; the store is open as long as it is of any use.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from proxy.config.schema import Disk as DiskSpec
from proxy.config.schema import StoreSection
from proxy.core.blob import BlobKey, BlobRecord, Extent
from proxy.core.clock import Clock
from proxy.core.errors import NoDisk, StoreError
from proxy.core.sizes import CHUNK, SLICE
from proxy.core.tasks import TaskSet

from . import rangelock
from .blobfile import OpenBlob
from .disk import Disk, DiskState, Threads
from .fsck import Finding, compare_books, inspect_files
from .index import Promise
from .layout import Entry, name_byte
from .ledger import Full, Limits, excess
from .observer import NoObserver, StoreObserver
from .placement import Candidate, homes, rank
from .recovery import DiskAccount, DiskRefused, branches, close_account, open_account, rebuild_branch, reclaim
from .shelf import Evicted, Shelf, boot_time
from .syscalls import Syscalls
from .turnstile import Turnstile

T = TypeVar("T")
log = logging.getLogger(__name__)

HASH_THREADS: Final = 2
TICK: Final = 1.0
"""Seconds between rounds of upkeep."""
STOP_LIMIT: Final = 5.0
"""Seconds for a blob to be made durable and closed at the end; one on a disk that hangs is left to the kernel."""
RECLAIM_EVERY: Final = 10
"""Rounds between looks for workers that died."""
_SWEEPS: Final = 200
"""Rounds of eviction for one reservation."""
_ONCE_POLL: Final = (0.002, 0.05)
"""Shortest and longest pause between tries for a lock that another worker holds, seconds."""


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """A disk as reports show it; sizes in bytes. The figures of a disk that is out are zero."""

    name: str
    path: str
    state: DiskState
    reason: str
    limit: int
    stored: int
    reserved: int
    pinned: int
    objects: int
    free: int


def read_boot_id() -> bytes:
    """The 16 bytes that name the machine's current boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return uuid.UUID(file.read().strip()).bytes


class BlobStore:
    """See the head of the file. Make it with `open`."""

    def __init__(
        self,
        config: StoreSection,
        *,
        clock: Clock,
        node: str,
        worker: int,
        observer: StoreObserver,
        boot: bytes,
        syscalls: Callable[[str], Syscalls],
    ) -> None:
        self.observer = observer
        self.durable_every = config.durable_every
        self.tasks = TaskSet("store")
        self._config = config
        self._clock = clock
        self._node = node
        self._worker = worker
        self._boot = boot
        self._syscalls = syscalls
        self._disks: list[Disk] = []
        self._shelves: dict[str, DiskAccount] = {}
        self._blobs: dict[BlobKey, OpenBlob] = {}
        self._opening: Turnstile[BlobKey] = Turnstile()
        self._hits: set[Entry] = set()
        self._names: Turnstile[int] = Turnstile()
        self._hashers = Threads("hash", HASH_THREADS)
        self._closing = False

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
    ) -> AsyncIterator[Self]:
        """The store over `config.disks`, for worker number `worker` (unique on the node) of `node`.

        `boot` is this boot's id (the kernel's if None), `syscalls` gives the calls to use for a folder.
        Raises StoreError when no disk can be used, saying why of each."""
        store = cls(
            config,
            clock=clock,
            node=node,
            worker=worker,
            observer=observer or NoObserver(),
            boot=boot or read_boot_id(),
            syscalls=syscalls,
        )
        try:
            await store._start()
            yield store
        finally:
            await store._stop()

    # --- blobs --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def open_blob(self, record: BlobRecord) -> AsyncIterator[OpenBlob]:
        """The blob of `record`, made if it does not exist; for blobs of more than one chunk. Raises NoDisk.

        Readers of one process share it. Another generation under that key is dropped first."""
        blob = await self._opened(record)
        self._hits.add(Entry(record.key, small=False))
        try:
            yield blob
        finally:
            self.release(blob)

    async def _opened(self, record: BlobRecord) -> OpenBlob:
        """An open blob, held once for the caller."""
        blob = self._current(record)
        if blob is not None:
            self.hold(blob)
            return blob
        async with self._opening.one_at_a_time(record.key):
            blob = self._current(record)
            if blob is not None:
                self.hold(blob)
                return blob
            old = self._blobs.pop(record.key, None)
            if old is not None and not old.dropped:
                await old.drop("changed")
            return await self._open_anew(record)

    def _current(self, record: BlobRecord) -> OpenBlob | None:
        blob = self._blobs.get(record.key)
        if blob is None or blob.dropped:
            return None
        same = (blob.record.size, blob.record.validator) == (record.size, record.validator)
        return blob if same else None

    async def _open_anew(self, record: BlobRecord) -> OpenBlob:
        blob = OpenBlob(record, self)
        self.hold(blob)
        try:
            await blob.open_parts(self._homes(record))
        except BaseException:
            self.release(blob)
            raise
        self._blobs[record.key] = blob
        return blob

    def hold(self, blob: OpenBlob) -> None:
        """Keep `blob` open until `release`."""
        blob.users += 1

    def release(self, blob: OpenBlob) -> None:
        """Let go; the last one out closes it, in the background."""
        blob.users -= 1
        assert blob.users >= 0, "a blob is released as often as it is held"
        if blob.users or self._closing:
            return
        if self._blobs.get(blob.record.key) is blob:
            del self._blobs[blob.record.key]
        if not blob.close_at_once():
            self.tasks.start(blob.close(), f"close {blob.record.key}")

    @contextlib.asynccontextmanager
    async def open_small(self, key: BlobKey) -> AsyncIterator[Extent | None]:
        """The one-file blob of at most one chunk, or None when it is not here."""
        found = await self._find_small(key)
        if found is None:
            yield None
            return
        self._hits.add(Entry(key, small=True))
        try:
            yield found
        finally:
            os.close(found.fd)

    async def _find_small(self, key: BlobKey) -> Extent | None:
        for shelf in self._by_rank(self.usable(), key, 0):
            call = shelf.disk.submit(shelf.open_small, key)
            try:
                found = await asyncio.shield(call.result)
            except StoreError:
                continue
            except BaseException:
                self.tasks.start(_close_late(call.finished, call.result), "close a file nobody waits for")
                raise
            if found is not None:
                return Extent(found[0], 0, found[1], shelf.disk.name)
        return None

    async def put_small(self, key: BlobKey, content: bytes) -> bool:
        """Publish verified `content` (at most one chunk) under its sha256 key. False when no disk takes it."""
        if len(content) > CHUNK:
            raise ValueError(f"{len(content)} bytes are more than a small blob has")
        # As a task of ours: a caller who leaves must not leave a promise behind.
        return await asyncio.shield(self.tasks.start(self._put_small(key, content), f"put {key}"))

    async def _put_small(self, key: BlobKey, content: bytes) -> bool:
        for shelf in self._by_rank(self._writable(), key, 0):
            try:
                if await self._put_small_on(shelf, key, content):
                    return True
            except StoreError:
                continue
        return False

    async def _put_small_on(self, shelf: Shelf, key: BlobKey, content: bytes) -> bool:
        entry = Entry(key, small=True)
        promise = await self.reserve(shelf, Promise(0, shelf.worker, entry, 0, 0, 0, len(content)))
        if promise is None:
            return False
        try:
            await shelf.disk.run(shelf.put_small, key, content, promise)
        except StoreError:
            await self.settle(shelf, promise, lambda: 0)
            raise
        shelf.live.discard(promise)
        self.observer.written(shelf.disk.name, len(content))
        return True

    async def drop(self, key: BlobKey, reason: str) -> None:
        """Forget whatever is kept under `key`, on every disk, open or not."""
        blob = self._blobs.get(key)
        if blob is not None:
            await blob.drop(reason)
        for shelf in self.usable():
            with contextlib.suppress(StoreError):
                await shelf.disk.run(shelf.forget, key)

    async def pin(self, key: BlobKey) -> None:
        """Never evict `key`, whether it is here already or comes later."""
        await self._on_all(lambda shelf: shelf.index.pin(key, pinned=True))

    async def unpin(self, key: BlobKey) -> None:
        """Let `key` be evicted like any other."""
        await self._on_all(lambda shelf: shelf.index.pin(key, pinned=False))

    async def _on_all(self, verb: Callable[[DiskAccount], T]) -> list[T]:
        """`verb` on every usable disk; those that fail are left out."""
        calls = [shelf.disk.submit(verb, shelf).result for shelf in self._accounts()]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    # --- locks by name ------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def once(self, name: str) -> AsyncIterator[None]:
        """Hold the node-wide lock called `name`: one holder among all tasks and workers; it dies with its holder.

        Not for nesting under the same name. With no disk left it holds among the tasks of this process only."""
        byte = name_byte(name)
        async with self._names.one_at_a_time(byte):
            shelf = next(iter(self._accounts()), None)
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

    def _accounts(self) -> list[DiskAccount]:
        return [shelf for shelf in self._shelves.values() if shelf.disk.state is not DiskState.OUT]

    def usable(self) -> list[Shelf]:
        """Disks that are not out."""
        return list(self._accounts())

    def _writable(self) -> list[Shelf]:
        return [shelf for shelf in self._shelves.values() if shelf.disk.state is DiskState.OK]

    def ranked(self, record: BlobRecord, slice_index: int) -> list[Shelf]:
        """Disks that take fills, the home of the slice first."""
        return self._by_rank(self._writable(), record.key, slice_index)

    def _by_rank(self, shelves: Sequence[Shelf], key: BlobKey, slice_index: int) -> list[Shelf]:
        by_id = {self._shelves[shelf.disk.name].id: shelf for shelf in shelves}
        if len(by_id) < 2:
            return list(shelves)
        return [by_id[disk_id] for disk_id in rank(key, slice_index, self._candidates(shelves))]

    def _candidates(self, shelves: Sequence[Shelf]) -> list[Candidate]:
        return [Candidate(self._shelves[s.disk.name].id, max(1, s.limits.hard)) for s in shelves]

    def _homes(self, record: BlobRecord) -> list[Shelf]:
        shelves = self._writable()
        chosen = homes(record.key, -(-record.size // SLICE) or 1, self._candidates(shelves))
        return [shelf for shelf in shelves if self._shelves[shelf.disk.name].id in chosen]

    def disk_failed(self, disk_name: str, error: OSError) -> None:
        """Count an I/O error that a reader of an extent met against its disk."""
        for disk in self._disks:
            if disk.name == disk_name:
                disk.blame(error)

    async def reserve(self, shelf: Shelf, promise: Promise) -> int | None:
        """Book room, evicting if need be; the promise's id, or None when there is no room.

        Run it in a task that is not cancelled: the promise may be booked already. Raises StoreError."""
        for _ in range(_SWEEPS):
            answer = await shelf.disk.run(shelf.reserve, promise)
            if isinstance(answer, int):
                shelf.live.add(answer)
                return answer
            if isinstance(answer, Full):
                return None
            gone = await shelf.disk.run(shelf.evict, answer.size)
            if gone is None:
                return None
            self.note_evicted(shelf, gone, "room")
        return None

    async def settle(self, shelf: Shelf, promise: int, count: Callable[[], int]) -> None:
        """End a promise. When the disk fails at it, the next look for the dead gives it back."""
        shelf.live.discard(promise)
        with contextlib.suppress(StoreError):
            await shelf.disk.run(shelf.index.settle, promise, count)

    def shelf_of(self, disk: Disk) -> Shelf:
        """The shelf of a disk that has been opened, out or not."""
        return self._shelves[disk.name]

    def note_evicted(self, shelf: Shelf, evicted: Iterable[Evicted], reason: str) -> None:
        for one in evicted:
            self.observer.evicted(shelf.disk.name, one.size, one.age, reason)

    async def hash(self, update: Callable[[bytes], None], content: bytes) -> None:
        """Run `update(content)` in a hash thread."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def work() -> None:
            update(content)
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(_resolve, done)

        self._hashers.submit(work)
        await done

    @property
    def capacity(self) -> int:
        """Bytes that the usable disks together may hold."""
        return sum(shelf.limits.hard for shelf in self._accounts())

    async def snapshot(self) -> tuple[DiskStatus, ...]:
        """Every configured disk, usable or not."""
        return tuple([await self._status(disk) for disk in self._disks])

    async def fsck(self, *, full: bool) -> list[Finding]:
        """Books against files; `full` also reads every byte. Only while nothing fills. Raises DiskFailed."""
        findings: list[Finding] = []
        for shelf in self._accounts():
            # In a thread of its own: it may take long without being hung.
            findings += await asyncio.to_thread(_fsck, shelf, full)
        return findings

    async def _status(self, disk: Disk) -> DiskStatus:
        shelf = self._shelves.get(disk.name)
        if shelf is not None:
            with contextlib.suppress(StoreError):
                return await disk.run(_status_of, shelf)
        return DiskStatus(disk.name, disk.path, disk.state, disk.reason, 0, 0, 0, 0, 0, 0)

    # --- start and stop -----------------------------------------------------------------------------------------

    async def _start(self) -> None:
        await asyncio.to_thread(boot_time)
        for number, spec in enumerate(self._config.disks):
            path = str(spec.path)
            disk = Disk(
                f"disk{number}",
                path,
                threads=self._config.threads_per_disk,
                clock=self._clock,
                calls=self._syscalls(path),
            )
            disk.changed = self._disk_changed
            self._disks.append(disk)
        await asyncio.gather(*(self._open_disk(disk, spec) for disk, spec in self._specs()))
        if not self._accounts():
            raise NoDisk("no disk can be used: " + "; ".join(disk.reason for disk in self._disks))
        self.tasks.start(self._upkeep(), "upkeep")

    def _specs(self) -> list[tuple[Disk, DiskSpec]]:
        return list(zip(self._disks, self._config.disks, strict=True))

    async def _open_disk(self, disk: Disk, spec: DiskSpec) -> None:
        """Open the disk, or put it out with the reason."""
        try:
            shelf = await disk.submit(self._account, disk, spec, even_out=True).result
        except StoreError as error:
            disk.fail(str(error))
            return
        self._shelves[disk.name] = shelf
        if disk.state is not DiskState.OK:
            disk.recover()
        self.tasks.start(self._rebuild(shelf), f"rebuild {disk.name}")

    def _account(self, disk: Disk, spec: DiskSpec) -> DiskAccount:
        def limits(ours: int) -> Limits:
            hard = spec.size if spec.size is not None else int(ours * 0.9)
            return Limits(int(hard * self._config.soft_limit), hard, self._config.free_floor)

        return open_account(
            disk, node=self._node, worker=self._worker, boot=self._boot, clock=self._clock, limits=limits
        )

    async def _rebuild(self, shelf: DiskAccount) -> None:
        """Fill a fresh index from the files; one worker does it, the others find it done."""
        with contextlib.suppress(StoreError):
            if (await shelf.disk.run(shelf.index.totals)).rebuilt:
                return
            async with self.once(f"rebuild {shelf.id}"):
                if (await shelf.disk.run(shelf.index.totals)).rebuilt:
                    return
                for folder, branch in await shelf.disk.run(branches, shelf):
                    await shelf.disk.run(rebuild_branch, shelf, folder, branch)
                await shelf.disk.run(shelf.index.mark_rebuilt)

    def _disk_changed(self, disk: Disk) -> None:
        self.observer.disk_state(disk.name, disk.state, disk.reason)
        for blob in self._blobs.values():
            blob.step()

    async def _stop(self) -> None:
        self._closing = True
        await self.tasks.aclose()
        for blob in list(self._blobs.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_LIMIT):
                    await blob.close()
        with contextlib.suppress(StoreError):
            await self._flush_hits()
        for shelf in self._shelves.values():
            call = shelf.disk.submit(close_account, shelf, even_out=True)
            await asyncio.wait([call.finished], timeout=TICK)
        for disk in self._disks:
            disk.close()
        self._hashers.close()

    # --- upkeep -------------------------------------------------------------------------------------------------

    async def _upkeep(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(TICK)
            rounds += 1
            for disk in self._disks:
                disk.watch()
            await self._flush_hits()
            for shelf in self._accounts():
                await self._tend(shelf, look_for_dead=rounds % RECLAIM_EVERY == 0)
            for disk, spec in self._specs():
                if disk.probe_due:
                    await self._probe(disk, spec)

    async def _flush_hits(self) -> None:
        hits, self._hits = self._hits, set()
        if hits:
            await self._on_all(lambda shelf: shelf.index.touch(hits))

    async def _tend(self, shelf: DiskAccount, *, look_for_dead: bool) -> None:
        with contextlib.suppress(StoreError):
            if look_for_dead:
                await shelf.disk.run(reclaim, shelf)
            if shelf.disk.state is DiskState.OK:
                await self._trim(shelf)

    async def _trim(self, shelf: Shelf) -> None:
        """Down to the soft limit, sweep by sweep, while anything goes."""
        for _ in range(_SWEEPS):
            over = await shelf.disk.run(_over, shelf)
            gone = await shelf.disk.run(shelf.evict, over) if over else None
            if not gone:
                return
            self.note_evicted(shelf, gone, "trim")

    async def _probe(self, disk: Disk, spec: DiskSpec) -> None:
        shelf = self._shelves.get(disk.name)
        if shelf is None:
            await self._open_disk(disk, spec)
            return
        disk.keep_failed()
        try:
            await disk.submit(shelf.try_out, even_out=True).result
        except StoreError:
            return
        disk.recover()


def _status_of(shelf: DiskAccount) -> DiskStatus:
    disk, totals = shelf.disk, shelf.index.totals()
    return DiskStatus(
        name=disk.name,
        path=disk.path,
        state=disk.state,
        reason=disk.reason,
        limit=shelf.limits.hard,
        stored=totals.books.stored,
        reserved=totals.books.reserved,
        pinned=shelf.index.pinned_bytes(),
        objects=totals.objects,
        free=shelf.room().free,
    )


def _fsck(shelf: DiskAccount, full: bool) -> list[Finding]:
    inventory = inspect_files(shelf, full=full)
    return inventory.findings + compare_books(shelf, inventory)


def _over(shelf: Shelf) -> int:
    """Bytes above the soft limit, or below the floor."""
    return excess(shelf.index.totals().books, shelf.limits, shelf.room())


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def _close_late(finished: asyncio.Future[None], result: asyncio.Future[tuple[int, int] | None]) -> None:
    """The opener was cancelled: close what its thread has opened all the same."""
    await finished
    if not result.cancelled() and result.exception() is None and (found := result.result()) is not None:
        os.close(found[0])


__all__ = ["BlobStore", "DiskRefused", "DiskState", "DiskStatus", "Finding", "StoreObserver"]
