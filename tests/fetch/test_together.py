"""Two nodes with one Redis ask the origin once about what everybody may read, and alone when Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import orjson
import pytest

from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import SharedRedis
from proxy.cluster.shared import Shared
from proxy.cluster.turns import LARGEST_BODY, REFUSED_FOR
from proxy.config.schema import Disk, StoreSection
from proxy.core.blob import BlobKey
from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.clock import ManualClock, SystemClock
from proxy.core.errors import OriginAway, OriginBusy, OriginRefused, OriginUnreachable, PenstockError, SlowDown
from proxy.core.rights import Plane
from proxy.core.secret import Secret
from proxy.core.sizes import GIB
from proxy.fetch.coordinator import Located
from proxy.hub.facts import FileFacts, OriginReply
from proxy.hub.names import FileTarget, Revision
from proxy.hub.problems import INVALID_CREDENTIALS
from proxy.hub.targets import Refs, Tree
from proxy.store.blobstore import BlobStore
from tests.kit.redis import RedisServer
from tests.kit.waiting import until

from .rig import COMMIT, REPO, Rig, SteeredOrigin, content

SECRET = b"s" * 32
MEMBER = bearer(Secret("hf_member_canary"), b"key")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def nodes(tmp_path: Path, server: RedisServer) -> AsyncIterator[tuple[Rig, Rig]]:
    """Two nodes that know the repo to be public, and one origin."""
    origin = SteeredOrigin()
    origin.files |= {"a.bin": content(1000), "b.bin": content(2000)}
    async with AsyncExitStack() as stack:
        found = [await node(stack, tmp_path / name, server, origin) for name in ("one", "two")]
        for one in found:
            await one.catalogue.keep_public(REPO, Plane.FILES)
            await one.catalogue.keep_public(REPO, Plane.API)
        yield found[0], found[1]


async def node(stack: AsyncExitStack, folder: Path, server: RedisServer, origin: SteeredOrigin) -> Rig:
    enter = stack.enter_async_context
    section = StoreSection(disks=(Disk(path=folder / "disk", size=GIB),), free_floor=0)
    store = await enter(BlobStore.open(section, clock=SystemClock(), node=folder.name, worker=0))
    redis = await enter(SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved(), within=5.0))
    # what ages goes by the clock of the rig, which stands still
    shared = await enter(Shared.open(redis, SECRET, clock=ManualClock(), observer=Unobserved()))
    opened = Rig.open(store, folder / "state", origin=origin, commons=shared.commons, notices=shared.notices)
    rig = await enter(opened)
    shared.notices.listen(rig.mirror.hear)
    return rig


def file(path: str, revision: str = "main") -> FileTarget:
    return FileTarget(REPO, Revision(revision), path)


async def told(server: RedisServer, kind: str, count: int) -> None:
    async def there() -> bool:
        return len([key for key in await server.keys() if key.startswith(f"penstock:{kind}:")]) == count

    await until(there, f"{count} of {kind} are told")


async def test_a_file_at_a_branch_is_looked_up_once_for_both(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    found = await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await told(server, "facts", 1)
    assert isinstance(found, Located)
    again = await two.mirror.locate(ANONYMOUS, file("a.bin"))
    assert isinstance(again, Located)
    assert (again.target, again.facts) == (found.target, found.facts)
    assert one.origin.asked["head"] == 1


async def test_both_at_the_same_moment_ask_once(nodes: tuple[Rig, Rig]) -> None:
    asking = [rig.mirror.locate(ANONYMOUS, file("a.bin")) for rig in nodes for _ in range(10)]
    found = await asyncio.gather(*asking)
    assert {str(one.target.revision) for one in found} == {COMMIT}
    assert nodes[0].origin.asked["head"] == 1


async def test_a_branch_found_by_one_file_serves_another_that_is_known_at_its_commit(
    nodes: tuple[Rig, Rig], server: RedisServer
) -> None:
    one, two = nodes
    await two.mirror.locate(ANONYMOUS, file("b.bin", COMMIT))
    await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await told(server, "ref", 1)
    await two.mirror.locate(ANONYMOUS, file("b.bin"))
    assert one.origin.asked["head"] == 2


async def test_a_listing_takes_the_branch_from_the_other_node(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await told(server, "ref", 1)
    target = f"/api/models/{REPO}/tree/{COMMIT}"
    reply = OriginReply(200, (("content-type", "application/json"), ("x-repo-commit", COMMIT)), orjson.dumps([]))
    two.origin.replies[target] = reply
    answer = await two.mirror.metadata(ANONYMOUS, Tree(REPO, Revision("main"), "", ()), None)
    assert answer.status == 200
    assert two.origin.asked[f"GET {target}"] == 1


TREE = f"/api/models/{REPO}/tree/"
FOUND = [{"type": "file", "path": "a.bin", "oid": "0" * 40, "size": 5, "lfs": {"oid": "ab" * 32, "size": 5}}]
HINTED = [dict(FOUND[0], xetHash="cd" * 32)]


def tree(revision: str = "main") -> Tree:
    return Tree(REPO, Revision(revision), "", ())


def listed(origin: SteeredOrigin, items: object = HINTED) -> None:
    reply = OriginReply(200, (("content-type", "application/json"), ("x-repo-commit", COMMIT)), orjson.dumps(items))
    for revision in ("main", COMMIT):
        origin.replies[TREE + revision] = reply


def listings(origin: SteeredOrigin) -> int:
    return sum(count for name, count in origin.asked.items() if name.startswith("GET "))


@pytest.mark.parametrize("revision", ["main", COMMIT])
async def test_a_tree_is_asked_for_once(nodes: tuple[Rig, Rig], server: RedisServer, revision: str) -> None:
    """And what it says of files: neither has to be asked for them."""
    one, two = nodes
    listed(one.origin)
    first = await one.mirror.metadata(ANONYMOUS, tree(revision), None)
    await told(server, "listing", 1)
    second = await two.mirror.metadata(ANONYMOUS, tree(revision), None)
    assert orjson.loads(first.body) == orjson.loads(second.body) == FOUND
    assert listings(one.origin) == 1
    for rig in nodes:
        found = await rig.mirror.locate(ANONYMOUS, file("a.bin", COMMIT))
        assert isinstance(found, Located)
        assert found.facts.xet == "cd" * 32
    assert one.origin.asked["head"] == 0


async def test_a_tree_asked_for_at_the_same_moment_is_asked_for_once(nodes: tuple[Rig, Rig]) -> None:
    listed(nodes[0].origin)
    asking = [rig.mirror.metadata(ANONYMOUS, tree(), None) for rig in nodes for _ in range(5)]
    assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
    assert listings(nodes[0].origin) == 1


async def test_what_names_no_revision_is_asked_for_once(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    one.origin.replies[f"/api/models/{REPO}/refs"] = OriginReply(200, (("content-type", "application/json"),), b"{}")
    await one.mirror.metadata(ANONYMOUS, Refs(REPO, ()), None)
    await told(server, "listing", 1)
    assert (await two.mirror.metadata(ANONYMOUS, Refs(REPO, ()), None)).body == b"{}"
    assert listings(one.origin) == 1


async def test_a_listing_that_is_too_long_is_asked_for_by_each(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    listed(one.origin, [{"type": "directory", "path": "x" * LARGEST_BODY}])
    await one.mirror.metadata(ANONYMOUS, tree(), None)
    await told(server, "ref", 1)
    await two.mirror.metadata(ANONYMOUS, tree(), None)
    assert listings(one.origin) == 2


async def refused(rig: Rig, target: FileTarget, caller: Caller = ANONYMOUS) -> PenstockError:
    with pytest.raises((OriginRefused, OriginBusy)) as error:
        await rig.mirror.locate(caller, target)
    return error.value


async def test_a_branch_that_is_not_there_is_asked_for_once(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    for rig in nodes:
        refusal = await refused(rig, file("a.bin", "gone"))
        assert isinstance(refusal, OriginRefused)
        assert refusal.code == "RevisionNotFound"
        await told(server, "refused", 1)
    assert one.origin.asked["head"] == 1
    (key,) = [key for key in await server.keys() if ":refused:" in key]
    assert 0 < await server.ask("PTTL", key) <= REFUSED_FOR * 1000
    one.origin.commits["gone"] = COMMIT
    await server.ask("DEL", key)  # as when its time is over
    assert isinstance(await two.mirror.locate(ANONYMOUS, file("a.bin", "gone")), Located)


async def test_what_is_refused_to_nobody_is_asked_once_as_nobody(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    """Whoever has a token asks with it: his right is his own."""
    one, two = nodes
    one.origin.refuse = lambda caller: OriginRefused(403, "gated", code="GatedRepo") if caller.is_anonymous else None
    await refused(one, file("a.bin"))
    await told(server, "refused", 1)
    await two.catalogue.keep_public(REPO, Plane.FILES)  # as if the notice were late
    refusal = await refused(two, file("a.bin"))
    assert isinstance(refusal, OriginRefused)
    assert (refusal.status, refusal.code) == (403, "GatedRepo")
    assert one.origin.asked["head"] == 1
    assert two.catalogue.public_since(REPO, Plane.FILES) is None
    await two.catalogue.keep_public(REPO, Plane.FILES)
    assert isinstance(await two.mirror.locate(MEMBER, file("a.bin")), Located)


async def test_a_token_that_is_refused_is_refused_to_nobody_else(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    for rig in nodes:
        await rig.catalogue.drop_public(REPO, Plane.API)
    one.origin.refuse = lambda caller: None if caller.is_anonymous else OriginRefused(401, INVALID_CREDENTIALS)
    with pytest.raises(OriginRefused):
        await one.mirror.metadata(MEMBER, tree(), None)
    listed(one.origin)
    assert (await two.mirror.metadata(ANONYMOUS, tree(), None)).status == 200
    assert not [key for key in await server.keys() if ":refused:" in key]


async def test_a_429_is_asked_for_once(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    one.origin.away = SlowDown("slow down", 30)
    first = await refused(one, file("a.bin"))
    await told(server, "refused", 1)
    second = await refused(two, file("a.bin"))
    assert isinstance(first, OriginBusy)
    assert isinstance(second, OriginBusy)
    assert 1 <= second.retry_after <= first.retry_after
    assert one.origin.asked["head"] == 1


@pytest.mark.parametrize("away", [OriginUnreachable("cut"), OriginBusy("the breaker is open", 30)])
async def test_that_one_node_cannot_reach_the_origin_says_nothing_to_the_other(
    nodes: tuple[Rig, Rig], server: RedisServer, away: PenstockError
) -> None:
    one, two = nodes
    one.origin.away = away
    with pytest.raises(OriginAway):
        await one.mirror.locate(ANONYMOUS, file("a.bin"))
    one.origin.away = None
    assert isinstance(await two.mirror.locate(ANONYMOUS, file("a.bin")), Located)


async def test_what_is_missing_is_missing_for_both(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    one, two = nodes
    for rig in (one, two):
        with pytest.raises(OriginRefused) as refusal:
            await rig.mirror.locate(ANONYMOUS, file("none.bin"))
        assert refusal.value.code == "EntryNotFound"
        await told(server, "facts", 1)
    assert one.origin.asked["head"] == 1


async def test_what_is_not_known_to_be_public_is_neither_told_nor_taken(
    nodes: tuple[Rig, Rig], server: RedisServer
) -> None:
    one, two = nodes
    await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await told(server, "facts", 1)
    await two.catalogue.drop_public(REPO, Plane.FILES)
    await two.mirror.locate(MEMBER, file("a.bin"))
    assert two.origin.asked["head"] >= 2
    assert [caller.identity for caller in two.origin.askers] == [MEMBER.identity]


async def test_a_repo_that_closes_at_one_node_closes_at_the_other(nodes: tuple[Rig, Rig]) -> None:
    one, two = nodes
    two.clock.advance(1)
    one.clock.advance(1)
    one.origin.refuse = lambda caller: OriginRefused(404, "Repository not found", code="RepoNotFound")
    with pytest.raises(OriginRefused):
        await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await until(lambda: two.catalogue.public_since(REPO, Plane.FILES) is None, "the other node hears of it")


async def test_what_was_seen_later_than_the_notice_stands(nodes: tuple[Rig, Rig]) -> None:
    one, two = nodes
    two.clock.advance(100)
    await two.catalogue.keep_public(REPO, Plane.API)
    one.origin.refuse = lambda caller: OriginRefused(404, "Repository not found", code="RepoNotFound")
    with pytest.raises(OriginRefused):
        await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await until(lambda: two.catalogue.public_since(REPO, Plane.FILES) is None, "the other node hears of it")
    assert two.catalogue.public_since(REPO, Plane.API) is not None


async def test_a_purged_blob_goes_from_both(nodes: tuple[Rig, Rig]) -> None:
    one, two = nodes
    for rig in nodes:
        await rig.read("a.bin")
    key = one.origin.facts("a.bin").key
    assert key is not None
    assert await holds(two, key)
    await one.mirror.purge(key)
    assert not await holds(one, key)

    await until(partial(lacks, two, key), "the other node drops it")


@pytest.mark.parametrize("restarted", ["one", "two"], ids=["who told", "who heard"])
async def test_a_purge_is_carried_out_once_though_it_is_heard_again_after_a_restart(
    tmp_path: Path, server: RedisServer, restarted: str
) -> None:
    origin = SteeredOrigin()
    origin.files |= {"a.bin": content(1000), "b.bin": content(2000)}
    keys = [origin.facts(path).key for path in ("a.bin", "b.bin")]
    unwanted, later = (key for key in keys if key is not None)
    async with AsyncExitStack() as stack:
        nodes = [await node(stack, tmp_path / name, server, origin) for name in ("one", "two")]
        for rig in nodes:
            await rig.read("a.bin")
        await nodes[0].mirror.purge(unwanted)
        await until(partial(lacks, nodes[1], unwanted), "the other node drops it")
        for rig in nodes:
            await rig.read("a.bin")
    async with AsyncExitStack() as stack:
        again = await node(stack, tmp_path / restarted, server, origin)
        await again.read("b.bin")
        other = await node(stack, tmp_path / "three", server, origin)
        await other.mirror.purge(later)
        await until(partial(lacks, again, later), "it has heard of all purges, the last one too")
        assert await holds(again, unwanted), "what was fetched after the purge stays"
        again.clock.advance(1)
        await again.mirror.purge(unwanted)
        assert not await holds(again, unwanted), "another purge of the same blob is another"


async def test_without_redis_each_asks_for_itself(nodes: tuple[Rig, Rig], server: RedisServer) -> None:
    await server.kill()
    for rig in nodes:
        assert isinstance(await rig.mirror.locate(ANONYMOUS, file("a.bin")), Located)
    assert nodes[0].origin.asked["head"] == 2


async def test_a_fact_that_somebody_else_wrote_into_redis_is_not_believed(
    nodes: tuple[Rig, Rig], server: RedisServer
) -> None:
    one, two = nodes
    await one.mirror.locate(ANONYMOUS, file("a.bin"))
    await one.mirror.locate(ANONYMOUS, file("b.bin"))
    await told(server, "facts", 2)
    first, second = [key for key in await server.keys() if key.startswith("penstock:facts:")]
    await server.ask("COPY", first, second, "REPLACE")
    await server.ask("SET", first, b"x" * 100)
    for path in ("a.bin", "b.bin"):
        found = await two.mirror.locate(ANONYMOUS, file(path))
        assert isinstance(found, Located)
        assert isinstance(found.facts, FileFacts)
        assert found.facts == two.origin.facts(path)


async def test_nothing_of_a_token_and_no_name_of_a_repo_is_in_redis(
    nodes: tuple[Rig, Rig], server: RedisServer
) -> None:
    one, _ = nodes
    await one.mirror.locate(MEMBER, file("a.bin"))
    await told(server, "facts", 1)
    stored = ""
    for key in await server.keys():
        stored += key + repr(await server.ask("DUMP", key, raw=True))
    for secret in ("canary", MEMBER.identity.hex(), str(REPO), "a.bin"):
        assert secret not in stored
    assert MEMBER.identity[:16] not in stored.encode("latin-1", "replace")


async def lacks(rig: Rig, key: BlobKey) -> bool:
    return not await holds(rig, key)


async def holds(rig: Rig, key: BlobKey) -> bool:
    async with rig.store.open_small(key) as extent:
        return extent is not None
