"""What the nodes of a fleet know together: the origin is asked once for all of them, and a quota is everybody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from bench.hub.content import MIB
from bench.hub.faults import Fail, RateLimited
from proxy.cluster.keys import TABLE
from tests.kit.asking import Answer
from tests.kit.command import penstock
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.redis import RedisServer
from tests.kit.relay import Weather
from tests.kit.stage import Stage
from tests.kit.waiting import until

LASTING = {"freshness__ref_ttl": "5m", "freshness__listing_ttl": "5m"}
"""Nothing becomes due while a story lasts."""
INFO = "/api/models/acme/tiny"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as server:
        yield server


def asked(stage: Stage, path: str) -> int:
    """How often the origin was asked for what a path ends with."""
    return sum(entry.raw_path.split("?")[0].endswith(path) for entry in stage.hub.log)


async def a_known_public_repo(stage: Stage, fleet: Fleet) -> Expected:
    """Each node has found out by itself that everybody may read."""
    known = stage.blob("acme/tiny", "known.bin", 1000)
    for node in fleet.nodes:
        assert (await stage.ask(node, INFO)).status == 200
        answer = await stage.ask(node, known.target("main"), method="HEAD")
        assert answer.status in (200, 302, 307), answer.transcript
    return known


async def at_each(stage: Stage, fleet: Fleet, target: str, *, method: str = "GET", token: str = "") -> list[Answer]:
    """What all nodes answer to five clients each, at once."""
    asking = [stage.ask(node, target, method=method, token=token) for node in fleet.nodes for _ in range(5)]
    return await asyncio.gather(*asking)


@asynccontextmanager
async def once(stage: Stage, fleet: Fleet, path: str) -> AsyncIterator[None]:
    """In the block the origin is asked once for what ends with `path`; again only where a loaded machine kept Redis
    from answering in time, which is counted."""
    before, alone = asked(stage, path), await fleet.total("fleet_questions_total", outcome="alone")
    yield
    excused = await fleet.total("fleet_questions_total", outcome="alone") - alone
    assert 1 <= asked(stage, path) - before <= 1 + excused


async def test_three_nodes_ask_once_what_everybody_may_know(stage: Stage, redis: RedisServer) -> None:
    repo = stage.repo("acme/tiny")
    fleet = await Fleet.start(stage, 3, redis=redis, **LASTING)
    await a_known_public_repo(stage, fleet)
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    repo.branch("next")
    async with once(stage, fleet, "/tree/next"):
        trees = await at_each(stage, fleet, f"{INFO}/tree/next")
    assert {tuple(sorted(one["path"] for one in answer.json)) for answer in trees} == {
        ("known.bin", "model.safetensors")
    }
    async with once(stage, fleet, f"/revision/{repo.head('next')}"):
        described = await at_each(stage, fleet, f"{INFO}/revision/next")
    assert {answer.json["sha"] for answer in described} == {repo.head("next")}
    async with once(stage, fleet, "/refs"):
        assert {answer.status for answer in await at_each(stage, fleet, f"{INFO}/refs")} == {200}
    repo.branch("other")
    async with once(stage, fleet, "/resolve/other/model.safetensors"):
        answers = await at_each(stage, fleet, file.target("other"), method="HEAD")
    assert {answer.headers["X-Linked-Etag"] for answer in answers} == {f'"{file.etag}"'}
    async with once(stage, fleet, "/resolve/gone/known.bin"):
        gone = await at_each(stage, fleet, "/acme/tiny/resolve/gone/known.bin", method="HEAD")
    assert {(answer.status, answer.headers["X-Error-Code"]) for answer in gone} == {(404, "RevisionNotFound")}


async def test_what_the_origins_store_refuses_is_asked_for_by_the_owner_alone(stage: Stage, redis: RedisServer) -> None:
    file = stage.blob("acme/tiny", "lost.safetensors", 3 * MIB)
    fleet = await Fleet.start(stage, 3, redis=redis, **LASTING)
    stage.faults.add(Fail(status=404), kinds=("cdn",))
    answers = await at_each(stage, fleet, file.target())
    assert {answer.status for answer in answers} == {429}
    for node in fleet.nodes:
        page = await node.metrics()
        if node is fleet.owner(file):
            assert page.total("upstream_requests_total", host="cdn")
        elif not page.total("peer_reads_total", result="failed"):  # on a loaded machine a peer may be given up
            assert not page.total("upstream_requests_total", host="cdn")


async def test_what_one_may_read_each_node_asks_with_his_own_token(stage: Stage, redis: RedisServer) -> None:
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = stage.world.add_model("acme/secret", private=True)
    repo.put_text("config.json", b"{}")
    repo.commit("Upload")
    repo.grant("alice")
    file = stage.file("acme/secret", "config.json")
    fleet = await Fleet.start(stage, 3, redis=redis, **LASTING)
    heads = await at_each(stage, fleet, file.target("main"), method="HEAD", token=alice)
    assert {answer.status for answer in heads} <= {200, 302, 307}
    assert asked(stage, "/config.json") >= len(fleet.nodes)
    trees = await at_each(stage, fleet, "/api/models/acme/secret/tree/main", token=alice)
    assert {answer.status for answer in trees} == {200}
    assert asked(stage, "/tree/main") + asked(stage, f"/tree/{repo.head()}") >= len(fleet.nodes)
    for target in (file.target("main"), "/api/models/acme/secret/tree/main"):
        assert {answer.status for answer in await at_each(stage, fleet, target, token=bob)} <= {401, 403, 404}
    assert not [key for key in await redis.keys() if key.split(":")[1] in ("ref", "facts", "listing", "refused")]


async def test_a_429_at_one_node_quiets_all(stage: Stage, redis: RedisServer) -> None:
    """The origin says it once, and would answer whoever asked again."""
    fleet = await Fleet.start(stage, 3, redis=redis, **LASTING)
    await a_known_public_repo(stage, fleet)
    stage.faults.add(RateLimited(seconds=60), kinds=("resolve",), times=1)
    names = (f"/acme/tiny/resolve/main/new-{number}.bin" for number in count())
    first = await stage.ask(fleet.nodes[0], next(names), method="HEAD")
    assert first.status == 429, first.transcript

    async def is_quiet(node: Node) -> bool:
        return (await stage.ask(node, next(names), method="HEAD")).status == 429

    for node in fleet.nodes:
        await until(partial(is_quiet, node), "the node has heard", within=10.0)
    before = len(stage.hub.log)
    for node in fleet.nodes:
        for _ in range(5):
            assert await is_quiet(node)
    assert len(stage.hub.log) == before


async def purge(node: Node, file: Expected) -> None:
    asking = f"http://{node.admin}/-/api/purge?key=sha256:{file.sha256}"
    async with aiohttp.ClientSession() as session, session.post(asking, json={}) as answer:
        assert answer.status == 202


def holds(node: Node, file: Expected) -> bool:
    """Whether some of the file's bytes are on a disk of the node."""
    return any(list(disk.glob(f"blobs/*/sha256-{file.sha256}")) for disk in node.plan.disk_folders)


async def test_what_one_node_learns_reaches_all_also_one_that_was_cut_off(stage: Stage, redis: RedisServer) -> None:
    """That a blob is to be dropped, and that a repo is not for everybody any more."""
    fleet = await Fleet.start(stage, 3, redis=redis, redis_ways=True, **LASTING)
    known = await a_known_public_repo(stage, fleet)
    unwanted = stage.blob("acme/tiny", "unwanted.bin", 3 * MIB)
    first, second, cut_off = fleet.nodes
    for node in fleet.nodes:
        assert (await stage.read(node, unwanted)).complete
        assert holds(node, unwanted)

    async def is_open(node: Node) -> bool:
        answer = await stage.ask(node, known.target("main"), method="HEAD")
        return answer.status in (200, 302, 307)

    async def is_closed(node: Node) -> bool:
        return not await is_open(node)

    fleet.redis_ways[2].weather = Weather.RESET
    await purge(first, unwanted)
    await until(lambda: not holds(first, unwanted) and not holds(second, unwanted), "two have dropped it", within=20.0)
    assert holds(cut_off, unwanted)
    stage.world.repo("acme/tiny").private = True
    refusal = await stage.ask(first, "/acme/tiny/resolve/main/another.bin", method="HEAD")
    assert refusal.status in (401, 404), refusal.transcript
    await until(lambda: is_closed(second), "the second hears of it", within=20.0)
    assert await is_open(cut_off)  # it has heard nothing, and asks nobody about what it knows
    fleet.redis_ways[2].weather = Weather.FAIR
    await until(lambda: is_closed(cut_off), "who was cut off hears of it", within=60.0)
    await until(lambda: not holds(cut_off, unwanted), "and drops the blob", within=20.0)


async def commits_of(stage: Stage, fleet: Fleet) -> list[str]:
    """What each node says that `next` is."""
    answers = [await stage.ask(node, f"{INFO}/revision/next") for node in fleet.nodes]
    return [json.loads(answer.body)["sha"] for answer in answers]


async def known_repos(node: Node) -> list[str]:
    done = await penstock("ls", "--json", "--admin", str(node.admin))
    return [repo["repo"] for repo in json.loads(done.stdout)]


async def test_a_purge_of_a_repo_reaches_what_every_node_knows_of_it(stage: Stage, redis: RedisServer) -> None:
    """Branches were told among the nodes for minutes; an operator at one of them wants them asked for now."""
    fleet = await Fleet.start(stage, 2, redis=redis, **LASTING)
    file = await a_known_public_repo(stage, fleet)
    repo = stage.repo("acme/tiny")
    repo.branch("next")
    async with once(stage, fleet, "/revision/next"):
        before = await commits_of(stage, fleet)
    repo.put_text("later.txt", "later")
    after = repo.commit("Move on", branch="next")
    assert await commits_of(stage, fleet) == before, "nothing is due"
    done = await penstock("purge", "acme/tiny", "--soft", "--admin", str(fleet.nodes[0].admin))
    assert done.returncode == 0, done.said

    async def all_have_moved() -> bool:
        return await commits_of(stage, fleet) == [after, after]

    await until(all_have_moved, "every node asks anew", 10)
    assert all([await known_repos(node) == ["acme/tiny"] for node in fleet.nodes])
    done = await penstock("purge", "acme/tiny", "--yes", "--admin", str(fleet.nodes[0].admin))
    assert done.returncode == 0, done.said

    async def none_knows_it() -> bool:
        return not any([await known_repos(node) for node in fleet.nodes])

    await until(none_knows_it, "every node has forgotten it", 10)
    stage.allow_origin(None)  # it is fetched anew
    assert (await stage.read(fleet.nodes[1], file)).complete


async def test_what_nodes_leave_in_redis_is_on_the_page_and_bounded(stage: Stage, redis: RedisServer) -> None:
    """A workload of all kinds: what is there, what is not, what is refused, what is one's own; and bytes."""
    alice = stage.user("alice")
    secret = stage.world.add_model("acme/secret", private=True)
    secret.put_blob("model.safetensors", 3 * MIB)
    secret.commit("Upload")
    secret.grant("alice")
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    own = stage.file("acme/secret", "model.safetensors")
    fleet = await Fleet.start(stage, 2, redis=redis, cluster__lease_ttl="2s", **LASTING)
    await a_known_public_repo(stage, fleet)
    for target in (f"{INFO}/tree/main", f"{INFO}/refs", "/acme/tiny/resolve/gone/x", "/acme/tiny/resolve/main/none"):
        await at_each(stage, fleet, target)
    readings = [stage.reading(node, file) for node in fleet.nodes]
    readings += [stage.reading(node, own, token=alice) for node in fleet.nodes]
    await stage.ended(*readings)
    stage.faults.add(RateLimited(seconds=30), kinds=("resolve",), times=1)
    await stage.ask(fleet.nodes[0], "/acme/tiny/resolve/main/new.bin", method="HEAD")
    stage.world.repo("acme/tiny").private = True
    await stage.ask(fleet.nodes[1], f"{INFO}/commits/main")

    # Two are gone before one looks, and a generic origin's writes are in tests/cluster/test_keys.py.
    wanted = {row.pattern for row in TABLE if row.pattern.split(":")[1] not in ("asking", "lease", "{writes}")}

    async def all_there() -> bool:
        return wanted <= {row.pattern for key in await redis.keys() for row in TABLE if row.matches(key)}

    await until(all_there, f"a key of each row: {sorted(wanted)}", within=20.0)
    found = await redis.keys()
    for key in found:
        rows = [row for row in TABLE if row.matches(key)]
        assert len(rows) == 1, key
        assert await redis.ask("PTTL", key) != -1
        assert (await redis.ask("MEMORY", "USAGE", key, "SAMPLES", 0) or 0) <= rows[0].most
        stored = key + repr(await redis.ask("DUMP", key, raw=True))
        assert not [word for word in ("tiny", "secret", "canary") if word in stored]

    async def no_lease() -> bool:
        return not any(key.startswith(("penstock:lease:", "penstock:asking:")) for key in await redis.keys())

    await until(no_lease, "leases are given back")
