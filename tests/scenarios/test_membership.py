"""Real nodes that find one another through a real Redis, come, go, drain and die."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench.hub.content import MIB
from tests.kit.command import penstock
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.redis import RedisServer
from tests.kit.relay import Weather
from tests.kit.stage import Stage
from tests.kit.waiting import until


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as server:
        yield server


async def status(node: Node) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{node.admin}/-/api/cluster") as answer:
        return dict(await answer.json())


async def sees(node: Node, **expected: str) -> None:
    """Wait until `node` sees these members in these states."""

    async def so() -> bool:
        return {one["name"]: one["state"] for one in (await status(node))["members"]} == expected

    await until(so, f"{node.data} sees {expected}", within=30.0)


async def commanded(node: Node, *words: str) -> tuple[int, str]:
    """`penstock cluster …` before `node`: exit code and standard output."""
    done = await penstock("cluster", *words, "--admin", str(node.admin))
    return done.returncode, done.stdout


async def test_a_node_that_drains_owns_nothing_and_its_readers_are_served_by_the_others(
    stage: Stage, redis: RedisServer
) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 130 * MIB)
    nodes = (await Fleet.start(stage, 3, redis=redis, workers=2)).nodes
    for node in nodes:
        await sees(node, n0="up", n1="up", n2="up")
    code, _ = await commanded(nodes[0], "drain")
    assert code == 0
    for node in nodes:
        await sees(node, n0="draining", n1="up", n2="up")
    code, told = await commanded(nodes[1], "placement", file.sha256, "--slices", "3", "--json")
    assert code == 0
    assert "n0" not in {one["owner"] for one in json.loads(told)["slices"]}

    stage.expect_origin_exact()
    assert (await stage.read(nodes[0], file)).complete
    assert (await stage.read(nodes[1], file)).complete

    await stage.stop(nodes[0])
    for node in nodes[1:]:
        await sees(node, n1="up", n2="up")


async def test_without_redis_a_node_that_drains_tells_whoever_asks_it(stage: Stage) -> None:
    """The first question learns it; the slices are another's from then on, and none is fetched twice for it (O3).

    One reader after another: of three at once, none of whom knows, two may turn to the origin for the same spans. Who
    was given the bytes by a peer does not ask for them any more: the second wants what the first did not."""
    file = stage.blob("acme/tiny", "model.safetensors", 130 * MIB)
    fleet = await Fleet.start(stage, 3)
    owner = fleet.owner(file)
    parts = (stage.blob("acme/tiny", f"part-{number}.bin", 3 * MIB) for number in range(100))
    another = next(part for part in parts if fleet.owner(part) is owner)
    others = [node for node in fleet.nodes if node is not owner]
    code, _ = await commanded(owner, "drain")
    assert code == 0
    for node, wanted in zip((*others, owner), (file, another, file), strict=True):
        assert (await stage.read(node, wanted)).complete
    for node in others:
        states = {one["url"]: one["state"] for one in (await status(node))["members"]}
        assert states.pop(fleet.urls[fleet.nodes.index(owner)]) == "draining"
        assert set(states.values()) == {"up"}


async def test_a_node_that_nobody_reaches_asks_the_others_for_what_it_owns(stage: Stage, redis: RedisServer) -> None:
    """It reaches them, Redis and the origin; so only its word can keep two nodes from fetching the same."""
    fleet = await Fleet.start(stage, 3, redis=redis)
    owner, *others = fleet.nodes
    wanted = fleet.file_of({0: owner}, 12 * MIB)
    fleet.relay(owner).weather = Weather.RESET
    for number, node in enumerate(others):
        assert (await stage.read(node, fleet.file_of({0: owner}, (3 + number) * MIB))).complete
    aside = {f"n{number}": "aside" if node is owner else "up" for number, node in enumerate(fleet.nodes)}
    await sees(owner, **aside)

    stage.expect_origin_exact()
    readings = [stage.reading(node, wanted) for node in fleet.nodes]
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []
    fleet.relay(owner).weather = Weather.FAIR


async def test_a_node_that_is_killed_is_missed_and_one_that_comes_back_is_a_member_again(
    stage: Stage, redis: RedisServer
) -> None:
    nodes = (await Fleet.start(stage, 2, redis=redis)).nodes
    await sees(nodes[1], n0="up", n1="up")
    await stage.kill(nodes[0])
    await sees(nodes[1], n1="up")
    code, told = await commanded(nodes[1], "status")
    assert code == 4
    assert [line.split()[:2] for line in told.splitlines()[1:]] == [["n1", "(this"], ["n0", "gone"]]
    await stage.start(nodes[0])
    await sees(nodes[1], n0="up", n1="up")
    code, told = await commanded(nodes[1], "status")
    assert code == 0
    assert [line.split()[:2] for line in told.splitlines()[1:]] == [["n0", "up"], ["n1", "(this"]]
