"""Redis in trouble, before real nodes: hits ask it nothing, misses go on, it is seen, and it heals by itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bench.hub.content import MIB
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.redis import SERVICE, RedisServer, sentinels
from tests.kit.stage import Stage
from tests.kit.waiting import until

LASTING = {"freshness__ref_ttl": "5m", "freshness__allow_ttl": "5m"}
"""What is known stays known: only what is new is asked for."""
HITS = 5
PER_MISS = 0.25
"""Seconds that a question to Redis may take; a miss has two that follow one another: what it is, and who fetches it."""
SLACK = 4.0
"""Seconds that a loaded machine may add, and times what a miss takes while all is well."""

Verb = Callable[[], Awaitable[object]]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as server:
        yield server


class Story:
    """Two nodes, a file that both have, and new ones."""

    def __init__(self, stage: Stage, fleet: Fleet) -> None:
        self.stage = stage
        self.fleet = fleet
        self.new = 0
        self.calm = 0.0
        """Seconds of a miss while all was well."""

    async def known(self) -> Expected:
        """A file that all nodes have."""
        file = self.stage.blob("acme/tiny", "known.bin", 300_000)
        for node in self.fleet.nodes:
            assert (await self.stage.read(node, file)).complete
        return file

    async def miss(self) -> float:
        """Read what is new at all nodes; how long that took."""
        self.new += 1
        file = self.stage.blob("acme/tiny", f"new-{self.new}.safetensors", 3 * MIB)
        began = time.monotonic()
        readings = [self.stage.reading(node, file) for node in self.fleet.nodes]
        await self.stage.ended(*readings)
        assert [str(reading) for reading in readings if not reading.complete] == []
        return time.monotonic() - began

    async def misses_go_on(self) -> None:
        assert await self.miss() < 2 * PER_MISS + SLACK * (1 + self.calm)

    async def hits_ask_nobody(self, file: Expected) -> None:
        """Neither for a lease nor what it is: both are counted, also when Redis is not asked."""
        before = await self._questions()
        for _ in range(HITS):
            for node in self.fleet.nodes:
                assert (await self.stage.read(node, file)).complete
        assert await self._questions() == before

    async def failed(self) -> float:
        total = self.fleet.total
        return await total("redis_calls_total") - await total("redis_calls_total", result="ok")

    async def breakers(self, *, are_open: bool) -> None:
        """Wait until the breakers of all nodes are so."""

        async def so() -> bool:
            return await self.fleet.total("redis_breaker_open") == (len(self.fleet.nodes) if are_open else 0)

        await until(so, f"all breakers are {'open' if are_open else 'closed'}", within=30.0)

    async def heals(self) -> None:
        """Wait until leases are given again."""
        await self.breakers(are_open=False)
        before = await self.fleet.total("leases_total", outcome="mine")

        async def leased() -> bool:
            await self.miss()
            return await self.fleet.total("leases_total", outcome="mine") > before

        await until(leased, "leases again", within=30.0)

    async def _questions(self) -> tuple[float, float]:
        return await self.fleet.total("leases_total"), await self.fleet.total("fleet_questions_total")


async def test_away_at_the_start_and_found_when_it_comes(stage: Stage, redis: RedisServer) -> None:
    await redis.kill()
    stage.allow_origin(3 * MIB)  # nodes that do not know one another each fetch for themselves
    story = Story(stage, await Fleet.start(stage, 2, redis=redis, **LASTING))
    await story.misses_go_on()
    await story.breakers(are_open=True)
    await redis.start()
    await story.fleet.until_all_know_all()
    await story.heals()


async def test_killed_paused_slow_full_or_read_only(stage: Stage, redis: RedisServer) -> None:
    stage.allow_origin(3 * MIB)  # a transfer may be cut where a node gives up on another, once
    story = Story(stage, await Fleet.start(stage, 2, redis=redis, redis_ways=True, **LASTING))
    file = await story.known()
    await story.hits_ask_nobody(file)
    story.calm = await story.miss()

    async def be_late(seconds: float) -> None:
        for way in story.fleet.redis_ways:
            way.delay = seconds

    async def pause() -> None:
        redis.pause()

    async def resume() -> None:
        redis.resume()

    troubles: dict[str, tuple[Verb, Verb]] = {
        "killed": (redis.kill, redis.start),
        "paused": (pause, resume),
        "slow": (lambda: be_late(0.4), lambda: be_late(0.0)),
        "full": (
            lambda: redis.ask("CONFIG", "SET", "maxmemory", "1"),
            lambda: redis.ask("CONFIG", "SET", "maxmemory", "0"),
        ),
        "read-only": (
            lambda: redis.ask("REPLICAOF", "127.0.0.1", "1"),
            lambda: redis.ask("REPLICAOF", "NO", "ONE"),
        ),
    }
    for name, (begin, end) in troubles.items():
        failed = await story.failed()
        await begin()
        await story.misses_go_on()
        await story.hits_ask_nobody(file)
        assert await story.failed() > failed, name
        if name in ("killed", "paused", "slow"):  # else what only reads is answered, and at once
            await story.breakers(are_open=True)
        await end()
        await story.heals()
    total = story.fleet.total
    assert await total("leases_total", outcome="unknown")
    assert await total("leases_total") == await total("lease_wait_seconds_count")
    assert await total("fleet_questions_total", outcome="alone")
    assert await total("fleet_origin_bytes_total", reason="unsure")
    for result in ("ok", "timeout", "error", "skipped"):
        assert await total("redis_calls_total", result=result), result


async def test_the_primary_dies_and_the_sentinels_name_another(stage: Stage, tmp_path: Path) -> None:
    async with sentinels(tmp_path / "group") as group:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in group.sentinels)
        settings = {"cluster__redis": f"redis+sentinel://{hosts}/{SERVICE}", **LASTING}
        stage.allow_origin(3 * MIB)
        story = Story(stage, await Fleet.start(stage, 2, **settings))
        file = await story.known()
        story.calm = await story.miss()
        assert await story.fleet.total("leases_total", outcome="mine")
        await group.primary.kill()
        await story.misses_go_on()
        await story.hits_ask_nobody(file)
        await story.heals()
        assert [key for key in await group.replica.keys() if key.startswith("penstock:epoch:")]
        await stage.evidence()  # nodes end before their Redis does
