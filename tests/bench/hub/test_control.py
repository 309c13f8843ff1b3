"""Steering over HTTP."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from bench.hub.world import World
from tests.bench.hub.asking import Ask


async def post(ask: Ask, page: str, wanted: object) -> Any:
    reply = await ask(f"/__hub/{page}", method="POST", data=json.dumps(wanted).encode())
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def test_faults_are_set_and_shown(ask: Ask) -> None:
    await post(
        ask, "faults", {"latency": "1ms", "add": [{"act": "fail", "status": 502, "kinds": ["refs"], "times": 1}]}
    )
    assert [(await ask("/api/models/acme/tiny/refs")).status for _ in range(2)] == [502, 200]
    shown = json.loads((await ask("/__hub/faults")).body)
    assert shown["latency"] == 0.001
    assert shown["faults"][0]["seen"] == 2
    assert (await post(ask, "faults", {"clear": True}))["faults"] == []


async def test_counters_and_log_leave_control_out(ask: Ask) -> None:
    await ask("/api/models/acme/tiny/refs", token="hf_alice")
    sums = json.loads((await ask("/__hub/counters")).body)
    assert (sums["requests"], sums["statuses"]) == ({"refs": 1}, {"200": 1})
    [record] = json.loads((await ask("/__hub/log")).body)
    assert (record["kind"], record["plane"], record["headers"]["authorization"]) == ("refs", "hub", "Bearer hf_alice")
    assert (await post(ask, "counters", None))["requests"] == {}


async def test_the_world_is_changed(ask: Ask, world: World) -> None:
    repo = world.repo("acme/tiny")
    old = repo.head()
    branches = await post(
        ask, "world", {"verb": "commit", "repo": "acme/tiny", "texts": {"new.txt": "x"}, "blobs": {"new.bin": "1MiB"}}
    )
    assert branches["main"] == repo.head() != old
    assert repo.file("new.bin").size == 1 << 20
    assert (await post(ask, "world", {"verb": "branch", "repo": "models/acme/tiny", "name": "main", "at": old}))[
        "main"
    ] == old
    await post(ask, "world", {"verb": "revoke", "repo": "acme/private", "user": "alice"})
    assert (await ask("/api/models/acme/private", token="hf_alice")).status == 404
    await post(ask, "world", {"verb": "rename", "repo": "acme/tiny", "to": "acme/small"})
    assert (await ask("/api/models/acme/tiny")).status == 307


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("faults", {"faults": [{"act": "explode"}]}),
        ("world", {"verb": "x", "repo": "acme/tiny"}),
        ("world", {}),
        ("nope", {}),
    ],
)
async def test_mistakes_are_named(ask: Ask, page: str, wanted: object) -> None:
    reply = await ask(f"/__hub/{page}", method="POST", data=json.dumps(wanted).encode())
    assert reply.status == 400
    assert json.loads(reply.body)["error"]


async def test_off_for_a_while(ask: Ask) -> None:
    await post(ask, "faults", {"off": 0.3})
    while await answers(ask):
        pass
    while not await answers(ask):  # noqa: ASYNC110 - the event is in the kernel
        await asyncio.sleep(0.02)


async def answers(ask: Ask) -> bool:
    try:
        return (await ask("/api/models/acme/tiny")).status == 200
    except aiohttp.ClientConnectionError:
        return False
