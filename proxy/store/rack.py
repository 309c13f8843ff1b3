"""The disks of a store as a set: opened, ranked, booked, watched, reported.

A disk that fails leaves the ranking and is tried again (`upkeep`); the set is of use as long as one disk is.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from proxy.config.schema import Disk as DiskSpec
from proxy.config.schema import StoreSection
from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import NoDisk, StoreError
from proxy.core.rendezvous import Candidate
from proxy.core.sizes import SLICE
from proxy.core.tasks import TaskSet

from .disk import Disk, DiskState
from .fsck import Finding, compare_books, inspect_files
from .index import Promise
from .ledger import Full, Limits, takes
from .observer import StoreObserver
from .owned import Owns
from .placement import homes, rank
from .recovery import DiskAccount, close_account, open_account
from .shelf import Evicted, Shelf, boot_time
from .syscalls import Syscalls

T = TypeVar("T")

SWEEPS: Final = 200
"""Rounds of eviction in one trim, and rounds for one reservation in which nothing went."""
_NO_ROOM: Final = "it takes nothing new: others fill its file system, or all it holds is pinned"
_CLOSE_LIMIT: Final = 1.0
"""Seconds for a disk's books to be closed at the end."""


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
    calls: int
    """Handed to the disk's threads and not done; the look itself is not counted."""
    takes: bool
    """Whether new bytes are kept here."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who uses the disks: this worker of this node, in this boot of the machine."""

    node: str
    worker: int
    boot: bytes


def read_boot_id() -> bytes:
    """The 16 bytes that name the machine's current boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return uuid.UUID(file.read().strip()).bytes


class Rack:
    """See the head of the file. `tasks` are the store's; `observer` hears of disks that leave and come back."""

    def __init__(
        self,
        config: StoreSection,
        tenant: Tenant,
        *,
        clock: Clock,
        observer: StoreObserver,
        tasks: TaskSet,
        syscalls: Callable[[str], Syscalls],
    ) -> None:
        self.observer = observer
        self.tasks = tasks
        self.durable_every = config.durable_every
        self.changed: Callable[[], None] = lambda: None
        """Called when a disk has left or come back."""
        self._config = config
        self._tenant = tenant
        self.clock = clock
        self._syscalls = syscalls
        self._owns: Owns | None = None
        self._disks: list[Disk] = []
        self._shelves: dict[str, DiskAccount] = {}
        self._last: dict[str, DiskStatus] = {}

    # --- start and stop -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open every disk that can be opened. Raises NoDisk, saying why of each, when none can."""
        await asyncio.to_thread(boot_time)
        for number, spec in enumerate(self._config.disks):
            self._disks.append(self._new_disk(f"disk{number}", str(spec.path)))
        await asyncio.gather(*(self.open_disk(disk) for disk in self._disks))
        if not self.accounts():
            raise NoDisk("no disk can be used: " + "; ".join(disk.reason for disk in self._disks))

    def _new_disk(self, name: str, path: str) -> Disk:
        threads = self._config.threads_per_disk
        disk = Disk(name, path, threads=threads, clock=self.clock, calls=self._syscalls(path))
        disk.changed = self._disk_changed
        return disk

    def _disk_changed(self, disk: Disk) -> None:
        self.observer.disk_state(disk.name, disk.state, disk.reason)
        self.changed()

    async def open_disk(self, disk: Disk) -> DiskAccount | None:
        """Open the disk, or put it out with the reason."""
        try:
            # One that hangs and opens after all is closed again: it would hold the worker's own place against it.
            shelf = await disk.take(self._account, disk, self._spec(disk), give_back=close_account, even_out=True)
        except StoreError as error:
            disk.fail(str(error))
            return None
        shelf.owns = self._owns
        self._shelves[disk.name] = shelf
        if disk.state is not DiskState.OK:
            disk.recover()
        return shelf

    def _spec(self, disk: Disk) -> DiskSpec:
        return self._config.disks[self._disks.index(disk)]

    def _account(self, disk: Disk, spec: DiskSpec) -> DiskAccount:
        def limits(ours: int) -> Limits:
            hard = spec.size if spec.size is not None else int(ours * 0.9)
            return Limits(int(hard * self._config.soft_limit), hard, self._config.free_floor)

        tenant = self._tenant
        return open_account(
            disk, node=tenant.node, worker=tenant.worker, boot=tenant.boot, clock=self.clock, limits=limits
        )

    def keep_longer(self, owns: Owns) -> None:
        """What is owned is not evicted with the newcomers."""
        self._owns = owns
        for shelf in self._shelves.values():
            shelf.owns = owns

    async def stop(self) -> None:
        """Close the books. What hangs is left to the kernel."""
        for shelf in self._shelves.values():
            call = shelf.disk.submit(close_account, shelf, even_out=True)
            await asyncio.wait([call.finished], timeout=_CLOSE_LIMIT)
        for disk in self._disks:
            disk.close()

    # --- which disks --------------------------------------------------------------------------------------------

    @property
    def disks(self) -> Sequence[Disk]:
        """Every configured disk, opened or not."""
        return self._disks

    def account_of(self, disk: Disk) -> DiskAccount | None:
        """The account of a disk, out or not; None when it was never opened."""
        return self._shelves.get(disk.name)

    def shelf_of(self, disk: Disk) -> Shelf:
        """The shelf of a disk that has been opened, out or not."""
        return self._shelves[disk.name]

    def accounts(self) -> list[DiskAccount]:
        """As `usable`, with id and tenancy."""
        return [shelf for shelf in self._shelves.values() if shelf.disk.state is not DiskState.OUT]

    def usable(self) -> list[Shelf]:
        """Disks that are not out."""
        return list(self.accounts())

    def writable(self) -> list[Shelf]:
        """Disks that take fills."""
        return [shelf for shelf in self._shelves.values() if shelf.disk.state is DiskState.OK]

    def ranked(self, record: BlobRecord, slice_index: int) -> list[Shelf]:
        """Disks that take fills, the home of the slice first."""
        return self.by_rank(self.writable(), record.key, slice_index)

    def by_rank(self, shelves: Sequence[Shelf], key: BlobKey, slice_index: int) -> list[Shelf]:
        """`shelves`, the home of the slice first."""
        by_id = {self._shelves[shelf.disk.name].id: shelf for shelf in shelves}
        if len(by_id) < 2:
            return list(shelves)
        return [by_id[disk_id] for disk_id in rank(key, slice_index, self._candidates(shelves))]

    def homes(self, record: BlobRecord) -> list[Shelf]:
        """Disks that are the home of one of the blob's slices."""
        shelves = self.writable()
        chosen = homes(record.key, -(-record.size // SLICE) or 1, self._candidates(shelves))
        return [shelf for shelf in shelves if self._shelves[shelf.disk.name].id in chosen]

    def _candidates(self, shelves: Sequence[Shelf]) -> list[Candidate]:
        return [Candidate(self._shelves[s.disk.name].id, self._shelves[s.disk.name].weight) for s in shelves]

    async def on_all(self, verb: Callable[[DiskAccount], T]) -> list[T]:
        """`verb` on every usable disk; those that fail at it are left out. What else goes wrong is an error of the
        program, raised when all are done."""
        calls = [shelf.disk.submit(verb, shelf).result for shelf in self.accounts()]
        done: list[T] = []
        mistakes: list[BaseException] = []
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                done.append(outcome)
            elif not isinstance(outcome, StoreError):
                mistakes.append(outcome)
        if mistakes:
            raise mistakes[0]
        return done

    def blame(self, disk_name: str, error: OSError) -> None:
        """Count an I/O error that a reader of an extent met against its disk."""
        for disk in self._disks:
            if disk.name == disk_name:
                disk.blame(error)

    # --- room ---------------------------------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """Bytes that the usable disks together may hold."""
        return sum(shelf.limits.hard for shelf in self.accounts())

    async def reserve(self, shelf: Shelf, promise: Promise) -> int | None:
        """Book room, evicting if need be; the promise's id, or None when there is no room.

        Run it in a task that is not cancelled: the promise may be booked already. Raises StoreError."""
        idle = 0
        while idle < SWEEPS:
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
            idle = 0 if gone else idle + 1
        return None

    async def settle(self, shelf: Shelf, promise: int, count: Callable[[], int]) -> None:
        """End a promise. When the disk fails at it, the next look for the dead gives it back."""
        shelf.live.discard(promise)
        with contextlib.suppress(StoreError):
            await shelf.disk.run(shelf.index.settle, promise, count)

    def note_evicted(self, shelf: Shelf, evicted: Iterable[Evicted], reason: str) -> None:
        """Tell the observer."""
        for one in evicted:
            self.observer.evicted(shelf.disk.name, one.size, one.age, reason)

    # --- reports ------------------------------------------------------------------------------------------------

    async def snapshot(self) -> tuple[DiskStatus, ...]:
        """Every configured disk, usable or not."""
        return tuple([await self._status(disk) for disk in self._disks])

    async def _status(self, disk: Disk) -> DiskStatus:
        shelf = self._shelves.get(disk.name)
        if shelf is not None:
            with contextlib.suppress(StoreError):
                self._last[disk.name] = await disk.run(_status_of, shelf)
                return self._last[disk.name]
        nothing = DiskStatus(
            disk.name, disk.path, disk.state, disk.reason, 0, 0, 0, 0, 0, 0, disk.calls_under_way, takes=False
        )
        if disk.state is not DiskState.READ_ONLY:
            return nothing
        # It serves what it has, though its index cannot be asked: what was last known of it is so still.
        return replace(self._last.get(disk.name, nothing), state=disk.state, reason=disk.reason, takes=False)

    async def fsck(self, *, full: bool) -> list[Finding]:
        """Books against files; `full` also reads every byte. Only while nothing fills. Raises OSError."""
        findings: list[Finding] = []
        for shelf in self.accounts():
            # In a thread of its own: it may take long without being hung.
            findings += await asyncio.to_thread(_fsck, shelf, full)
        return findings


def _status_of(shelf: DiskAccount) -> DiskStatus:
    disk, totals, pinned, room = shelf.disk, shelf.index.totals(), shelf.index.pinned_bytes(), shelf.room()
    has_room = takes(totals.books, shelf.limits, room, pinned)
    return DiskStatus(
        name=disk.name,
        path=disk.path,
        state=disk.state,
        reason=disk.reason or ("" if has_room else _NO_ROOM),
        limit=shelf.limits.hard,
        stored=totals.books.stored,
        reserved=totals.books.reserved,
        pinned=pinned,
        objects=totals.objects,
        free=room.free,
        calls=max(0, disk.calls_under_way - 1),
        takes=has_room and disk.state is DiskState.OK,
    )


def _fsck(shelf: DiskAccount, full: bool) -> list[Finding]:
    inventory = inspect_files(shelf, full=full)
    return inventory.findings + compare_books(shelf, inventory)
