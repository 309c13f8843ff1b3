"""The door of the store, over real folders."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.core.sizes import MIB
from proxy.core.spans import Span
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, read, record_of, section


async def test_what_was_filled_is_read_back_and_sealed(tmp_path: Path) -> None:
    content = content_of(THREE_CHUNKS)
    record = record_of(content)
    async with open_store(section(tmp_path)) as store, store.open_blob(record) as blob:
        assert blob.missing(Span(0, record.size)) == (Span(0, record.size),)
        await fill(blob, content)
        assert blob.missing(Span(0, record.size)) == ()
        assert await blob.seal()
        assert blob.sealed
        assert read(blob, record.size) == content


async def test_small_blobs_come_back(tmp_path: Path) -> None:
    content = content_of(700)
    key = record_of(content).key
    async with open_store(section(tmp_path)) as store:
        assert await store.put_small(key, content)
        async with store.open_small(key) as extent:
            assert extent is not None
            assert os.pread(extent.fd, extent.length, 0) == content


async def test_blob_of_several_slices_lies_on_several_disks(folders: list[Path]) -> None:
    content = content_of(3 * 64 * MIB + 17)
    record = record_of(content)
    async with open_store(section(*folders)) as store, store.open_blob(record) as blob:
        await fill(blob, content, step=4 * MIB)
        assert await blob.seal()
        assert read(blob, record.size) == content
        status = await store.snapshot()
        assert sum(disk.stored for disk in status) == record.size
        assert sum(disk.reserved for disk in status) == 0
        assert sum(disk.stored > 0 for disk in status) > 1
