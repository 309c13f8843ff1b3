"""The sealer: who proves a blob that nobody has whole, from where, and what follows when it is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from proxy.core.blob import BlobKey
from proxy.core.clock import ManualClock
from proxy.core.errors import AskAnother, FoundWrong, OriginRefused, PeerFailed
from proxy.core.manifest import Manifest
from proxy.core.sizes import MIB, SLICE
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet
from proxy.fetch.manifests import KnownManifests
from proxy.fetch.sealer import SETTLED_FOR, Sealer
from proxy.hub.facts import FileFacts
from proxy.hub.peering import PeerQuestion
from proxy.store.blobstore import BlobStore
from tests.store.stores import fill, open_store, section

from .test_fleet import QUESTION, Giver, Heard, SteeredFleet, pattern, ring

SIZE = SLICE + 2 * MIB
CONTENT = pattern(Span(0, SIZE))
SLICES = (hashlib.sha256(CONTENT[:SLICE]).hexdigest(), hashlib.sha256(CONTENT[SLICE:]).hexdigest())


def asked_for(sha256: str) -> PeerQuestion:
    return replace(QUESTION, facts=FileFacts(sha256, SIZE, linked=True, key=BlobKey.sha256(sha256)))


ASKED = asked_for(hashlib.sha256(CONTENT).hexdigest())
MANIFEST = Manifest(ASKED.name, SIZE, SLICES)


@dataclass
class Liar(Giver):
    """One byte of each stretch it gives is another."""

    async def read(self, span: Span, *, can_wait: bool = False):  # type: ignore[no-untyped-def]
        first = True
        async for piece in super().read(span, can_wait=can_wait):
            yield bytes([piece[0] ^ 1]) + piece[1:] if first else piece
            first = False


@dataclass
class Scene:
    """A node of a fleet with a store of its own."""

    store: BlobStore
    fleet: SteeredFleet
    tasks: TaskSet
    origin: Giver = field(default_factory=Giver)
    clock: ManualClock = field(default_factory=ManualClock)
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.sealer = self.started_anew()

    def started_anew(self) -> Sealer:
        once = ring(self.fleet, self.heard)
        manifests = KnownManifests(self.store, self.fleet)
        return Sealer(self.store, once, manifests, lambda question: self.origin, self.tasks, self.clock)

    async def holds(self, span: Span, content: bytes = CONTENT, asked: PeerQuestion = ASKED) -> None:
        async with self.store.open_blob(asked.record) as blob:
            await fill(blob, content, span)


@asynccontextmanager
async def scene(tmp_path: Path, **peers: Giver) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(section(tmp_path)))
        tasks = await stack.enter_async_context(TaskSet("scene"))
        yield Scene(store, SteeredFleet(peers=dict(peers), rank=("us", *peers)), tasks)


async def test_slices_that_nobody_has_together_are_read_once_and_proven(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver(limit=0, error=AskAnother("not here")), b=Giver()) as node:
        await node.holds(Span(0, SLICE))
        assert await node.sealer.wanted(ASKED) == MANIFEST
        assert node.fleet.peers["b"].asked == [Span(SLICE, SIZE)], "what is here is not read from others"
        assert all(stored_only for _, _, _, stored_only in node.fleet.calls), "nothing is fetched for it"
        assert node.origin.asked == []
        async with node.store.open_blob(ASKED.record) as blob:
            assert blob.missing(Span(0, SIZE)) == (Span(SLICE, SIZE),), "of the others' slices nothing is kept"


async def test_a_manifest_outlives_the_life_of_its_sealer(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver()) as node:
        await node.holds(Span(0, SLICE))
        first = await node.sealer.wanted(ASKED)
        node.fleet.peers.clear()
        assert await node.started_anew().wanted(ASKED) == first


async def test_what_lies_beside_the_blob_and_is_no_manifest_of_the_fleet_is_made_anew(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver()) as node:
        await node.holds(Span(0, SLICE))
        async with node.store.open_blob(ASKED.record) as blob:
            await blob.keep_manifest(b"spoilt")
        assert await node.sealer.wanted(ASKED) == MANIFEST


async def test_the_reading_goes_on_where_a_slice_was_missing(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver(limit=SLICE // 2, error=PeerFailed("cut"))) as node:
        await node.holds(Span(0, SLICE))
        with pytest.raises(AskAnother, match="slice 1"):
            await node.sealer.wanted(ASKED)
        node.fleet.peers["a"] = Giver()
        await node.store.drop(ASKED.name, "purged")
        assert await node.sealer.wanted(ASKED) == MANIFEST, "slice 0 was read before it went"
        assert node.fleet.peers["a"].asked == [Span(SLICE, SIZE)]


async def test_whoever_has_the_blob_proven_is_asked_before_anything_is_read(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver(), b=Giver()) as node:
        node.fleet.manifests["b"] = MANIFEST
        assert await node.sealer.wanted(ASKED) == MANIFEST
        assert node.fleet.asked_manifest == [("a", True), ("b", True)]
        assert node.fleet.calls == []


@pytest.mark.parametrize("failed", [PeerFailed("refused"), None])
async def test_the_first_in_rank_seals_and_when_it_fails_the_next(tmp_path: Path, failed: Exception | None) -> None:
    async with scene(tmp_path, a=Giver(), b=Giver()) as node:
        node.fleet.rank = ("a", "us", "b")
        node.fleet.manifests["a"] = failed or MANIFEST
        assert await node.sealer.wanted(ASKED) == MANIFEST
        assert node.fleet.asked_manifest[0] == ("a", False)
        assert bool(node.fleet.calls) is (failed is not None), "we read ourselves only when we seal"


@pytest.mark.parametrize("said", [AskAnother("not yet"), FoundWrong("at the origin")])
async def test_what_the_sealer_says_is_asked_of_nobody_else(tmp_path: Path, said: Exception) -> None:
    async with scene(tmp_path, a=Giver(), b=Giver()) as node:
        node.fleet.rank, node.fleet.manifests["a"] = ("a", "us", "b"), said
        with pytest.raises(type(said)):
            await node.sealer.wanted(ASKED)
        assert (node.fleet.asked_manifest, node.fleet.calls) == ([("a", False)], [])


async def test_who_asks_by_the_way_starts_no_reading(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver()) as node:
        await node.holds(Span(0, SLICE))
        with pytest.raises(AskAnother):
            await node.sealer.given(ASKED.anew(stored_only=True))
        assert (node.fleet.calls, node.fleet.asked_manifest) == ([], [])
        stamped = await node.sealer.given(ASKED)
        assert node.fleet.unstamped(stamped, ASKED.record) == MANIFEST


async def test_a_peer_that_gives_wrong_bytes_is_found_out_by_what_the_origin_says(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Liar()) as node:
        await node.holds(Span(0, SLICE))
        assert await node.sealer.wanted(ASKED) == MANIFEST
        assert (node.fleet.liars, node.heard.wrong) == (["a"], ["peer"])
        assert node.heard.reasons == {"proof": SIZE}


async def test_wrong_bytes_of_our_own_are_no_reason_to_name_anybody(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver()) as node:
        await node.holds(Span(0, SLICE), bytes(SIZE))
        assert await node.sealer.wanted(ASKED) == MANIFEST
        assert node.fleet.liars == []


async def test_a_blob_that_is_wrong_at_the_origin_ends_and_leaves_nothing(tmp_path: Path) -> None:
    announced = asked_for("ab" * 32)
    async with scene(tmp_path, a=Giver()) as node:
        await node.holds(Span(0, SLICE), asked=announced)
        for _ in range(2):
            with pytest.raises(FoundWrong):
                await node.sealer.given(announced)
        assert len(node.origin.asked) == 2, "each slice once, whoever asks meanwhile"
        assert not await node.store.holds(announced.name)
        assert node.fleet.liars == []


async def test_the_origin_settles_a_blob_once_in_a_while(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Liar()) as node:
        await node.holds(Span(0, SLICE))
        node.origin = Giver(limit=MIB, error=OriginRefused(401, "not for you"))
        for _ in range(2):
            with pytest.raises(AskAnother):
                await node.sealer.wanted(ASKED)
        assert len(node.origin.asked) == 1
        node.origin = Giver()
        node.clock.advance(SETTLED_FOR + 1)
        assert await node.sealer.wanted(ASKED) == MANIFEST


@pytest.mark.parametrize("who", ["a peer", "we ourselves"])
async def test_who_had_a_wrong_whole_from_the_origin_is_not_believed_without_asking_it(
    tmp_path: Path, who: str
) -> None:
    announced = asked_for("ab" * 32)
    async with scene(tmp_path, a=Giver()) as node:
        for asked in (ASKED, announced):
            if who == "a peer":
                node.fleet.manifests["a"] = FoundWrong("the whole was wrong here")
            else:
                node.sealer.doubt(asked.name)
        assert await node.sealer.wanted(ASKED) == MANIFEST, "it was that node that was wrong"
        assert node.fleet.calls == [], "from peers nothing is read"
        await node.holds(Span(0, SLICE), asked=announced)
        with pytest.raises(FoundWrong):
            await node.sealer.wanted(announced)
        assert not await node.store.holds(announced.name)


async def test_who_has_the_whole_proven_is_believed_before_one_that_had_it_wrong(tmp_path: Path) -> None:
    async with scene(tmp_path, a=Giver(), b=Giver()) as node:
        node.fleet.manifests = {"a": FoundWrong("the whole was wrong here"), "b": MANIFEST}
        assert await node.sealer.wanted(ASKED) == MANIFEST
        assert node.origin.asked == []
