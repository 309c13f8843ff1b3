"""Purges of blobs and of repos of the Hub: here, and on all other nodes when they hear of it.

What others told of a repo before the purge may come after it, out of Redis or with an answer that was under way: the
catalogue remembers the moment, and takes nothing from before it as fresh.

All notices of a day are heard again when a node starts, so the catalogue remembers those that were carried out.
"""

from __future__ import annotations

from typing import Protocol

from proxy.core.blob import BlobKey
from proxy.core.clock import Clock
from proxy.core.errors import StoreError
from proxy.hub.names import RepoId
from proxy.hub.notices import BlobPurged, Notice, RepoPurged

from .ports import BlobStore, Catalogue, Notices
from .rights import Freshness


class Forgetful(Protocol):
    """What is known of repos."""

    async def make_stale(self, repo: RepoId, at: float, age: float) -> bool:
        """Refs and listings of `repo` that were confirmed before `at` (wall clock) count as confirmed `age` seconds
        before it; False when that is lost."""
        ...

    async def forget_commits(self, repo: RepoId, commit: str | None, at: float) -> bool:
        """Forget what was known of `repo` at `commit`, or at any (None), before `at`; once, however often it is said.
        False when that is lost."""
        ...


class BlobPurges:
    """Carries out purges of blobs; one worker does it for all of the node."""

    def __init__(self, store: BlobStore, catalogue: Catalogue, clock: Clock, notices: Notices | None) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._notices = notices

    async def purge(self, key: BlobKey) -> None:
        """Tell the fleet, then carry it out here. Raises StoreError."""
        purge = BlobPurged(key, self._clock.wall())
        if self._notices is not None:
            self._notices.tell(purge)
        await self.hear(purge)

    async def hear(self, purge: BlobPurged) -> None:
        """Carry it out, unless that was done before. Raises StoreError."""
        # 1. a purge   2. somebody wants the blob, and it is fetched again   3. the node starts anew and hears of 1
        # without this, 3 would drop what 2 has fetched. Noted after the drop: a kill between them costs one more.
        if not self._catalogue.is_purged(purge.key, purge.at):
            await self._store.drop(purge.key, "purged")
            await self._catalogue.keep_purged(purge.key, purge.at)


class RepoPurges:
    """Carries out purges; all workers of the node see the same catalogue, and each remembers the moment."""

    def __init__(self, catalogue: Forgetful, freshness: Freshness, clock: Clock, notices: Notices | None) -> None:
        self._catalogue = catalogue
        self._freshness = freshness
        self._clock = clock
        self._notices = notices

    async def purge(self, repo: RepoId, commit: str | None, *, soft: bool) -> None:
        """Tell the fleet, then carry it out here. Raises StoreError when the state disk did not take it."""
        purge = RepoPurged(repo, commit, self._clock.wall(), soft)
        if self._notices is not None:
            self._notices.tell(purge)
        await self._carry_out(purge)

    async def hear(self, notice: Notice) -> None:
        """Another node says that something is no longer as it was; perhaps twice, and late. Raises StoreError."""
        if isinstance(notice, RepoPurged):
            await self._carry_out(notice)

    async def _carry_out(self, purge: RepoPurged) -> None:
        freshness = self._freshness
        lifetimes = (freshness.ref_ttl, freshness.listing_ttl, freshness.public_ttl)
        # older than it is believed, and young enough to serve while the origin is away
        age = min(max(lifetimes) + 1, freshness.stale_for - 1)
        taken = await self._catalogue.make_stale(purge.repo, purge.at, age)
        if not purge.soft:
            taken = await self._catalogue.forget_commits(purge.repo, purge.commit, purge.at) and taken
        if not taken:
            raise StoreError("the state disk did not take it; ask again")
