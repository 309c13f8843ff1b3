"""Taking a disk for this node, and cleaning up after workers that died. Blocks: runs in the disk's threads.

Nothing here walks the blobs before the disk serves: what dead workers left half-done is found by its name (in `tmp`,
in `trash`, among the promises of the index). What walks everything comes later, while the disk serves, and only in
another boot or when the index was lost.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from proxy.core.clock import Clock
from proxy.core.errors import StoreError

from . import rangelock
from .disk import Disk
from .index import Index, Promise
from .index_file import IndexDamaged
from .layout import FORMAT, Entry, Layout, entry_of_place, entry_of_trash, worker_of
from .ledger import Limits
from .shelf import Shelf
from .syscalls import Syscalls, delete_tree, make_folder, read_all, write_all


class DiskRefused(StoreError):
    """The folder is not ours to use; the message says which, why, and what to do."""


class Tenancy:
    """This worker's hold on a disk: the node's shared lock, the worker's own byte. The kernel ends it on kill -9."""

    def __init__(self, layout: Layout, node: str, worker: int) -> None:
        self._layout = layout
        self._node = node
        self._worker = worker
        self._owner_fd = -1
        self.workers_fd = -1

    def take(self) -> None:
        """Raises DiskRefused when another node, or another worker of this number, has the disk; OSError. `end` it then,
        too."""
        self._owner_fd = os.open(self._layout.owner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._take_for_node()
        self.workers_fd = os.open(self._layout.workers, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not rangelock.try_lock(self.workers_fd, self._worker):
            raise DiskRefused(f"{self._layout.root}: worker {self._worker} of this node runs already")

    def _take_for_node(self) -> None:
        # Whoever finds the disk unused writes its name under the exclusive lock, and keeps a shared one:
        #   1. A locks alone, writes "a", shares   2. B cannot lock alone, waits to share, reads "a"
        # If A leaves between B's two steps, B reads a name nobody holds any more: it tries again.
        for _ in range(100):
            if rangelock.try_lock(self._owner_fd, 0):
                os.ftruncate(self._owner_fd, 0)
                os.pwrite(self._owner_fd, self._node.encode(), 0)
                rangelock.lock(self._owner_fd, 0, shared=True)
                return
            rangelock.lock(self._owner_fd, 0, shared=True)
            other = os.pread(self._owner_fd, 1024, 0).decode(errors="replace")
            if other == self._node:
                return
            rangelock.unlock(self._owner_fd, 0)
        raise DiskRefused(f"{self._layout.root} is in use by another node ({other}); give each node its own folder")

    def is_alive(self, worker: int) -> bool:
        """Whether that worker has the disk open just now."""
        return worker == self._worker or rangelock.held_by_another(self.workers_fd, worker)

    def end(self) -> None:
        for fd in (self._owner_fd, self.workers_fd):
            if fd >= 0:
                os.close(fd)
        self._owner_fd = self.workers_fd = -1


class DiskAccount(Shelf):
    """A shelf with its tenancy and its id."""

    id: str
    weight: int
    """Its share in the placement. Not the hard limit, which without a configured size is another at every start."""
    tenancy: Tenancy
    suspects: set[int]


def identify(calls: Syscalls, layout: Layout) -> str:
    """The disk's own id, given to it when it is first used. Raises DiskRefused for another format, OSError."""
    try:
        return _read_identity(calls, layout)
    except FileNotFoundError:
        pass
    temporary = f"{layout.root}/.disk.json-{secrets.token_hex(8)}"
    fd = calls.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        write_all(calls, fd, [orjson.dumps({"format": FORMAT, "id": secrets.token_hex(16)})], 0)
        calls.fdatasync(fd)
        with contextlib.suppress(FileExistsError):  # another worker was first: its id counts
            os.link(temporary, layout.identity)
    finally:
        os.close(fd)
        calls.unlink(temporary)
    return _read_identity(calls, layout)


def refusal_of(root: Path) -> str | None:
    """Why what is at `root` cannot be a disk of this program; None when it can, or there is nothing yet. Looks only.
    Raises OSError."""
    try:
        _read_identity(Syscalls(), Layout(str(root)))
    except FileNotFoundError:
        return None
    except DiskRefused as refused:
        return str(refused)
    return None


def _read_identity(calls: Syscalls, layout: Layout) -> str:
    fd = calls.open(layout.identity, os.O_RDONLY)
    try:
        text = read_all(calls, fd, 4096, 0)
    finally:
        os.close(fd)
    try:
        found = orjson.loads(text)
        version, disk_id = found["format"], str(found["id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise DiskRefused(f"{layout.identity} is not a disk of ours; remove the folder or choose another") from None
    if version != FORMAT:
        raise DiskRefused(f"{layout.root} has format {version}, this program reads {FORMAT}; choose an empty folder")
    return disk_id


def open_account(
    disk: Disk, *, node: str, worker: int, boot: bytes, clock: Clock, limits: Callable[[int], Limits]
) -> DiskAccount:
    """Take the disk, clean up after the dead, and give back its shelf.

    `limits` makes the limits of the bytes that may be ours (stored and free). Raises DiskRefused, OSError."""
    layout = Layout(disk.path)
    os.makedirs(layout.root, exist_ok=True)
    disk_id = identify(disk.calls, layout)
    for folder in layout.folders:
        make_folder(disk.calls, folder)
    # What is taken is given back when the rest fails: the disk is tried again and again, by this very worker.
    with contextlib.ExitStack() as taken:
        tenancy = Tenancy(layout, node, worker)
        taken.callback(tenancy.end)
        tenancy.take()
        lock_fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        taken.callback(os.close, lock_fd)
        index = _open_index(disk.calls, layout, tenancy, lock_fd)
        taken.callback(index.close)
        shelf = DiskAccount(disk, layout, index, worker=worker, boot=boot, clock=clock, lock_fd=lock_fd)
        shelf.id, shelf.tenancy, shelf.suspects = disk_id, tenancy, set()
        shelf.limits_of = limits
        index.enter_boot(boot)
        reclaim(shelf, own=True)
        shelf.review_limits(shelf.room())
        found = disk.calls.statvfs(layout.root)
        shelf.weight = max(1, limits(found.f_blocks * found.f_frsize).hard)
        taken.pop_all()
        return shelf


def close_account(shelf: DiskAccount) -> None:
    shelf.index.close()
    shelf.tenancy.end()
    os.close(shelf.lock_fd)


_INDEX_BYTE = 1 << 62
"""Of the lock file: held while an index is opened, or a damaged one put aside."""
_INDEX_IN_USE = _INDEX_BYTE + 1
"""Of the lock file: shared by all who have the index open. Who can have it alone may put the index aside."""


def _open_index(calls: Syscalls, layout: Layout, tenancy: Tenancy, lock_fd: int) -> Index:
    index = Index(layout.index, lambda: calls.poke(tenancy.workers_fd, b"\0", 0))
    rangelock.lock(lock_fd, _INDEX_BYTE)
    try:
        alone = rangelock.try_lock(lock_fd, _INDEX_IN_USE)
        try:
            index.open()
            if alone:
                index.check()
        except IndexDamaged:
            if not alone:
                raise
            index.close()
            for suffix in ("", "-wal", "-shm"):
                delete_tree(calls, layout.index + suffix)
            index.open()
        rangelock.lock(lock_fd, _INDEX_IN_USE, shared=True)
    except BaseException:
        index.close()
        raise
    finally:
        rangelock.unlock(lock_fd, _INDEX_BYTE)
    return index


def reclaim(shelf: DiskAccount, *, own: bool = False) -> None:
    """Clean up after workers that died; `own`: this worker has just started, so what bears its number is a dead one's.

    Idempotent; killed midway, the next worker goes on."""
    alive = shelf.tenancy.is_alive
    mine = shelf.worker if own else None
    for folder in ("tmp", "trash"):
        for name in shelf.calls.listdir(f"{shelf.layout.root}/{folder}"):
            worker = worker_of(name)
            if worker is None or worker == mine or not alive(worker):
                _clear(shelf, folder, name)
    promises = shelf.index.promises()
    forgotten = set() if own else _forgotten(shelf, promises)
    for promise in promises:
        if promise.worker == mine or promise.id in forgotten or not alive(promise.worker):
            _give_back(shelf, promise)


def _forgotten(shelf: DiskAccount, promises: list[Promise]) -> set[int]:
    """Promises of this very worker that nobody will settle: a call that hung was given up, and booked room later.

    Those must have been unknown at the last look, too: at the first, the answer may still be on its way."""
    unknown = {promise.id for promise in promises if promise.worker == shelf.worker} - shelf.live
    forgotten = unknown & shelf.suspects
    shelf.suspects = unknown - forgotten
    return forgotten


def _clear(shelf: DiskAccount, folder: str, name: str) -> None:
    entry = entry_of_trash(name) if folder == "trash" else None
    if entry is not None:
        shelf.settle_entry(entry)
    delete_tree(shelf.calls, f"{shelf.layout.root}/{folder}/{name}")


def _give_back(shelf: DiskAccount, promise: Promise) -> None:
    """The dead worker's promise ends, and what it wrote under it is counted."""
    shelf.index.settle(promise.id, lambda: 0)
    shelf.settle_entry(promise.entry)


def branches(shelf: DiskAccount) -> list[tuple[str, str]]:
    """The folders that hold what is published: (`blobs` or `small`, two hexadecimal digits)."""
    root = shelf.layout.root
    return [(folder, name) for folder in ("blobs", "small") for name in sorted(shelf.calls.listdir(f"{root}/{folder}"))]


def published(shelf: DiskAccount, folder: str, branch: str) -> list[Entry]:
    """What is published in one branch; reads the folder only."""
    try:
        names = shelf.calls.listdir(f"{shelf.layout.root}/{folder}/{branch}")
    except NotADirectoryError:
        return []
    return [entry for name in names if (entry := entry_of_place(folder, name)) is not None]


_STRETCH: Final = 128
"""Entries looked at in one call, so that on a cold disk it is not taken for a hung one."""


def stretches(shelf: DiskAccount, folder: str, branch: str) -> list[list[Entry]]:
    """What is published in one branch, a few at a time."""
    entries = published(shelf, folder, branch)
    return [entries[first : first + _STRETCH] for first in range(0, len(entries), _STRETCH)]


def count_anew(shelf: DiskAccount, entries: list[Entry]) -> None:
    """Make the books of `entries` say what is on the disk."""
    for entry in entries:
        shelf.settle_entry(entry)


def strike_phantoms(shelf: DiskAccount, after: Entry | None) -> Entry | None:
    """Strike out what is booked and not there, among the next few entries; the last of them, None at the end."""
    batch = [entry for entry, _ in shelf.index.entries(after, _STRETCH)]
    for entry in batch:
        try:
            shelf.calls.stat(shelf.layout.place(entry))
        except FileNotFoundError:
            shelf.settle_entry(entry)
    return batch[-1] if batch else None
