"""Disks that fail: what is served stays right, the disk leaves, the rest goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from proxy.core.clock import ManualClock
from proxy.core.errors import DiskFailed, NoDisk
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet
from proxy.store.blobstore import BlobStore, DiskState
from proxy.store.disk import HANG_LIMIT, PROBE_AFTER, Disk
from proxy.store.part import create, open_part
from proxy.store.syscalls import WRITE, Syscalls
from tests.store.faulty import EIO, ENOSPC, EROFS, FaultySyscalls
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, read, record_of, section, until

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)
WHOLE = Span(0, THREE_CHUNKS)


@pytest.fixture
def faulty() -> FaultySyscalls:
    return FaultySyscalls()


async def states(store: BlobStore) -> list[DiskState]:
    return [disk.state for disk in await store.snapshot()]


async def test_short_writes_are_carried_on(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        faulty.shorten_writes(77_777)
        await fill(blob, CONTENT)
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_a_full_disk_takes_no_more_and_serves_what_it_has(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        faulty.fail("pwritev", ENOSPC, after=CHUNK // WRITE)
        with pytest.raises(NoDisk):
            await fill(blob, CONTENT, step=CHUNK)
        assert await states(store) == [DiskState.READ_ONLY]
        assert blob.missing(WHOLE) == (Span(CHUNK, WHOLE.stop),)
        assert read(blob, CHUNK) == CONTENT[:CHUNK]
        claim = blob.try_claim(Span(CHUNK, WHOLE.stop))
        assert claim is not None
        with pytest.raises(NoDisk):
            async with claim:
                pass
        await until(lambda: not blob.filling())
        faulty.heal()
        assert await store.fsck(full=True) == []


async def test_a_slice_goes_to_the_next_disk_when_its_own_is_full(folders: list[Path]) -> None:
    calls = {str(folder): FaultySyscalls() for folder in folders[:2]}
    async with (
        open_store(section(*folders[:2]), syscalls=calls.__getitem__) as store,
        store.open_blob(RECORD) as blob,
    ):
        home = next(iter(store.ranked(RECORD, 0))).disk
        calls[home.path].fail("pwritev", ENOSPC, after=CHUNK // WRITE)
        with pytest.raises(NoDisk):
            await fill(blob, CONTENT, step=CHUNK)
        assert blob.missing(WHOLE) == (Span(CHUNK, WHOLE.stop),)
        rest = Span(CHUNK, WHOLE.stop)
        while (claim := blob.try_claim(rest)) is None:
            await blob.progress()  # a part is being opened on the other disk
        async with claim as writer:
            await writer.write([CONTENT[CHUNK:]])
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_a_write_that_fails_ends_the_writer(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        claim = blob.try_claim(WHOLE)
        assert claim is not None
        async with claim as writer:
            await writer.write([CONTENT[:100]])
            faulty.fail("pwritev", EIO, times=1)
            with pytest.raises(DiskFailed):
                await writer.write([CONTENT[100:200]])
            with pytest.raises(RuntimeError):
                await writer.write([CONTENT[200:300]])
        await fill(blob, CONTENT)
        assert await blob.seal()


async def test_fsync_that_fails_costs_the_chunks_and_is_not_repeated(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        faulty.fail("fdatasync", EIO, times=1, match="/bytes")
        with pytest.raises(DiskFailed):
            await blob.seal()
        assert not blob.sealed
        assert blob.missing(WHOLE) == (WHOLE,)
        await fill(blob, CONTENT)
        assert await blob.seal()
        assert await store.fsck(full=True) == []


async def test_chunks_that_cannot_be_read_become_missing(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        faulty.fail("pread", EIO, times=1)
        with pytest.raises(DiskFailed):
            await blob.seal()
        assert blob.missing(WHOLE) != ()
        await fill(blob, CONTENT)
        assert await blob.seal()


async def test_a_reader_reports_what_it_could_not_read(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.seal()
        await blob.lose(Span(CHUNK + 5, CHUNK + 6), "disk0")
        assert blob.missing(WHOLE) == (Span(CHUNK, 2 * CHUNK),)
        assert not blob.sealed
        for _ in range(3):
            store.disk_failed("disk0", OSError(EIO, "Input/output error"))
        assert await states(store) == [DiskState.OUT]


async def test_a_disk_that_is_out_counts_as_empty_and_the_others_go_on(folders: list[Path]) -> None:
    async with open_store(section(*folders[:2])) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.seal()
        (home,) = [disk.name for disk in await store.snapshot() if disk.stored]
        for _ in range(3):
            store.disk_failed(home, OSError(EIO, "Input/output error"))
        assert not blob.sealed
        assert blob.missing(WHOLE) == (WHOLE,)
        while (claim := blob.try_claim(WHOLE)) is None:
            await blob.progress()
        async with claim as writer:
            await writer.write([CONTENT])
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_a_disk_that_hangs_is_out_and_comes_back(folders: list[Path]) -> None:
    calls: dict[str, Syscalls] = {str(folder): FaultySyscalls() for folder in folders[:2]}
    clock = ManualClock()
    async with (
        open_store(section(*folders[:2]), syscalls=calls.__getitem__, clock=clock) as store,
        store.open_blob(RECORD) as blob,
    ):
        home = store.ranked(RECORD, 0)[0].disk
        faulty = calls[home.path]
        assert isinstance(faulty, FaultySyscalls)
        claim = blob.try_claim(WHOLE)
        assert claim is not None
        async with claim as writer:
            faulty.hang("pwritev")
            writing = store.tasks.start(writer.write([CONTENT]), "write")
            await until(faulty.entered.is_set)
            clock.advance(HANG_LIMIT + 1)
            with pytest.raises(DiskFailed):
                await writing
            faulty.heal()
        await until(lambda: not blob.filling())
        assert home.state is DiskState.OUT
        clock.advance(PROBE_AFTER + 1)
        await until(lambda: home.state is DiskState.OK)
        await fill(blob, CONTENT)
        assert await blob.seal()


async def test_a_disk_that_hangs_before_it_is_opened_keeps_the_store_from_nothing(folders: list[Path]) -> None:
    calls: dict[str, Syscalls] = {str(folder): FaultySyscalls() for folder in folders[:2]}
    clock, faulty = ManualClock(), calls[str(folders[1])]
    assert isinstance(faulty, FaultySyscalls)
    faulty.hang("statvfs")

    async def open_and_look() -> list[DiskState]:
        async with open_store(section(*folders[:2]), syscalls=calls.__getitem__, clock=clock) as store:
            found = await states(store)
            faulty.heal()
            return found

    async with TaskSet("test") as tasks:
        opened = tasks.start(open_and_look(), "open")
        await until(faulty.entered.is_set)
        clock.advance(HANG_LIMIT + 1)
        assert await opened == [DiskState.OK, DiskState.OUT]


async def test_a_disk_that_hangs_in_the_stores_own_rounds_is_found_to_hang(
    tmp_path: Path, faulty: FaultySyscalls
) -> None:
    """Nobody reads: the first who meets it is the upkeep, and it must not be the one who watches."""
    clock = ManualClock()
    async with open_store(section(tmp_path), syscalls=lambda _: faulty, clock=clock) as store:
        faulty.hang("statvfs")
        await until(faulty.entered.is_set)
        clock.advance(HANG_LIMIT + 1)
        await until(lambda: store.rack.disks[0].state is DiskState.OUT)
        faulty.heal()
        clock.advance(PROBE_AFTER + 1)
        await until(lambda: store.rack.disks[0].state is DiskState.OK)


async def test_a_call_that_waits_for_a_thread_does_not_hang(tmp_path: Path) -> None:
    clock, released = ManualClock(), threading.Event()
    disk = Disk("disk0", str(tmp_path), threads=1, clock=clock, calls=Syscalls())
    first, second = disk.submit(released.wait), disk.submit(released.wait)
    await until(lambda: first.since is not None)
    clock.advance(HANG_LIMIT - 1)
    disk._pending.discard(first)  # as if it ended just now
    clock.advance(2)
    disk.watch()
    assert disk.state is DiskState.OK
    released.set()
    await asyncio.wait([first.finished, second.finished])
    disk.close()


@pytest.mark.parametrize("leaving", ["hung", "cancelled", "cancelled with the answer"])
async def test_what_is_taken_and_not_wanted_any_more_is_given_back(
    tmp_path: Path, leaving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, released, back = ManualClock(), threading.Event(), threading.Event()
    disk = Disk("disk0", str(tmp_path), threads=1, clock=clock, calls=Syscalls())
    given: list[bool] = []

    def give_back(found: bool) -> None:
        given.append(found)
        back.set()

    async with TaskSet("test") as tasks:
        taking = tasks.start(disk.take(released.wait, give_back=give_back), "take")
        await until(lambda: any(call.since is not None for call in disk._pending))
        if leaving == "hung":
            clock.advance(HANG_LIMIT + 1)
            disk.watch()
            disk.watch()
            with pytest.raises(DiskFailed):
                await taking
        elif leaving == "cancelled":
            taking.cancel()
            await asyncio.wait([taking])
        else:
            finish = disk._finish

            def finish_and_cancel(call: Any, outcome: Any) -> None:
                finish(call, outcome)
                taking.cancel()

            monkeypatch.setattr(disk, "_finish", finish_and_cancel)
        assert not given
        released.set()
        assert await asyncio.to_thread(back.wait, 10)
        assert given == [True]
    disk.close()


async def test_what_is_taken_and_wanted_is_not_given_back(tmp_path: Path) -> None:
    disk = Disk("disk0", str(tmp_path), threads=1, clock=ManualClock(), calls=Syscalls())
    given: list[int] = []
    assert await disk.take(lambda: 7, give_back=given.append) == 7
    assert await disk.run(lambda: list(given)) == []
    disk.close()


async def test_a_process_that_was_stopped_does_not_take_its_disk_for_a_hung_one(tmp_path: Path) -> None:
    """1. a call begins   2. the process sleeps for longer than the limit   3. it wakes, and looks before the thread."""
    clock, released = ManualClock(), threading.Event()
    disk = Disk("disk0", str(tmp_path), threads=1, clock=clock, calls=Syscalls())
    call = disk.submit(released.wait)
    await until(lambda: call.since is not None)
    clock.advance(HANG_LIMIT + 5)
    disk.watch()
    assert disk.state is DiskState.OK
    released.set()
    await asyncio.wait([call.finished])
    disk.watch()
    assert disk.state is DiskState.OK
    hanging = threading.Event()
    call = disk.submit(hanging.wait)
    await until(lambda: call.since is not None)
    clock.advance(HANG_LIMIT + 1)
    disk.watch()
    disk.watch()
    assert disk.state is DiskState.OUT
    hanging.set()
    with pytest.raises(DiskFailed):
        await call.result
    disk.close()


async def test_a_read_only_disk_serves_its_hits(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store:
        async with store.open_blob(RECORD) as blob:
            await fill(blob, CONTENT)
            assert await blob.seal()
        await until(lambda: not store.blobs)
        for call in ("open for writing", "pwritev", "rename", "allocate"):
            faulty.fail(call, EROFS)
        other = content_of(THREE_CHUNKS, 2)
        with pytest.raises(NoDisk):
            async with store.open_blob(record_of(other)):
                pass
        assert await states(store) == [DiskState.READ_ONLY]
        async with store.open_blob(RECORD) as blob:
            assert blob.sealed
            assert read(blob, THREE_CHUNKS) == CONTENT


def test_a_map_is_never_written_through_its_mapping(tmp_path: Path) -> None:
    """A store into a mapping kills the process (SIGBUS) when the disk does not take the page any more."""
    calls = Syscalls()
    create(calls, str(tmp_path / "part"), RECORD, 1, b"a" * 16)
    disk = Disk("disk0", str(tmp_path), threads=1, clock=ManualClock(), calls=calls)
    part = open_part(disk, str(tmp_path / "part"), b"a" * 16)
    assert part is not None
    assert part.map._view.readonly
    part.close()
    disk.close()


async def test_a_map_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path, faulty: FaultySyscalls) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        faulty.fail("poke", EIO, times=1, match="/map")
        with pytest.raises(DiskFailed):
            await fill(blob, CONTENT)
        faulty.heal()
        await fill(blob, CONTENT)
        assert await blob.seal()
        assert await store.fsck(full=True) == []


async def test_a_bad_chunk_that_cannot_be_marked_so_costs_the_part(folders: list[Path]) -> None:
    calls = {str(folder): FaultySyscalls() for folder in folders[:2]}
    async with open_store(section(*folders[:2]), syscalls=calls.__getitem__) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.seal()
        (home,) = [disk for disk in await store.snapshot() if disk.stored]
        calls[home.path].fail("poke", EIO, match="/map")
        await blob.lose(Span(0, 1), home.name)
        assert blob.missing(WHOLE) == (WHOLE,)
        assert not blob.sealed
        while (claim := blob.try_claim(WHOLE)) is None:
            await blob.progress()
        async with claim as writer:
            await writer.write([CONTENT])
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_a_disk_that_turns_read_only_is_not_out_for_what_its_index_cannot_write(
    tmp_path: Path, faulty: FaultySyscalls
) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.seal()
        (before,) = await store.snapshot()
        for call in ("open for writing", "pwritev", "poke", "rename", "allocate"):
            faulty.fail(call, EROFS)
        for _ in range(5):
            (disk,) = await store.snapshot()
        assert (disk.state, disk.stored) == (DiskState.READ_ONLY, before.stored)
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_a_new_blob_goes_elsewhere_when_its_home_fails_at_once(folders: list[Path]) -> None:
    calls = {str(folder): FaultySyscalls() for folder in folders[:2]}
    async with open_store(section(*folders[:2]), syscalls=calls.__getitem__) as store:
        calls[store.ranked(RECORD, 0)[0].disk.path].fail("allocate", EIO)
        async with store.open_blob(RECORD) as blob:
            assert blob.missing(WHOLE) == (WHOLE,)


async def test_small_blobs_go_to_the_next_disk(folders: list[Path]) -> None:
    calls = {str(folder): FaultySyscalls() for folder in folders[:2]}
    content = content_of(900)
    key = record_of(content).key
    async with open_store(section(*folders[:2]), syscalls=calls.__getitem__) as store:
        for first in calls.values():
            first.fail("fdatasync", EIO, times=1, match="/tmp/")
            assert await store.put_small(key, content)
            first.heal()
        async with store.open_small(key) as extent:
            assert extent is not None
        assert await store.fsck(full=True) == []


async def test_a_disk_that_others_have_filled_says_so_and_is_not_out(tmp_path: Path) -> None:
    floor = {"free_floor": 1 << 60}
    async with open_store(section(tmp_path).model_copy(update=floor)) as store:
        (disk,) = await store.snapshot()
    assert (disk.state, disk.takes) == (DiskState.OK, False)
    assert "takes nothing new" in disk.reason


async def test_a_disk_takes_what_it_has_room_for_and_nothing_when_it_is_read_only(
    tmp_path: Path, faulty: FaultySyscalls
) -> None:
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store:
        (disk,) = await store.snapshot()
        assert (disk.takes, disk.reason) == (True, "")
        faulty.fail("open for writing", EROFS)
        with pytest.raises(NoDisk):
            async with store.open_blob(RECORD):
                pass
        (disk,) = await store.snapshot()
        assert (disk.state, disk.takes) == (DiskState.READ_ONLY, False)
