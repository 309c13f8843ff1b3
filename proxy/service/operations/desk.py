"""The operator's desk of one worker: every operation with its handler, and the runner of the node's jobs."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.catalogue.catalogue import Catalogue
from proxy.catalogue.survey import Survey
from proxy.core.clock import Clock
from proxy.core.errors import StoreError
from proxy.core.tasks import TaskSet
from proxy.fetch.mirror import Mirror
from proxy.fetch.purging import RepoPurges
from proxy.service.doctor import repo_named
from proxy.store.blobstore import BlobStore

from .carried_out import Operations
from .elsewhere import FleetView
from .explain import Explainer
from .explain_right import Access
from .inventory import InventoryDesk, repo_at
from .jobs import Job, JobBook
from .orders import ExportAsked, ImportAsked, JobAsked, JobsTold, ScrubAsked, SeedAsked, VerifyAsked, WarmAsked
from .pins import PinBook, PinDesk
from .proof import ScrubWork, Verifier
from .removal import RemovalDesk
from .responses import ResponseDesk
from .runner import JobRunner
from .shape import Nothing, Refused
from .table import IN_WORKER
from .transfer import Transfer
from .warm import Warmer


@dataclass(slots=True)
class Scrubbing:
    """How often (seconds; None: never) and how fast (bytes a second) everything is read. A reload changes it."""

    every: float | None
    rate: int


class Desk:
    """Put together from the rooms below; `start` lets it run jobs."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        store: BlobStore,
        catalogue: Catalogue,
        state: Path,
        clock: Clock,
        scrubbing: Scrubbing,
        scrub_ended: Callable[[float], None],
        imported: Callable[[int], None],
        responses: ResponseDesk,
        purges: RepoPurges,
        fleet: FleetView | None,
        access: Access,
    ) -> None:
        self.catalogue = catalogue
        self._book = JobBook(state, clock)
        self._scrubber = ScrubWork(store, state, clock, scrub_ended)
        self._scrub_ended = scrub_ended
        self.scrubbing = scrubbing
        self._clock = clock
        pin_book = PinBook(state)
        self._inventory = inventory = InventoryDesk(Survey(state), store, pin_book.names)
        self._pins = pins = PinDesk(pin_book, inventory, store, clock)
        explainer = Explainer(catalogue, store, mirror.freshness, clock, fleet, access, pins.pins_among)
        removal = RemovalDesk(inventory, pins, store, catalogue, purges, mirror.purge, fleet)
        verifier = Verifier(inventory, store, clock)
        transfer = Transfer(
            mirror=mirror,
            catalogue=catalogue,
            inventory=inventory,
            verifier=verifier,
            state=state,
            clock=clock,
            imported=imported,
        )
        warmer = Warmer(mirror, clock, secrets.token_bytes(32))
        self._runner = JobRunner(
            self._book,
            {
                "warm": warmer.warm,
                "verify": verifier.verify,
                "scrub": self._scrubber.scrub,
                "export": transfer.export,
                "import": transfer.take,
                "seed": transfer.seed,
            },
            clock,
            self._now_and_then,
        )
        self.operations = Operations(
            IN_WORKER,
            {
                "repos": inventory.repos,
                "info": inventory.info,
                "blob": inventory.blob,
                "explain-file": explainer.explain,
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
                "verify": self._verify,
                "export": self._export,
                "import": self._import,
                "seed": self._seed,
                "scrub": self._scrub,
                "void": responses.void,
                "explain": responses.explain,
            },
        )

    def start(self, tasks: TaskSet) -> None:
        tasks.start(self._runner.run(), "jobs")

    async def _now_and_then(self) -> None:
        """What the pins stand for may be known better now; and a scrub may be due."""
        # The state disk fails, or every other: the disks keep what they were told.
        with suppress(OSError, sqlite3.Error, StoreError):
            await self._pins.apply_all()
        with suppress(OSError, Refused):
            since = await asyncio.to_thread(self._scrubber.since)
            self._scrub_ended(since)
            if self.scrubbing.every is not None and self._clock.wall() - since >= self.scrubbing.every:
                await self._scrub(ScrubAsked(rate=self.scrubbing.rate))

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

    async def _verify(self, asked: VerifyAsked) -> Job:
        await self._inventory.commit_of(repo_named(asked.repo), asked.revision)
        return await self._begin("verify", f"{asked.repo}@{asked.revision}", asked.model_dump(mode="json"))

    async def _export(self, asked: ExportAsked) -> Job:
        for name in asked.repos:
            await self._inventory.commit_of(*repo_at(name))
        for job in await self._under_way("export"):
            if job.order.get("path") == asked.path:
                raise Refused(409, f"{job.id} is to write {asked.path} already")
        return await self._begin("export", f"{', '.join(asked.repos)} to {asked.path}", asked.model_dump(mode="json"))

    async def _import(self, asked: ImportAsked) -> Job:
        return await self._begin("import", asked.path, asked.model_dump(mode="json"))

    async def _seed(self, asked: SeedAsked) -> Job:
        return await self._begin("seed", f"{asked.kind} {asked.path}", asked.model_dump(mode="json"))

    async def _scrub(self, asked: ScrubAsked) -> Job:
        for job in await self._under_way("scrub"):
            raise Refused(409, f"a scrub is under way: {job.id}")
        return await self._begin("scrub", "all disks", asked.model_dump(mode="json"))

    async def _under_way(self, kind: str) -> list[Job]:
        jobs = await asyncio.to_thread(self._book.all)
        return [job for job in jobs if job.kind == kind and not job.state.has_ended]

    async def _begin(self, kind: str, about: str, order: dict[str, object]) -> Job:
        job = await asyncio.to_thread(self._book.add, kind, about, order)
        self._runner.look()
        return job
