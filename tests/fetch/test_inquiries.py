"""Who shares a question to the origin, and who asks by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest

from proxy.core.caller import Caller, bearer
from proxy.core.errors import OriginRefused
from proxy.core.secret import Secret
from proxy.fetch.coordinator import CacheOutcome, Located, Metadata
from proxy.hub.facts import ListingKey, OriginReply
from proxy.hub.lfs_batch import LfsPointer
from proxy.hub.names import FileTarget, Revision
from proxy.hub.oci import Agent
from proxy.hub.targets import LfsBatch, OciManifest, RepoInfo, Tree

from .rig import COMMIT, REPO, Rig, content

ANN, BEN = (bearer(Secret(f"hf_{name}"), b"key") for name in ("ann", "ben"))
STRANGER = bearer(Secret("hf_stranger"), b"key")
HIDDEN = OriginRefused(404, "Repository not found", code="RepoNotFound")
MAIN, HEX = Revision("main"), "ab" * 32
JSON = ("content-type", "application/json")
COMMIT_FIELD = ("x-repo-commit", COMMIT)


async def head(rig: Rig, caller: Caller) -> object:
    return await rig.mirror.locate(caller, FileTarget(REPO, MAIN, "a.bin"))


async def tree(rig: Rig, caller: Caller) -> object:
    return await rig.mirror.metadata(caller, Tree(REPO, MAIN, "", ()), None)


async def manifest(rig: Rig, caller: Caller) -> object:
    return await rig.mirror.manifest(caller, OciManifest(REPO, "latest"), Agent.REGISTRY)


async def batch(rig: Rig, caller: Caller) -> object:
    return await rig.mirror.lfs_batch(caller, LfsBatch(REPO), [LfsPointer(HEX, 7)])


Way = Callable[[Rig, Caller], Awaitable[object]]
WAYS = pytest.mark.parametrize("way", [head, tree, manifest, batch])


@pytest.fixture(autouse=True)
def a_private_repo(rig: Rig) -> None:
    rig.origin.files["a.bin"] = content(1000)
    part = {"digest": f"sha256:{HEX}", "size": 7}
    offer = {"oid": HEX, "size": 7, "actions": {"download": {"href": "https://cdn.example/x"}}}
    listing = OriginReply(200, (JSON, COMMIT_FIELD), b"[]")
    info = {"id": "acme/tiny", "sha": COMMIT, "private": True, "gated": False}
    rig.origin.replies |= {
        "/api/models/acme/tiny/tree/main": listing,
        f"/api/models/acme/tiny/tree/{COMMIT}": listing,
        "/api/models/acme/tiny": OriginReply(200, (JSON,), orjson.dumps(info)),
        "/v2/acme/tiny/manifests/latest": OriginReply(200, (), orjson.dumps({"config": part, "layers": [part]})),
        "/acme/tiny.git/info/lfs/objects/batch": OriginReply(200, (), orjson.dumps({"objects": [offer]})),
    }
    rig.origin.refuse = lambda caller: None if caller in (ANN, BEN) else HIDDEN


def asked(rig: Rig) -> int:
    """Questions of those with a token: how often we look whether the repo is public is no matter here."""
    return len(rig.origin.askers)


@WAYS
async def test_one_caller_asks_the_same_thing_once(rig: Rig, way: Way) -> None:
    answers = await asyncio.gather(*(way(rig, ANN) for _ in range(20)))
    assert asked(rig) == 1
    assert [answer.cache for answer in answers].count(CacheOutcome.COALESCED) == 19


@WAYS
async def test_whose_right_is_new_asks_by_itself(rig: Rig, way: Way) -> None:
    await asyncio.gather(*(way(rig, caller) for caller in (ANN, BEN)))
    assert asked(rig) == 2


@WAYS
async def test_a_stranger_learns_nothing_from_a_member_who_asks(rig: Rig, way: Way) -> None:
    answers = await asyncio.gather(way(rig, ANN), way(rig, STRANGER), way(rig, ANN), return_exceptions=True)
    assert [isinstance(answer, OriginRefused) for answer in answers] == [False, True, False]


@pytest.mark.parametrize("way", [head, tree])
async def test_those_whose_rights_are_known_share_what_is_due(rig: Rig, way: Way) -> None:
    for caller in (ANN, BEN):
        await way(rig, caller)
    rig.clock.advance(31)  # the branch is due, the rights are not
    before = asked(rig)
    await asyncio.gather(*(way(rig, caller) for caller in (ANN, BEN) for _ in range(5)))
    assert asked(rig) == before + 1


async def test_whoever_waited_behind_one_who_is_refused_asks_with_its_own_token(rig: Rig) -> None:
    for caller in (ANN, BEN):
        await head(rig, caller)
    rig.clock.advance(31)
    rig.origin.refuse = lambda caller: None if caller == BEN else HIDDEN
    refused, found = await asyncio.gather(head(rig, ANN), head(rig, BEN), return_exceptions=True)
    assert isinstance(refused, OriginRefused)
    assert isinstance(found, Located)


async def test_a_description_meant_for_one_member_is_kept_for_that_one_in_memory(rig: Rig) -> None:
    target = RepoInfo(REPO, None, ())
    first, second = [await rig.mirror.metadata(ANN, target, None) for _ in range(2)]
    assert isinstance(first, Metadata)
    assert (first.cache, second.cache) == (CacheOutcome.MISS, CacheOutcome.HIT)
    assert (await rig.mirror.metadata(BEN, target, None)).cache is CacheOutcome.MISS
    assert rig.catalogue.listing(ListingKey(REPO, "/api/models/acme/tiny")) is None, "nothing of it is on disk"
