"""Git's overtures, LFS batches and manifests: what is asked of the origin, for whom, and how long it is kept."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.errors import OriginLied, OriginRefused, OriginUnreachable
from proxy.core.secret import Secret
from proxy.fetch.coordinator import CacheOutcome, LfsAnswer, LocatedObject, Metadata, MovedTo
from proxy.hub.facts import OriginReply
from proxy.hub.lfs_batch import LfsPointer
from proxy.hub.names import Counter, ObjectTarget, RepoId, RepoKind
from proxy.hub.oci import Agent
from proxy.hub.paths import render
from proxy.hub.targets import GitRefs, LfsBatch, OciBlob, OciManifest

from .rig import REPO, Rig

MEMBER = bearer(Secret("hf_member"), b"key")
STRANGER = bearer(Secret("hf_stranger"), b"key")
HIDDEN = OriginRefused(404, "Repository not found", code="RepoNotFound")
AWAY = OriginUnreachable("the origin is away")
HEX = "ab" * 32
ONE = LfsPointer(HEX, 7)
BATCH, REFS, TAG = LfsBatch(REPO), GitRefs(REPO), OciManifest(REPO, "latest")
BLOB = OciBlob(REPO, HEX)


def replies(rig: Rig, target: LfsBatch | GitRefs | OciManifest | OciBlob, body: bytes, status: int = 200) -> None:
    rig.origin.replies[render(target)] = OriginReply(status, (), body)


def asked(rig: Rig) -> int:
    return rig.origin.asked.total()


@pytest.fixture(autouse=True)
def origin_has_one(rig: Rig) -> None:
    offer = {"oid": HEX, "size": 7, "actions": {"download": {"href": "https://cdn.example/x"}}}
    part = {"digest": f"sha256:{HEX}", "size": 7}
    replies(rig, BATCH, orjson.dumps({"objects": [offer]}))
    replies(rig, REFS, b"001e# service=git-upload-pack\n")
    replies(rig, TAG, orjson.dumps({"config": part, "layers": [part]}))
    replies(rig, BLOB, b"", status=307)


async def test_an_overture_for_everybody_is_kept_for_ten_seconds(rig: Rig) -> None:
    first = await rig.mirror.git_refs(ANONYMOUS, REFS, "version=2")
    rig.clock.advance(9)
    second = await rig.mirror.git_refs(MEMBER, REFS, "version=2")
    assert (first.cache, second.cache, second.age) == (CacheOutcome.MISS, CacheOutcome.HIT, 9)
    rig.clock.advance(1)
    await rig.mirror.git_refs(ANONYMOUS, REFS, "version=2")
    assert asked(rig) == 2


async def test_an_overture_for_a_member_is_kept_for_nobody(rig: Rig) -> None:
    for _ in range(2):
        await rig.mirror.git_refs(MEMBER, REFS, "version=2")
    assert asked(rig) == 2


async def test_each_version_of_the_protocol_has_its_own_overture(rig: Rig) -> None:
    await rig.mirror.git_refs(ANONYMOUS, REFS, "version=2")
    assert (await rig.mirror.git_refs(ANONYMOUS, REFS, "")).cache is CacheOutcome.MISS


async def test_a_batch_that_is_known_asks_nobody(rig: Rig) -> None:
    first = await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [ONE])
    second = await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [ONE])
    assert isinstance(first, LfsAnswer)
    assert isinstance(second, LfsAnswer)
    assert (first.missing, first.everybody, second.cache) == ({}, True, CacheOutcome.HIT)
    assert asked(rig) == 1


async def test_what_a_member_was_told_is_no_right_of_a_stranger(rig: Rig) -> None:
    rig.origin.refuse = lambda caller: None if caller == MEMBER else HIDDEN
    await rig.mirror.lfs_batch(MEMBER, BATCH, [ONE])
    with pytest.raises(OriginRefused):
        await rig.mirror.lfs_batch(STRANGER, BATCH, [ONE])
    with pytest.raises(OriginRefused):
        await rig.mirror.layer(ANONYMOUS, BLOB)


async def test_an_object_of_another_size_or_repo_is_not_known(rig: Rig) -> None:
    await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [ONE])
    await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [LfsPointer(HEX, 8)])
    assert asked(rig) == 2
    other = LfsBatch(RepoId(RepoKind.MODEL, "acme/other"))
    with pytest.raises(OriginRefused):
        await rig.mirror.lfs_batch(ANONYMOUS, other, [ONE])


async def test_what_the_origin_does_not_give_is_missing_and_no_right(rig: Rig) -> None:
    replies(rig, BATCH, orjson.dumps({"objects": [{"oid": HEX, "size": 7, "error": {"code": 404, "message": "no"}}]}))
    answer = await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [ONE])
    assert isinstance(answer, LfsAnswer)
    assert answer.missing[HEX].code == 404
    assert not answer.everybody


async def test_a_known_batch_is_answered_while_the_origin_is_away(rig: Rig) -> None:
    await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [ONE])
    rig.clock.advance(2 * 86400)
    rig.origin.away = AWAY
    answer = await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [ONE])
    assert isinstance(answer, LfsAnswer)
    assert answer.cache is CacheOutcome.STALE
    with pytest.raises(OriginUnreachable):
        await rig.mirror.lfs_batch(ANONYMOUS, BATCH, [LfsPointer("cd" * 32, 1)])


async def test_a_manifest_is_kept_under_the_class_of_who_asks(rig: Rig) -> None:
    for _ in range(2):
        for agent in Agent:
            assert isinstance(await rig.mirror.manifest(ANONYMOUS, TAG, agent), Metadata)
    assert asked(rig) == 2
    rig.clock.advance(301)
    assert isinstance(await rig.mirror.manifest(ANONYMOUS, TAG, Agent.REGISTRY), Metadata)
    assert asked(rig) == 3


async def test_a_blob_is_given_once_a_manifest_has_named_it(rig: Rig) -> None:
    with pytest.raises(OriginRefused, match="fetch its manifest first"):
        await rig.mirror.layer(ANONYMOUS, BLOB)
    await rig.mirror.manifest(ANONYMOUS, TAG, Agent.REGISTRY)
    located = await rig.mirror.layer(ANONYMOUS, BLOB)
    assert isinstance(located, LocatedObject)
    assert (located.facts.size, located.everybody) == (7, True)


@pytest.mark.parametrize("counter", Counter)
async def test_an_address_stands_for_its_caller_and_is_no_right(rig: Rig, counter: Counter) -> None:
    """A pull of 80 minutes: the origin is asked again whenever the right has run out, and once for all parts."""
    place = ObjectTarget(REPO, HEX, counter)
    rig.origin.refuse = lambda caller: None if caller == MEMBER else HIDDEN
    for _ in range(40):
        rig.clock.advance(121)
        found = await asyncio.gather(*(rig.mirror.vouch_for_object(MEMBER, place, 7) for _ in range(16)))
        assert {one.target for one in found} == {place}
    assert asked(rig) == 40
    rig.origin.refuse = lambda caller: HIDDEN
    rig.clock.advance(119)
    assert (await rig.mirror.vouch_for_object(MEMBER, place, 7)).facts.size == 7
    rig.clock.advance(2)
    with pytest.raises(OriginRefused):
        await rig.mirror.vouch_for_object(MEMBER, place, 7)


async def test_an_address_names_its_object_to_a_mirror_that_knows_nothing_of_it(rig: Rig) -> None:
    place = ObjectTarget(REPO, "cd" * 32, Counter.REGISTRY)
    rig.origin.replies[render(OciBlob(REPO, "cd" * 32))] = OriginReply(307, (), b"")
    for cache in (CacheOutcome.MISS, CacheOutcome.HIT):
        found = await rig.mirror.vouch_for_object(MEMBER, place, 9)
        assert (found.facts.size, found.cache) == (9, cache)


@pytest.mark.parametrize("said", [0, 6, 8, 1 << 40])
async def test_the_length_of_an_object_is_the_origin_s_to_say(rig: Rig, said: int) -> None:
    """A caller that says another must not get all others to believe it."""
    answer = await rig.mirror.lfs_batch(STRANGER, BATCH, [LfsPointer(HEX, said)])
    assert isinstance(answer, LfsAnswer)
    assert answer.missing[HEX].code == 422
    await rig.mirror.manifest(STRANGER, TAG, Agent.REGISTRY)
    found = await rig.mirror.layer(STRANGER, BLOB)
    assert isinstance(found, LocatedObject)
    assert found.facts.size == 7


async def test_an_address_of_a_private_repo_is_no_use_while_the_origin_is_away(rig: Rig) -> None:
    place = ObjectTarget(REPO, HEX, Counter.REGISTRY)
    rig.origin.refuse = lambda caller: None if caller == MEMBER else HIDDEN
    await rig.mirror.vouch_for_object(MEMBER, place, 7)
    rig.origin.away = AWAY
    rig.clock.advance(121)
    with pytest.raises(OriginUnreachable):
        await rig.mirror.vouch_for_object(MEMBER, place, 7)


async def test_an_address_of_a_public_repo_asks_nobody_and_outlives_the_origin(rig: Rig) -> None:
    place = ObjectTarget(REPO, HEX, Counter.REGISTRY)
    for away in (None, None, AWAY):
        rig.origin.away = away
        assert (await rig.mirror.vouch_for_object(ANONYMOUS, place, 7)).everybody
        rig.clock.advance(10 * 3600)
    assert asked(rig) == 1


@pytest.mark.parametrize("counter", Counter)
async def test_an_address_is_good_under_the_repo_s_new_name(rig: Rig, counter: Counter) -> None:
    new = RepoId(RepoKind.MODEL, "acme/new")
    there: dict[Counter, LfsBatch | OciBlob] = {Counter.LFS: LfsBatch(new), Counter.REGISTRY: OciBlob(new, HEX)}
    old: dict[Counter, LfsBatch | OciBlob] = {Counter.LFS: BATCH, Counter.REGISTRY: BLOB}
    rig.origin.replies[render(there[counter])] = rig.origin.replies[render(old[counter])]
    rig.origin.replies[render(old[counter])] = OriginReply(307, (("location", render(there[counter])),), b"")
    found = await rig.mirror.vouch_for_object(MEMBER, ObjectTarget(REPO, HEX, counter), 7)
    assert found.target == ObjectTarget(new, HEX, counter)


@pytest.mark.parametrize("location", ["https://evil.example/acme/tiny.git/info/refs", "/login", ""])
async def test_git_is_not_redirected_to_nowhere(rig: Rig, location: str) -> None:
    rig.origin.replies[render(REFS)] = OriginReply(302, (("location", location),), b"")
    with pytest.raises(OriginLied):
        await rig.mirror.git_refs(ANONYMOUS, REFS, "version=2")


async def test_a_redirect_to_another_name_proves_no_right(rig: Rig) -> None:
    there = render(OciBlob(RepoId(RepoKind.MODEL, "acme/new"), HEX))
    rig.origin.replies[render(BLOB)] = OriginReply(307, (("location", there),), b"")
    assert await rig.mirror.layer(ANONYMOUS, BLOB) == MovedTo(there)
    assert await rig.mirror.layer(ANONYMOUS, BLOB) == MovedTo(there)
    assert asked(rig) == 2
