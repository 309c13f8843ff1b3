"""An open blob: claims, followers, doubt, seals, drops, and callers who leave."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from proxy.core.errors import BlobDropped, DigestMismatch, DiskFailed
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.store import chunkmap
from proxy.store.blobfile import OpenBlob
from proxy.store.blobstore import BlobStore
from proxy.store.syscalls import Syscalls
from tests.store.faulty import EIO, FaultySyscalls
from tests.store.stores import AT_REST, THREE_CHUNKS, content_of, fill, open_store, read, record_of, section, until

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)
WHOLE = Span(0, THREE_CHUNKS)
SECOND = Span(CHUNK, 2 * CHUNK)


def claimed(blob: OpenBlob, span: Span = WHOLE):  # type: ignore[no-untyped-def]
    claim = blob.try_claim(span)
    assert claim is not None
    return claim


async def test_readers_follow_a_chunk_that_is_still_arriving(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        assert blob.readable(0, WHOLE.stop) is None
        progress = blob.progress()
        async with claimed(blob) as writer:
            await writer.write([CONTENT[:100]])
            assert progress.done()
            extent = blob.readable(0, WHOLE.stop)
            assert extent is not None
            assert (extent.offset, extent.length) == (0, 100)
            assert os.pread(extent.fd, 100, 0) == CONTENT[:100]
            assert blob.missing(WHOLE) == (WHOLE,), "a chunk that is not whole is missing"
            await writer.write([CONTENT[100 : CHUNK + 5]])
            assert blob.missing(WHOLE) == (Span(CHUNK, WHOLE.stop),)
            extent = blob.readable(50, WHOLE.stop)
            assert extent is not None
            assert extent.offset + extent.length == CHUNK + 5


async def test_a_claimed_chunk_is_not_given_to_another_task(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        async with claimed(blob, Span(0, 2 * CHUNK)):
            assert blob.try_claim(Span(CHUNK, WHOLE.stop)) is None
            async with claimed(blob, Span(2 * CHUNK, WHOLE.stop)):
                pass
        async with claimed(blob):
            pass


@pytest.mark.parametrize("span", [Span(1, CHUNK), Span(0, CHUNK + 1), Span(0, 0), Span(0, 4 * CHUNK)])
async def test_a_claim_that_is_not_of_whole_chunks_is_refused(tmp_path: Path, span: Span) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        with pytest.raises(ValueError):
            blob.try_claim(span)


async def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        await fill(blob, bytes(THREE_CHUNKS))
        assert read(blob, WHOLE.stop) == CONTENT


async def test_leaving_a_claim_half_way_keeps_the_whole_chunks_and_gives_back_the_room(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        async with store.open_blob(RECORD) as blob:
            async with claimed(blob) as writer:
                await writer.write([CONTENT[: CHUNK + 10]])
            assert blob.missing(WHOLE) == (Span(CHUNK, WHOLE.stop),)
        (disk,) = await store.snapshot()
        assert (disk.stored, disk.reserved) == (CHUNK, 0)


@pytest.mark.parametrize("turns", range(12))
async def test_a_filler_cancelled_at_any_await_leaves_no_claim_and_no_promise(tmp_path: Path, turns: int) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        task = store.tasks.start(fill(blob, CONTENT, step=MIB), "fill")
        for _ in range(turns * 3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: not blob.filling())
        await fill(blob, CONTENT)
        assert await blob.seal()
        (disk,) = await store.snapshot()
        assert (disk.stored, disk.reserved) == (THREE_CHUNKS, 0)
        assert await store.fsck(full=True) == []


async def test_writing_past_the_claim_is_refused(tmp_path: Path) -> None:
    async with (
        open_store(section(tmp_path)) as store,
        store.open_blob(RECORD) as blob,
        claimed(blob, Span(0, CHUNK)) as writer,
    ):
        with pytest.raises(ValueError):
            await writer.write([CONTENT[: CHUNK + 1]])


async def test_seal_follows_a_fill_and_ends_after_it(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        async with claimed(blob) as writer:
            sealing = store.tasks.start(blob.seal(), "seal")
            for start in range(0, THREE_CHUNKS, 400_000):
                await writer.write([CONTENT[start : start + 400_000]])
                assert not blob.sealed
        assert await sealing
        assert blob.sealed
        assert not blob.pending_seal()


async def test_seal_gives_up_when_nobody_brings_the_rest(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT, Span(0, CHUNK))
        assert await blob.seal() is False
        assert blob.pending_seal()


async def test_wrong_bytes_are_never_sealed_and_go(tmp_path: Path) -> None:
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    async with open_store(section(tmp_path)) as store:
        async with store.open_blob(RECORD) as blob:
            await fill(blob, wrong)
            with pytest.raises(DigestMismatch):
                await blob.seal()
            assert blob.dropped
            assert not blob.sealed
        async with store.open_blob(RECORD) as blob:
            assert blob.missing(WHOLE) == (WHOLE,)
            await fill(blob, CONTENT)
            assert await blob.seal()
        (disk,) = await store.snapshot()
        assert (disk.stored, disk.objects) == (THREE_CHUNKS, 1)


async def test_writing_to_a_dropped_blob_says_so(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        async with claimed(blob) as writer:
            await blob.drop("purged")
            with pytest.raises(BlobDropped):
                await writer.write([CONTENT])
        (disk,) = await store.snapshot()
        assert (disk.stored, disk.reserved) == (0, 0)


async def test_readers_of_a_dropped_blob_keep_what_they_have_open(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        await store.drop(RECORD.key, "purged")
        assert blob.dropped
        assert read(blob, THREE_CHUNKS) == CONTENT
        async with store.open_blob(RECORD) as fresh:
            assert fresh.missing(WHOLE) == (WHOLE,)


async def test_another_validator_is_another_generation(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        async with store.open_blob(RECORD) as old:
            await fill(old, CONTENT)
            async with store.open_blob(record_of(CONTENT, validator="changed")) as new:
                assert old.dropped
                assert new.missing(WHOLE) == (WHOLE,)
        async with store.open_blob(RECORD) as old:
            assert old.missing(WHOLE) == (WHOLE,)


async def sealed_on(folder: Path, **more: object) -> None:
    async with open_store(section(folder), **more) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.seal()


async def test_after_a_process_crash_everything_written_is_there(tmp_path: Path) -> None:
    await sealed_on(tmp_path)
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        assert blob.sealed
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_after_another_boot_bytes_are_readable_only_once_checked(tmp_path: Path) -> None:
    await sealed_on(tmp_path, boot=b"a" * 16)
    async with open_store(section(tmp_path), boot=b"b" * 16) as store, store.open_blob(RECORD) as blob:
        assert blob.missing(WHOLE) == ()
        assert blob.readable(0, WHOLE.stop) is None
        await blob.checked(WHOLE)
        assert read(blob, THREE_CHUNKS) == CONTENT
        assert blob.sealed


def flip_a_byte(folder: Path, offset: int) -> None:
    (path,) = folder.glob("blobs/*/*/bytes")
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


async def test_a_flipped_bit_costs_its_chunk_and_the_seal_after_another_boot(tmp_path: Path) -> None:
    await sealed_on(tmp_path, boot=b"a" * 16)
    flip_a_byte(tmp_path, CHUNK + 77)
    async with open_store(section(tmp_path), boot=b"b" * 16) as store, store.open_blob(RECORD) as blob:
        await blob.checked(WHOLE)
        assert blob.missing(WHOLE) == (Span(CHUNK, 2 * CHUNK),)
        assert not blob.sealed
        assert await store.fsck(full=True) == []
        await fill(blob, CONTENT, Span(CHUNK, 2 * CHUNK))
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_fsck_finds_a_flipped_bit(tmp_path: Path) -> None:
    await sealed_on(tmp_path)
    flip_a_byte(tmp_path, 5)
    async with open_store(section(tmp_path)) as store:
        assert [finding.detail for finding in await store.fsck(full=True)] == ["chunk 0 does not match its CRC"]


async def test_bytes_that_were_cut_off_are_never_served_as_zeros(tmp_path: Path) -> None:
    await sealed_on(tmp_path)
    (path,) = tmp_path.glob("blobs/*/*/bytes")
    os.truncate(path, CHUNK)
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        assert blob.missing(WHOLE) == (WHOLE,)


async def test_written_but_not_durable_chunks_do_not_outlive_the_boot(tmp_path: Path) -> None:
    config = section(tmp_path, durable_every=1 << 40)
    async with open_store(config, boot=b"a" * 16) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        part = next(iter(blob.parts))
        assert [part.map.state(chunk) for chunk in range(3)] == [1, 1, 1]
        part.map.enter_boot(b"b" * 16)
        assert blob.missing(WHOLE) == (WHOLE,)


async def test_a_blob_without_digest_is_sealed_when_it_is_whole(tmp_path: Path) -> None:
    from proxy.core.blob import BlobKey, BlobRecord

    record = BlobRecord(BlobKey.of_place("http://x/y", "v", THREE_CHUNKS), THREE_CHUNKS, "v", None)
    async with open_store(section(tmp_path)) as store, store.open_blob(record) as blob:
        assert not blob.pending_seal()
        await fill(blob, CONTENT)
        assert await blob.seal()
        assert blob.sealed


async def test_two_tasks_that_seal_share_one_verification(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await asyncio.gather(blob.seal(), blob.seal()) == [True, True]


async def test_the_last_reader_out_closes_the_files(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        await settled(store)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            async with store.open_blob(RECORD) as blob:
                await fill(blob, CONTENT)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def settled(store: BlobStore) -> None:
    """The first rebuild of the index is over, so that it opens no file any more."""
    await until(lambda: len(store.tasks) == AT_REST)


class SlowToSayDurable(Syscalls):
    """The write that says "durable" in a map waits until it is let go."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def poke(self, fd: int, content: bytes, offset: int) -> None:
        if not self.entered.is_set() and set(content) == {chunkmap.DURABLE} and offset >= chunkmap.HEADER:
            self.entered.set()
            self.released.wait(20)
        super().poke(fd, content, offset)


async def test_a_failed_sync_costs_what_is_being_written_too(tmp_path: Path) -> None:
    """The kernel has thrown away all pages of the file that were not on the disk, whoever had written them."""
    calls = FaultySyscalls()
    async with open_store(section(tmp_path), syscalls=lambda _: calls) as store, store.open_blob(RECORD) as blob:
        claim = blob.try_claim(WHOLE)
        assert claim is not None
        async with claim as writer:
            await writer.write([CONTENT[: CHUNK + 100]])
            part = next(iter(blob.parts))
            calls.fail("fdatasync", EIO, times=1)
            with pytest.raises(OSError, match="Input/output"):
                await asyncio.to_thread(part.make_durable, [])
            with pytest.raises(DiskFailed):
                await writer.write([CONTENT[CHUNK + 100 : 2 * CHUNK]])
        assert blob.missing(WHOLE) == (WHOLE,)
        await fill(blob, CONTENT)
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT


async def test_a_sync_that_ends_late_does_not_take_the_seal_back(tmp_path: Path) -> None:
    calls = SlowToSayDurable()
    async with open_store(section(tmp_path), syscalls=lambda _: calls) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        part = next(iter(blob.parts))
        syncing = store.tasks.start(asyncio.to_thread(part.make_durable, [0, 1, 2]), "sync")
        await until(calls.entered.is_set)
        sealing = store.tasks.start(blob.seal(), "seal")
        await asyncio.wait([sealing], timeout=0.5)
        calls.released.set()
        await syncing
        assert await sealing
        assert blob.sealed


async def test_readers_need_not_wait_until_the_disks_know_that_it_is_right(tmp_path: Path) -> None:
    faulty = FaultySyscalls()
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        faulty.hang("fdatasync")
        sealing = store.tasks.start(blob.seal(), "seal")
        await until(lambda: blob.is_right)
        assert not blob.sealed
        faulty.heal()
        assert await sealing
        assert blob.sealed


async def test_a_chunk_that_came_anew_while_its_blob_was_sealed_is_not_called_right(tmp_path: Path) -> None:
    faulty = FaultySyscalls()
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        faulty.hang("fdatasync")
        sealing = store.tasks.start(blob.seal(), "seal")
        await until(faulty.entered.is_set)
        await blob.lose(SECOND, "disk0")
        await fill(blob, content_of(THREE_CHUNKS, seed=2), SECOND)
        faulty.heal()
        assert not await sealing
        assert not blob.sealed
        assert blob.missing(WHOLE) == (SECOND,), "what nobody hashed, and is not what was, is wrong"
        await fill(blob, CONTENT, SECOND)
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT
        assert await store.fsck(full=True) == []


async def test_a_wrong_copy_on_another_disk_is_not_sealed_with_the_right_one(folders: list[Path]) -> None:
    async with open_store(section(*folders[:2])) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        home = store.ranked(RECORD, 0)[0].disk
        home.fail("for a while")
        while (claim := blob.try_claim(WHOLE)) is None:
            await blob.progress()
        async with claim as writer:
            await writer.write([content_of(THREE_CHUNKS, seed=2)])
        home.recover()
        (copy,) = [part for part in blob.parts if part.disk is not home]
        assert not await blob.seal()
        assert 1 not in copy.map.complete(0, 3)
        assert await blob.seal()
        assert read(blob, THREE_CHUNKS) == CONTENT
        assert await store.fsck(full=True) == []


async def test_a_blob_whose_seal_fails_is_not_right(tmp_path: Path) -> None:
    faulty = FaultySyscalls()
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        faulty.fail("fdatasync", EIO, times=1)
        with pytest.raises(DiskFailed):
            await blob.seal()
        assert not blob.is_right
        assert blob.missing(WHOLE), "what could not be made durable is lost"


async def test_wrong_bytes_are_never_right(tmp_path: Path) -> None:
    wrong = content_of(THREE_CHUNKS, seed=2)
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, wrong)
        with pytest.raises(DigestMismatch):
            await blob.seal()
        assert not blob.is_right


async def test_what_was_right_is_so_no_longer_when_a_chunk_of_it_is_lost(tmp_path: Path) -> None:
    faulty = FaultySyscalls()
    async with open_store(section(tmp_path), syscalls=lambda _: faulty) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        faulty.hang("fdatasync")
        sealing = store.tasks.start(blob.seal(), "seal")
        await until(lambda: blob.is_right)
        losing = store.tasks.start(blob.lose(Span(0, 1), "disk0"), "lose")
        await until(lambda: not blob.is_right)
        faulty.heal()
        await asyncio.gather(losing, sealing)
        assert blob.missing(WHOLE) == (Span(0, CHUNK),)
        assert not blob.is_right
