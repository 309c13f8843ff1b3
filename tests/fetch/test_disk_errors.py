"""A disk that cannot give what it has: the reader goes on from there, the bytes come anew."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from proxy.config.schema import Disk, StoreSection
from proxy.core.caller import ANONYMOUS
from proxy.core.clock import SystemClock
from proxy.core.errors import DiskFailed
from proxy.core.sizes import CHUNK, GIB, MIB
from proxy.core.spans import Span
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import FilePiece
from proxy.store.blobstore import BlobStore
from tests.store.faulty import FaultySyscalls
from tests.store.stores import until

from .rig import REPO, Rig, content

SIZE = 5 * MIB + 777
EIO = OSError(errno.EIO, os.strerror(errno.EIO))


async def test_a_reading_goes_on_where_the_disk_failed(rig: Rig) -> None:
    body = rig.origin.files["model.safetensors"] = content(SIZE)
    await rig.read("model.safetensors")
    sent = rig.origin.sent
    async with rig.mirror.read(ANONYMOUS, rig.located("model.safetensors"), Span(0, SIZE)) as reading:
        pieces = reading.pieces()
        first = await anext(pieces)
        assert isinstance(first, FilePiece)
        got = os.pread(first.fd, 2 * CHUNK + 5, 0)
        await pieces.aclose()
        await reading.recover(first, len(got), EIO)
        async for piece in reading.pieces():
            assert isinstance(piece, FilePiece)
            got += os.pread(piece.fd, piece.length, piece.offset)
    assert got == body
    assert rig.origin.sent - sent == CHUNK, "only the chunk that could not be read comes anew"


async def test_a_small_file_that_cannot_be_read_is_forgotten_and_comes_anew(rig: Rig) -> None:
    rig.origin.files["config.json"] = b'{"a": 1}'
    await rig.read("config.json")
    async with rig.mirror.read(ANONYMOUS, rig.located("config.json"), Span(0, 8)) as reading:
        piece = await anext(reading.pieces())
        assert isinstance(piece, FilePiece)
        with pytest.raises(DiskFailed):
            await reading.recover(piece, 0, EIO)
    assert (await rig.read("config.json")).body == b'{"a": 1}'
    assert rig.origin.asked["body"] == 2


async def test_a_disk_that_fails_again_and_again_leaves_the_ranking(rig: Rig) -> None:
    rig.origin.files["model.safetensors"] = content(SIZE)
    await rig.read("model.safetensors")
    for _ in range(3):
        async with rig.mirror.read(ANONYMOUS, rig.located("model.safetensors"), Span(0, CHUNK)) as reading:
            piece = await anext(reading.pieces())
            assert isinstance(piece, FilePiece)
            await reading.recover(piece, 0, EIO)
    states = {disk.name: disk.state.value for disk in await rig.store.snapshot()}
    assert states[piece.disk] == "out"
    assert (await rig.read("model.safetensors")).body == rig.origin.files["model.safetensors"]


async def test_a_reader_has_all_of_a_body_that_is_right_while_the_disk_hangs_at_its_seal(tmp_path: Path) -> None:
    faulty = FaultySyscalls()
    section = StoreSection(disks=(Disk(path=tmp_path / "a", size=GIB),), free_floor=0, durable_every="1GiB")
    async with (
        BlobStore.open(section, clock=SystemClock(), node="test", worker=0, syscalls=lambda _: faulty) as store,
        Rig.open(store, tmp_path / "state") as rig,
    ):
        body = rig.origin.files["model.safetensors"] = content(SIZE)
        # Opened first: to make its files takes an fdatasync.
        async with store.open_blob(rig.located("model.safetensors").facts.record(REPO)) as blob:
            faulty.hang("fdatasync")
            assert (await rig.read("model.safetensors")).body == body
            second = await rig.read("model.safetensors")
            assert (second.body, second.cache, second.verified) == (body, CacheOutcome.HIT, True)
            assert not blob.sealed
            faulty.heal()
            await until(lambda: blob.sealed)


async def test_a_body_whose_seal_fails_after_its_end_comes_anew_for_the_next_reader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = FaultySyscalls()
    section = StoreSection(disks=(Disk(path=tmp_path / "a", size=GIB),), free_floor=0, durable_every="1GiB")
    async with (
        BlobStore.open(section, clock=SystemClock(), node="test", worker=0, syscalls=lambda _: faulty) as store,
        Rig.open(store, tmp_path / "state") as rig,
    ):
        body = rig.origin.files["model.safetensors"] = content(SIZE)
        async with store.open_blob(rig.located("model.safetensors").facts.record(REPO)):
            faulty.hang("fdatasync")
            faulty.fail("fdatasync", errno.EIO, times=1)
            with caplog.at_level(logging.ERROR):
                assert (await rig.read("model.safetensors")).body == body
                before = rig.origin.sent
                faulty.release()
                await until(lambda: not len(rig.mirror.flights))
            assert "seal failed" in caplog.text
            # All of it was lost, and comes anew: for the next reader, or before, when the last request had not quite
            # ended as this one left. The flight then saw that nothing was missing, and was to finish what might be.
        assert (await rig.read("model.safetensors")).body == body
        assert rig.origin.sent - before == SIZE
