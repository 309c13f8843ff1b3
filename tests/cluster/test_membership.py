"""Nodes that come, go, drain, fall silent and fail, over a real Redis that does so too."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from proxy.cluster.health import FIRST
from proxy.cluster.keys import MEMBERS_CHANNEL
from proxy.cluster.members import Difference, MemberState, View
from proxy.cluster.membership import SILENT_BEATS, Membership, ourselves
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import SharedRedis
from proxy.cluster.register import KEY
from proxy.cluster.roster import ASIDE_FOR
from proxy.config.cluster import ClusterSection, Peer
from proxy.core.blob import BlobKey
from proxy.core.clock import Clock, ManualClock, SystemClock
from tests.kit.redis import RedisServer
from tests.kit.waiting import until

HEARTBEAT = 0.05


class Seen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.changes: list[Difference] = []
        self.ahead: list[float] = []

    def view_changed(self, view: View, change: Difference) -> None:
        self.views.append(view)
        self.changes.append(change)

    def clock_ahead(self, seconds: float) -> None:
        self.ahead.append(seconds)


class ShiftedClock(SystemClock):
    """A clock of people that is so many seconds ahead."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def wall(self) -> float:  # type: ignore[override]
        return time.time() + self._ahead


def section(name: str, *peers: str) -> ClusterSection:
    return ClusterSection(
        node=name,
        advertise=f"http://{name}:8080",
        secret_file=Path("/nowhere"),
        redis="redis://somewhere",
        peers=tuple(Peer(url=f"http://{peer}:8080") for peer in peers),
        heartbeat=HEARTBEAT,
    )


@asynccontextmanager
async def node(
    name: str,
    server: RedisServer | None,
    *peers: str,
    boot: str = "1",
    clock: Clock | None = None,
    heartbeat: float = HEARTBEAT,
    seen: Seen | None = None,
) -> AsyncIterator[Membership]:
    clock = clock or SystemClock()
    config = section(name, *peers).model_copy(update={"heartbeat": heartbeat})
    async with AsyncExitStack() as stack:
        line = None
        if server is not None:
            line = await stack.enter_async_context(
                SharedRedis.open(server.address, clock=clock, observer=Unobserved(), chance=Random(1))
            )
        yield await stack.enter_async_context(
            Membership.open(
                config,
                us=ourselves(config, weight=10, boot=boot),
                line=line,
                clock=clock,
                observer=seen or Seen(),
                chance=Random(1),
            )
        )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as running:
        yield running


def names(membership: Membership) -> list[str]:
    return [member.name for member in membership.view.members]


async def sees(membership: Membership, *expected: str) -> None:
    await until(lambda: names(membership) == list(expected), f"{membership.view.us} sees {expected}")


async def until_heard(server: RedisServer, workers: int) -> None:
    """So many hear what concerns them at once."""

    async def are_heard() -> bool:
        _, count = await server.ask("PUBSUB", "NUMSUB", MEMBERS_CHANNEL)
        return int(count) == workers

    await until(are_heard, "all listen")


async def last_beat(server: RedisServer, name: str) -> int:
    """When the node was last heard of, in milliseconds as Redis counts."""
    return int((await server.ask("HGET", KEY, f"http://{name}:8080")).partition("|")[0])


# --- coming and going -------------------------------------------------------------------------------------------------


async def test_a_node_that_joins_knows_all_from_its_start_and_all_know_it_soon(server: RedisServer) -> None:
    async with node("a", server) as a, node("b", server) as b:
        assert names(b) == ["a", "b"]
        await sees(a, "a", "b")


async def test_a_node_that_drains_is_seen_to_and_leaves_at_its_end(server: RedisServer) -> None:
    async with node("a", server) as a:
        async with node("b", server) as b:
            b.drain()
            assert b.view.ourselves.state is MemberState.DRAINING
            await until(lambda: a.view.peers and a.view.peers[0].state is MemberState.DRAINING, "a sees b drain")
        await sees(a, "a")


async def test_a_node_sees_how_far_its_clock_is_off_that_of_redis(server: RedisServer) -> None:
    right, wrong = Seen(), Seen()
    shifted = ShiftedClock(40.0)
    async with node("a", server, seen=right), node("b", server, clock=shifted, seen=wrong):
        pass
    assert right.ahead[0] == pytest.approx(0.0, abs=0.25)
    assert wrong.ahead[0] == pytest.approx(40.0, abs=0.25)


async def test_a_node_that_crashes_is_missed(server: RedisServer) -> None:
    """It ends without a word, as a killed one does."""
    async with node("a", server) as a:
        async with node("b", server):
            await sees(a, "a", "b")
        await sees(a, "a")


async def test_workers_of_a_node_are_one_member_and_drain_together(server: RedisServer) -> None:
    async with node("a", server) as a, node("b", server) as one, node("b", server) as other:
        await sees(a, "a", "b")
        one.drain()
        await until(lambda: other.view.ourselves.state is MemberState.DRAINING, "the other worker drains too")


async def test_a_worker_that_ends_by_itself_does_not_take_its_node_out(server: RedisServer) -> None:
    seen = Seen()
    async with node("a", server, seen=seen) as a, node("b", server):
        async with node("b", server):
            await sees(a, "a", "b")
        changes, ended = len(seen.changes), await last_beat(server, "b")

        async def twice_the_silence_later() -> bool:
            return await last_beat(server, "b") > ended + 2000 * SILENT_BEATS * HEARTBEAT

        await until(twice_the_silence_later, "the other worker goes on")
        assert names(a) == ["a", "b"]
        assert len(seen.changes) == changes


async def test_a_restart_is_one_change_and_forgives(server: RedisServer) -> None:
    seen = Seen()
    async with node("a", server, seen=seen) as a:
        async with node("b", server):
            await sees(a, "a", "b")
            a.failed("b")
            assert a.view.ejected == {"b"}
        async with node("b", server, boot="2"):
            await until(lambda: a.view.peers and a.view.peers[0].boot == "2", "a sees the new b")
            assert a.view.ejected == frozenset()
    assert any(change.restarted == ("b",) for change in seen.changes)


async def test_another_node_at_our_address_is_told_in_the_log(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with node("b", server), node("b", server, boot="9"):
            await until(lambda: "another node says it is at our address" in caplog.text, "the log tells")


# --- a Redis in trouble -----------------------------------------------------------------------------------------------


async def test_without_redis_the_listed_peers_are_the_fleet() -> None:
    async with node("a", None, "b", "c") as a:
        assert names(a) == ["a", "b:8080", "c:8080"]


async def test_all_of_a_listed_fleet_rank_alike() -> None:
    key = BlobKey.sha256("7a" * 32)
    async with node("a", None, "b", "c") as a, node("b", None, "c", "a") as b:
        for index in range(50):
            assert [m.url for m in a.view.ranked(key, index)] == [m.url for m in b.view.ranked(key, index)]


async def test_redis_that_is_away_at_the_start_is_found_later(server: RedisServer) -> None:
    await server.kill()
    async with node("a", server, "c") as a:
        assert names(a) == ["a", "c:8080"]
        await server.start()
        async with node("b", server):
            await sees(a, "a", "b")


async def test_while_redis_is_away_the_last_view_stays(server: RedisServer) -> None:
    seen = Seen()
    async with node("a", server, seen=seen) as a, node("b", server):
        await sees(a, "a", "b")
        changes = len(seen.changes)
        await server.kill()
        await until(lambda: a.redis == "away", "a notices")
        assert names(a) == ["a", "b"]
        await server.start()
        await until(lambda: a.redis == "up", "a hears again", within=20.0)
        assert names(a) == ["a", "b"]
        assert len(seen.changes) == changes, "no slice moved"


async def test_a_paused_redis_delays_the_start_by_a_moment_only(server: RedisServer) -> None:
    server.pause()
    try:
        began = SystemClock().monotonic()
        async with node("a", server, "b") as a:
            assert SystemClock().monotonic() - began < 2.0
            assert names(a) == ["a", "b:8080"]
    finally:
        server.resume()


# --- answers ----------------------------------------------------------------------------------------------------------


async def test_a_peer_that_fails_is_ejected_for_a_while_and_then_asked_again() -> None:
    clock, seen = ManualClock(), Seen()
    async with node("a", None, "b", clock=clock, seen=seen) as a:
        a.failed("b:8080")
        assert a.view.ejected == {"b:8080"}
        clock.advance(FIRST)
        assert a.view.ejected == frozenset()
        a.succeeded("b:8080")
        a.failed("b:8080")
        assert a.view.ejected == {"b:8080"}
    assert [(change.ejected, change.readmitted) for change in seen.changes[1:]] == [
        (("b:8080",), ()),
        ((), ("b:8080",)),
        (("b:8080",), ()),
    ]


async def test_a_node_that_nobody_reaches_stands_aside_as_soon_as_they_say_so(server: RedisServer) -> None:
    """Long before the next heartbeat of any of them."""
    async with AsyncExitStack() as stack:
        a, b, c = [await stack.enter_async_context(node(name, server, heartbeat=60.0)) for name in "abc"]
        await until_heard(server, 3)
        b.failed("a")
        await sees(a, "a", "b", "c")
        assert a.view.ourselves.state is MemberState.UP
        c.failed("a")
        await until(lambda: a.view.ourselves.state is MemberState.ASIDE, "a stands aside")
        assert a.view.ranked(BlobKey.sha256("00" * 32), 0)[-1].name == "a"


async def test_whoever_is_reached_again_is_up_again_and_all_see_both(server: RedisServer) -> None:
    of_a, of_b = ManualClock(), ManualClock()
    async with node("a", server, clock=of_a) as a, node("b", server, clock=of_b) as b:
        await sees(a, "a", "b")
        b.failed("a")
        await until(lambda: b.view.members[0].state is MemberState.ASIDE, "b sees a aside")
        of_b.advance(FIRST)

        def is_back() -> bool:
            of_a.advance(ASIDE_FOR)
            return a.view.ourselves.state is b.view.members[0].state is MemberState.UP

        await until(is_back, "both see a up")


async def test_who_is_unknown_fails_in_vain() -> None:
    async with node("a", None, "b") as a:
        version = a.view.version
        a.failed("nobody")
        a.succeeded("nobody")
        a.failed("a")
        assert a.view.version == version


async def test_versions_grow_with_every_change_and_only_then() -> None:
    clock, seen = ManualClock(), Seen()
    async with node("a", None, "b", clock=clock, seen=seen) as a:
        for _ in range(3):
            a.failed("b:8080")
            a.view
            clock.advance(100)
            a.view
    assert [view.version for view in seen.views] == list(range(1, 8))


async def test_a_member_that_is_nudged_as_it_ends_ends() -> None:
    """A peer fails, or we drain, in the very moment in which the node ends."""
    async with asyncio.timeout(10), node("n0", None, "n1", heartbeat=60.0) as membership:
        await asyncio.sleep(0)
        membership.failed("n1:8080")
