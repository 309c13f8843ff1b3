"""The door of the store, over real folders."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from proxy.core.blob import BlobKey
from proxy.core.changes import Changes
from proxy.core.errors import NoDisk
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.store import rack
from proxy.store.blobstore import BlobStore, DiskState
from proxy.store.layout import Entry
from proxy.store.observer import NoObserver
from tests.store.faulty import EIO, FaultySyscalls
from tests.store.stores import AT_REST, THREE_CHUNKS, content_of, fill, open_store, read, record_of, section, until

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)


async def stored(store: BlobStore) -> int:
    return sum(disk.stored for disk in await store.snapshot())


async def keep(store: BlobStore, seed: int, size: int = THREE_CHUNKS) -> bytes:
    """Fill and seal a blob of its own content."""
    content = content_of(size, seed)
    async with store.open_blob(record_of(content)) as blob:
        await fill(blob, content)
        assert await blob.seal()
    return content


async def is_here(store: BlobStore, content: bytes) -> bool:
    async with store.open_blob(record_of(content)) as blob:
        return not blob.missing(Span(0, len(content)))


async def test_what_was_filled_is_read_back_and_sealed(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        assert blob.missing(Span(0, RECORD.size)) == (Span(0, RECORD.size),)
        await fill(blob, CONTENT)
        assert blob.missing(Span(0, RECORD.size)) == ()
        assert await blob.seal()
        assert blob.sealed
        assert read(blob, RECORD.size) == CONTENT


async def test_readers_of_one_process_share_the_open_blob(tmp_path: Path) -> None:
    async with (
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as one,
        store.open_blob(RECORD) as other,
    ):
        assert one is other


@pytest.mark.parametrize("size", [0, 1, 700, CHUNK])
async def test_small_blobs_come_back(tmp_path: Path, size: int) -> None:
    content = content_of(size)
    key = record_of(content).key
    async with open_store(section(tmp_path)) as store:
        assert await store.put_small(key, content)
        assert await store.put_small(key, content), "twice is as once"
        async with store.open_small(key) as extent:
            assert extent is not None
            assert os.pread(extent.fd, size + 1, 0) == content
        assert await stored(store) == size
    async with open_store(section(tmp_path)) as store, store.open_small(key) as extent:
        assert extent is not None


async def test_a_small_blob_that_is_not_here_is_none(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_small(RECORD.key) as extent:
        assert extent is None


async def test_a_small_blob_that_rotted_before_this_boot_is_dropped_when_it_is_read(tmp_path: Path) -> None:
    content = content_of(700)
    key = record_of(content).key
    async with open_store(section(tmp_path)) as store:
        await store.put_small(key, content)
        (path,) = tmp_path.glob("small/*/*")
        path.write_bytes(bytes(700))
        os.utime(path, (0, 0))
        async with store.open_small(key) as extent:
            assert extent is None
        assert await stored(store) == 0


class Witness(NoObserver):
    """Remembers what was found wrong."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def corrupted(self, disk: str, found_by: str) -> None:
        self.found.append((disk, found_by))


async def test_what_was_found_rotten_at_its_first_reading_is_counted(tmp_path: Path) -> None:
    content, witness = content_of(700), Witness()
    key = record_of(content).key
    async with open_store(section(tmp_path), observer=witness) as store:
        await store.put_small(key, content)
        (path,) = tmp_path.glob("small/*/*")
        os.utime(path, (0, 0))
        async with store.open_small(key) as extent:
            assert extent is not None, "it is right, of another boot as it is"
        assert witness.found == []
        path.write_bytes(bytes(700))
        os.utime(path, (0, 0))
        for _ in range(2):
            async with store.open_small(key) as extent:
                assert extent is None
    assert witness.found == [("disk0", "read")]


async def test_a_disk_that_fails_while_a_rotten_file_is_taken_away_is_said_to(tmp_path: Path) -> None:
    """And its descriptor is closed once: the number may be somebody else's by then."""
    content, faulty = content_of(700), FaultySyscalls()
    key = record_of(content).key
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store:
        await store.put_small(key, content)
        (path,) = tmp_path.glob("small/*/*")
        path.write_bytes(bytes(700))
        os.utime(path, (0, 0))
        faulty.fail("rename", EIO, match="trash")
        with pytest.raises(OSError, match="Input/output error"):
            store.rack.usable()[0].open_small(key)


async def test_an_error_of_the_program_is_not_taken_for_one_of_a_disk(tmp_path: Path) -> None:
    def mistaken(_shelf: object) -> None:
        raise ZeroDivisionError

    async with open_store(section(tmp_path)) as store:
        with pytest.raises(ZeroDivisionError):
            await store.rack.on_all(mistaken)


async def test_a_pin_that_no_disk_took_down_is_no_pin(folders: list[Path]) -> None:
    async with open_store(section(*folders[:2])) as store:
        one, other = store.rack.disks
        one.fail("a test takes it out")
        await store.inventory.pin([RECORD.key], pinned=True)
        await store.inventory.pin([], pinned=True)
        other.fail("and the other")
        with pytest.raises(NoDisk, match="penstock stats"):
            await store.inventory.pin([RECORD.key], pinned=True)
        await store.inventory.pin([], pinned=True)


async def test_blob_of_several_slices_lies_on_several_disks(folders: list[Path]) -> None:
    content = content_of(3 * 64 * MIB + 17)
    record = record_of(content)
    for number, folder in enumerate(folders):  # ids of their own choice would put all slices on one, now and then
        folder.mkdir()
        (folder / "disk.json").write_text(json.dumps({"format": 1, "id": f"{number:032x}"}))
    async with open_store(section(*folders)) as store, store.open_blob(record) as blob:
        await fill(blob, content, step=4 * MIB)
        assert await blob.seal()
        assert read(blob, record.size) == content
        status = await store.snapshot()
        assert sum(disk.stored for disk in status) == record.size
        assert sum(disk.reserved for disk in status) == 0
        assert sum(disk.stored > 0 for disk in status) > 1
        assert await store.fsck(full=False) == []


async def test_blobs_stay_where_they_are_when_a_folder_is_mounted_elsewhere(folders: list[Path]) -> None:
    async with open_store(section(*folders)) as store:
        contents = [await keep(store, seed) for seed in range(4)]
    moved = [folder.rename(folder.with_name(f"moved-{number}")) for number, folder in enumerate(folders)]
    async with open_store(section(*reversed(moved))) as store:
        for content in contents:
            assert await is_here(store, content)


async def test_eviction_makes_room_and_never_takes_what_is_open(tmp_path: Path) -> None:
    async with open_store(section(tmp_path, size=5 * MIB)) as store:
        first = await keep(store, 1)
        second = await keep(store, 2)
        async with store.open_blob(record_of(first)) as reading:
            await keep(store, 3)
            assert read(reading, len(first)) == first
            assert not await is_here(store, second)
        assert await stored(store) <= 5 * MIB
        assert await store.fsck(full=True) == []


async def test_what_is_lent_is_open_already_and_stays_so_until_it_is_given_back(tmp_path: Path) -> None:
    async with open_store(section(tmp_path, size=5 * MIB)) as store:
        content = await keep(store, 1)
        record = record_of(content)
        assert store.lend(record) is None
        async with store.open_blob(record) as reading:
            lent = store.lend(record)
            assert lent is reading
        await keep(store, 2)
        await keep(store, 3)
        assert read(lent, len(content)) == content
        lent.release()
        assert store.lend(record) is None


async def test_what_is_opened_only_if_it_is_kept_is_not_made(tmp_path: Path) -> None:
    content = content_of(THREE_CHUNKS)
    record = record_of(content)
    async with open_store(section(tmp_path)) as store:
        with pytest.raises(NoDisk):
            async with store.open_kept(record):
                pass
        assert not await store.holds(record.key)
        async with store.open_blob(record) as blob:
            await fill(blob, content)
            async with store.open_kept(record) as kept:
                assert kept is blob
        async with store.open_kept(record) as kept:
            assert read(kept, record.size) == content


async def test_what_was_opened_because_it_is_kept_can_be_filled_further(tmp_path: Path) -> None:
    """Its parts on other disks are made when they are needed."""
    content = content_of(65 * CHUNK)
    record = record_of(content)
    folders = [tmp_path / "a", tmp_path / "b"]
    async with open_store(section(*folders)) as store, store.open_blob(record) as blob:
        await fill(blob, content, Span(0, 64 * CHUNK))
    async with open_store(section(*folders)) as store, store.open_kept(record) as kept:
        await fill(kept, content)
        assert read(kept, record.size) == content


async def test_a_disk_full_of_open_blobs_takes_no_more(tmp_path: Path) -> None:
    async with open_store(section(tmp_path, size=3 * MIB)) as store:
        first = await keep(store, 2)
        async with store.open_blob(record_of(first)), store.open_blob(RECORD) as blob:
            with pytest.raises(NoDisk):
                await fill(blob, CONTENT)
            assert not blob.filling()


async def test_pinned_blobs_are_not_evicted(tmp_path: Path) -> None:
    async with open_store(section(tmp_path, size=7 * MIB)) as store:
        first = await keep(store, 1)
        await store.pin(record_of(first).key)
        for seed in range(2, 6):
            await keep(store, seed)
        assert await is_here(store, first)
        (disk,) = await store.snapshot()
        assert disk.pinned == THREE_CHUNKS
        await store.unpin(record_of(first).key)
        for seed in range(6, 9):
            await keep(store, seed)
        assert not await is_here(store, first)


async def test_small_blobs_are_evicted_as_well(tmp_path: Path) -> None:
    async with open_store(section(tmp_path, size=10_000)) as store:
        for seed in range(20):
            content = content_of(1000, seed)
            assert await store.put_small(record_of(content).key, content)
        assert await stored(store) <= 10_000
        assert await store.fsck(full=True) == []


async def test_a_full_disk_sends_the_slice_to_the_next(folders: list[Path]) -> None:
    config = section(*folders[:2], size=4 * MIB)
    async with open_store(config) as store:
        contents = [content_of(THREE_CHUNKS, seed) for seed in (1, 2)]
        blobs = [store.open_blob(record_of(content)) for content in contents]
        async with blobs[0] as one, blobs[1] as other:
            await fill(one, contents[0])
            await fill(other, contents[1])
            assert read(other, THREE_CHUNKS) == contents[1]
        assert [disk.objects > 0 for disk in await store.snapshot()] == [True, True]


async def test_quiet_upkeep_brings_the_disk_under_its_soft_limit(tmp_path: Path) -> None:
    async with open_store(section(tmp_path, size=10 * MIB, soft_limit=0.5)) as store:
        for seed in range(3):
            await keep(store, seed)
        await until(lambda: store.rack.accounts()[0].index.totals().books.stored <= 5 * MIB)


async def test_once_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside = most = 0

    async def visit(store: BlobStore) -> None:
        nonlocal inside, most
        async with store.once("a repo"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with open_store(section(tmp_path)) as one, open_store(section(tmp_path), worker=1) as other:
        await asyncio.gather(*(visit(store) for store in (one, other) * 5))
    assert most == 1


async def test_locks_of_other_names_do_not_wait(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.once("a"), store.once("b"):
        pass


async def test_a_second_node_is_refused_the_disk(tmp_path: Path) -> None:
    async with open_store(section(tmp_path), node="one"):
        with pytest.raises(NoDisk, match="another node"):
            async with open_store(section(tmp_path), node="two", worker=1):
                pass
    async with open_store(section(tmp_path), node="two"):
        pass


async def test_a_second_worker_of_the_same_number_is_refused(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)):
        with pytest.raises(NoDisk, match="runs already"):
            async with open_store(section(tmp_path)):
                pass


async def test_another_format_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "disk.json").write_text('{"format": 99, "id": "x"}')
    with pytest.raises(NoDisk, match=f"{tmp_path} has format 99, this program reads 1"):
        async with open_store(section(tmp_path)):
            pass


async def test_a_disk_that_cannot_be_opened_is_left_out(folders: list[Path]) -> None:
    folders[0].write_text("a file, not a folder")
    async with open_store(section(*folders[:2])) as store:
        assert [disk.state for disk in await store.snapshot()] == [DiskState.OUT, DiskState.OK]
        assert await is_here(store, await keep(store, 1))


@pytest.mark.parametrize("loss", ["gone", "garbage"])
async def test_a_lost_index_is_rebuilt_from_the_files(tmp_path: Path, loss: str) -> None:
    async with open_store(section(tmp_path)) as store:
        large = await keep(store, 1)
        small = content_of(500)
        await store.put_small(record_of(small).key, small)
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    if loss == "garbage":
        (tmp_path / "index.sqlite").write_bytes(b"x" * 8192)
    async with open_store(section(tmp_path)) as store:
        assert await is_here(store, large), "at once, from the files"
        await until(lambda: len(store.tasks) == AT_REST)
        assert await store.fsck(full=True) == []
        assert await stored(store) == THREE_CHUNKS + 500


async def test_a_folder_deleted_behind_our_back_is_filled_again(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        content = await keep(store, 1)
        await until(lambda: not store.blobs)
        (folder,) = tmp_path.glob("blobs/*/*")
        shutil.rmtree(folder)
        assert not await is_here(store, content)
        await keep(store, 1)
        assert await store.fsck(full=True) == []


async def test_a_store_that_ends_makes_durable_what_is_just_being_closed(tmp_path: Path) -> None:
    faulty = FaultySyscalls()
    content = content_of(THREE_CHUNKS)
    async with open_store(section(tmp_path), boot=b"a" * 16, syscalls=lambda _: faulty) as store:
        async with store.open_blob(record_of(content)) as blob:
            await fill(blob, content)
            faulty.hang("fdatasync")
        await until(faulty.entered.is_set)
        asyncio.get_running_loop().call_later(0.2, faulty.heal)
    async with open_store(section(tmp_path), boot=b"b" * 16) as store, store.open_blob(record_of(content)) as blob:
        assert blob.missing(Span(0, THREE_CHUNKS)) == ()


async def test_one_large_blob_takes_the_place_of_very_many_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rack, "SWEEPS", 5)  # of 64 victims each
    async with open_store(section(tmp_path, size=8 * MIB)) as store:
        await until(lambda: store.rack.accounts()[0].index.totals().rebuilt)
        index = store.rack.accounts()[0].index
        with index._file.transaction() as db:
            for number in range(1000):
                index._add(db, Entry(BlobKey.sha256(f"{number:064x}"), small=True), 0, 8000, 0.0)
        await keep(store, 2, 7 * MIB)
        assert await stored(store) <= 8 * MIB


async def test_a_folder_without_its_map_is_evicted_whole(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        await keep(store, 1)
        await until(lambda: not store.blobs and len(store.tasks) == AT_REST)
        (path,) = tmp_path.glob("blobs/*/*/map")
        path.unlink()
        await asyncio.to_thread(store.rack.accounts()[0].evict, MIB)
        assert not path.parent.exists()


@pytest.mark.parametrize("size", [THREE_CHUNKS, 600_000])
async def test_what_is_this_node_s_own_outlives_copies_that_came_later(tmp_path: Path, size: int) -> None:
    own = record_of(content_of(size, 1)).key
    async with open_store(section(tmp_path, size=10 * size)) as store:
        store.keep_longer(lambda key, index: (key, index) == (own, 0))
        for number in range(1, 16):
            if size > MIB:
                await keep(store, number, size)
            else:
                content = content_of(size, number)
                assert await store.put_small(record_of(content).key, content)
        assert await store.holds(own)
        assert not await store.holds(record_of(content_of(size, 2)).key)


async def test_a_blob_that_is_dropped_by_its_key_is_counted(tmp_path: Path) -> None:
    changes = Changes()
    async with open_store(section(tmp_path), changes=changes) as store:
        await keep(store, 1)
        assert changes.count == 0
        await store.drop(record_of(content_of(THREE_CHUNKS, 1)).key, "purged")
        assert changes.count == 1
