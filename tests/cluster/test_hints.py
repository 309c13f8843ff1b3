"""Hints reach who listens, and who may have missed some is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.cluster.hints import MISSED, WAITING, Hints
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import SharedRedis
from proxy.core.clock import SystemClock
from tests.kit.redis import RedisServer, cluster
from tests.kit.waiting import until


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[SharedRedis]:
    async with SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved()) as line:
        yield line


async def next_hint(hints: Hints) -> object:
    async with asyncio.timeout(10):
        return await hints.next()


async def test_who_listens_hears(redis: SharedRedis) -> None:
    async with redis.subscribe("a") as hints:
        assert await next_hint(hints) is MISSED
        await redis.ask("PUBLISH", "a", "x")
        assert await next_hint(hints) == b"x"


async def test_a_second_channel_and_a_second_listener_hear_too(redis: SharedRedis) -> None:
    async with redis.subscribe("a") as first, redis.subscribe("b") as second, redis.subscribe("a") as third:
        for hints in (first, second, third):
            assert await next_hint(hints) is MISSED
        await redis.ask("PUBLISH", "a", "x")
        await redis.ask("PUBLISH", "b", "y")
        assert await next_hint(first) == b"x"
        assert await next_hint(second) == b"y"
        assert await next_hint(third) == b"x"


async def test_a_channel_nobody_listens_to_is_given_up(redis: SharedRedis, server: RedisServer) -> None:
    async with redis.subscribe("a") as hints:
        await next_hint(hints)
        async with redis.subscribe("b") as others:
            await next_hint(others)

    async def channels() -> bool:
        return await server.ask("PUBSUB", "CHANNELS") == ["penstock:hints"]

    await until(channels, "the channels are given up")
    async with redis.subscribe("b") as hints:
        assert await next_hint(hints) is MISSED
        await redis.ask("PUBLISH", "b", "again")
        assert await next_hint(hints) == b"again"


async def test_after_a_break_listeners_are_told_that_they_may_have_missed_something(
    redis: SharedRedis, server: RedisServer
) -> None:
    async with redis.subscribe("a") as hints:
        assert await next_hint(hints) is MISSED
        await server.restart()
        assert await next_hint(hints) is MISSED
        await server.ask("PUBLISH", "a", "back")
        assert await next_hint(hints) == b"back"


async def test_a_hung_redis_is_noticed(redis: SharedRedis, server: RedisServer) -> None:
    async with redis.subscribe("a") as hints:
        assert await next_hint(hints) is MISSED
        server.pause()
        # nothing is heard for two silences, and the connection is made anew
        await asyncio.sleep(0)
        await until(lambda: redis._listener._pubsub is None, "the connection is given up", within=15.0)
        server.resume()
        assert await next_hint(hints) is MISSED


async def test_hints_in_a_cluster_come_from_every_node(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path) as (address, nodes),
        SharedRedis.open(address, clock=SystemClock(), observer=Unobserved()) as line,
        line.subscribe("a") as hints,
    ):
        assert await next_hint(hints) is MISSED
        for node in nodes:
            await node.ask("PUBLISH", "a", "x")
            assert await next_hint(hints) == b"x"


async def test_a_listener_that_does_not_keep_up_is_told_so() -> None:
    hints = Hints()
    for number in range(WAITING + 10):
        hints.put(str(number).encode())
    assert await hints.next() is MISSED
    assert await hints.next() == str(WAITING + 1).encode()
