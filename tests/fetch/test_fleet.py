"""The ring of the fleet: who is asked, in which order, and where the next one goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.clock import Clock, ManualClock
from proxy.core.errors import (
    AddressRefused,
    AskAnother,
    OriginBusy,
    OriginRefused,
    OriginUnreachable,
    PeerFailed,
    PeerLeaving,
)
from proxy.core.fleet import Ask, Ours, Standing, Theirs, Unsure
from proxy.core.manifest import Manifest
from proxy.core.secret import Secret
from proxy.core.sizes import KIB, MIB, SLICE
from proxy.core.spans import Span, whole
from proxy.fetch.fleet import FleetSource, OncePerFleet
from proxy.fetch.givers import ORIGIN
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.peering import PeerQuestion

FACTS = FileFacts("ab" * 32, 3 * SLICE, linked=True, key=BlobKey.sha256("ab" * 32))
QUESTION = PeerQuestion(FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("c" * 40), "m.bin"), FACTS, None)
PLACE = (QUESTION.name, 0)
PIECE = 64 * KIB
FIRST = Span(0, MIB)


_ROUND = b"".join(bytes([number]) * 256 for number in range(251))


def pattern(span: Span) -> bytes:
    """The bytes of a made-up file: each says where it stands."""
    skipped = span.start % len(_ROUND)
    return (_ROUND * (2 + len(span) // len(_ROUND)))[skipped : skipped + len(span)]


@dataclass
class Giver:
    """Gives the pattern, up to `limit` bytes, and then fails with `error` if there is one."""

    limit: int = SLICE * 3
    error: Exception | None = None
    asked: list[Span] = field(default_factory=list)

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        self.asked.append(span)
        given = 0
        for start in range(span.start, span.stop, PIECE):
            if given >= self.limit:
                break
            piece = pattern(Span(start, min(start + PIECE, span.stop)))[: self.limit - given]
            given += len(piece)
            yield piece
        if self.error is not None:
            raise self.error


@dataclass
class SteeredFleet:
    """`ports.Fleet` as a test wants it."""

    route_: tuple[str | Ask, ...] = ()
    peers: dict[str, Giver] = field(default_factory=dict)
    standing: Standing = field(default_factory=Unsure)
    calls: list[tuple[str, int, bool, bool]] = field(default_factory=list)
    leases: int = 0
    held: int = 0
    failed: int = 0
    """Leases that were let go of because of an error, or an end before the end."""
    told: list[tuple[BlobKey, int]] = field(default_factory=list)
    us: str = "us"
    rank: tuple[str, ...] = ("us", "a", "b")
    manifests: dict[str, Manifest | Exception] = field(default_factory=dict)
    asked_manifest: list[tuple[str, bool]] = field(default_factory=list)
    liars: list[str] = field(default_factory=list)
    on_read: Callable[[], None] = lambda: None
    before_us: frozenset[str] = frozenset()
    is_leaving: bool = False

    def route(self, name: BlobKey, index: int, part: float) -> tuple[Ask, ...]:
        return tuple(one if isinstance(one, Ask) else Ask(one) for one in self.route_)

    def ranks_before_us(self, url: str, name: BlobKey, index: int) -> bool:
        return url in self.before_us

    def ranked(self, name: BlobKey, index: int) -> tuple[str, ...]:
        return self.rank

    async def manifest(self, peer: str, question: PeerQuestion) -> Manifest:
        self.asked_manifest.append((peer, question.stored_only))
        said = self.manifests.get(peer, AskAnother("not proven here"))
        if isinstance(said, Exception):
            raise said
        return said

    def stamped(self, manifest: Manifest) -> bytes:
        return b"stamped " + manifest.encoded()

    def unstamped(self, stamped: bytes, record: BlobRecord) -> Manifest | None:
        if not stamped.startswith(b"stamped "):
            return None
        manifest = Manifest.decoded(stamped.removeprefix(b"stamped "))
        return manifest if (manifest.key, manifest.size) == (record.key, record.size) else None

    def lied(self, peer: str) -> None:
        self.liars.append(peer)

    def completed(self, name: BlobKey, index: int) -> None:
        self.told.append((name, index))

    async def read(
        self, peer: str, question: PeerQuestion, span: Span, *, hops: int, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        self.calls.append((peer, hops, follow, question.stored_only))
        self.on_read()
        async with aclosing(self.peers[peer].read(span)) as pieces:
            async for piece in pieces:
                yield piece

    @asynccontextmanager
    async def lease(self, name: BlobKey, index: int) -> AsyncIterator[Standing]:
        self.leases += 1
        self.held += 1
        self.failed += 1
        try:
            yield self.standing
            self.failed -= 1
        finally:
            self.held -= 1


@dataclass
class Heard:
    reasons: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    proven: int = 0

    def slices_proven(self, count: int) -> None:
        self.proven += count

    def slice_wrong(self, reason: str) -> None:
        self.wrong.append(reason)

    def fetched(self, reason: str, count: int) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + count


def ring(
    fleet: SteeredFleet, heard: Heard | None = None, *, clock: Clock | None = None, floor: float = 0.0
) -> OncePerFleet:
    return OncePerFleet(fleet, heard or Heard(), clock or ManualClock(), floor=floor, window=1.0)


async def read(
    fleet: SteeredFleet, origin: Giver, span: Span = FIRST, *, hops: int = 0, heard: Heard | None = None
) -> bytes:
    source = FleetSource(ring(fleet, heard), origin, QUESTION, hops)
    async with aclosing(source.read(span)) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_the_owner_is_asked_and_the_origin_is_not() -> None:
    fleet, origin = SteeredFleet(("a", "b"), {"a": Giver(), "b": Giver()}), Giver()
    assert await read(fleet, origin) == pattern(Span(0, MIB))
    assert fleet.calls == [("a", 1, False, False)]
    assert (origin.asked, fleet.leases) == ([], 0)


async def test_where_one_stops_the_next_goes_on_at_that_byte() -> None:
    first, second = Giver(100_000, PeerFailed("cut")), Giver(50_000, AskAnother("elsewhere"))
    fleet, origin, heard = SteeredFleet(("a", "b"), {"a": first, "b": second}), Giver(), Heard()
    assert await read(fleet, origin, heard=heard) == pattern(Span(0, MIB))
    assert second.asked == [Span(100_000, MIB)]
    assert origin.asked == [Span(150_000, MIB)]
    assert heard.reasons == {"peers_failed": MIB - 150_000}


async def test_what_the_origin_told_the_owner_is_not_asked_for_again() -> None:
    """Each follower would ask, one after another."""
    for told in (OriginRefused(404, "gone"), OriginBusy("slowly", 17), AddressRefused("the store says 404")):
        fleet, origin = SteeredFleet(("a", "b"), {"a": Giver(1000, told), "b": Giver()}), Giver()
        with pytest.raises(type(told)):
            await read(fleet, origin)
        assert (fleet.calls, origin.asked) == ([("a", 1, False, False)], [])


async def test_the_owner_itself_fetches_under_its_lease() -> None:
    fleet, origin, heard = SteeredFleet(standing=Ours()), Giver(), Heard()
    assert await read(fleet, origin, heard=heard) == pattern(Span(0, MIB))
    assert (fleet.leases, fleet.held, heard.reasons) == (1, 0, {"owner": MIB})


async def test_a_lease_is_kept_a_moment_when_all_went_well_and_else_not() -> None:
    """What comes next of the slice mostly follows at once, and that it is whole is told under its lease."""
    fleet = SteeredFleet(standing=Ours())
    await read(fleet, Giver())
    assert fleet.failed == 0
    with pytest.raises(OriginUnreachable):
        await read(fleet, Giver(1000, OriginUnreachable("cut")))
    assert (fleet.failed, fleet.held) == (1, 0)
    async with aclosing(FleetSource(ring(fleet), Giver(), QUESTION, 0).read(FIRST)) as pieces:
        await anext(pieces)
        assert fleet.held == 1
    assert (fleet.failed, fleet.held) == (2, 0)


async def test_who_has_it_already_is_asked_for_what_is_stored() -> None:
    fleet, origin = SteeredFleet(peers={"a": Giver(), "b": Giver()}, standing=Ours(("a", "b"))), Giver()
    assert await read(fleet, origin) == pattern(Span(0, MIB))
    assert fleet.calls == [("a", 1, False, True)]
    assert origin.asked == []


async def test_the_holder_of_the_lease_is_followed() -> None:
    fleet, origin = SteeredFleet(peers={"h": Giver()}, standing=Theirs("h")), Giver()
    assert await read(fleet, origin) == pattern(Span(0, MIB))
    assert fleet.calls == [("h", 1, True, False)]
    assert origin.asked == []


async def test_a_holder_that_gives_nothing_is_ignored_and_that_is_counted() -> None:
    fleet = SteeredFleet(peers={"h": Giver(1000, PeerFailed("no progress"))}, standing=Theirs("h"))
    origin, heard = Giver(), Heard()
    assert await read(fleet, origin, heard=heard) == pattern(Span(0, MIB))
    assert origin.asked == [Span(1000, MIB)]
    assert heard.reasons == {"lease_ignored": MIB - 1000}


@pytest.mark.parametrize(("hops", "asked"), [(1, [("h", 2, True, False)]), (2, [])])
async def test_a_question_from_a_peer_goes_to_the_holder_of_a_lease_at_most_and_from_there_nowhere(
    hops: int, asked: list[tuple[str, int, bool, bool]]
) -> None:
    fleet, origin = SteeredFleet(("a",), {"a": Giver(), "h": Giver()}, Theirs("h")), Giver()
    assert await read(fleet, origin, hops=hops) == pattern(Span(0, MIB))
    assert fleet.calls == asked
    assert bool(origin.asked) is not bool(asked)


async def test_without_an_answer_of_redis_the_origin_is_asked() -> None:
    fleet, origin, heard = SteeredFleet(), Giver(), Heard()
    assert await read(fleet, origin, heard=heard) == pattern(Span(0, MIB))
    assert heard.reasons == {"unsure": MIB}


async def test_the_origins_no_through_a_peer_is_the_answer() -> None:
    fleet = SteeredFleet(("a",), {"a": Giver(0, OriginRefused(404, "no such file"))})
    origin = Giver()
    with pytest.raises(OriginRefused):
        await read(fleet, origin)
    assert origin.asked == []


async def test_what_the_origin_says_last_is_raised() -> None:
    fleet = SteeredFleet(("a",), {"a": Giver(0, PeerFailed("gone"))})
    with pytest.raises(OriginUnreachable):
        await read(fleet, Giver(0, OriginUnreachable("away")))
    assert fleet.held == 0


async def test_a_span_over_two_slices_is_two_questions() -> None:
    fleet, origin = SteeredFleet(("a",), {"a": Giver()}), Giver()
    span = Span(SLICE - 1000, SLICE + 1000)
    assert await read(fleet, origin, span) == pattern(span)
    assert fleet.peers["a"].asked == [Span(SLICE - 1000, SLICE), Span(SLICE, SLICE + 1000)]


async def test_what_a_peer_reads_from_us_is_not_asked_of_a_peer() -> None:
    """See the numbered story at the head of `fetch.crossings`."""
    fleet, origin = SteeredFleet(("a",), {"a": Giver()}), Giver()
    once = ring(fleet)
    with once.crossings.serving(PLACE, Span(0, MIB)):
        async with aclosing(once.source(origin, QUESTION, hops=0).read(Span(0, MIB))) as pieces:
            assert b"".join([piece async for piece in pieces]) == pattern(Span(0, MIB))
    assert (fleet.calls, len(once.crossings)) == ([], 0)


async def test_what_we_read_from_a_peer_is_given_to_none() -> None:
    fleet, origin = SteeredFleet(("a",), {"a": Giver()}), Giver()
    once = ring(fleet)
    met: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(AskAnother), once.crossings.serving(PLACE, Span(MIB - 1, 2 * MIB)):
            met.append("served")
        with once.crossings.serving(PLACE, Span(MIB, 2 * MIB)):
            met.append("other bytes")

    fleet.on_read = meanwhile
    async with aclosing(once.source(origin, QUESTION, hops=0).read(Span(0, MIB))) as pieces:
        assert b"".join([piece async for piece in pieces]) == pattern(Span(0, MIB))
    assert (met, len(once.crossings)) == (["other bytes"], 0)


async def test_who_leaves_early_leaves_nothing_behind() -> None:
    fleet, origin = SteeredFleet(standing=Ours()), Giver()
    once = ring(fleet)
    async with aclosing(once.source(origin, QUESTION, hops=0).read(whole(SLICE))) as pieces:
        await anext(pieces)
        assert fleet.held == 1
    assert (fleet.held, len(once.crossings)) == (0, 0)


async def test_who_was_asked_in_vain_is_not_asked_again_as_a_holder() -> None:
    fleet = SteeredFleet(("a",), {"a": Giver(0, PeerFailed("gone")), "b": Giver()}, Ours(("a", "b")))
    origin = Giver()
    assert await read(fleet, origin) == pattern(Span(0, MIB))
    assert [call[0] for call in fleet.calls] == ["a", "b"]
    assert origin.asked == []


async def test_a_node_that_relieves_the_owner_is_asked_for_what_it_has() -> None:
    relief = Giver(0, AskAnother("not here"))
    fleet = SteeredFleet((Ask("r", stored_only=True), "a"), {"r": relief, "a": Giver()})
    assert await read(fleet, Giver()) == pattern(Span(0, MIB))
    assert [(call[0], call[3]) for call in fleet.calls] == [("r", True), ("a", False)]


@dataclass
class Slow(Giver):
    """Gives a piece a second."""

    clock: ManualClock = field(default_factory=ManualClock)

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        async with aclosing(super().read(span)) as pieces:
            async for piece in pieces:
                self.clock.advance(1.0)
                yield piece


async def test_what_a_slow_peer_has_not_given_comes_from_the_origin_within_the_budget() -> None:
    clock = ManualClock()
    fleet, origin, heard = SteeredFleet(("a",), {"a": Slow(clock=clock)}), Giver(), Heard()
    once = ring(fleet, heard, clock=clock, floor=MIB)
    source = once.source(origin, QUESTION, hops=0)

    async def brought(span: Span) -> None:
        async with aclosing(source.read(span)) as pieces:
            assert b"".join([piece async for piece in pieces]) == pattern(span)

    await brought(Span(0, MIB))
    assert heard.reasons == {}, "nothing is saved up: the slow peer is waited for"
    for start in range(MIB, 32 * MIB, MIB):
        await brought(Span(start, start + MIB))
    assert 0 < heard.reasons["hedge"] <= 0.05 * 32 * MIB
    assert set(heard.reasons) == {"hedge"}


async def test_a_quick_peer_is_never_hedged() -> None:
    clock = ManualClock()
    fleet, heard = SteeredFleet(("a",), {"a": Slow(clock=clock)}), Heard()
    source = ring(fleet, heard, clock=clock, floor=PIECE).source(Giver(), QUESTION, hops=0)
    async with aclosing(source.read(whole(SLICE))) as pieces:
        assert len([piece async for piece in pieces]) == SLICE // PIECE
    assert heard.reasons == {}


async def test_who_wakes_to_find_its_lease_another_s_has_the_rest_from_that_one() -> None:
    """1. we read from the origin   2. we sleep for longer than the lease   3. another takes it   4. we wake."""
    taken: list[bool] = []
    fleet, origin = SteeredFleet(standing=Ours(is_taken=lambda: bool(taken))), Giver()
    source = FleetSource(ring(fleet), origin, QUESTION, 0)
    async with aclosing(source.read(FIRST)) as pieces:
        got = await anext(pieces)
        taken.append(True)
        fleet.standing, fleet.peers = Theirs("b"), {"b": Giver()}
        got += b"".join([piece async for piece in pieces])
    assert got == pattern(FIRST)
    assert fleet.calls == [("b", 1, True, False)]
    assert fleet.peers["b"].asked == [Span(len(pattern(Span(0, PIECE))), FIRST.stop)]
    assert fleet.held == 0


async def test_a_lease_that_is_taken_again_and_again_stops_nobody_for_good() -> None:
    fleet, origin = SteeredFleet(standing=Ours(is_taken=lambda: True)), Giver()
    assert await read(fleet, origin) == pattern(FIRST)
    assert len(origin.asked) == 2


def check(asked: PeerQuestion, *, is_leaving: bool = False) -> type[AskAnother] | None:
    """What a node that sees `http://a` before itself says of bytes that it has not got."""
    fleet = SteeredFleet(before_us=frozenset({"http://a"}), is_leaving=is_leaving)
    try:
        ring(fleet).check(asked, 0)
    except AskAnother as said:
        return type(said)
    return None


def test_nobody_waits_for_a_node_that_may_be_waiting_for_it() -> None:
    """Two nodes that each see the other in front, with workers that know nothing of each other: both are told no. Who
    follows a lease, and who ranks behind, is fetched for."""
    assert check(QUESTION.asked_by("http://a")) is AskAnother
    assert check(QUESTION.asked_by("http://b")) is None
    assert check(QUESTION) is None
    assert check(QUESTION.anew(stored_only=True)) is AskAnother


def test_who_asks_a_node_that_leaves_is_told_so() -> None:
    assert check(QUESTION.asked_by("http://a"), is_leaving=True) is PeerLeaving
    assert check(QUESTION, is_leaving=True) is None, "what it holds the lease of, it still fetches"


async def test_what_peers_may_have_given_wrong_comes_from_the_origin_until_it_is_right() -> None:
    fleet, origin, heard = SteeredFleet(("a", "b"), {"a": Giver(), "b": Giver()}), Giver(), Heard()
    once = ring(fleet, heard)

    async def brought(span: Span) -> None:
        async with aclosing(once.source(origin, QUESTION, hops=0).read(span)) as pieces:
            assert b"".join([piece async for piece in pieces]) == pattern(span)

    await brought(FIRST)
    assert once.givers.distrust(PLACE) == {"a"}
    await brought(FIRST)
    assert (origin.asked, heard.reasons) == ([FIRST], {"distrust": MIB})
    assert once.givers.of(PLACE) == {ORIGIN}
    await brought(Span(SLICE, SLICE + MIB))
    once.givers.trust(PLACE)
    await brought(FIRST)
    assert [call[0] for call in fleet.calls] == ["a", "a", "a"]


async def test_what_the_origin_alone_gave_is_no_reason_to_distrust_peers() -> None:
    once = ring(SteeredFleet())
    once.givers.note(PLACE, ORIGIN)
    assert once.givers.distrust(PLACE) == {ORIGIN}
    assert not once.givers.are_distrusted(PLACE)


@pytest.mark.parametrize(
    ("givers", "liars", "reason"),
    [({"a"}, ["a"], "peer"), ({"a", ORIGIN}, [], "several"), ({ORIGIN}, [], "origin"), (set(), [], "unknown")],
)
async def test_a_liar_is_named_when_nobody_else_can_be_it(givers: set[str], liars: list[str], reason: str) -> None:
    fleet, heard = SteeredFleet(), Heard()
    ring(fleet, heard).givers.blame(PLACE, frozenset(givers))
    assert (fleet.liars, heard.wrong) == (liars, [reason])


def test_what_is_kept_of_a_question_is_in_nobodys_name() -> None:
    once, asked = ring(SteeredFleet()), replace(QUESTION, token=Secret("hf_alice"), stored_only=True, asker="http://a")
    once.source(Giver(), asked, hops=0)
    assert once.question(QUESTION.name) == QUESTION
