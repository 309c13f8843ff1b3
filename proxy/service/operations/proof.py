"""Whether what is kept is still what it was: `verify` (by digest, a repo) and `scrub` (by checksum, everything)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from proxy.core.blob import BlobRecord
from proxy.core.clock import Clock
from proxy.core.errors import DiskFailed, NoDisk, StoreError
from proxy.core.sizes import MIB
from proxy.core.spans import Span, whole
from proxy.hub.facts import FileFacts
from proxy.hub.names import RepoId
from proxy.service.doctor import repo_named
from proxy.store.blobstore import BlobStore
from proxy.store.scrubber import Scrubbed

from .choice import Choice
from .inventory import InventoryDesk, in_batches
from .rate import Rate
from .runner import JobFailed, Progress

STEP: Final = 8 * MIB
MOST_TOLD: Final = 100


class Verifier:
    """Carries out `verify`: every complete file of a repo is read whole and compared with the digest of the Hub."""

    def __init__(self, inventory: InventoryDesk, store: BlobStore, clock: Clock) -> None:
        self._inventory = inventory
        self._store = store
        self._clock = clock

    async def verify(self, order: dict[str, Any], progress: Progress) -> None:
        """Wrong ones are dropped and named in the result; those not whole are counted there. Raises Refused, and
        JobFailed when some could not be read: nothing is said of them, and nothing done to them."""
        repo, rate = repo_named(order["repo"]), Rate(order["rate"], self._clock)
        commit = await self._inventory.commit_of(repo, order["revision"])
        choice = Choice(tuple(order["include"]), tuple(order["exclude"]))
        files = [
            (path, facts)
            async for batch in in_batches(lambda: self._inventory.survey.files(repo, commit))
            for _, path, facts in batch
            if choice.takes(path)
        ]
        progress.files, progress.bytes = 0, 0
        progress.files_total, progress.bytes_total = len(files), sum(facts.size for _, facts in files)
        wrong: list[str] = []
        unread: dict[str, str] = {}
        right = not_whole = 0
        for path, facts in files:
            progress.note = path
            try:
                match await self._is_right(repo, facts, rate, progress):
                    case None:
                        not_whole += 1
                    case True:
                        right += 1
                    case False:
                        wrong.append(path)
                progress.files += 1
            except (StoreError, OSError) as error:
                unread[path] = str(error)
            progress.result = {"right": right, "not_whole": not_whole, "wrong": wrong[:MOST_TOLD]}
        progress.note = ""
        if unread:
            path, why = next(iter(unread.items()))
            raise JobFailed(f"{len(unread)} of {len(files)} files could not be read; the first: {path}: {why}")

    async def _is_right(self, repo: RepoId, facts: FileFacts, rate: Rate, progress: Progress) -> bool | None:
        """None when the file is not here whole."""
        if facts.size == 0:
            return True
        hasher = facts.digest.hasher(facts.size)
        found = False
        async for piece in self.content(repo, facts):
            found = True
            await asyncio.to_thread(hasher.update, piece)
            progress.bytes += len(piece)
            await rate.spend(len(piece))
        if not found:
            progress.bytes_total = (progress.bytes_total or 0) - facts.size
            return None
        if hasher.hexdigest() == facts.digest.hex:
            return True
        await self._store.found_wrong(facts.record(repo).key, "verify")
        return False

    async def content(self, repo: RepoId, facts: FileFacts) -> AsyncIterator[bytes]:
        """The bytes of a file that is here whole, some at a time; nothing of one that is not. Raises StoreError and
        OSError when a disk fails on the way."""
        if facts.is_small:
            if facts.key is not None:
                async with self._store.open_small(facts.key) as extent:
                    if extent is not None:
                        yield await asyncio.to_thread(os.pread, extent.fd, extent.length, extent.offset)
            return
        async for piece in self._large(facts.record(repo)):
            yield piece

    async def _large(self, record: BlobRecord) -> AsyncIterator[bytes]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                blob = await stack.enter_async_context(self._store.open_kept(record))
            except (NoDisk, DiskFailed):
                return
            await blob.checked(whole(record.size))
            if blob.missing(whole(record.size)):
                return
            for start in range(0, record.size, STEP):
                yield await blob.content(Span(start, min(record.size, start + STEP)))


class ScrubWork:
    """Carries out `scrub`, and says when it is due."""

    def __init__(self, store: BlobStore, state: Path, clock: Clock, ended: Callable[[float], None]) -> None:
        """`ended` is told when a pass came to the end of all disks (wall clock)."""
        self._store = store
        self._clock = clock
        self._ended = ended
        self._marker = state / "jobs" / "scrubbed"

    async def scrub(self, order: dict[str, Any], progress: Progress) -> None:
        """A pass over all disks; after a restart it goes on where it was."""
        rate = Rate(order["rate"], self._clock)
        before = progress.result
        done = Scrubbed(progress.files, progress.bytes, int(before.get("wrong", 0)), dict(before.get("at", {})))
        disks = await self._store.snapshot()
        progress.bytes_total = max(done.bytes, sum(disk.stored for disk in disks))

        async def spend(count: int) -> None:
            progress.files, progress.bytes = done.blobs, done.bytes
            progress.result = {"wrong": done.wrong, "at": done.at}
            await rate.spend(count)

        await self._store.scrubber.scrub(done, spend)
        progress.files, progress.bytes, progress.bytes_total = done.blobs, done.bytes, done.bytes
        progress.result = {"wrong": done.wrong}
        await asyncio.to_thread(self._marker.touch)
        self._ended(self._clock.wall())

    def since(self) -> float:
        """When the last pass ended (wall clock), or this node began to wait for the first. Blocks; raises OSError."""
        try:
            return self._marker.stat().st_mtime
        except FileNotFoundError:
            self._marker.touch()
            return self._marker.stat().st_mtime
