"""The operator's desk of one worker: every operation with its handler, and the runner of the node's jobs."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path

from proxy.catalogue.catalogue import Catalogue
from proxy.catalogue.survey import Survey
from proxy.core.clock import Clock
from proxy.core.tasks import TaskSet
from proxy.fetch.mirror import Mirror
from proxy.store.blobstore import BlobStore

from .carried_out import Operations
from .inventory import InventoryDesk
from .jobs import Job, JobBook
from .orders import JobAsked, JobsTold, WarmAsked
from .pins import PinBook, PinDesk
from .removal import RemovalDesk
from .runner import JobRunner
from .shape import Nothing
from .table import IN_WORKER
from .warm import Warmer


class Desk:
    """Put together from the rooms below; `start` lets it run jobs."""

    def __init__(self, *, mirror: Mirror, store: BlobStore, catalogue: Catalogue, state: Path, clock: Clock) -> None:
        self.catalogue = catalogue
        self._book = JobBook(state, clock)
        warmer = Warmer(mirror, clock, secrets.token_bytes(32))
        self._runner = JobRunner(self._book, {"warm": warmer.warm}, clock, self._apply_pins)
        pin_book = PinBook(state)
        inventory = InventoryDesk(Survey(state), store, pin_book.names)
        self._pins = pins = PinDesk(pin_book, inventory, store, clock)
        removal = RemovalDesk(inventory, pins, store, catalogue, mirror.freshness, mirror.purge)
        self.operations = Operations(
            IN_WORKER,
            {
                "repos": inventory.repos,
                "info": inventory.info,
                "blob": inventory.blob,
                "pins": pins.pins,
                "pin": pins.pin,
                "unpin": pins.unpin,
                "remove": removal.remove,
                "stale": removal.stale,
                "prune": removal.prune,
                "jobs": self._jobs,
                "job": self._job,
                "cancel": self._cancel,
                "warm": self._warm,
            },
        )

    def start(self, tasks: TaskSet) -> None:
        tasks.start(self._runner.run(), "jobs")

    async def _apply_pins(self) -> None:
        """What the pins stand for may be known better now."""
        with suppress(OSError, sqlite3.Error):  # the state disk fails: the disks keep what they were told
            await self._pins.apply_all()

    async def _jobs(self, asked: Nothing) -> JobsTold:
        return JobsTold(jobs=await asyncio.to_thread(self._book.all))

    async def _job(self, asked: JobAsked) -> Job:
        return await asyncio.to_thread(self._book.get, asked.id)

    async def _cancel(self, asked: JobAsked) -> Job:
        job = await asyncio.to_thread(self._book.cancel, asked.id)
        self._runner.look()
        return job

    async def _warm(self, asked: WarmAsked) -> Job:
        return await self._begin("warm", f"{asked.repo}@{asked.revision}", asked.model_dump(mode="json"))

    async def _begin(self, kind: str, about: str, order: dict[str, object]) -> Job:
        job = await asyncio.to_thread(self._book.add, kind, about, order)
        self._runner.look()
        return job
