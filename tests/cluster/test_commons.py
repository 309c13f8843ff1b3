"""Common knowledge: one asks, the others take over; whoever hangs, lies or vanishes is not waited for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from proxy.cluster.commons import ASKING, PATIENCE, Commons
from proxy.cluster.observer import QuestionOutcome, Unobserved
from proxy.cluster.redis import WITHIN, SharedRedis
from proxy.cluster.seal import Seal
from proxy.cluster.shared import Shared
from proxy.cluster.turns import FACTS_TTL, LARGEST
from proxy.config.redis_address import OneServer
from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.core.errors import SlowDown
from proxy.hub.facts import Absent, FileFacts, RefEntry
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.notices import BlobPurged, Notice
from tests.kit.redis import RedisServer, cluster
from tests.kit.relay import Relay
from tests.kit.waiting import until

from .workers import PATIENT, Noted, through

REPO = RepoId(RepoKind.MODEL, "acme/tiny")
MAIN = Revision("main")
COMMIT = "c" * 40
FILE = FileTarget(REPO, MAIN, "a.bin")
FACTS = FileFacts("ab" * 32, 10, linked=True, key=BlobKey.sha256("ab" * 32))
SLACK = 1.5
"""Seconds a loaded machine may add to what is promised."""


@asynccontextmanager
async def node(
    server: RedisServer,
    address: OneServer | None = None,
    *,
    secret: bytes = b"s" * 32,
    within: float = PATIENT,
    noted: Noted | None = None,
) -> AsyncIterator[Commons]:
    clock, noted = SystemClock(), noted or Noted()
    async with (
        SharedRedis.open(address or server.address, clock=clock, observer=noted, within=within) as redis,
        Commons.open(redis, Seal(secret), clock=clock, observer=noted) as commons,
    ):
        yield commons


async def finds(commons: Commons, facts: FileFacts | Absent = FACTS, ttl: float = 30.0) -> None:
    """One turn in which the origin is asked."""
    async with commons.file(FILE) as turn:
        turn.tell_ref(RefEntry(COMMIT, time.time()), ttl)
        turn.tell_facts(COMMIT, facts)


async def looks(commons: Commons) -> tuple[RefEntry | None, FileFacts | Absent | None]:
    async with commons.file(FILE) as turn:
        return turn.ref, turn.facts


@pytest.mark.parametrize("facts", [FACTS, Absent(COMMIT), FileFacts("c" * 40, 10, linked=False, key=None)])
async def test_what_one_finds_the_other_takes_over(server: RedisServer, facts: FileFacts | Absent) -> None:
    async with node(server) as one, node(server) as two:
        await finds(one, facts)
        await until(lambda: is_free(server), "told")
        ref, found = await looks(two)
        assert ref is not None
        assert ref.commit == COMMIT
        assert found == facts


async def test_the_second_waits_for_the_first(server: RedisServer) -> None:
    found = asyncio.Event()
    async with node(server) as one, node(server) as two:

        async def first() -> None:
            async with one.file(FILE) as turn:
                await found.wait()
                turn.tell_ref(RefEntry(COMMIT, time.time()), 30.0)
                turn.tell_facts(COMMIT, FACTS)

        asking = asyncio.ensure_future(first())
        await until(lambda: is_taken(server), "one asks")
        waiting = asyncio.ensure_future(looks(two))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        found.set()
        _, facts = await waiting
        assert facts == FACTS
        await asking


async def test_one_who_hangs_is_not_waited_for_long(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two, one.file(FILE):
        began = time.monotonic()
        assert await looks(two) == (None, None)
        assert PATIENCE - 0.1 < time.monotonic() - began < PATIENCE + SLACK


async def test_one_who_finds_nothing_lets_the_next_ask(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        async with one.file(FILE):
            pass
        await until(lambda: is_free(server), "the turn ends")
        began = time.monotonic()
        assert await looks(two) == (None, None)
        assert time.monotonic() - began < PATIENCE


async def test_a_mark_that_nobody_will_ever_take_away_stops_nobody(server: RedisServer) -> None:
    async with node(server) as one, one.file(FILE):
        (mark,) = [key for key in await server.keys() if ":asking:" in key]
        for command in (("PERSIST", mark), ("PEXPIRE", mark, 10**9)):
            await server.ask(*command)
            async with node(server) as two:
                began = time.monotonic()
                await looks(two)
                assert time.monotonic() - began < PATIENCE


async def test_a_branch_is_forgotten_when_its_time_is_over(server: RedisServer) -> None:
    async with node(server) as one:
        await finds(one, ttl=30.0)
        await until(lambda: is_free(server), "told")
        for key in await server.keys():
            left = await server.ask("PTTL", key)
            assert 0 < left <= (30_000 if ":ref:" in key else FACTS_TTL * 1000)


async def test_what_is_too_old_or_too_large_is_not_told(server: RedisServer) -> None:
    async with node(server) as one:
        async with one.file(FILE) as turn:
            turn.tell_ref(RefEntry(COMMIT, time.time() - 31), 30.0)
            turn.tell_facts(COMMIT, FileFacts("e" * LARGEST["facts"], 10, linked=True, key=None))
        await until(lambda: is_free(server), "the turn ends")
        assert await server.keys() == []


async def test_another_secret_is_another_fleet(server: RedisServer) -> None:
    async with node(server) as one, node(server, secret=b"t" * 32) as two:
        await finds(one)
        await until(lambda: is_free(server), "told")
        assert await looks(two) == (None, None)


@pytest.mark.parametrize("garbage", [b"", b"x", b"x" * 5000])
async def test_garbage_is_as_good_as_nothing(server: RedisServer, garbage: bytes) -> None:
    async with node(server) as one, node(server) as two:
        await finds(one)
        await until(lambda: is_free(server), "told")
        for key in await server.keys():
            await server.ask("SET", key, garbage)
        assert await looks(two) == (None, None)
        for key in await server.keys():
            await server.ask("DEL", key)
            await server.ask("LPUSH", key, "x")
        assert await looks(two) == (None, None)


async def test_a_hung_redis_costs_each_question_little_and_the_answer_nothing(server: RedisServer) -> None:
    async with node(server, within=WITHIN) as one:
        await looks(one)
        server.pause()
        began = time.monotonic()
        await asyncio.gather(*(finds(one) for _ in range(20)))
        assert time.monotonic() - began < 2 * WITHIN + SLACK
        server.resume()


async def test_all_questions_to_a_slow_redis_together_take_no_longer_than_one_may(server: RedisServer) -> None:
    """A look, a try, another look: each of them would be answered in time."""
    noted = Noted()
    async with (
        Relay.open(("127.0.0.1", server.port)) as relay,
        node(server, through(relay.port), within=WITHIN, noted=noted) as one,
    ):
        await looks(one)
        relay.delay = 0.6 * WITHIN
        began = time.monotonic()
        async with one.file(FILE):
            took = time.monotonic() - began
        relay.delay = 0.0
    assert noted.questions[1:] == [QuestionOutcome.ALONE]
    assert took < WITHIN + SLACK


async def test_a_turn_whose_answer_was_lost_is_given_back(server: RedisServer) -> None:
    async with (
        Relay.open(("127.0.0.1", server.port)) as relay,
        node(server, through(relay.port), within=1.0) as one,
    ):
        await looks(one)
        await until(lambda: is_free(server), "the turn ends")
        relay.delay = 0.2
        asking = asyncio.ensure_future(looks(one))
        await until(lambda: is_taken(server), "the turn is taken")
        relay.reset()
        assert await asking == (None, None)
        relay.delay = 0.0
        await until(lambda: is_free(server), "and given back", within=ASKING - 1)


async def test_in_a_redis_cluster_all_keys_of_a_script_are_in_one_slot(tmp_path: Path) -> None:
    async with cluster(tmp_path / "cluster") as (address, _), AsyncExitStack() as stack:
        clock = SystemClock()
        lines = [SharedRedis.open(address, clock=clock, observer=Unobserved(), within=PATIENT) for _ in range(2)]
        redis = [await stack.enter_async_context(line) for line in lines]
        shared = [Shared.open(one, b"s" * 32, clock=clock, observer=Unobserved()) for one in redis]
        one, two = [await stack.enter_async_context(opened) for opened in shared]
        await finds(one.commons)
        gone = FileTarget(REPO, Revision("gone"), "a.bin")
        async with one.commons.file(gone) as turn:
            turn.tell_refusal(SlowDown("slow down", 30))
        heard: list[Notice] = []

        async def hear(notice: Notice) -> None:
            heard.append(notice)

        two.notices.listen(hear)
        one.notices.listen(hear)
        one.notices.tell(BlobPurged(BlobKey.sha256("ab" * 32), 1e9))

        async def told() -> bool:
            ref, facts = await looks(two.commons)
            async with two.commons.file(gone) as turn:
                refusal = turn.refusal
            return ref is not None and facts == FACTS and isinstance(refusal, SlowDown) and len(heard) == 1

        await until(told, "the other node knows all", within=20.0)


async def test_who_leaves_while_waiting_leaves_nothing_behind(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        async with one.file(FILE):
            waiting = asyncio.ensure_future(looks(two))
            await asyncio.wait({waiting}, timeout=0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await until(lambda: is_free(server), "the turn ends")
        assert await server.keys() == []


async def test_a_turn_ends_by_itself_when_its_node_dies(server: RedisServer) -> None:
    async with node(server) as one, one.file(FILE):
        (mark,) = await server.keys()
        assert 0 < await server.ask("PTTL", mark) <= ASKING * 1000


async def test_one_cannot_end_the_turn_of_another(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        async with one.file(FILE):
            (mark,) = await server.keys()
            await server.ask("SET", mark, "another", "PX", 3000)
        await looks_elsewhere(two)
        assert await server.ask("GET", mark) == "another"


async def looks_elsewhere(commons: Commons) -> None:
    """Something that is known to come after what `commons` told before."""
    async with commons.file(FileTarget(REPO, Revision(f"r{Random().random()}"), "a.bin")):
        pass


async def is_taken(server: RedisServer) -> bool:
    return any(":asking:" in key for key in await server.keys())


async def is_free(server: RedisServer) -> bool:
    return not await is_taken(server)
