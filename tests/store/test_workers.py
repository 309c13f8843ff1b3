"""Two real processes over one disk: what one does, the other sees; what one dies of, the other survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.core.blob import BlobKey
from proxy.core.errors import NoDisk
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.store.blobfile import OpenBlob
from proxy.store.index import Promise
from proxy.store.layout import Entry
from proxy.store.recovery import reclaim
from tests.store.stores import AT_REST, THREE_CHUNKS, content_of, fill, open_store, read, record_of, section, until
from tests.store.workers import worker_process

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)
WHOLE = Span(0, THREE_CHUNKS)


async def test_a_reader_follows_a_chunk_that_another_worker_writes(tmp_path: Path) -> None:
    async with (
        worker_process(tmp_path, worker=1) as other,
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as blob,
    ):
        await other.ask("open", 1, THREE_CHUNKS)
        assert await other.ask("claim", 1, 0, THREE_CHUNKS)
        await other.ask("write", 1, 0, 1000)
        extent = blob.readable(0, WHOLE.stop)
        assert extent is not None
        assert extent.length == 1000
        await other.ask("write", 1, 1000, CHUNK + 5)
        extent = blob.readable(0, WHOLE.stop)
        assert extent is not None
        assert extent.length == CHUNK + 5
        assert blob.missing(WHOLE) == (Span(CHUNK, WHOLE.stop),)


async def test_a_claim_keeps_other_workers_out_and_dies_with_its_holder(tmp_path: Path) -> None:
    async with (
        worker_process(tmp_path, worker=1) as other,
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as blob,
    ):
        await other.ask("open", 1, THREE_CHUNKS)
        assert await other.ask("claim", 1, CHUNK, 2 * CHUNK)
        await other.ask("write", 1, CHUNK, CHUNK + 10)
        assert blob.filling()
        assert blob.try_claim(WHOLE) is None
        await fill(blob, CONTENT, Span(0, CHUNK))
        await other.kill()
        assert not blob.filling()
        await fill(blob, CONTENT)
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT
        await asyncio.to_thread(reclaim, store.rack.accounts()[0])
        assert await store.fsck(full=True) == []


async def test_what_a_dead_worker_wrote_is_booked_and_its_promise_given_back(tmp_path: Path) -> None:
    async with worker_process(tmp_path, worker=1) as other:
        await other.ask("open", 1, THREE_CHUNKS)
        assert await other.ask("claim", 1, 0, THREE_CHUNKS)
        await other.ask("write", 1, 0, CHUNK + 10)
    async with open_store(section(tmp_path), worker=0) as store:
        (disk,) = await store.snapshot()
        assert (disk.stored, disk.reserved) == (CHUNK, 0)
        assert await store.fsck(full=True) == []


async def test_a_seal_of_one_worker_is_seen_by_the_other(tmp_path: Path) -> None:
    async with (
        worker_process(tmp_path, worker=1) as other,
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as blob,
    ):
        await other.ask("open", 1, THREE_CHUNKS)
        await fill(blob, CONTENT)
        assert await other.ask("seal", 1)
        assert blob.sealed
        assert not blob.pending_seal()


async def test_a_sealer_that_dies_leaves_the_seal_to_another(tmp_path: Path) -> None:
    async with (
        worker_process(tmp_path, worker=1) as other,
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as blob,
    ):
        await other.ask("open", 1, THREE_CHUNKS)
        await fill(blob, CONTENT, Span(0, CHUNK))
        other.tell("seal", 1)
        await until(blob.others_seal)
        assert await blob.seal() is False, "one sealer at a time"
        await other.kill()
        await fill(blob, CONTENT)
        assert await blob.seal()


async def test_a_drop_of_one_worker_is_seen_by_the_other(tmp_path: Path) -> None:
    async with (
        worker_process(tmp_path, worker=1) as other,
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as blob,
    ):
        await other.ask("open", 1, THREE_CHUNKS)
        await fill(blob, CONTENT)
        await other.ask("drop", 1)
        assert blob.dropped
        assert read(blob, THREE_CHUNKS) == CONTENT
        (disk,) = await store.snapshot()
        assert disk.stored == 0


async def test_what_another_worker_reads_is_not_evicted_until_it_dies(tmp_path: Path) -> None:
    size = 5 * MIB
    async with (
        worker_process(tmp_path, worker=1, size=size) as other,
        open_store(section(tmp_path, size=size)) as store,
    ):
        async with store.open_blob(RECORD) as blob:
            await fill(blob, CONTENT)
            await other.ask("open", 1, THREE_CHUNKS)
        shelf = store.rack.accounts()[0]
        await until(lambda: not store.blobs and len(store.tasks) == AT_REST)  # it is closed
        assert await asyncio.to_thread(shelf.evict, size) == []
        assert await other.ask("readable", 1, 0) == THREE_CHUNKS
        await other.kill()
        gone = await asyncio.to_thread(shelf.evict, size)
        assert gone is not None
        assert [evicted.size for evicted in gone] == [THREE_CHUNKS]
        async with store.open_blob(RECORD) as blob:
            assert blob.missing(WHOLE) == (WHOLE,)


async def test_a_part_made_on_one_more_disk_is_noticed(folders: list[Path]) -> None:
    """Our disk for the slice is out in our eyes only: we fill on another, and the worker that reads finds it there."""
    async with (
        worker_process(*folders[:2], worker=1) as other,
        open_store(section(*folders[:2])) as store,
        store.open_blob(RECORD) as blob,
    ):
        await other.ask("open", 1, THREE_CHUNKS)
        store.ranked(RECORD, 0)[0].disk.fail("for the test")
        while (claim := blob.try_claim(WHOLE)) is None:
            await blob.progress()
        async with claim as writer:
            await writer.write([CONTENT])
        async with asyncio.timeout(10):
            while await other.ask("readable", 1, 0) != THREE_CHUNKS:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.01)


async def test_two_workers_that_race_for_many_blobs_bring_each_once(tmp_path: Path) -> None:
    async with worker_process(tmp_path, worker=1) as one, worker_process(tmp_path, worker=2) as other:
        assert await asyncio.gather(one.ask("churn", 1, 8, THREE_CHUNKS), other.ask("churn", 1, 8, THREE_CHUNKS))
        async with open_store(section(tmp_path)) as store:
            (disk,) = await store.snapshot()
            assert (disk.stored, disk.reserved) == (8 * THREE_CHUNKS, 0)
            assert await store.fsck(full=True) == []


@pytest.fixture
async def of_two_minds(folders: list[Path]) -> AsyncIterator[tuple[OpenBlob, OpenBlob]]:
    """A blob as two workers have it open: for the one its home is full, for the other out."""
    config = section(*folders[:2])
    async with open_store(config) as one, open_store(config, worker=1) as other:
        home = one.ranked(RECORD, 0)[0]
        other.ranked(RECORD, 0)[0].disk.fail("for the test")
        async with one.open_blob(RECORD) as ours, other.open_blob(RECORD) as theirs:
            filler = Promise(0, 0, Entry(BlobKey.sha256("ab" * 32), small=True), 0, 0, 0, home.limits.hard - MIB)
            assert await one.rack.reserve(home, filler) is not None
            yield ours, theirs


async def test_workers_that_disagree_about_a_disk_never_write_the_same_bytes(
    of_two_minds: tuple[OpenBlob, OpenBlob],
) -> None:
    ours, theirs = of_two_minds
    claim = ours.try_claim(WHOLE)
    assert claim is not None
    async with claim as writer:
        await writer.write([CONTENT[:100]])
        assert theirs.try_claim(WHOLE) is None
        await writer.write([CONTENT[100:]])
    assert await theirs.seal()


async def test_workers_that_disagree_about_a_disk_never_write_the_same_bytes_the_other_way_round(
    of_two_minds: tuple[OpenBlob, OpenBlob],
) -> None:
    ours, theirs = of_two_minds
    claim, second = theirs.try_claim(WHOLE), ours.try_claim(WHOLE)
    assert claim is not None
    assert second is not None
    async with claim as writer:
        await writer.write([CONTENT[:100]])
        with pytest.raises(NoDisk):
            await second.__aenter__()
        await writer.write([CONTENT[100:]])
    assert await theirs.seal()
