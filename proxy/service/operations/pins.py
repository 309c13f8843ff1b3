"""Pins: what must never be evicted, by name. Kept in `<state>/pins.json`; the disks' books follow it.

The books of a disk can be lost and rebuilt from its files; a pin cannot be, so it is kept by its name, and the keys it
stands for are told to the disks again at every start, when a job has fetched something, and every few minutes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from proxy.core.blob import BlobKey
from proxy.core.clock import Clock
from proxy.core.errors import StoreError
from proxy.service.doctor import repo_named
from proxy.store.blobstore import BlobStore

from .asked import FilesAsked, RepoName
from .choice import Choice
from .inventory import InventoryDesk, entry_of, in_batches
from .shape import Asked, Refused, Told


class PinAsked(FilesAsked):
    """Keep these files from eviction: the revision means the commit that is known now."""


class UnpinAsked(Asked):
    """Let go of the pins of a repo: all of them, or those of one commit or revision."""

    repo: RepoName
    revision: str | None = Field(None, max_length=250)


class Pin(Told):
    """Files of a repo at a commit that are not evicted."""

    repo: str
    revision: str = Field(description="As it was named.")
    commit: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: datetime


class PinTold(Told):
    """A pin, and what it stands for."""

    pin: Pin
    files: int
    bytes: int
    unknown: int = Field(description="Small files that never were here; pinned a few minutes after they have come.")


class PinsTold(Told):
    """Every pin."""

    pins: list[Pin]


class PinBook:
    """The file. All methods block and raise OSError."""

    def __init__(self, state: Path) -> None:
        self._file = state / "pins.json"

    def all(self) -> list[Pin]:
        try:
            return PinsTold.model_validate_json(self._file.read_bytes()).pins
        except FileNotFoundError:
            return []
        except ValidationError as error:
            raise OSError(f"{self._file} is damaged: {error.error_count()} mistakes; mend or remove it") from None

    def names(self) -> set[str]:
        """The repos that are pinned in any way."""
        return {pin.repo for pin in self.all()}

    def add(self, pin: Pin) -> None:
        """Enter it, in the place of one that says the same."""
        with self._changing() as pins:
            pins[:] = [other for other in pins if not _is_same(other, pin)]
            pins.append(pin)

    def remove(self, repo: str, revision: str | None) -> list[Pin]:
        """Strike out the pins of `repo` (at that revision or commit); which they were."""
        with self._changing() as pins:
            gone = [pin for pin in pins if pin.repo == repo and revision in (None, pin.revision, pin.commit)]
            pins[:] = [pin for pin in pins if pin not in gone]
            return gone

    @contextmanager
    def _changing(self) -> Iterator[list[Pin]]:
        """The pins, to be changed by one worker at a time; on disk when left."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            pins = self.all()
            yield pins
            draft = self._file.with_suffix(".draft")
            with draft.open("wb") as file:
                file.write(PinsTold(pins=pins).model_dump_json(indent=1).encode())
                file.flush()
                os.fdatasync(file.fileno())
            draft.rename(self._file)


class PinDesk:
    """Pins and what they mean for the disks."""

    def __init__(self, book: PinBook, inventory: InventoryDesk, store: BlobStore, clock: Clock) -> None:
        self._book = book
        self._inventory = inventory
        self._store = store
        self._clock = clock

    async def pins(self, asked: Asked) -> PinsTold:
        return PinsTold(pins=await asyncio.to_thread(self._book.all))

    async def pin(self, asked: PinAsked) -> PinTold:
        repo = repo_named(asked.repo)
        commit = await self._inventory.commit_of(repo, asked.revision)
        since = datetime.fromtimestamp(self._clock.wall(), UTC)
        pin = Pin(
            repo=str(repo),
            revision=asked.revision,
            commit=commit,
            include=asked.include,
            exclude=asked.exclude,
            since=since,
        )
        told = await self._told(pin)
        if not told.files and not told.unknown:
            raise Refused(404, f"no known file of {repo} at {asked.revision} is chosen by these patterns")
        # Entered before the disks are told: what they alone knew of, nobody could ever let go of.
        await asyncio.to_thread(self._book.add, pin)
        try:
            await self._apply(pin)
        except StoreError as away:
            raise Refused(503, f"{repo} is pinned, and as soon as a disk is back it will hear of it: {away}") from None
        return told

    async def unpin(self, asked: UnpinAsked) -> PinsTold:
        repo = str(repo_named(asked.repo))
        gone = await asyncio.to_thread(self._book.remove, repo, asked.revision)
        if not gone:
            raise Refused(404, f"nothing of {repo} is pinned" + (f" at {asked.revision}" if asked.revision else ""))
        freed: set[BlobKey] = set()
        for pin in gone:
            async for keys in self._keys(pin):
                freed.update(keys)
        for pin in await asyncio.to_thread(self._book.all):
            async for keys in self._keys(pin):
                freed.difference_update(keys)
        await self._store.inventory.pin(freed, pinned=False)
        return PinsTold(pins=gone)

    async def apply_all(self) -> None:
        """Tell the disks what every pin stands for."""
        for pin in await asyncio.to_thread(self._book.all):
            await self._apply(pin)

    async def pins_among(self, keys: set[BlobKey]) -> list[Pin]:
        """The pins that stand for any of `keys`."""
        found = []
        for pin in await asyncio.to_thread(self._book.all):
            async for some in self._keys(pin):
                if not keys.isdisjoint(some):
                    found.append(pin)
                    break
        return found

    async def _apply(self, pin: Pin) -> None:
        """Tell the disks. Raises NoDisk."""
        async for keys in self._keys(pin):
            await self._store.inventory.pin(keys, pinned=True)

    async def _told(self, pin: Pin) -> PinTold:
        files, size, unknown = 0, 0, 0
        choice, repo = Choice(pin.include, pin.exclude), repo_named(pin.repo)
        async for batch in in_batches(lambda: self._inventory.survey.files(repo, pin.commit)):
            chosen = [facts for _, path, facts in batch if choice.takes(path) and facts.size]
            entries = [entry for facts in chosen if (entry := entry_of(repo, facts)) is not None]
            files += len(entries)
            unknown += len(chosen) - len(entries)
            size += sum(facts.size for facts in chosen)
        return PinTold(pin=pin, files=files, bytes=size, unknown=unknown)

    async def _keys(self, pin: Pin) -> AsyncIterator[list[BlobKey]]:
        choice, repo = Choice(pin.include, pin.exclude), repo_named(pin.repo)
        async for batch in in_batches(lambda: self._inventory.survey.files(repo, pin.commit)):
            chosen = (entry_of(repo, facts) for _, path, facts in batch if choice.takes(path))
            yield [entry.key for entry in chosen if entry is not None]


def _is_same(one: Pin, other: Pin) -> bool:
    return one.model_copy(update={"since": other.since}) == other
