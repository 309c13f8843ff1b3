"""Slices proven one by one, by the digests of a manifest, and the manifest that lies beside the blob."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from proxy.core.manifest import Found
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span, whole
from proxy.store import chunkmap
from proxy.store.layout import Entry, Layout
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, record_of, section

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)
WHOLE = Span(0, THREE_CHUNKS)
RIGHT = hashlib.sha256(CONTENT).hexdigest()
WRONG = hashlib.sha256(b"something else").hexdigest()
OTHER_BOOT = bytes(16)


async def test_a_slice_that_is_right_is_verified_and_with_the_last_one_the_blob_is_sealed(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert not blob.is_proven(WHOLE)
        assert await blob.prove(WHOLE, RIGHT) is Found.RIGHT
        assert blob.is_proven(WHOLE)
        assert blob.sealed


async def test_a_slice_that_is_wrong_is_missing_from_then_on(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.prove(WHOLE, WRONG) is Found.WRONG
        assert blob.missing(WHOLE) == (WHOLE,)
        assert not blob.dropped, "its other slices stay"
        await fill(blob, CONTENT)
        assert await blob.prove(WHOLE, RIGHT) is Found.RIGHT
        assert await store.fsck(full=True) == []


async def test_of_a_slice_that_is_not_whole_nothing_is_known(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT, Span(0, CHUNK))
        assert await blob.prove(WHOLE, WRONG) is Found.INCOMPLETE
        assert blob.missing(Span(0, CHUNK)) == ()


async def test_only_what_the_disk_has_spoilt_is_lost_and_nobody_else_is_blamed(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        extent = blob.readable(CHUNK, CHUNK + 1)
        assert extent is not None
        fd = os.open(f"/proc/self/fd/{extent.fd}", os.O_WRONLY)
        os.pwrite(fd, b"rotten", CHUNK + 100)
        os.close(fd)
        assert await blob.prove(WHOLE, RIGHT) is Found.INCOMPLETE
        assert blob.missing(WHOLE) == (Span(CHUNK, 2 * CHUNK),)


async def test_what_is_proven_stays_so_over_a_restart_and_another_boot(tmp_path: Path) -> None:
    two = content_of(64 * CHUNK + CHUNK + 7)
    record, first = record_of(two), Span(0, 64 * CHUNK)
    async with open_store(section(tmp_path)) as store, store.open_blob(record) as blob:
        await fill(blob, two, first)
        assert await blob.prove(first, hashlib.sha256(two[: first.stop]).hexdigest()) is Found.RIGHT
        assert not blob.sealed, "the other slice is not here"
        await blob.keep_manifest(b"which it was proven by")
    for boot in (None, OTHER_BOOT):
        async with open_store(section(tmp_path), boot=boot) as store, store.open_blob(record) as blob:
            await blob.checked(first)
            assert blob.is_proven(first)
            assert not blob.is_proven(whole(record.size))
            assert await blob.manifest() == b"which it was proven by"


async def test_a_chunk_that_came_anew_since_it_was_hashed_is_not_called_right(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store, store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        (part,) = blob.parts
        hashed = {chunk: part.map.crc(chunk) for chunk in range(3)}
        part.lose([1])
        assert not part.verify_those(hashed)
        await fill(blob, content_of(THREE_CHUNKS, seed=2), Span(CHUNK, 2 * CHUNK))
        assert not part.verify_those(hashed)
        assert {part.map.state(chunk) for chunk in range(3)} <= {chunkmap.WRITTEN, chunkmap.DURABLE}
        assert part.verify_those({0: hashed[0], 2: hashed[2]})


async def test_a_manifest_goes_with_its_blob(tmp_path: Path) -> None:
    async with open_store(section(tmp_path)) as store:
        async with store.open_blob(RECORD) as blob:
            assert await blob.manifest() is None
            await fill(blob, CONTENT)
            await blob.keep_manifest(b"first")
            await blob.keep_manifest(b"second")
            assert await blob.manifest() == b"second"
        assert await store.fsck(full=True) == []
        place = Path(Layout(str(tmp_path)).place(Entry(RECORD.key, small=False)))
        assert sorted(file.name for file in place.iterdir()) == ["bytes", "manifest", "map"]
        await store.drop(RECORD.key, "purged")
        assert not place.exists()
        async with store.open_blob(RECORD) as blob:
            assert await blob.manifest() is None
