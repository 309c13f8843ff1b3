"""What one worker keeps, all of them know, after a restart too; and no fault of the state disk reaches a request."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.catalogue.catalogue import Catalogue
from proxy.catalogue.database import DAMAGED, FILE
from proxy.catalogue.limits import Limits
from proxy.core.blob import BlobKey
from proxy.core.clock import ManualClock, SystemClock
from proxy.core.rights import Plane
from proxy.hub.facts import Absent, FileFacts, Listing, ListingKey
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision

REPO = RepoId(RepoKind.MODEL, "acme/tiny")
NAMESAKE = RepoId(RepoKind.DATASET, "acme/tiny")
MAIN = Revision("main")
COMMIT, LATER = "a" * 40, "b" * 40
TARGET = FileTarget(REPO, Revision(COMMIT), "weights/ü #1.bin")
LARGE = FileFacts("c" * 64, 10**14, True, BlobKey.sha256("c" * 64))
SMALL = FileFacts("d" * 40, 0, False, None)
KEY = ListingKey(REPO, "/api/models/acme/tiny/tree/main")


def listing(body: bytes = b"[]", *, immutable: bool = False, stored_at: float = 5.0) -> Listing:
    return Listing(200, (("content-type", "application/json"), ("link", '<x>; rel="next"')), body, stored_at, immutable)


@contextlib.asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[tuple[Catalogue, Catalogue]]:
    clock = ManualClock()
    async with Catalogue.open(folder, clock=clock) as one, Catalogue.open(folder, clock=clock) as two:
        yield one, two


class Counted:
    def __init__(self) -> None:
        self.failures = 0

    def state_disk_failed(self) -> None:
        self.failures += 1


async def test_unknown_is_none(tmp_path: Path) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        assert catalogue.ref(REPO, MAIN) is None
        assert catalogue.resolution(TARGET) is None
        assert catalogue.listing(KEY) is None
        assert catalogue.public_since(REPO, Plane.FILES) is None


async def test_a_ref_is_remembered_with_the_time_it_was_confirmed(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
        clock.advance(10)
        await catalogue.keep_ref(REPO, MAIN, LATER)
        entry = catalogue.ref(REPO, MAIN)
        assert entry is not None
        assert (entry.commit, entry.checked_at) == (LATER, clock.now)
        assert catalogue.ref(NAMESAKE, MAIN) is None


@pytest.mark.parametrize("facts", [LARGE, SMALL, Absent(COMMIT)])
async def test_a_resolution_survives_a_restart(tmp_path: Path, facts: FileFacts | Absent) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        await catalogue.keep_resolution(TARGET, facts)
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        assert catalogue.resolution(TARGET) == facts
        assert catalogue.resolution(TARGET.at(LATER)) is None


async def test_a_key_learnt_later_is_seen_and_not_lost_again(tmp_path: Path) -> None:
    learnt = FileFacts(SMALL.etag, SMALL.size, False, BlobKey.sha256("e" * 64))
    async with two_workers(tmp_path) as (one, two):
        await one.keep_resolution(TARGET, SMALL)
        assert two.resolution(TARGET) == SMALL
        await one.keep_resolution(TARGET, learnt)
        assert two.resolution(TARGET) == learnt
        await two.keep_resolution(TARGET, SMALL)
    async with Catalogue.open(tmp_path, clock=ManualClock()) as three:
        assert three.resolution(TARGET) == learnt


@pytest.mark.parametrize("body", [b"", b"[]", b"x" * 1024, b"x" * 1025, os.urandom(100_000)])
@pytest.mark.parametrize("immutable", [True, False])
async def test_a_listing_comes_back_as_it_was(tmp_path: Path, body: bytes, immutable: bool) -> None:
    kept = listing(body, immutable=immutable)
    async with two_workers(tmp_path) as (one, two):
        await one.keep_listing(KEY, kept)
        assert one.listing(KEY) == kept
        assert two.listing(KEY) == kept


async def test_a_long_listing_is_stored_packed(tmp_path: Path) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        await catalogue.keep_listing(KEY, listing(b"x" * 100_000))
    with sqlite3.connect(tmp_path / FILE) as connection:
        ((length,),) = connection.execute("SELECT length(body) FROM listings")
    assert length < 2_000


async def test_of_two_answers_the_later_one_stands(tmp_path: Path) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        await catalogue.keep_listing(KEY, listing(b"new", stored_at=9.0))
        await catalogue.keep_listing(KEY, listing(b"old", stored_at=8.0))
        kept = catalogue.listing(KEY)
        assert kept is not None
        assert kept.body == b"new"


async def test_another_worker_sees_each_update_of_what_may_change(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Catalogue.open(tmp_path, clock=clock) as one, Catalogue.open(tmp_path, clock=clock) as two:
        for commit in (COMMIT, LATER):
            await one.keep_ref(REPO, MAIN, commit)
            entry = two.ref(REPO, MAIN)
            assert entry is not None
            assert entry.commit == commit
        await one.keep_public(REPO, Plane.API)
        assert two.public_since(REPO, Plane.API) == clock.now
        assert two.public_since(REPO, Plane.FILES) is None


async def test_forget_drops_what_may_change_and_keeps_resolutions(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two):
        await one.keep_ref(REPO, MAIN, COMMIT)
        await one.keep_listing(KEY, listing(immutable=True))
        await one.keep_public(REPO, Plane.FILES)
        await one.keep_resolution(TARGET, LARGE)
        assert two.listing(KEY) is not None
        await one.forget(REPO)
        for worker in (one, two):
            assert worker.ref(REPO, MAIN) is None
            assert worker.listing(KEY) is None
            assert worker.public_since(REPO, Plane.FILES) is None
            assert worker.resolution(TARGET) == LARGE


async def test_many_writes_at_once_share_commits_and_all_arrive(tmp_path: Path) -> None:
    targets = [FileTarget(REPO, Revision(COMMIT), f"part-{number}") for number in range(500)]
    async with Catalogue.open(tmp_path, clock=ManualClock()) as one:
        await asyncio.gather(*(one.keep_resolution(target, LARGE) for target in targets))
    async with Catalogue.open(tmp_path, clock=ManualClock()) as two:
        assert all(two.resolution(target) == LARGE for target in targets)


async def test_what_a_listing_says_of_its_files_is_kept_at_once(tmp_path: Path) -> None:
    files = [(f"part-{number}", LARGE) for number in range(2500)]
    async with two_workers(tmp_path) as (one, two):
        await one.keep_resolutions(REPO, COMMIT, files)
        assert all(two.resolution(FileTarget(REPO, Revision(COMMIT), path)) == LARGE for path, _ in files)


async def test_a_file_is_found_by_its_xet_hash_at_its_commit_only(tmp_path: Path) -> None:
    hashed = dataclasses.replace(LARGE, xet="e" * 64)
    async with two_workers(tmp_path) as (one, two):
        await one.keep_resolutions(REPO, COMMIT, [("a.bin", hashed), ("b.bin", LARGE), ("c.json", SMALL)])
        await one.keep_resolution(FileTarget(REPO, Revision(COMMIT), "a.bin"), LARGE)  # learnt without: not forgotten
        assert two.path_of_xet(REPO, COMMIT, "e" * 64) == "a.bin"
        assert two.resolution(FileTarget(REPO, Revision(COMMIT), "a.bin")) == hashed
        assert two.path_of_xet(REPO, COMMIT, "f" * 64) is None
        assert two.path_of_xet(REPO, LATER, "e" * 64) is None
        assert two.path_of_xet(NAMESAKE, COMMIT, "e" * 64) is None
        assert two.xet_above(REPO, COMMIT, LARGE.size - 1) == {"a.bin": "e" * 64}
        assert two.xet_above(REPO, COMMIT, LARGE.size) == {}


async def test_a_caller_that_leaves_takes_no_write_back(tmp_path: Path) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as one:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await one.keep_ref(REPO, MAIN, COMMIT)
    async with Catalogue.open(tmp_path, clock=ManualClock()) as two:
        assert two.ref(REPO, MAIN) is not None


async def test_listings_are_trimmed_by_last_use(tmp_path: Path) -> None:
    clock = ManualClock()
    keys = [ListingKey(REPO, f"/{number}") for number in range(900)]
    limits = Limits(listings=700, listings_in_memory=1)
    async with Catalogue.open(tmp_path, clock=clock, limits=limits) as catalogue:
        await catalogue.keep_listing(KEY, listing())
        clock.advance(3600)
        await asyncio.gather(*(catalogue.keep_listing(key, listing()) for key in keys[:600]))
        clock.advance(3600)
        assert catalogue.listing(KEY) is not None
        await asyncio.gather(*(catalogue.keep_listing(key, listing()) for key in keys[600:]))
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        assert catalogue.listing(KEY) is not None
        kept = [catalogue.listing(key) is not None for key in keys]
        assert all(kept[600:])
        assert sum(kept) <= 700


async def test_resolutions_are_trimmed_by_commit(tmp_path: Path) -> None:
    clock = ManualClock()
    old = [FileTarget(REPO, Revision(COMMIT), str(number)) for number in range(300)]
    new = [FileTarget(REPO, Revision(LATER), str(number)) for number in range(300)]
    async with Catalogue.open(tmp_path, clock=clock, limits=Limits(resolutions=300)) as catalogue:
        await asyncio.gather(*(catalogue.keep_resolution(target, LARGE) for target in old))
        clock.advance(7200)
        await asyncio.gather(*(catalogue.keep_resolution(target, LARGE) for target in new))
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        assert all(catalogue.resolution(target) is None for target in old)
        assert all(catalogue.resolution(target) == LARGE for target in new)


@pytest.mark.parametrize(
    "damage", [b"not a database at all, of no page size" * 200, b"SQLite format 3\0" + b"\xff" * 9000]
)
async def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
    assert [path.read_bytes() for path in tmp_path.glob("*.aside")] == [damage]
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        assert catalogue.ref(REPO, MAIN) is not None


@pytest.mark.parametrize("pragma", ["user_version = 99", "application_id = 7"])
async def test_a_file_of_a_newer_version_or_of_others_is_moved_aside(tmp_path: Path, pragma: str) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"PRAGMA {pragma}")
    connection.close()
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        assert catalogue.ref(REPO, MAIN) is None
    assert len(list(tmp_path.glob("*.aside"))) == 1


async def test_damage_found_while_running_is_left_to_the_next_start(tmp_path: Path) -> None:
    counted = Counted()
    async with Catalogue.open(tmp_path, clock=ManualClock(), observer=counted) as catalogue:
        await catalogue.keep_listing(KEY, listing(b"x" * 5000))
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE listings SET body = x'00ff'")
    connection.close()
    async with Catalogue.open(tmp_path, clock=ManualClock(), observer=counted) as catalogue:
        assert catalogue.listing(KEY) is None
        assert counted.failures == 1
        assert (tmp_path / DAMAGED).exists()
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        assert catalogue.listing(KEY) is None
    assert not (tmp_path / DAMAGED).exists()
    assert len(list(tmp_path.glob("*.aside"))) == 1


async def test_without_a_state_folder_all_is_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    counted = Counted()
    async with Catalogue.open(tmp_path / "file" / "state", clock=ManualClock(), observer=counted) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
        await catalogue.keep_listing(KEY, listing())
        await catalogue.keep_resolution(TARGET, SMALL)
        await catalogue.keep_public(REPO, Plane.FILES)
        assert catalogue.ref(REPO, MAIN) is not None
        assert catalogue.listing(KEY) == listing()
        assert catalogue.resolution(TARGET) == SMALL
        assert catalogue.public_since(REPO, Plane.FILES) is not None
        assert counted.failures >= 1
        await catalogue.forget(REPO)
        assert catalogue.ref(REPO, MAIN) is None
        assert catalogue.listing(KEY) is None
        assert catalogue.public_since(REPO, Plane.FILES) is None


async def test_a_disk_that_stops_taking_writes_fails_no_request_and_is_used_again_later(tmp_path: Path) -> None:
    clock, counted = ManualClock(), Counted()
    async with Catalogue.open(tmp_path, clock=clock, observer=counted) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
        await catalogue.keep_public(REPO, Plane.FILES)
        blocker = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        blocker.execute("CREATE TRIGGER full BEFORE INSERT ON refs BEGIN SELECT raise(ABORT, 'disk I/O error'); END")
        blocker.execute("CREATE TRIGGER full2 BEFORE DELETE ON refs BEGIN SELECT raise(ABORT, 'disk I/O error'); END")
        clock.advance(1)
        await catalogue.keep_ref(REPO, MAIN, LATER)
        entry = catalogue.ref(REPO, MAIN)
        assert entry is not None
        assert entry.commit == LATER
        assert counted.failures == 1
        await catalogue.forget(REPO)
        assert catalogue.ref(REPO, MAIN) is None
        assert catalogue.public_since(REPO, Plane.FILES) is None
        blocker.execute("DROP TRIGGER full")
        blocker.execute("DROP TRIGGER full2")
        blocker.close()
        await catalogue.keep_ref(NAMESAKE, MAIN, COMMIT)
        assert catalogue.public_since(REPO, Plane.FILES) is None
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        assert catalogue.ref(NAMESAKE, MAIN) is not None
        assert catalogue.ref(REPO, MAIN) is None
        assert catalogue.public_since(REPO, Plane.FILES) is None


WRITING_WORKER = """
import asyncio, sys
from pathlib import Path
from proxy.catalogue.catalogue import Catalogue
from proxy.core.clock import SystemClock
from proxy.hub.facts import Absent
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision

async def main(folder, name):
    async with Catalogue.open(Path(folder), clock=SystemClock()) as catalogue:
        for number in range(10**9):
            target = FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("a" * 40), f"{name}-{number}")
            await catalogue.keep_resolution(target, Absent("a" * 40))
            print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def writing_worker(folder: Path, name: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITING_WORKER, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root)


async def test_two_processes_killed_while_they_write_lose_nothing_they_were_told_is_kept(tmp_path: Path) -> None:
    workers = [writing_worker(tmp_path, name) for name in ("one", "two")]
    kept = {}
    for name, worker in zip(("one", "two"), workers, strict=True):
        assert worker.stdout is not None
        while (number := int(worker.stdout.readline())) < 50:
            pass
        worker.kill()
        rest = worker.stdout.read().split(b"\n")[:-1]
        kept[name] = int(rest[-1]) if rest else number
        worker.stdout.close()
        worker.wait()
    async with Catalogue.open(tmp_path, clock=SystemClock()) as catalogue:
        for name, last in kept.items():
            for number in range(last + 1):
                target = FileTarget(REPO, Revision(COMMIT), f"{name}-{number}")
                assert catalogue.resolution(target) == Absent(COMMIT)


async def test_what_was_found_wrong_is_gone_from_the_disk_and_the_rest_stays(tmp_path: Path) -> None:
    other = dataclasses.replace(TARGET, path="other.bin")
    listed = {name: ListingKey(REPO, f"/tree/{name}") for name in (COMMIT, LATER)}
    async with two_workers(tmp_path) as (one, two):
        for target in (TARGET, other):
            await one.keep_resolution(target, LARGE)
        for key in listed.values():
            await one.keep_listing(key, listing(immutable=True))
            assert two.listing(key) is not None
        await one.drop_resolution(TARGET)
        await one.drop_listings(REPO, COMMIT)
        for worker in (one, two):
            assert worker.resolution(TARGET) is None
            assert worker.resolution(other) == LARGE
            assert worker.listing(listed[COMMIT]) is None
            assert worker.listing(listed[LATER]) is not None


async def test_a_ref_and_a_publicity_that_are_dropped_are_gone_for_all_workers(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two):
        await one.keep_ref(REPO, MAIN, COMMIT)
        await one.keep_public(REPO, Plane.FILES)
        await one.keep_public(REPO, Plane.API)
        await one.drop_ref(REPO, MAIN)
        await one.drop_public(REPO, Plane.FILES)
        for worker in (one, two):
            assert worker.ref(REPO, MAIN) is None
            assert worker.public_since(REPO, Plane.FILES) is None
            assert worker.public_since(REPO, Plane.API) is not None


async def test_a_publicity_dropped_while_the_disk_fails_does_not_come_back_with_the_disk(tmp_path: Path) -> None:
    async with Catalogue.open(tmp_path, clock=ManualClock()) as catalogue:
        await catalogue.keep_public(REPO, Plane.FILES)
        blocker = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        blocker.execute(
            "CREATE TRIGGER full BEFORE DELETE ON publicity BEGIN SELECT raise(ABORT, 'disk I/O error'); END"
        )
        await catalogue.drop_public(REPO, Plane.FILES)
        assert catalogue.public_since(REPO, Plane.FILES) is None
        blocker.execute("DROP TRIGGER full")
        blocker.close()
        await catalogue.keep_ref(NAMESAKE, MAIN, COMMIT)
        assert catalogue.public_since(REPO, Plane.FILES) is None


async def test_what_was_confirmed_before_a_repo_was_made_stale_is_old_whenever_it_comes(tmp_path: Path) -> None:
    """Answers that were under way, and what other nodes were told, come after the operator's word."""
    clock = ManualClock()
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
        asked_at = clock.now
        clock.advance(1)
        assert await catalogue.make_stale(REPO, clock.now, 600)
        for _ in ("kept before", "come after"):
            entry = catalogue.ref(REPO, MAIN)
            assert entry is not None
            assert entry.checked_at == clock.now - 600
            await catalogue.keep_ref(REPO, MAIN, COMMIT, asked_at)
        await catalogue.keep_listing(KEY, listing(stored_at=asked_at))
        kept = catalogue.listing(KEY)
        assert kept is not None
        assert kept.stored_at == clock.now - 600
        await catalogue.make_stale(REPO, clock.now, 600)
        clock.advance(1)
        await catalogue.keep_ref(REPO, MAIN, LATER)
        await catalogue.make_stale(REPO, clock.now - 1, 600)
        assert (entry := catalogue.ref(REPO, MAIN)) is not None
        assert entry.checked_at == clock.now, "the same word, heard late, does not touch what was learnt since"


@pytest.mark.parametrize("commit", [None, COMMIT])
async def test_what_is_forgotten_is_forgotten_once_however_often_it_is_said(tmp_path: Path, commit: str | None) -> None:
    clock = ManualClock()
    other = TARGET.at(LATER)
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        await catalogue.keep_ref(REPO, MAIN, COMMIT)
        for target in (TARGET, other):
            await catalogue.keep_resolution(target, LARGE)
        said_at = clock.now
        clock.advance(1)
        assert await catalogue.forget_commits(REPO, commit, said_at)
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:  # what a worker remembers cannot change
        assert catalogue.ref(REPO, MAIN) is None
        assert catalogue.resolution(TARGET) is None
        assert (catalogue.resolution(other) is None) == (commit is None)
        await catalogue.keep_resolution(TARGET, LARGE)
        assert await catalogue.forget_commits(REPO, commit, said_at)
    async with Catalogue.open(tmp_path, clock=clock) as catalogue:
        assert catalogue.resolution(TARGET) == LARGE
