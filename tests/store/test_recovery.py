"""What a dead worker left half-done, state by state, and who cleans it up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.core.blob import BlobKey
from proxy.core.errors import NoDisk
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.store.blobstore import BlobStore
from proxy.store.index import Promise
from proxy.store.layout import Entry, Layout
from proxy.store.recovery import reclaim
from proxy.store.syscalls import Syscalls
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, record_of, section, until

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)
ENTRY = Entry(RECORD.key, small=False)
DEAD = 7


async def filled(folder: Path) -> None:
    async with open_store(section(folder)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)


async def books(store: BlobStore) -> tuple[int, int, int]:
    (disk,) = await store.snapshot()
    return disk.stored, disk.reserved, disk.objects


async def test_killed_between_trash_and_index(tmp_path: Path) -> None:
    await filled(tmp_path)
    layout = Layout(str(tmp_path))
    Path(layout.place(ENTRY)).rename(layout.trash(DEAD, ENTRY, "token"))
    async with open_store(section(tmp_path)) as store:
        assert await books(store) == (0, 0, 0)
        assert await store.fsck(full=True) == []


async def test_killed_between_trash_and_index_while_another_has_filled_it_anew(tmp_path: Path) -> None:
    await filled(tmp_path)
    layout = Layout(str(tmp_path))
    Path(layout.place(ENTRY)).rename(layout.trash(DEAD, ENTRY, "token"))
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT, Span(0, CHUNK))
        assert await books(store) == (CHUNK, 0, 1)
        assert await store.fsck(full=True) == []


async def test_killed_before_a_part_was_published(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        store.rack.accounts()[0].index.add(ENTRY, 5)
        half_made = tmp_path / "tmp" / f"{DEAD}-token"
        half_made.mkdir()
        (half_made / "bytes").write_bytes(b"")
    async with open_store(section(tmp_path)) as store:
        assert await store.fsck(full=True) == []
        async with store.open_blob(RECORD) as blob:
            await fill(blob, CONTENT)
        assert await books(store) == (THREE_CHUNKS, 0, 1)


async def test_killed_after_a_small_blob_was_published_but_not_booked(tmp_path: Path) -> None:
    content = content_of(500)
    entry = Entry(record_of(content).key, small=True)
    async with open_store(section(tmp_path)) as store:
        shelf = store.rack.accounts()[0]
        assert isinstance(shelf.reserve(Promise(0, DEAD, entry, 0, 0, 0, 500)), int)
        place = Path(shelf.layout.place(entry))
        place.parent.mkdir()
        place.write_bytes(content)
        assert await books(store) == (0, 500, 0)
    async with open_store(section(tmp_path)) as store:
        assert await books(store) == (500, 0, 1)
        assert await store.fsck(full=True) == []


async def test_killed_between_flagging_and_unpublishing_a_drop(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with open_store(section(tmp_path)) as store:
        async with store.open_blob(RECORD) as blob:
            next(iter(blob.parts)).map.drop()
        async with store.open_blob(RECORD) as blob:
            assert blob.missing(Span(0, THREE_CHUNKS)) == (Span(0, THREE_CHUNKS),)
        assert await books(store) == (0, 0, 1)
        assert await store.fsck(full=True) == []


async def test_a_promise_that_nobody_settles_is_given_back_at_the_second_look(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        shelf = store.rack.accounts()[0]
        shelf.reserve(Promise(0, 0, Entry(BlobKey.sha256("ab" * 32), small=True), 0, 0, 0, 500))
        await asyncio.to_thread(reclaim, shelf)
        assert (await books(store))[1] == 500, "its answer may still be on the way"
        await asyncio.to_thread(reclaim, shelf)
        assert (await books(store))[1] == 0


async def test_what_a_live_worker_has_half_done_is_left_alone(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)), open_store(section(tmp_path), worker=DEAD) as other:
        shelf = other.rack.accounts()[0]
        shelf.reserve(Promise(0, DEAD, ENTRY, 0, 0, 0, 500))
        half_made = tmp_path / "tmp" / f"{DEAD}-token"
        half_made.mkdir()
        async with open_store(section(tmp_path), worker=1) as third:
            assert half_made.exists()
            assert (await books(third))[1] == 500


async def test_a_reader_in_the_middle_of_a_deletion_behind_our_back_still_closes(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        async with store.open_blob(RECORD) as blob:
            await fill(blob, CONTENT)
            await store.drop(RECORD.key, "purged")
        await until(lambda: not store.blobs)
        assert await books(store) == (0, 0, 0)


async def test_another_boot_counts_anew_what_a_power_cut_took_from_the_books(tmp_path: Path) -> None:
    """The last transactions are lost: one blob is not in the index, one is that is not there, one has other bytes."""
    first, second = content_of(THREE_CHUNKS, 1), content_of(THREE_CHUNKS, 2)
    async with open_store(section(tmp_path), boot=b"a" * 16) as store:
        for content in (first, second):
            async with store.open_blob(record_of(content)) as blob:
                await fill(blob, content)
        index = store.rack.accounts()[0].index
        await until(lambda: index.totals().rebuilt and not store.blobs)
        index.remove(Entry(record_of(first).key, small=False))
        index.recount(Entry(record_of(second).key, small=False), 5, lambda _: 99)
        index.add(Entry(BlobKey.sha256("ab" * 32), small=True), 0, size=5000)
    async with open_store(section(tmp_path), boot=b"b" * 16) as store:
        await until(lambda: store.rack.accounts()[0].index.totals().rebuilt)
        assert await books(store) == (2 * THREE_CHUNKS, 0, 2)
        assert await store.fsck(full=True) == []


class SmallFileSystem(Syscalls):
    """As if the folder were a file system of 20 MiB."""

    def statvfs(self, path: str) -> os.statvfs_result:
        folder = Path(path).parent if Path(path).is_file() else Path(path)
        used = sum(file.stat().st_blocks * 512 for file in folder.glob("blobs/**/bytes"))
        found = list(super().statvfs(path))
        found[1:5] = [4096, 20 * MIB // 4096, (20 * MIB - used) // 4096, (20 * MIB - used) // 4096]
        return os.statvfs_result(found)


async def test_a_lost_index_does_not_make_the_disk_look_small(tmp_path: Path) -> None:
    """Without a configured size the limit follows from what is free, and what nobody has booked is not free."""
    contents = [content_of(THREE_CHUNKS, seed) for seed in range(6)]
    config = section(tmp_path, size=None)
    async with open_store(config, syscalls=lambda _: SmallFileSystem()) as store:
        for content in contents:
            async with store.open_blob(record_of(content)) as blob:
                await fill(blob, content)
    for left in tmp_path.glob("index.sqlite*"):
        left.unlink()
    async with open_store(config, syscalls=lambda _: SmallFileSystem()) as store:
        shelf = store.rack.accounts()[0]
        await until(lambda: shelf.index.totals().rebuilt)
        assert shelf.excess() == 0
        assert await books(store) == (6 * THREE_CHUNKS, 0, 6)
        assert shelf.limits.hard > 17 * MIB


async def test_a_disk_that_could_not_be_opened_can_be_opened_later(tmp_path: Path) -> None:
    """What was taken before it failed is given back: else the worker's own place would be held against it."""
    before = len(os.listdir("/proc/self/fd"))
    (tmp_path / "lock").mkdir()
    with pytest.raises(NoDisk):
        async with open_store(section(tmp_path)):
            pass
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    (tmp_path / "lock").rmdir()
    async with open_store(section(tmp_path)) as store:
        assert store.capacity


async def test_an_index_damaged_behind_its_first_page_is_counted_anew(tmp_path: Path) -> None:
    await filled(tmp_path)
    index = Path(Layout(str(tmp_path)).index)
    with index.open("r+b") as file:  # noqa: ASYNC230 - a test may wait for its own disk
        file.seek(4096)
        file.write(os.urandom(index.stat().st_size - 4096))
    async with open_store(section(tmp_path)) as store:
        async with asyncio.timeout(10):
            while await books(store) != (THREE_CHUNKS, 0, 1):  # noqa: ASYNC110 - the count goes on behind
                await asyncio.sleep(0.02)
        assert await store.fsck(full=True) == []
