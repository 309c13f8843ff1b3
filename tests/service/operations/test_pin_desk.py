"""A pin is in the book before any disk hears of it: what the disks alone know of, nobody could let go of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.hub.facts import FileFacts
from proxy.hub.names import RepoId
from proxy.service.operations.inventory import InventoryDesk
from proxy.service.operations.pins import Pin, PinAsked, PinBook, PinDesk
from proxy.service.operations.shape import Refused
from proxy.store.blobstore import BlobStore
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, record_of, section

CONTENT = content_of(THREE_CHUNKS)
RECORD = record_of(CONTENT)
FACTS = FileFacts(RECORD.key.hex, THREE_CHUNKS, True, BlobKey.sha256(RECORD.key.hex))
ASKED = PinAsked(repo="acme/tiny")


class OneFile:
    """What a pin asks of the inventory."""

    @property
    def survey(self) -> OneFile:
        return self

    async def commit_of(self, repo: RepoId, revision: str) -> str:
        return "a" * 40

    def files(self, repo: RepoId, commit: str) -> Iterator[list[tuple[str, str, FileFacts]]]:
        yield [(commit, "model.safetensors", FACTS)]


class Full(PinBook):
    """Its disk takes nothing."""

    def add(self, pin: Pin) -> None:
        raise OSError("no space left on device")


def desk(book: PinBook, store: BlobStore) -> PinDesk:
    return PinDesk(book, cast(InventoryDesk, OneFile()), store, SystemClock())


async def pinned(store: BlobStore) -> int:
    return sum(disk.pinned for disk in await store.snapshot())


async def keep(store: BlobStore) -> None:
    async with store.open_blob(RECORD) as blob:
        await fill(blob, CONTENT)
        assert await blob.seal()


async def test_a_pin_that_could_not_be_entered_is_not_told_to_the_disks(tmp_path: Path) -> None:
    async with open_store(section(tmp_path / "disk")) as store:
        await keep(store)
        with pytest.raises(OSError, match="no space left"):
            await desk(Full(tmp_path), store).pin(ASKED)
        assert await pinned(store) == 0
        await desk(PinBook(tmp_path), store).pin(ASKED)
        assert await pinned(store) == THREE_CHUNKS


async def test_a_pin_that_no_disk_hears_of_is_kept_and_says_so(tmp_path: Path) -> None:
    async with open_store(section(tmp_path / "disk")) as store:
        await keep(store)
        (disk,) = store.rack.disks
        disk.fail("a test takes it out")
        pins = desk(PinBook(tmp_path), store)
        with pytest.raises(Refused, match="as soon as a disk is back") as refused:
            await pins.pin(ASKED)
        assert refused.value.status == 503
        disk.recover()
        assert await pinned(store) == 0
        await pins.apply_all()
        assert await pinned(store) == THREE_CHUNKS
