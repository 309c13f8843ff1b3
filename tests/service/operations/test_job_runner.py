"""The jobs of a node: each runs once, whatever the rounds of the runner meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.core.clock import SystemClock
from proxy.core.tasks import TaskSet
from proxy.service.operations.jobs import Job, JobBook, JobState
from proxy.service.operations.runner import JobRunner, Progress
from tests.kit.waiting import until


class Looked(JobBook):
    """A book that counts how often all of it is read, and may tell what was true a moment ago."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, SystemClock())
        self.looks = 0
        self.stale: list[Job] = []

    def all(self) -> list[Job]:
        self.looks += 1
        return self.stale or super().all()


class Desk:
    """A runner over a book; `held` lets what comes after a job wait."""

    def __init__(self, state: Path) -> None:
        self.book = Looked(state)
        self.runs: list[str] = []
        self.ending = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()
        works = {"warm": self._work, "seed": self._work, "export": self._wait}
        self.runner = JobRunner(self.book, works, SystemClock(), self._afterwards)
        self.tidied = 0

    async def _work(self, order: dict[str, Any], progress: Progress) -> None:
        self.runs.append(order["name"])

    async def _wait(self, order: dict[str, Any], progress: Progress) -> None:
        """Until it is cancelled; then it takes some rounds to tidy up."""
        self.runs.append(order["name"])
        try:
            await asyncio.Event().wait()
        finally:
            seen = self.book.looks
            await until(lambda: self.book.looks > seen + 3, "some rounds")
            self.tidied += 1

    async def _afterwards(self) -> None:
        if self.runs:
            self.ending.set()
            await self.held.wait()

    def add(self, kind: str, name: str) -> str:
        job = self.book.add(kind, name, {"name": name})
        self.runner.look()
        return job.id

    async def is_in(self, job_id: str, state: JobState) -> None:
        await until(lambda: self.book.get(job_id).state is state, f"{job_id} is {state}")

    async def rounds(self) -> None:
        """Two whole rounds from now on: one may be under way."""
        seen = self.book.looks
        while self.book.looks < seen + 3:
            self.runner.look()
            await asyncio.sleep(0)


@asynccontextmanager
async def desk_in(folder: Path) -> AsyncIterator[Desk]:
    desk = Desk(folder)
    async with TaskSet("test") as tasks:
        tasks.start(desk.runner.run(), "jobs")
        yield desk


async def test_a_job_whose_end_is_being_written_down_is_not_begun_again(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        desk.held.clear()
        first = desk.add("warm", "first")
        await desk.ending.wait()
        desk.add("seed", "second")
        await until(lambda: "second" in desk.runs, "a later round has begun another")
        assert desk.runs == ["first", "second"]
        desk.held.set()
        await desk.is_in(first, JobState.DONE)
        await desk.rounds()
        assert desk.runs == ["first", "second"]


async def test_a_round_that_knew_a_job_before_it_ended_does_not_begin_it_again(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        first = desk.add("warm", "first")
        await desk.is_in(first, JobState.DONE)
        desk.book.stale = [desk.book.get(first).model_copy(update={"state": JobState.RUNNING})]
        await desk.rounds()
        assert desk.runs == ["first"]
        assert desk.book.get(first).state is JobState.DONE


async def test_what_has_ended_is_not_cancelled_any_more(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        desk.held.clear()
        first = desk.add("warm", "first")
        await desk.ending.wait()
        desk.book.cancel(first)
        await desk.rounds()
        desk.held.set()
        await desk.is_in(first, JobState.DONE)
        await until(lambda: not desk.book.is_cancelled(first), "the wish is forgotten")
        assert desk.runs == ["first"]


async def test_a_cancelled_job_may_tidy_up(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        job = desk.add("export", "bundle")
        await until(lambda: bool(desk.runs), "it runs")
        desk.book.cancel(job)
        await desk.is_in(job, JobState.CANCELLED)
        assert desk.tidied == 1
