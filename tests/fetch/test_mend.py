"""Wrong bytes from a peer, at a node that reads the whole: nobody keeps them, and who gave them is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.core.errors import BlobDropped, DigestMismatch, FoundWrong
from proxy.core.sizes import CHUNK, MIB, SLICE
from proxy.core.spans import Span, whole
from proxy.hub.peering import PeerQuestion
from tests.store.stores import open_store, section, until

from .rig import Rig
from .test_fleet import Giver, Heard, SteeredFleet, pattern, ring
from .test_sealer import CONTENT, MANIFEST, Liar

SMALL, LARGE = "config.bin", "model.bin"


@dataclass
class Node:
    rig: Rig
    fleet: SteeredFleet
    heard: Heard

    async def read(self, path: str, span: Span | None = None) -> bytes:
        return (await self.rig.read(path, span)).body

    async def is_lied_to(self, path: str) -> None:
        """A reader gets no clean end."""
        with pytest.raises((DigestMismatch, BlobDropped)):
            await self.read(path)
        await until(lambda: not len(self.rig.mirror.flights))


@asynccontextmanager
async def reading_from(tmp_path: Path, *peers: tuple[str, Giver], size: int = 3 * MIB) -> AsyncIterator[Node]:
    """A node with a small file and one of `size`, for whose slices `peers` rank before it."""
    fleet, heard = SteeredFleet(tuple(name for name, _ in peers), dict(peers)), Heard()
    async with (
        open_store(section(tmp_path / "disk")) as store,
        Rig.open(store, tmp_path / "state", ring=ring(fleet, heard)) as rig,
    ):
        rig.origin.files = {SMALL: pattern(Span(0, CHUNK // 2)), LARGE: pattern(Span(0, size))}
        yield Node(rig, fleet, heard)


async def test_a_small_file_is_right_before_its_first_byte_leaves(tmp_path: Path) -> None:
    async with reading_from(tmp_path, ("a", Liar())) as node:
        assert await node.read(SMALL) == node.rig.origin.files[SMALL]
        assert (node.fleet.liars, node.heard.wrong) == (["a"], ["peer"])
        assert node.heard.reasons == {"distrust": CHUNK // 2}


async def test_a_wrong_whole_has_no_clean_end_and_the_next_reader_gets_it_right(tmp_path: Path) -> None:
    async with reading_from(tmp_path, ("a", Liar()), ("b", Liar())) as node:
        await node.is_lied_to(LARGE)
        assert node.fleet.liars == [], "nobody is accused before it is known what is right"
        assert await node.read(LARGE) == node.rig.origin.files[LARGE]
        await until(lambda: bool(node.fleet.liars))
        assert (node.fleet.liars, node.heard.wrong) == (["a"], ["peer"])
        assert set(node.heard.reasons) == {"distrust"}, "with one liar found, no other peer is asked for those bytes"


async def test_for_what_the_origin_sent_wrong_no_peer_is_blamed(tmp_path: Path) -> None:
    async with reading_from(tmp_path) as node:
        node.rig.origin.spoil_at = 2 * MIB
        await node.is_lied_to(LARGE)
        located = node.rig.located(LARGE)
        asked = PeerQuestion(located.target, located.facts, None, stored_only=True)
        with pytest.raises(FoundWrong):  # what a sealer hears that asks us by the way
            await node.rig.mirror.manifest_for_peer(asked)
        node.rig.origin.spoil_at = None
        assert await node.read(LARGE) == node.rig.origin.files[LARGE]
        await until(lambda: bool(node.heard.wrong))
        assert (node.fleet.liars, node.heard.wrong) == ([], ["origin"])


async def test_slices_that_are_right_are_kept_when_a_peer_has_the_file_proven(tmp_path: Path) -> None:
    honest, liar = Giver(), Liar()

    class TwoOwners(Giver):
        async def read(self, span: Span, *, can_wait: bool = False):  # type: ignore[no-untyped-def]
            async for piece in (honest if span.stop <= SLICE else liar).read(span):
                yield piece

    async with reading_from(tmp_path, ("a", TwoOwners()), size=len(CONTENT)) as node:
        node.fleet.rank, node.fleet.manifests["b"] = ("us", "a", "b"), MANIFEST
        await node.is_lied_to(LARGE)
        record = node.rig.located(LARGE).facts.record(node.rig.located(LARGE).target.repo)
        async with node.rig.store.open_blob(record) as blob:
            assert blob.missing(whole(record.size)) == (Span(SLICE, record.size),)
        assert await node.read(LARGE) == CONTENT
        assert node.heard.reasons == {"distrust": len(CONTENT) - SLICE}
