"""The door of the catalogue: what is where.

Look-ups are synchronous: SQLite on the loop thread (a few microseconds from the page cache), behind memory for what can
never change. Writes go to one thread and return when other workers of the node can see them.

When the state disk fails, requests go on; see `state_disk`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol, Self

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.changes import Changes
from proxy.core.clock import Clock
from proxy.core.rights import Plane
from proxy.hub.facts import Absent, FileFacts, Listing, ListingKey, RefEntry
from proxy.hub.names import FileTarget, RepoId, Revision

from . import changes, schema
from .limits import Limits
from .memory import Recent
from .place_changes import PlaceChanges
from .responses import StoredResponses
from .state_disk import NOTHING, StateDisk

HOUR: Final = 3600
MANY: Final = 1000
"""Resolutions written in one go, so that a listing of 100,000 files holds up nobody else's write."""
MOST_HASHES: Final = 1_000_000
"""Xet hashes given at once."""
MOST_STALED: Final = 10_000
"""Repos of which it is remembered when an operator had them asked for anew."""


class CatalogueObserver(Protocol):
    """What the catalogue tells whoever counts; called on the loop thread."""

    def state_disk_failed(self) -> None:
        """A look-up or a batch of writes was lost to the state disk."""
        ...


class Unobserved:
    """Counts nothing."""

    def state_disk_failed(self) -> None:
        pass


class Catalogue:
    """The catalogue of one worker, over the file that all workers of the node share."""

    def __init__(
        self, folder: Path, clock: Clock, limits: Limits, observer: CatalogueObserver, changes: Changes
    ) -> None:
        self._clock = clock
        self._changes = changes
        self._disk = StateDisk(folder, limits, observer.state_disk_failed)
        self._place_changes = PlaceChanges()
        self.responses: Final = StoredResponses(self._disk, self._place_changes)
        """Heads of generic origins' responses."""
        self._forgets = 0
        self._staled: BoundedDict[RepoId, tuple[float, float]] = BoundedDict(entries=MOST_STALED)
        self._resolutions: Recent[FileTarget, tuple[FileFacts | Absent, int]] = Recent(limits.resolutions_in_memory)
        self._listings: Recent[ListingKey, tuple[Listing, int]] = Recent(
            limits.listings_in_memory, limits.listing_bytes_in_memory, lambda kept: len(kept[0].body) + 512
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        clock: Clock,
        observer: CatalogueObserver | None = None,
        limits: Limits | None = None,
        changes: Changes | None = None,
    ) -> AsyncIterator[Self]:
        """The catalogue in `folder`, made when it is not there. Never fails: without a disk it is memory only.

        `changes` counts what this worker takes back: where a branch pointed, what a file was, that a repo was
        public."""
        made = cls(folder, clock, limits or Limits(), observer or Unobserved(), changes or Changes())
        async with made._disk.open(clock):
            made._place_changes.open(folder)
            try:
                yield made
            finally:
                made._place_changes.close()

    # --- refs -----------------------------------------------------------------------------------------------------

    def ref(self, repo: RepoId, revision: Revision) -> RefEntry | None:
        """Where a mutable revision pointed when it was last asked for, by any worker."""
        if (kept := self._disk.unwritten("ref", repo, revision)) is not None:
            return kept if isinstance(kept, RefEntry) else None
        row = self._disk.row_of(repo, schema.SELECT_REF, revision.text)
        return None if row is None else RefEntry(row[0], row[1])

    async def keep_ref(self, repo: RepoId, revision: Revision, commit: str, asked_at: float | None = None) -> None:
        """`revision` was at `commit` when the origin was asked (wall clock, seconds): now, if not given."""
        entry = RefEntry(commit, self._confirmed(repo, self._clock.wall() if asked_at is None else asked_at))
        before = self.ref(repo, revision)
        await self._disk.write(
            changes.put_ref(repo, revision, commit, entry.checked_at), ("ref", repo, revision), entry
        )
        if before is not None and before.commit != commit:
            self._changes.happened()

    async def drop_ref(self, repo: RepoId, revision: Revision) -> None:
        """`revision` is no more."""
        was_known = self.ref(repo, revision) is not None
        await self._disk.write(changes.drop_ref(repo, revision), ("ref", repo, revision), NOTHING)
        if was_known:
            self._changes.happened()

    # --- resolutions ----------------------------------------------------------------------------------------------

    def resolution(self, target: FileTarget) -> FileFacts | Absent | None:
        """What the file at the commit is, or that it is not there; None when unknown. `target` is at a commit."""
        if (kept := self._resolutions.get(target)) is not None:
            self._use_resolution(target, *kept)
            return kept[0]
        if (unwritten := self._disk.unwritten("resolution", target)) is not None:
            return unwritten if isinstance(unwritten, FileFacts | Absent) else None
        commit = target.revision.text
        row = self._disk.row(schema.SELECT_RESOLUTION, (schema.repo_text(target.repo), commit, target.path))
        if row is None:
            return None
        try:
            facts = schema.resolution(row[:4], commit)
        except ValueError as error:
            self._disk.fail(error)
            return None
        self._remember_resolution(target, facts, row[4])
        self._use_resolution(target, facts, row[4])
        return facts

    def path_of_xet(self, repo: RepoId, commit: str, xet: str) -> str | None:
        """Where in the repo at the commit a file of that Xet hash is (in one of several places); None when unknown."""
        row = self._disk.row(schema.SELECT_BY_XET, (schema.repo_text(repo), commit, bytes.fromhex(xet)))
        return None if row is None else str(row[0])

    def xet_above(self, repo: RepoId, commit: str, size: int, *, most: int = MOST_HASHES) -> dict[str, str]:
        """Xet hash by path of the files of more than `size` bytes that are known to have one, at most `most`."""
        rows = self._disk.rows(schema.SELECT_XET_ABOVE, (schema.repo_text(repo), commit, size, most))
        return {str(path): xet.hex() for path, xet in rows}

    async def keep_resolution(self, target: FileTarget, facts: FileFacts | Absent) -> None:
        """The file at the commit is `facts`. A key learnt later is kept by keeping the facts again."""
        assert target.revision.is_commit, "only what is at a commit never changes"
        change = changes.put_resolution(target, facts, self._hour())
        await self._disk.write(change, ("resolution", target), facts)
        self._remember_resolution(target, facts, self._hour())

    async def drop_resolution(self, target: FileTarget) -> None:
        """What was kept of the file at the commit was found wrong. Other workers find that for themselves."""
        self._resolutions.drop(target)
        await self._disk.write(changes.drop_resolution(target), ("resolution", target), NOTHING)
        self._resolutions.drop(target)
        self._changes.happened()

    async def keep_resolutions(self, repo: RepoId, commit: str, files: Iterable[tuple[str, FileFacts]]) -> None:
        """Many files of one commit, as (path, facts): what a listing says of them. Written by the thousand."""
        at = Revision(commit)
        assert at.is_commit, "only what is at a commit never changes"
        named = [(FileTarget(repo, at, path), facts) for path, facts in files]
        for start in range(0, len(named), MANY):
            some, hour = named[start : start + MANY], self._hour()
            written = await self._disk.written(changes.put_resolutions(some, hour))
            for target, facts in some:
                if not written:
                    self._disk.keep_unwritten(("resolution", target), facts)
                self._remember_resolution(target, facts, hour)

    def _remember_resolution(self, target: FileTarget, facts: FileFacts | Absent, hour: int) -> None:
        # Without its key the row is not final: another worker may learn the key, and we have to see it.
        if isinstance(facts, Absent) or facts.key is not None:
            self._resolutions.put(target, (facts, hour))

    def _use_resolution(self, target: FileTarget, facts: FileFacts | Absent, hour: int) -> None:
        now = self._hour()
        if hour < now:
            self._remember_resolution(target, facts, now)
            self._disk.submit(changes.touch_commit(target, now))

    # --- listings -------------------------------------------------------------------------------------------------

    def listing(self, key: ListingKey) -> Listing | None:
        """The kept answer; how old it may be is the caller's to judge."""
        self.see_forgets()
        if (kept := self._listings.get(key)) is not None:
            self._use_listing(key, *kept)
            return kept[0]
        if (unwritten := self._disk.unwritten("listing", key)) is not None:
            return unwritten if isinstance(unwritten, Listing) else None
        row = self._disk.row_of(key.repo, schema.SELECT_LISTING, key.text)
        if row is None:
            return None
        try:
            listing = schema.listing(row[:6])
        except ValueError as error:
            self._disk.fail(error)
            return None
        if listing.immutable:
            self._listings.put(key, (listing, row[6]))
        self._use_listing(key, listing, row[6])
        return listing

    async def keep_listing(self, key: ListingKey, listing: Listing) -> None:
        """Keep an answer of the origin; of two the one with the later `stored_at` stands."""
        hour = self._hour()
        if not listing.immutable:
            listing = replace(listing, stored_at=self._confirmed(key.repo, listing.stored_at))
        await self._disk.write(changes.put_listing(key, listing, hour), ("listing", key), listing)
        self._listings.drop(key)
        if listing.immutable:
            self._listings.put(key, (listing, hour))

    async def drop_listings(self, repo: RepoId, commit: str) -> None:
        """What was kept of `repo` at `commit` was found wrong in places: it is to be asked for anew."""

        def is_at_commit(key: ListingKey) -> bool:
            return key.repo == repo and commit in key.text

        self._listings.drop_where(is_at_commit)
        self._disk.drop_unwritten(lambda name: name[0] == "listing" and is_at_commit(name[1]))
        await self._disk.written(changes.drop_listings(repo, commit))
        self._listings.drop_where(is_at_commit)

    def _use_listing(self, key: ListingKey, listing: Listing, hour: int) -> None:
        now = self._hour()
        if hour < now:
            if listing.immutable:
                self._listings.put(key, (listing, now))
            self._disk.submit(changes.touch_listing(key, now))

    def see_forgets(self) -> None:
        """Drop what is remembered when any worker was told to forget something since we last looked. To be called now
        and then: look-ups of files do not look here."""
        row = self._disk.row(schema.SELECT_TOTAL, ("forgets",))
        if row is not None and row[0] != self._forgets:
            self._forgets = row[0]
            self._listings.clear()
            self._resolutions.clear()  # what is asked for again is written again, and so known to all

    # --- publicity ------------------------------------------------------------------------------------------------

    def public_since(self, repo: RepoId, plane: Plane) -> float | None:
        """When (wall clock) an anonymous caller was last seen to be allowed; None when not known to be public."""
        if (kept := self._disk.unwritten("public", repo, plane)) is not None:
            return kept if isinstance(kept, float) else None
        row = self._disk.row_of(repo, schema.SELECT_PUBLICITY, plane.value)
        return None if row is None else float(row[0])

    async def keep_public(self, repo: RepoId, plane: Plane) -> None:
        """An anonymous caller was allowed now."""
        now = self._clock.wall()
        await self._disk.write(changes.put_publicity(repo, plane, now), ("public", repo, plane), now)

    async def drop_public(self, repo: RepoId, plane: Plane) -> None:
        """An anonymous caller would be allowed no more."""
        if not await self._disk.written(changes.drop_publicity(repo, plane)):
            await self.forget(repo)  # what stays on a failing disk must not open the repo again when it recovers
        self._changes.happened()

    async def forget(self, repo: RepoId) -> None:
        """Drop refs, listings and publicity of `repo` (resolutions at commits stay: they cannot change)."""
        self._listings.drop_where(lambda key: key.repo == repo)
        self._disk.drop_unwritten(lambda key: repo in key or getattr(key[1], "repo", None) == repo)
        await self._disk.forget(repo)
        self._listings.drop_where(lambda key: key.repo == repo)
        self._changes.happened()

    async def make_stale(self, repo: RepoId, at: float, age: float) -> bool:
        """Refs and listings of `repo` that were confirmed before `at` (wall clock) count as confirmed `age` seconds
        before it, or earlier, also those that are kept from now on; False when that is lost."""
        self._staled.put(repo, (at, at - age))
        written = await self._disk.written(changes.make_stale(repo, at, at - age))
        self._changes.happened()
        return written

    def _confirmed(self, repo: RepoId, at: float) -> float:
        """When what was confirmed at `at` counts as confirmed."""
        # 1. A asks where a branch points   2. the repo is purged   3. A's answer, or what others were told of it, comes
        before, old = self._staled.get(repo) or (0.0, 0.0)
        return min(at, old) if at <= before else at

    async def forget_commits(self, repo: RepoId, commit: str | None, at: float) -> bool:
        """Forget what was known of `repo` at `commit`, or at any (None), at `at` (wall clock), once, however often this
        is called; False when that is lost. See `drop_commit`."""
        self._listings.drop_where(lambda key: key.repo == repo)
        written = await self._disk.written(changes.forget_commits(repo, commit, at))
        self._listings.drop_where(lambda key: key.repo == repo)
        self._changes.happened()
        return written

    def is_purged(self, key: BlobKey, at: float) -> bool:
        """Whether the purge of the blob that was ordered at `at` (wall clock) is known to have been carried out."""
        return self._disk.row(schema.SELECT_FORGOTTEN, schema.purge_row(key, at)) is not None

    async def keep_purged(self, key: BlobKey, at: float) -> None:
        """The purge of the blob that was ordered at `at` (wall clock) was carried out. Remembered for two days."""
        await self._disk.written(changes.put_purged(key, at, self._clock.wall()))

    async def drop_commit(self, repo: RepoId, commit: str) -> bool:
        """Forget what is known of `repo` at `commit`; False when that is lost. What workers remember of its files stays
        with them until they `see_forgets`: it cannot change."""
        self._listings.drop_where(lambda key: key.repo == repo)
        written = await self._disk.written(changes.drop_commit(repo, commit))
        self._listings.drop_where(lambda key: key.repo == repo)
        self._changes.happened()
        return written

    def _hour(self) -> int:
        return int(self._clock.wall()) // HOUR
