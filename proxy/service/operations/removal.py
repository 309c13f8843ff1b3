"""Removing what is kept: `rm`, `purge`, `prune`.

Blobs are shared by their hash: what another repo, or another commit, is known to have stays. Removing costs nothing but
the next fetch, so what is read just now is cut off and asked for again by its reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from pydantic import Field

from proxy.catalogue.catalogue import Catalogue
from proxy.core.blob import BlobKey
from proxy.core.errors import StoreError
from proxy.fetch.purging import RepoPurges
from proxy.hub.names import RepoId
from proxy.service.doctor import repo_named
from proxy.store.blobstore import BlobStore
from proxy.store.inventory import Entry

from .asked import Patterns, RepoName
from .choice import Choice
from .elsewhere import FleetView
from .inventory import InventoryDesk, entry_of, in_batches
from .pins import PinDesk
from .shape import Asked, Refused, Told

PRUNE_WITHIN: Final = 40.0
"""Seconds of one call; what is left then is for the next."""
MOST_TOLD: Final = 1000
_ANY: Final = BlobKey.parse("sha256:" + "0" * 64)
"""A blob like any other: all nodes of a fleet rank for it."""


OTHERS: Any = Field(
    description="The other nodes of the fleet, which do the same; what they have, and pin, is known to them alone."
)


class RemoveAsked(Asked):
    """Remove files of a repo: at one revision, or at all commits."""

    repo: RepoName
    revision: str | None = Field(None, max_length=250, description="A branch, tag or commit; null is every commit.")
    include: Patterns = ()
    exclude: Patterns = ()
    everywhere: bool = Field(
        False, description="From all nodes of the fleet, and what they know of it, not from this one alone."
    )
    dry_run: bool = Field(False, description="Only say what would go.")


class RemovedTold(Told):
    """What was removed, or would be."""

    repo: str
    dry_run: bool
    blobs: int
    bytes: int
    shared: int = Field(description="Bytes that stay because other repos or commits have them too.")
    paths: list[str] = Field(description="Files whose bytes go, the first thousand.")
    others: list[str] = OTHERS


class StaleAsked(Asked):
    """Have branches, tags and listings of a repo asked for anew; no byte goes."""

    repo: RepoName
    dry_run: bool = Field(False, description="Only say what would count as old.")


class StaleTold(Told):
    """A repo of which everything that may change is asked for anew by whoever wants it next, or would be."""

    repo: str
    dry_run: bool
    refs: int = Field(description="Branches and tags that are known here.")
    listings: int = Field(description="Listings kept here that may change.")
    others: list[str] = OTHERS


class PruneAsked(Asked):
    """Evict what is used least."""

    to: float = Field(description="Down to this share of each disk's size.", gt=0, le=1)
    dry_run: bool = False


class PrunedDisk(Told):
    disk: str
    before: int
    target: int
    after: int
    blobs: int = Field(description="How many were evicted.")


class PrunedTold(Told):
    """What eviction came to; `left` bytes are for the next call (what is open or pinned stays)."""

    disks: list[PrunedDisk]
    left: int


class RemovalDesk:
    """Carries out removals. `purge` drops a blob in the whole fleet, `purges` what is known of a repo."""

    def __init__(
        self,
        inventory: InventoryDesk,
        pins: PinDesk,
        store: BlobStore,
        catalogue: Catalogue,
        purges: RepoPurges,
        purge: Callable[[BlobKey], Awaitable[None]],
        fleet: FleetView | None,
    ) -> None:
        self._inventory = inventory
        self._pins = pins
        self._store = store
        self._catalogue = catalogue
        self._purges = purges
        self._purge = purge
        self._fleet = fleet

    async def remove(self, asked: RemoveAsked) -> RemovedTold:
        repo = repo_named(asked.repo)
        commits = await self._commits(repo, asked.revision)
        doomed = await self._chosen(repo, commits, Choice(asked.include, asked.exclude))
        shared = await self._shared(repo, commits, doomed, asked)
        going = {entry: path for entry, path in doomed.items() if entry not in shared}
        kept = await self._store.inventory.kept([*doomed])
        if pins := await self._pins.pins_among({entry.key for entry in going}):
            named = ", ".join(sorted({f"{pin.repo}@{pin.revision}" for pin in pins}))
            raise Refused(409, f"pinned by {named}; let go of it first: penstock unpin {pins[0].repo}")
        if not asked.dry_run:
            for entry in going:
                if asked.everywhere:
                    await self._purge(entry.key)
                elif entry in kept:
                    await self._store.drop(entry.key, "removed")
            if not asked.include and not asked.exclude:
                await self._forget(repo, commits, asked)
        return RemovedTold(
            repo=str(repo),
            dry_run=asked.dry_run,
            blobs=sum(entry in kept for entry in going),
            bytes=sum(kept.get(entry, 0) for entry in going),
            shared=sum(kept.get(entry, 0) for entry in shared),
            paths=sorted(path for entry, path in going.items() if entry in kept)[:MOST_TOLD],
            others=self._others() if asked.everywhere else [],
        )

    async def stale(self, asked: StaleAsked) -> StaleTold:
        repo = repo_named(asked.repo)
        await self._commits(repo, None)
        refs, listings = await asyncio.to_thread(self._changeable, repo)
        if not asked.dry_run:
            await self._purged(repo, None, soft=True)
        return StaleTold(repo=str(repo), dry_run=asked.dry_run, refs=refs, listings=listings, others=self._others())

    def _changeable(self, repo: RepoId) -> tuple[int, int]:
        """Refs, and listings that may change. Blocks."""
        survey = self._inventory.survey
        return len(survey.refs(repo)), sum(not listing.immutable for _, listing in survey.listings(repo))

    def _others(self) -> list[str]:
        """The other nodes, as this one sees the fleet."""
        return [] if self._fleet is None else [name for name in self._fleet.ranked(_ANY, 0) if name != self._fleet.us]

    async def _forget(self, repo: RepoId, commits: list[str], asked: RemoveAsked) -> None:
        if asked.everywhere:
            await self._purged(repo, None if asked.revision is None else commits[0], soft=False)
            return
        for commit in commits:
            await self._catalogue.drop_commit(repo, commit)

    async def _purged(self, repo: RepoId, commit: str | None, *, soft: bool) -> None:
        try:
            await self._purges.purge(repo, commit, soft=soft)
        except StoreError as away:
            raise Refused(503, str(away)) from None

    async def prune(self, asked: PruneAsked) -> PrunedTold:
        done = await self._store.inventory.prune(asked.to, dry_run=asked.dry_run, within=PRUNE_WITHIN)
        disks = [
            PrunedDisk(disk=one.disk, before=one.before, target=one.target, after=one.after, blobs=one.blobs)
            for one in done
        ]
        return PrunedTold(disks=disks, left=sum(max(0, one.after - one.target) for one in done))

    async def _commits(self, repo: RepoId, revision: str | None) -> list[str]:
        """The commits that are meant. Raises Refused."""
        if revision is not None:
            return [await self._inventory.commit_of(repo, revision)]
        commits = await asyncio.to_thread(self._inventory.survey.commits, repo)
        if not commits:
            raise Refused(404, f"nothing is known of {repo}; penstock ls lists what is")
        return [one.commit for one in commits]

    async def _chosen(self, repo: RepoId, commits: list[str], choice: Choice) -> dict[Entry, str]:
        found: dict[Entry, str] = {}
        for commit in commits:
            async for batch in in_batches(partial(self._inventory.survey.files, repo, commit)):
                for _, path, facts in batch:
                    if choice.takes(path) and (entry := entry_of(repo, facts)) is not None:
                        found[entry] = path
        return found

    async def _shared(
        self, repo: RepoId, commits: list[str], doomed: dict[Entry, str], asked: RemoveAsked
    ) -> set[Entry]:
        """Those of `doomed` that others are known to have: other repos, other commits, files that were not chosen."""
        shared: set[Entry] = set()
        async for others in in_batches(lambda: self._inventory.survey.other_files(repo, commits)):
            shared.update(
                entry for other, _, facts in others if (entry := entry_of(other, facts)) is not None and entry in doomed
            )
        choice = Choice(asked.include, asked.exclude)
        for commit in commits:
            async for batch in in_batches(partial(self._inventory.survey.files, repo, commit)):
                for _, path, facts in batch:
                    if not choice.takes(path) and (entry := entry_of(repo, facts)) in doomed and entry is not None:
                        shared.add(entry)
        return shared
