"""What the origin allows is one bucket for all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.cluster.allowances import Allowances
from proxy.cluster.keys import ALLOWANCES
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import SharedRedis
from proxy.cluster.seal import Seal
from proxy.core.clock import ManualClock, SystemClock
from proxy.core.rights import Plane
from proxy.origin.budget import Budget
from proxy.origin.head import Head
from tests.kit.redis import RedisServer
from tests.kit.waiting import until

from .workers import PATIENT

ANYBODY, SOMEBODY = b"", b"i" * 32


@asynccontextmanager
async def node(server: RedisServer, *, secret: bytes = b"s" * 32) -> AsyncIterator[Budget]:
    budget = Budget(ManualClock())
    async with (
        SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved(), within=PATIENT) as redis,
        Allowances.open(redis, Seal(secret), clock=ManualClock()) as allowances,
    ):
        budget.share_with(allowances)
        allowances.listen(budget.hear)
        yield budget


def told(budget: Budget, status: int = 200, identity: bytes = ANYBODY, **fields: str) -> None:
    head = Head.of(status, [(name.replace("_", "-"), value) for name, value in fields.items()])
    budget.learn(identity, Plane.API, head)


async def test_a_429_stops_the_other_node(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        told(one, 429, retry_after="30")
        await until(lambda: two.refusal(ANYBODY, Plane.API), "the other node hears")
        assert 1 <= (two.refusal(ANYBODY, Plane.API) or 0) <= 30
        assert two.refusal(ANYBODY, Plane.FILES) is None
        assert two.refusal(SOMEBODY, Plane.API) is None


async def test_the_last_requests_are_kept_by_all(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        told(one, ratelimit='"api";r=5;t=100')
        await until(lambda: two.refusal(ANYBODY, Plane.API, can_wait=True), "the other node hears")
        assert two.refusal(ANYBODY, Plane.API) is None


async def test_nobody_is_told_of_a_callers_own_account(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        told(one, 429, identity=SOMEBODY, retry_after="30")
        told(one, 429, retry_after="30")
        await until(lambda: two.refusal(ANYBODY, Plane.API), "the other node hears")
        assert await server.ask("HKEYS", ALLOWANCES) == ["anonymous:api"]


async def test_what_was_not_sealed_is_not_heard(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two, node(server, secret=b"t" * 32) as liar:
        told(liar, 429, retry_after="500")

        async def lied() -> bool:
            return bool(await server.ask("EXISTS", ALLOWANCES))

        await until(lied, "the lie is there")
        await server.ask("HSET", ALLOWANCES, "mirror:api", "x")
        told(one, ratelimit='"files";r=5;t=100')
        await until(lambda: two.refusal(ANYBODY, Plane.API, can_wait=True), "the truth is heard")
        assert two.refusal(ANYBODY, Plane.API) is None


async def test_garbage_in_its_place_is_replaced(server: RedisServer) -> None:
    await server.ask("SET", ALLOWANCES, "x")
    async with node(server) as one, node(server) as two:
        told(one, 429, retry_after="30")
        await until(lambda: two.refusal(ANYBODY, Plane.API), "the other node hears")
        assert await server.ask("PTTL", ALLOWANCES) > 0


async def test_what_was_learnt_while_redis_was_away_is_told_when_it_is_back(server: RedisServer) -> None:
    async with node(server) as one, node(server) as two:
        await server.kill()
        told(one, 429, retry_after="300")
        await server.start()
        await until(lambda: two.refusal(ANYBODY, Plane.API), "the other node hears", within=20.0)
