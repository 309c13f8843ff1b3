"""The client against the whole synthetic Hub: real layouts, expiry, faults in the middle, private repos."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from bench.hub.faults import Cut, Fail, Stall
from bench.hub.messages import Plane
from bench.hub.server import SyntheticHub
from bench.hub.world import World
from proxy.config.origins import OriginSection
from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.errors import OriginRefused, PenstockError
from proxy.core.secret import Secret
from proxy.core.sizes import MIB
from proxy.core.spans import Span, whole
from proxy.hub.facts import FileFacts, FoundFile, Moved
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.origin.client import OriginClient
from tests.origin.liar import client_of, taken

SIZE = 20 * MIB + 7
OPEN_REPO = RepoId(RepoKind.MODEL, "acme/tiny")
SECRET_REPO = RepoId(RepoKind.DATASET, "acme/secret")
MAIN = Revision("main")
ANN, EVE = bearer(Secret("hf_ann"), b"key"), bearer(Secret("hf_eve"), b"key")


def world() -> World:
    made = World()
    made.add_user("ann", token="hf_ann")
    made.add_user("eve", token="hf_eve")
    tiny = made.add_model("acme/tiny")
    secret = made.add_dataset("acme/secret", private=True)
    secret.grant("ann")
    for repo in (tiny, secret):
        repo.put_text("dir ü/config #1.json", '{"a": 1}')
        repo.put_text("empty.txt", "")
        repo.put_blob("model.bin", SIZE)
        repo.commit("first")
    tiny.pull_request(1)
    return made


@contextlib.asynccontextmanager
async def running(**knobs: object) -> AsyncIterator[tuple[SyntheticHub, OriginClient]]:
    async with SyntheticHub.open(world()) as hub:
        places = (hub.cdn_url.removeprefix("http://"),)
        section = OriginSection.model_validate({"url": hub.url, "redirect_hosts": places, "retries": 3} | knobs)
        async with client_of(section) as client:
            yield hub, client


async def found(client: OriginClient, target: FileTarget, caller: Caller = ANONYMOUS) -> FoundFile:
    head = await client.head_file(target, caller)
    assert isinstance(head, FoundFile)
    return head


async def content_of(client: OriginClient, target: FileTarget, caller: Caller = ANONYMOUS) -> tuple[FileFacts, bytes]:
    head = await found(client, target, caller)
    source = client.source(target.at(head.commit), head.facts, caller)
    return head.facts, await taken(source, whole(head.facts.size))


@pytest.mark.parametrize("path", ["dir ü/config #1.json", "empty.txt", "model.bin"])
@pytest.mark.parametrize("revision", ["main", "refs/pr/1"])
async def test_every_kind_of_file_comes_as_its_digest_says(path: str, revision: str) -> None:
    async with running() as (_, client):
        facts, content = await content_of(client, FileTarget(OPEN_REPO, Revision(revision), path))
        assert facts.digest.matches(content)


async def test_a_private_repo_opens_to_its_own_and_looks_missing_to_others() -> None:
    target = FileTarget(SECRET_REPO, MAIN, "model.bin")
    async with running() as (hub, client):
        facts, content = await content_of(client, target, ANN)
        assert facts.digest.matches(content)
        for caller, status in ((EVE, 404), (ANONYMOUS, 401)):
            with pytest.raises(OriginRefused) as raised:
                await client.head_file(target, caller)
            assert (raised.value.status, raised.value.code) == (status, "RepoNotFound")
        tokens = {record.headers.get("authorization") for record in hub.log if record.plane is not Plane.HUB}
        assert tokens == {None}


async def test_a_renamed_repo_is_found_again() -> None:
    async with running() as (hub, client):
        hub.world.rename("acme/tiny", "acme/grown")
        moved = await client.head_file(FileTarget(OPEN_REPO, MAIN, "model.bin"), ANONYMOUS)
        assert isinstance(moved, Moved)
        facts, content = await content_of(client, moved.target)
        assert facts.digest.matches(content)


async def test_a_missing_file_is_refused_with_the_commit_it_is_missing_from() -> None:
    async with running() as (hub, client):
        with pytest.raises(OriginRefused) as raised:
            await client.head_file(FileTarget(OPEN_REPO, MAIN, "no.bin"), ANONYMOUS)
        assert raised.value.code == "EntryNotFound"
        assert raised.value.commit == hub.world.repo("acme/tiny").head()


async def test_addresses_that_expire_all_the_time_cost_no_byte() -> None:
    async with running() as (hub, client):
        head = await found(client, FileTarget(OPEN_REPO, MAIN, "model.bin"))
        source = client.source(FileTarget(OPEN_REPO, Revision(head.commit), "model.bin"), head.facts, ANONYMOUS)
        hub.faults.add(Cut(after=3 * MIB), kinds=("cdn",))
        got = bytearray()
        async with contextlib.aclosing(source.read(whole(SIZE))) as pieces:
            async for piece in pieces:
                got += piece
                hub.expire_urls()
        assert head.facts.digest.matches(bytes(got))


async def test_parallel_reads_survive_cuts_and_failures_with_no_byte_twice() -> None:
    async with running() as (hub, client):
        head = await found(client, FileTarget(OPEN_REPO, MAIN, "model.bin"))
        source = client.source(FileTarget(OPEN_REPO, Revision(head.commit), "model.bin"), head.facts, ANONYMOUS)
        hub.faults.add(Cut(after=100_000, reset=True), kinds=("cdn",), times=4)
        hub.faults.add(Stall(after=200_000, seconds=0.01), kinds=("cdn",), times=4, skip=4)
        hub.faults.add(Fail(503), kinds=("cdn",), times=3, skip=8)
        spans = list(whole(SIZE).split(4 * MIB))
        parts = await asyncio.gather(*(taken(source, span) for span in spans))
        assert head.facts.digest.matches(b"".join(parts))


async def test_a_range_costs_that_range() -> None:
    async with running() as (hub, client):
        head = await found(client, FileTarget(OPEN_REPO, MAIN, "model.bin"))
        source = client.source(FileTarget(OPEN_REPO, Revision(head.commit), "model.bin"), head.facts, ANONYMOUS)
        span = Span(SIZE - 1000, SIZE)
        file = hub.world.repo("acme/tiny").file("model.bin")
        assert await taken(source, span) == file.blob.read(span.start, len(span))  # type: ignore[union-attr]
        assert hub.counters.total_bytes("cdn") == 1000


async def test_no_error_says_a_token_or_a_signature() -> None:
    async with running(retries=0) as (hub, client):
        head = await found(client, FileTarget(SECRET_REPO, MAIN, "model.bin"), ANN)
        source = client.source(FileTarget(SECRET_REPO, Revision(head.commit), "model.bin"), head.facts, ANN)
        for act in (Cut(after=10), Fail(503), Fail(403), Fail(500), Fail(416)):
            armed = hub.faults.add(act, kinds=("cdn",))
            with pytest.raises(PenstockError) as raised:
                await taken(source, Span(0, 1000))
            hub.faults.remove(armed)
            shown = f"{raised.value!s} {raised.value!r} {raised.value.__cause__!r} {source!r}"
            assert "hf_ann" not in shown
            assert "Signature" not in shown
