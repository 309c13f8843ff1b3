"""Common knowledge: one asks, the others take over; whoever hangs, lies or vanishes is not waited for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from proxy.cluster import commons as module
from proxy.cluster.commons import ASKING, LARGEST, PATIENCE, Commons
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import WITHIN, SharedRedis
from proxy.cluster.seal import Seal
from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.hub.facts import Absent, FileFacts, RefEntry
from proxy.hub.names import RepoId, RepoKind, Revision
from tests.kit.redis import RedisServer
from tests.kit.waiting import until

from .workers import PATIENT

REPO = RepoId(RepoKind.MODEL, "acme/tiny")
MAIN = Revision("main")
COMMIT = "c" * 40
FACTS = FileFacts("ab" * 32, 10, linked=True, key=BlobKey.sha256("ab" * 32))
SLACK = 1.5
"""Seconds a loaded machine may add to what is promised."""


@asynccontextmanager
async def node(server: RedisServer, *, secret: bytes = b"s" * 32, within: float = PATIENT) -> AsyncIterator[Commons]:
    async with (
        SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved(), within=within) as redis,
        Commons.open(redis, Seal(secret), clock=SystemClock()) as commons,
    ):
        yield commons


async def finds(commons: Commons, facts: FileFacts | Absent = FACTS, ttl: float = 30.0) -> None:
    """One turn in which the origin is asked."""
    async with commons.turn(REPO, MAIN, "a.bin") as turn:
        turn.tell_ref(RefEntry(COMMIT, time.time()), ttl)
        turn.tell_facts(COMMIT, facts)


async def looks(commons: Commons) -> tuple[RefEntry | None, FileFacts | Absent | None]:
    async with commons.turn(REPO, MAIN, "a.bin") as turn:
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
            async with one.turn(REPO, MAIN, "a.bin") as turn:
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
    async with node(server) as one, node(server) as two, one.turn(REPO, MAIN, "a.bin"):
        began = time.monotonic()
        assert await looks(two) == (None, None)
        assert PATIENCE - 0.1 < time.monotonic() - began < PATIENCE + SLACK


async def test_one_who_finds_nothing_lets_the_next_ask(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        async with one.turn(REPO, MAIN, "a.bin"):
            pass
        await until(lambda: is_free(server), "the turn ends")
        began = time.monotonic()
        assert await looks(two) == (None, None)
        assert time.monotonic() - began < PATIENCE


async def test_a_mark_that_nobody_will_ever_take_away_stops_nobody(server: RedisServer) -> None:
    async with node(server) as one, one.turn(REPO, MAIN, "a.bin"):
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
            assert 0 < left <= (30_000 if ":ref:" in key else module.FACTS_TTL * 1000)


async def test_what_is_too_old_or_too_large_is_not_told(server: RedisServer) -> None:
    async with node(server) as one:
        async with one.turn(REPO, MAIN, "a.bin") as turn:
            turn.tell_ref(RefEntry(COMMIT, time.time() - 31), 30.0)
            turn.tell_facts(COMMIT, FileFacts("e" * LARGEST, 10, linked=True, key=None))
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


async def test_who_leaves_while_waiting_leaves_nothing_behind(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        async with one.turn(REPO, MAIN, "a.bin"):
            waiting = asyncio.ensure_future(looks(two))
            await asyncio.wait({waiting}, timeout=0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await until(lambda: is_free(server), "the turn ends")
        assert await server.keys() == []


async def test_a_turn_ends_by_itself_when_its_node_dies(server: RedisServer) -> None:
    async with node(server) as one, one.turn(REPO, MAIN, "a.bin"):
        (mark,) = await server.keys()
        assert 0 < await server.ask("PTTL", mark) <= ASKING * 1000


async def test_one_cannot_end_the_turn_of_another(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        async with one.turn(REPO, MAIN, "a.bin"):
            (mark,) = await server.keys()
            await server.ask("SET", mark, "another", "PX", 3000)
        await looks_elsewhere(two)
        assert await server.ask("GET", mark) == "another"


async def looks_elsewhere(commons: Commons) -> None:
    """Something that is known to come after what `commons` told before."""
    async with commons.turn(REPO, Revision(f"r{Random().random()}"), None):
        pass


async def is_taken(server: RedisServer) -> bool:
    return any(":asking:" in key for key in await server.keys())


async def is_free(server: RedisServer) -> bool:
    return not await is_taken(server)
