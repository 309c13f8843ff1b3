"""A disk that is taken away for a while: what it holds stays in its books, whatever is looked for meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.core.blob import BlobRecord
from proxy.core.clock import ManualClock
from proxy.core.errors import NoDisk, StoreError
from proxy.store.blobstore import BlobStore, DiskState
from proxy.store.disk import PROBE_AFTER
from proxy.store.index import Promise
from proxy.store.layout import Entry
from proxy.store.recovery import DiskAccount, count_anew, strike_phantoms
from proxy.store.syscalls import Syscalls
from tests.store.faulty import FaultySyscalls
from tests.store.stores import AT_REST, THREE_CHUNKS, content_of, fill, open_store, record_of, section, until

CONTENT, SMALL = content_of(THREE_CHUNKS), content_of(500)
RECORD = record_of(CONTENT)
ENTRIES = [Entry(RECORD.key, small=False), Entry(record_of(SMALL).key, small=True)]
BOOKS = dict(zip(ENTRIES, (THREE_CHUNKS, 500), strict=True))

Act = Callable[[BlobStore, DiskAccount], Awaitable[None]]


async def keep_both(store: BlobStore) -> DiskAccount:
    """The shelf that holds a large and a small blob, at rest."""
    async with store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
    assert await store.put_small(ENTRIES[1].key, SMALL)
    await until(lambda: not store.blobs and len(store.tasks) == AT_REST)
    (shelf,) = store.rack.accounts()
    assert shelf.index.booked_of(ENTRIES) == BOOKS
    return shelf


async def assert_all_booked(disk: Path) -> None:
    """As whoever opens the disk next finds it."""
    async with open_store(section(disk)) as store:
        assert await store.fsck(full=True) == []
        assert store.rack.accounts()[0].index.booked_of(ENTRIES) == BOOKS


class Taken:
    """The folder `disk`, taken away; an empty one is at its place, as after unmounting."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._away = disk, disk.with_name("away")
        disk.rename(self._away)
        disk.mkdir()

    def put_back(self) -> None:
        self._disk.rename(self._disk.with_name("stand-in"))
        self._away.rename(self._disk)


async def evict(_store: BlobStore, shelf: DiskAccount) -> None:
    with contextlib.suppress(StoreError):
        await shelf.disk.run(shelf.evict, 1 << 40)


async def drop(store: BlobStore, _shelf: DiskAccount) -> None:
    for entry in ENTRIES:
        await store.drop(entry.key, "purged")


async def count(_store: BlobStore, shelf: DiskAccount) -> None:
    for entry in ENTRIES:
        with contextlib.suppress(StoreError):
            await shelf.disk.run(count_anew, shelf, [entry])


async def strike(_store: BlobStore, shelf: DiskAccount) -> None:
    with contextlib.suppress(StoreError):
        await shelf.disk.run(strike_phantoms, shelf, None)


async def make_anew(store: BlobStore, _shelf: DiskAccount, record: BlobRecord = RECORD) -> None:
    with pytest.raises(NoDisk):
        async with store.open_blob(record):
            pass


@pytest.mark.parametrize("act", [evict, drop, count, strike, make_anew])
async def test_nothing_is_struck_out_while_the_disk_is_away(tmp_path: Path, act: Act) -> None:
    disk = tmp_path / "disk"
    async with open_store(section(disk)) as store:
        shelf = await keep_both(store)
        taken = Taken(disk)
        await act(store, shelf)
        assert shelf.index.booked_of(ENTRIES) == BOOKS
        assert shelf.disk.state is DiskState.OUT
        taken.put_back()
    await assert_all_booked(disk)


class BackWhenLookedFor(Syscalls):
    """The disk is put back between the look for what it holds and the look for the disk itself."""

    taken: Taken | None = None

    def stat(self, path: str) -> os.stat_result:
        if path.endswith("/lock") and self.taken is not None:
            self.taken.put_back()
            self.taken = None
        return super().stat(path)


async def test_what_was_looked_for_a_moment_before_the_disk_is_back_is_not_struck_out(tmp_path: Path) -> None:
    disk, calls = tmp_path / "disk", BackWhenLookedFor()
    async with open_store(section(disk), syscalls=lambda _: calls) as store:
        shelf = await keep_both(store)
        calls.taken = Taken(disk)
        await count(store, shelf)
        assert calls.taken is None
    await assert_all_booked(disk)


async def test_what_was_mounted_over_the_folder_of_a_running_node_is_left_to_its_next_start(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    async with open_store(section(disk)) as store:
        await keep_both(store)
    mounted = Taken(disk)
    other = content_of(700)
    key = record_of(other).key
    another = record_of(content_of(THREE_CHUNKS, seed=2))
    async with open_store(section(disk)) as store:
        (shelf,) = store.rack.accounts()
        await until(lambda: len(store.tasks) == AT_REST)
        promise = shelf.reserve(Promise(0, 0, Entry(key, small=True), 0, 0, 0, len(other)))
        assert isinstance(promise, int)
        mounted.put_back()
        for verb in (lambda: shelf.put_small(key, other, promise), shelf.try_out, shelf.room):
            with pytest.raises(OSError, match="another folder") as refusal:
                verb()
            assert refusal.value.errno == errno.ENODEV
        await make_anew(store, shelf, another)
        assert shelf.disk.state is DiskState.OUT
    await assert_all_booked(disk)


async def test_a_count_that_a_failing_disk_broke_off_begins_anew_when_it_is_back(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        await keep_both(store)
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    faulty, clock = FaultySyscalls(), ManualClock()
    faulty.fail("open", errno.ENODEV, times=1, match="/map")
    async with open_store(section(tmp_path), syscalls=lambda _: faulty, clock=clock) as store:
        disk = store.rack.disks[0]
        await until(lambda: disk.state is DiskState.OUT)
        clock.advance(PROBE_AFTER + 1)
        await until(lambda: disk.state is DiskState.OK and len(store.tasks) == AT_REST)
        assert await store.fsck(full=True) == []
        assert store.rack.accounts()[0].index.booked_of(ENTRIES) == BOOKS
