"""What the nodes of a fleet know together: the origin is asked once for all of them, and a quota is everybody's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.hub.content import MIB
from proxy.cluster.keys import TABLE
from tests.kit.fleet import Fleet
from tests.kit.redis import RedisServer
from tests.kit.stage import Stage
from tests.kit.waiting import until


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as server:
        yield server


def heads(stage: Stage, path: str) -> int:
    """How often the origin was asked what a file is."""
    return sum(entry.method == "HEAD" and entry.raw_path.split("?")[0].endswith(path) for entry in stage.hub.log)


async def a_known_public_repo(stage: Stage, fleet: Fleet) -> None:
    """Each node has found out by itself that everybody may read."""
    known = stage.blob("acme/tiny", "known.bin", 1000)
    for node in fleet.nodes:
        answer = await stage.ask(node, known.target("main"), method="HEAD")
        assert answer.status in (200, 302, 307), answer.transcript


async def test_three_nodes_ask_once_what_a_new_file_is(stage: Stage, redis: RedisServer) -> None:
    stage.others_ask()
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    fleet = await Fleet.start(stage, 3, redis=redis)
    await a_known_public_repo(stage, fleet)
    asking = [stage.ask(node, file.target(), method="HEAD") for node in fleet.nodes for _ in range(5)]
    answers = await asyncio.gather(*asking)
    assert {answer.headers["X-Linked-Etag"] for answer in answers} == {f'"{file.etag}"'}
    assert heads(stage, "model.safetensors") == 1


async def test_what_nodes_leave_in_redis_is_on_the_page(stage: Stage, redis: RedisServer) -> None:
    stage.others_ask()
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    fleet = await Fleet.start(stage, 2, redis=redis)
    await a_known_public_repo(stage, fleet)
    readings = [stage.reading(node, file) for node in fleet.nodes]
    await stage.ended(*readings)
    found = await redis.keys()
    assert [key for key in found if not any(row.matches(key) for row in TABLE)] == []
    assert any(key.startswith("penstock:facts:") for key in found)
    for key in found:
        assert await redis.ask("PTTL", key) != -1
        assert "tiny" not in key + repr(await redis.ask("DUMP", key, raw=True))

    async def no_lease() -> bool:
        return not any(key.startswith("penstock:lease:") for key in await redis.keys())

    await until(no_lease, "leases are given back")
