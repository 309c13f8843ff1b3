"""What the origin said of a file at a commit is kept for ever, unless the file's bytes say otherwise."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from proxy.core.caller import ANONYMOUS
from proxy.core.errors import BlobDropped, DigestMismatch, OriginLied, PenstockError, SourceChanged
from proxy.core.rights import Plane
from proxy.core.sizes import MIB
from proxy.core.spans import Span, whole
from proxy.fetch.coordinator import CacheOutcome, Located
from proxy.fetch.locate import DOUBTED_EVERY
from proxy.hub.facts import FileFacts, OriginReply
from proxy.hub.names import FileTarget, Revision
from proxy.hub.targets import Tree

from .rig import COMMIT, REPO, Rig, content

SIZE = 3 * MIB
FILE = FileTarget(REPO, Revision(COMMIT), "model.bin")
TREE = Tree(REPO, Revision(COMMIT), "", ())
CHANGED = SourceChanged("other bytes than it was said")


def lists(rig: Rig, facts: FileFacts) -> None:
    item = {"type": "file", "path": FILE.path, "oid": "e" * 40, "size": facts.size}
    body = orjson.dumps([{**item, "lfs": {"oid": facts.etag, "size": facts.size}}])
    rig.origin.replies[f"/api/models/acme/tiny/tree/{COMMIT}"] = OriginReply(200, (), body)


@pytest.fixture(autouse=True)
async def one_file_of_a_public_repo(rig: Rig) -> None:
    await rig.catalogue.keep_public(REPO, Plane.FILES)
    rig.origin.files[FILE.path] = content(SIZE)


async def located(rig: Rig) -> Located:
    found = await rig.mirror.locate(ANONYMOUS, FILE)
    assert isinstance(found, Located)
    return found


async def reads(rig: Rig, error: PenstockError | None = None) -> None:
    """Locate and read the file; `error` is what its source says."""
    found = await located(rig)
    rig.origin.fail_at = None if error is None else (0, error)
    async with rig.mirror.read(ANONYMOUS, found, whole(found.facts.size)) as reading:
        async for _ in reading.pieces():
            pass


async def test_a_listing_that_was_wrong_about_a_file_is_forgotten_with_what_it_said(rig: Rig) -> None:
    true = rig.origin.facts(FILE.path)
    lists(rig, replace(true, size=SIZE + 1))
    await rig.mirror.metadata(ANONYMOUS, TREE, None)
    assert (await located(rig)).facts.size == SIZE + 1
    with pytest.raises(SourceChanged):
        await reads(rig, CHANGED)
    lists(rig, true)
    await reads(rig)
    assert (await located(rig)).facts == true
    again = await rig.mirror.metadata(ANONYMOUS, TREE, None)
    assert again.cache is CacheOutcome.MISS
    assert orjson.loads(again.body)[0]["size"] == SIZE


async def test_a_listing_that_was_right_stays(rig: Rig) -> None:
    lists(rig, rig.origin.facts(FILE.path))
    await rig.mirror.metadata(ANONYMOUS, TREE, None)
    with pytest.raises(SourceChanged):
        await reads(rig, CHANGED)
    await reads(rig)
    assert rig.origin.asked["head"] == 1
    assert (await rig.mirror.metadata(ANONYMOUS, TREE, None)).cache is CacheOutcome.HIT


async def test_wrong_bytes_are_a_reason_to_ask_what_the_right_ones_are(rig: Rig) -> None:
    await located(rig)
    rig.origin.spoil_at = 7
    with pytest.raises((DigestMismatch, BlobDropped)):
        await reads(rig)
    rig.origin.spoil_at = None
    await reads(rig)
    assert rig.origin.asked["head"] == 2


async def test_an_origin_that_goes_on_lying_is_not_asked_by_every_client(rig: Rig) -> None:
    for _ in range(5):
        with pytest.raises(OriginLied):
            await reads(rig, CHANGED)
    assert rig.origin.asked["head"] == 2, "at first, and in doubt"
    rig.clock.advance(DOUBTED_EVERY)
    for _ in range(5):
        with pytest.raises(OriginLied):
            await reads(rig, CHANGED)
    assert rig.origin.asked["head"] == 3


async def test_a_proven_blob_outlives_whoever_says_it_has_another_length(rig: Rig) -> None:
    await reads(rig)
    true = await located(rig)
    for wrong in (SIZE - 1, SIZE + 1, 2 * SIZE):
        lie = replace(true, facts=replace(true.facts, size=wrong))
        with pytest.raises(SourceChanged):
            async with rig.mirror.read(ANONYMOUS, lie, Span(0, 1)):
                pass
    sent = rig.origin.sent
    await reads(rig)
    assert rig.origin.sent == sent


async def test_a_small_file_is_never_given_in_part_as_if_it_were_whole(rig: Rig) -> None:
    rig.origin.files[FILE.path] = content(1000)
    await reads(rig)
    true = await located(rig)
    lie = replace(true, facts=replace(true.facts, size=10))
    with pytest.raises(SourceChanged):
        async with rig.mirror.read(ANONYMOUS, lie, whole(10)):
            pass
