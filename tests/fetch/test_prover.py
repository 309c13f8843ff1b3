"""Slices are proven some time after they were read, and what is wrong goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.core.errors import AskAnother, DigestMismatch, FoundWrong
from proxy.core.manifest import Manifest
from proxy.core.sizes import SLICE
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet
from proxy.fetch.fleet import OncePerFleet
from proxy.fetch.flight import FlightLimits
from proxy.fetch.flights import Flights
from proxy.fetch.givers import ORIGIN
from proxy.fetch.in_fleet import InFleet
from proxy.fetch.node import OncePerNode
from proxy.fetch.prover import BELIEVED, Prover
from tests.store.stores import open_store, section, until

from .rig import Counts, SteeredOrigin
from .test_fleet import Giver
from .test_sealer import ASKED, MANIFEST, SIZE, Scene, SteeredFleet

FIRST, SECOND = Span(0, SLICE), Span(SLICE, SIZE)


@dataclass
class Proving(Scene):
    """`Scene` with a prover that does not wait."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = FlightLimits(span=SLICE, parallel=1, finish_below=0, progress_timeout=5.0)
        flights = Flights(self.store, OncePerNode(Counts()), self.tasks, self.clock, limits)
        self.flights = flights
        self.once = OncePerFleet(self.fleet, self.heard, self.clock, floor=0, window=1.0, prove_after=0.01)
        self.once.source(self.origin, ASKED, hops=0)
        self.prover: Prover = InFleet(self.once, self.store, SteeredOrigin(), self.tasks, self.clock).prover(flights)

    async def read_unproven(self) -> None:
        """Somebody was given bytes; return once they have been seen to."""
        async with self.store.open_blob(ASKED.record) as blob:
            self.prover.unproven(blob)
        await until(lambda: not self.prover.waiting)

    async def missing(self) -> tuple[Span, ...]:
        async with self.store.open_blob(ASKED.record) as blob:
            return blob.missing(Span(0, SIZE))

    async def is_proven(self, span: Span) -> bool:
        async with self.store.open_blob(ASKED.record) as blob:
            return blob.is_proven(span)


@asynccontextmanager
async def proving(tmp_path: Path, manifest: Manifest | Exception = MANIFEST) -> AsyncIterator[Proving]:
    fleet = SteeredFleet(peers={"a": Giver()}, rank=("a", "us"), manifests={"a": manifest})
    async with open_store(section(tmp_path)) as store, TaskSet("proving") as tasks:
        yield Proving(store, fleet, tasks)


async def test_an_owner_proves_its_slices_by_the_manifest_of_the_sealer(tmp_path: Path) -> None:
    async with proving(tmp_path) as node:
        await node.holds(SECOND)
        await node.read_unproven()
        assert await node.is_proven(SECOND)
        assert not await node.is_proven(FIRST), "what is not here is not proven"
        assert (node.heard.proven, node.heard.wrong) == (1, [])
        await node.read_unproven()
        assert node.fleet.asked_manifest == [("a", False)], "what is proven is asked about no more"


@pytest.mark.parametrize(("givers", "liars"), [({"b"}, ["b"]), ({ORIGIN}, []), ({"b", "c"}, [])])
async def test_a_slice_that_is_wrong_goes_and_who_gave_it_is_named(
    tmp_path: Path, givers: set[str], liars: list[str]
) -> None:
    async with proving(tmp_path) as node:
        await node.holds(SECOND, bytes(SIZE))
        for giver in givers:
            node.once.givers.note((ASKED.name, 1), giver)
        await node.read_unproven()
        assert await node.missing() == (Span(0, SIZE),)
        assert node.fleet.liars == liars
        assert node.once.givers.are_distrusted((ASKED.name, 1)) is (givers != {ORIGIN})
        await node.holds(SECOND)
        await node.read_unproven()
        assert await node.is_proven(SECOND)
        assert not node.once.givers.are_distrusted((ASKED.name, 1)), "what is right may come from anybody again"


async def test_a_manifest_that_says_wrong_of_what_is_right_is_not_believed_for_long(tmp_path: Path) -> None:
    lie = Manifest(MANIFEST.key, MANIFEST.size, (MANIFEST.slices[0], "ab" * 32))
    async with proving(tmp_path, lie) as node:
        for _ in range(BELIEVED):
            await node.holds(SECOND)
            node.once.givers.note((ASKED.name, 1), ORIGIN)
            await node.read_unproven()
            assert await node.missing() == (Span(0, SIZE),)
        await node.holds(SECOND)
        await node.read_unproven()
        assert await node.missing() == (FIRST,), "what came from the origin again stays"
        assert node.heard.wrong == ["origin"] * BELIEVED


async def test_what_a_node_had_before_its_restart_may_have_come_from_a_liar(tmp_path: Path) -> None:
    """Or another worker fetched it: the next try comes from the origin, and the manifest stays believed."""
    async with proving(tmp_path) as node:
        for _ in range(BELIEVED + 1):
            await node.holds(SECOND, bytes(SIZE))
            await node.read_unproven()
            assert await node.missing() == (Span(0, SIZE),)
            assert node.once.givers.are_distrusted((ASKED.name, 1))
        assert node.heard.wrong == ["unknown"] * (BELIEVED + 1)


async def test_a_blob_that_is_wrong_at_the_origin_is_dropped_and_rests(tmp_path: Path) -> None:
    async with proving(tmp_path, FoundWrong("wrong at the origin")) as node:
        for _ in range(2):
            await node.holds(SECOND)
            await node.read_unproven()
            assert not await node.store.holds(ASKED.name)
        with pytest.raises(DigestMismatch):
            node.flights.mistrust.check(ASKED.name)


async def test_what_cannot_be_proven_yet_is_tried_again_and_then_left(tmp_path: Path) -> None:
    async with proving(tmp_path, AskAnother("not yet")) as node:
        await node.holds(SECOND)
        async with node.store.open_blob(ASKED.record) as blob:
            node.prover.unproven(blob)
        await until(lambda: len(node.fleet.asked_manifest) == 2)
        node.fleet.manifests["a"] = MANIFEST
        await until(lambda: not node.prover.waiting)
        assert await node.is_proven(SECOND)
