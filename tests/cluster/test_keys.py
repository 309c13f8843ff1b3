"""All that is in Redis is on one page."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from proxy.cluster.keys import TABLE
from proxy.cluster.keytable import COMMANDS, render
from proxy.cluster.lease import Mine
from proxy.cluster.membership import Membership, ourselves
from proxy.cluster.redis import SharedRedis
from proxy.cluster.shared import Shared
from proxy.config.cluster import ClusterSection
from proxy.config.redis_address import Login, OneServer
from proxy.core.clock import SystemClock
from proxy.core.errors import OriginRefused
from proxy.core.secret import Secret
from proxy.hub.facts import FileFacts, Listing, ListingKey, RefEntry
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.notices import BlobPurged
from tests.kit.redis import Flavour, RedisServer, flavours
from tests.kit.waiting import until

from .workers import KEY, PATIENT, Noted, worker

ROOT = Path(__file__).parents[2]


def test_the_page_is_fresh() -> None:
    assert (ROOT / "docs" / "redis-keys.md").read_text() == render(), "stale: run make generated"


def test_a_key_matches_its_own_row_alone() -> None:
    for key, pattern in (
        (f"penstock:lease:{{{KEY}}}:0", "penstock:lease:{<blob key>}:<slice>"),
        ("penstock:{members}", "penstock:{members}"),
        ("penstock:ref:{00ff}", "penstock:ref:{<name>}"),
    ):
        assert [row.pattern for row in TABLE if row.matches(key)] == [pattern]
    for other in ("penstock:lease:0", "other:{members}", "penstock:{members}:x", "xpenstock:ref:{00}"):
        assert not any(row.matches(other) for row in TABLE)


REPO = RepoId(RepoKind.MODEL, "acme/tiny")
PLACES = ("~penstock:*", "resetchannels", "&penstock:*")


class Changes(Noted):
    def view_changed(self, view: object, change: object) -> None: ...

    def clock_ahead(self, seconds: float) -> None: ...


@asynccontextmanager
async def everything(address: OneServer, noted: Changes, secret: Path) -> AsyncIterator[None]:
    """One node that does all that nodes do with Redis."""
    clock = SystemClock()
    section = ClusterSection(advertise="http://127.0.0.1:9", secret_file=secret, redis="redis://x", heartbeat="50ms")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        redis = await enter(SharedRedis.open(address, clock=clock, observer=noted, within=PATIENT))
        leases = await enter(worker(address, noted=noted))
        shared = await enter(Shared.open(redis, b"s" * 32, clock=clock, observer=noted))
        us = ourselves(section, weight=1, boot="b")
        await enter(Membership.open(section, us=us, line=redis, clock=clock, observer=noted))
        shared.allowances.listen(lambda *_: None)
        shared.notices.listen(nothing)
        shared.notices.tell(BlobPurged(KEY, 1e9))
        shared.writes.listen(nothing)
        shared.writes.tell(BlobPurged(KEY, 1e9))
        shared.allowances.learnt("anonymous:api", 0, 0, 30.0)
        async with shared.commons.file(FileTarget(REPO, Revision("main"), "a")) as turn:
            turn.tell_ref(RefEntry("c" * 40, time.time()), 30.0)
            turn.tell_facts("c" * 40, FileFacts("ab" * 32, 1, linked=True, key=None))
        asked = ListingKey(REPO, "/api/models/acme/tiny/refs")
        async with shared.commons.listing(asked, None, lambda commit: asked) as listing:
            listing.tell_listing("", Listing(200, (), b"{}", time.time(), immutable=False), 30.0)
        async with shared.commons.file(FileTarget(REPO, Revision("gone"), "a")) as turn:
            turn.tell_refusal(OriginRefused(404, "no such revision", code="RevisionNotFound"))
        async with leases.hold(KEY, 0) as mine, leases.hold(KEY, 1):
            assert isinstance(mine, Mine)
            mine.done()
        yield


async def nothing(notice: object) -> None: ...


@pytest.mark.parametrize("flavour", flavours(), ids=lambda flavour: flavour.name)
async def test_a_workload_leaves_no_key_that_is_not_on_the_page_and_needs_no_other_command(
    flavour: Flavour, tmp_path: Path
) -> None:
    async with RedisServer.open(tmp_path / "redis", flavour=flavour) as server:
        await the_page_says_all(server, tmp_path / "secret")


async def the_page_says_all(server: RedisServer, secret: Path) -> None:
    rights = [f"+{command.lower()}" for command in COMMANDS]
    await server.ask("ACL", "SETUSER", "penstock", "on", ">pass", *rights, *PLACES)
    login = Login("penstock", Secret("pass"))
    noted = Changes()
    async with everything(OneServer(("127.0.0.1", server.port), 0, login), noted, secret):
        wanted = {row.pattern for row in TABLE if ":asking:" not in row.pattern}

        async def all_there() -> bool:
            return {row.pattern for key in await server.keys() for row in TABLE if row.matches(key)} >= wanted

        await until(all_there, f"a key of each row: {sorted(wanted)}")
        for key in await server.keys():
            (row,) = (row for row in TABLE if row.matches(key))
            assert await server.ask("TYPE", key) == row.kind
            assert await server.ask("PTTL", key) > 0
    assert {result.value for result in noted.calls} == {"ok"}
