"""What is kept of a target that is written to while an answer to it is put down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.catalogue.catalogue import Catalogue
from proxy.catalogue.responses import StoredResponses
from proxy.core.changes import Noted
from proxy.core.clock import ManualClock
from proxy.fetch.web.shelving import Shelving
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import NOTHING, StoredResponse
from proxy.store.blobstore import BlobStore
from tests.store.stores import open_store, section


class Slow:
    """Heads that are put down when `gate` opens, as by a disk that takes its time."""

    def __init__(self, heads: StoredResponses) -> None:
        self._heads = heads
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()

    def noted(self, place: bytes) -> Noted:
        return self._heads.noted(place)

    def at(self, place: bytes) -> tuple[StoredResponse, ...]:
        return self._heads.at(place)

    async def keep(self, place: bytes, origin: str, target: str, stored: StoredResponse) -> None:
        self.begun.set()
        await self.gate.wait()
        await self._heads.keep(place, origin, target, stored)

    def is_purged(self, origin: str, target: str, stored: StoredResponse) -> bool:
        return self._heads.is_purged(origin, target, stored)

    async def drop(self, place: bytes, selecting: Fields | None = None) -> None:
        await self._heads.drop(place, selecting)

    async def void(self, place: bytes, origin: str, target: str, at: float) -> None:
        await self._heads.void(place, origin, target, at)


@asynccontextmanager
async def two_workers(folder: Path, clock: ManualClock) -> AsyncIterator[tuple[BlobStore, Catalogue, Catalogue]]:
    async with (
        open_store(section(folder / "disk")) as store,
        Catalogue.open(folder, clock=clock) as one,
        Catalogue.open(folder, clock=clock) as two,
    ):
        yield store, one, two


def asked_at(clock: ManualClock) -> StoredResponse:
    return StoredResponse(200, (("cache-control", "max-age=600"),), (), clock.now, clock.now + 2, NOTHING)


async def test_what_becomes_void_while_it_is_put_down_is_not_kept(tmp_path: Path) -> None:
    clock = ManualClock()
    async with two_workers(tmp_path, clock) as (store, catalogue, _):
        heads = Slow(catalogue.responses)
        shelving = Shelving("o", store, heads, tmp_path, clock.wall)
        keeping = asyncio.create_task(shelving.keep("/a", asked_at(clock)))
        await heads.begun.wait()
        clock.advance(1)
        await shelving.void("/a")
        heads.gate.set()
        assert not await keeping
        assert shelving.at("/a") == ()


async def test_what_one_worker_writes_to_another_does_not_keep_from_before(tmp_path: Path) -> None:
    clock = ManualClock()
    async with two_workers(tmp_path, clock) as (store, one, two):
        writer = Shelving("o", store, one.responses, tmp_path, clock.wall)
        reader = Shelving("o", store, two.responses, tmp_path, clock.wall)
        kept, under_way = asked_at(clock), asked_at(clock)
        await reader.keep("/a", kept)
        clock.advance(1)
        await writer.written("/a")
        assert reader.at("/a") == ()
        await reader.keep("/a", under_way)
        assert reader.is_void("/a", under_way)
        assert reader.at("/a") == ()
        clock.advance(1)
        await reader.keep("/a", asked_at(clock))
        assert len(writer.at("/a")) == 1


async def test_a_write_takes_nothing_of_other_targets(tmp_path: Path) -> None:
    clock = ManualClock()
    async with two_workers(tmp_path, clock) as (store, one, _):
        shelving = Shelving("o", store, one.responses, tmp_path, clock.wall)
        await shelving.keep("/a", asked_at(clock))
        await shelving.keep("/a/b", asked_at(clock))
        await shelving.written("/a")
        assert (shelving.at("/a"), len(shelving.at("/a/b"))) == ((), 1)
