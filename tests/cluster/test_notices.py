"""Notices reach everybody: at once who is there, later who was away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.keys import NOTICES
from proxy.cluster.notices import KEPT, Notices
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import SharedRedis
from proxy.cluster.seal import Seal
from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.core.errors import DiskFailed
from proxy.core.rights import Plane
from proxy.hub.names import RepoId, RepoKind
from proxy.hub.notices import BlobPurged, Notice, RepoClosed, RepoPurged, decoded, encoded
from tests.kit.clockshift import ClockShift
from tests.kit.redis import RedisServer
from tests.kit.waiting import until

from .workers import PATIENT

CLOSED = RepoClosed(RepoId(RepoKind.DATASET, "acme/tiny"), (Plane.API, Plane.FILES), 1_700_000_000.5)


def purged(number: int) -> BlobPurged:
    return BlobPurged(BlobKey.sha256(f"{number:064x}"), 1_700_000_000.25 + number)


@dataclass
class Node:
    notices: Notices
    heard: list[Notice] = field(default_factory=list)

    async def hear(self, notice: Notice) -> None:
        self.heard.append(notice)

    async def has_heard(self, *wanted: Notice) -> None:
        await until(lambda: all(notice in self.heard for notice in wanted), f"{len(wanted)} notices", within=20.0)


@asynccontextmanager
async def node(server: RedisServer, *, secret: bytes = b"s" * 32, kept: int = KEPT) -> AsyncIterator[Node]:
    async with (
        SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved(), within=PATIENT) as redis,
        Notices.open(redis, Seal(secret), kept=kept) as notices,
    ):
        found = Node(notices)
        notices.listen(found.hear)
        yield found


async def test_all_others_hear_and_oneself_does_not(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two, node(server) as three:
        one.notices.tell(CLOSED)
        two.notices.tell(purged(1))
        await three.has_heard(CLOSED, purged(1))
        await one.has_heard(purged(1))
        await two.has_heard(CLOSED)
        assert one.heard == [purged(1)]


async def test_who_starts_later_catches_up(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        for number in range(900):
            one.notices.tell(purged(number))
        await two.has_heard(purged(899))
        async with node(server) as late:
            await late.has_heard(purged(899))
            assert late.heard == [purged(number) for number in range(900)]


async def test_what_is_told_while_redis_is_away_is_heard_when_it_is_back(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        one.notices.tell(purged(1))
        await two.has_heard(purged(1))
        await server.kill()
        one.notices.tell(purged(2))
        await server.start()
        await two.has_heard(purged(2))


async def test_a_redis_whose_clock_went_back_and_that_forgot_is_heard_again(tmp_path: Path) -> None:
    clock = ClockShift(tmp_path / "clock")
    async with RedisServer.open(tmp_path / "redis", clock=clock) as server, node(server) as one, node(server) as two:
        one.notices.tell(purged(1))
        await two.has_heard(purged(1))
        clock.set(-3600.0)
        await server.restart()
        one.notices.tell(purged(2))
        await two.has_heard(purged(2))
        one.notices.tell(purged(3))
        await two.has_heard(purged(3))


async def test_a_notice_that_was_not_sealed_is_not_heard(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two, node(server, secret=b"t" * 32) as liar:
        liar.notices.tell(CLOSED)
        await server.ask("XADD", NOTICES, "*", "a", "b")
        await server.ask("XADD", NOTICES, "*", "from", "x", "notice", "y")
        one.notices.tell(purged(1))
        await two.has_heard(purged(1))
        assert two.heard == [purged(1)]


async def test_garbage_in_the_place_of_the_stream_is_replaced(server: RedisServer) -> None:
    await server.ask("SET", NOTICES, "x")
    async with node(server) as one, node(server) as two:
        one.notices.tell(CLOSED)
        await two.has_heard(CLOSED)


async def test_the_stream_is_bounded_and_ends_by_itself(server: RedisServer) -> None:
    async with node(server, kept=100) as one, node(server) as two:
        for number in range(900):
            one.notices.tell(purged(number))
        await two.has_heard(purged(899))
        # "~": whole pieces of the stream, of a hundred entries
        assert await server.ask("XLEN", NOTICES) <= 200
        assert await server.ask("PTTL", NOTICES) > 0


async def test_one_that_cannot_be_followed_does_not_keep_the_next_from_being_heard(server: RedisServer) -> None:
    heard: list[Notice] = []

    async def fail_once(notice: Notice) -> None:
        heard.append(notice)
        if len(heard) == 1:
            raise DiskFailed("a disk")

    async with (
        node(server) as one,
        SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved(), within=PATIENT) as redis,
        Notices.open(redis, Seal(b"s" * 32)) as failing,
    ):
        failing.listen(fail_once)
        one.notices.tell(CLOSED)
        one.notices.tell(purged(1))
        await until(lambda: heard == [CLOSED, purged(1)], "both are heard")


repos = st.builds(RepoId, st.sampled_from(RepoKind), st.text(min_size=1, max_size=50))
planes = st.lists(st.sampled_from(Plane), unique=True).map(tuple)
moments = st.floats(0, 1e10)
notices = (
    st.builds(RepoClosed, repos, planes, moments)
    | st.integers(0, 99).map(purged)
    | st.builds(RepoPurged, repos, st.none() | st.text(max_size=40), moments, st.booleans())
)


@given(notices)
def test_a_notice_survives_the_way(notice: Notice) -> None:
    assert decoded(encoded(notice)) == notice


@given(
    st.binary(max_size=60) | st.sampled_from([b'["closed"]', b'["purged","x"]', b'["closed","x","y",["z"],1]', b"5"])
)
def test_what_is_no_notice_is_none(content: bytes) -> None:
    assert decoded(content) is None
