"""The worker that runs the jobs of a node: the one that holds the lock."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.core.clock import Clock
from proxy.core.errors import PenstockError
from proxy.core.tasks import TaskSet

from .jobs import Job, JobBook, JobState
from .shape import Refused

log: Final = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.5
"""Seconds between two looks for new jobs and cancelled ones, and between two notes of how far one is."""
AFTERWARDS_EVERY: Final = 300.0
AT_ONCE: Final = 2
"""Jobs of the ordinary lane that run at a time."""
SLOW_LANE: Final = frozenset({"scrub", "verify"})
"""Kinds that read everything for hours or days: one at a time, beside the others."""


@dataclass(slots=True)
class Progress:
    """How far a job is; changed by the job, written down by the runner."""

    files: int = 0
    files_total: int | None = None
    bytes: int = 0
    bytes_total: int | None = None
    note: str = ""
    result: dict[str, Any] = field(default_factory=dict)


class JobFailed(Exception):
    """A job could not do what it was to do; the message is for people."""


Work = Callable[[dict[str, Any], Progress], Awaitable[None]]
"""Carries out an order. Begun again after the node has ended, it goes on where it can. Raises JobFailed."""


@dataclass(slots=True)
class _Running:
    job: Job
    progress: Progress
    task: asyncio.Task[None]
    is_cancelled: bool = False
    has_ended: bool = False
    """There is nothing to cancel any more, and how it ended is being written down."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while its file is written."""


class JobRunner:
    """Runs what is in `book`, each kind by its `works`."""

    def __init__(
        self, book: JobBook, works: Mapping[str, Work], clock: Clock, afterwards: Callable[[], Awaitable[None]]
    ) -> None:
        """`afterwards` is awaited when the first job could run, whenever one has ended, and now and then."""
        self._afterwards = afterwards
        self._book = book
        self._works = works
        self._clock = clock
        self._wake = asyncio.Event()
        self._running: dict[str, _Running] = {}

    def look(self) -> None:
        """There is something new."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled: wait for the lock, then run jobs."""
        while (lock := await asyncio.to_thread(self._try_lock)) is None:  # noqa: ASYNC110 - another process holds it
            await asyncio.sleep(1.0)
        try:
            await self._afterwards()
            async with TaskSet("jobs") as tasks:
                await self._rounds(tasks)
        finally:
            os.close(lock)

    def _try_lock(self) -> int | None:
        try:
            self._book.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._book.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError:
            return None  # the state disk fails: there are no jobs until it is back
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    async def _rounds(self, tasks: TaskSet) -> None:
        afterwards_at = self._clock.monotonic()
        while True:
            if self._clock.monotonic() - afterwards_at > AFTERWARDS_EVERY:
                await self._afterwards()
                afterwards_at = self._clock.monotonic()
            with suppress(OSError):
                await self._round(tasks)
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wake.wait()

    async def _round(self, tasks: TaskSet) -> None:
        waiting = [job for job in await asyncio.to_thread(self._book.all) if not job.state.has_ended]
        for known in reversed(waiting):
            if (running := self._running.get(known.id)) is not None:
                await self._cancel_if_asked(running)
                continue
            # Look again, now that it is nobody's:
            #   1. a round reads that it runs   2. it ends, and that is written down   3. the round comes to it
            # without this it would run a second time.
            job = await asyncio.to_thread(self._book.find, known.id)
            if job is not None and not job.state.has_ended:
                await self._take_up(job, tasks)
        for running in list(self._running.values()):
            await self._note(running)

    def _has_place(self, job: Job) -> bool:
        slow = job.kind in SLOW_LANE
        beside = sum((running.job.kind in SLOW_LANE) is slow for running in self._running.values())
        return beside < (1 if slow else AT_ONCE)

    async def _cancel_if_asked(self, running: _Running) -> None:
        asked = await asyncio.to_thread(self._book.is_cancelled, running.job.id)
        # Once: what it does to tidy up is not to be cut off.
        if asked and not running.has_ended and not running.is_cancelled:
            running.is_cancelled = True
            running.task.cancel()

    async def _take_up(self, job: Job, tasks: TaskSet) -> None:
        if await asyncio.to_thread(self._book.is_cancelled, job.id):
            await self._end(job, Progress(), JobState.CANCELLED, None)
        elif self._has_place(job):
            await self._start(job, tasks)

    async def _start(self, job: Job, tasks: TaskSet) -> None:
        again = job.state is JobState.RUNNING
        now = self._clock.wall()
        job = job.model_copy(
            update={
                "state": JobState.RUNNING,
                "started": job.started or now,
                "resumed": job.resumed + again,
            }
        )
        await asyncio.to_thread(self._book.write, job)
        log.info("job begins", extra={"job": job.id, "about": job.about, "resumed": job.resumed})
        progress = Progress(job.files, None, job.bytes, None, "", dict(job.result)) if again else Progress()
        self._running[job.id] = _Running(job, progress, tasks.start(self._carry_out(job, progress), job.id))

    async def _carry_out(self, job: Job, progress: Progress) -> None:
        state, error = JobState.DONE, None
        try:
            work = self._works.get(job.kind)
            if work is None:
                raise JobFailed(f"this version knows no job of the kind {job.kind!r}")
            await work(job.order, progress)
        except asyncio.CancelledError:
            if not self._running[job.id].is_cancelled:
                raise  # the node ends: the job goes on when it is back
            state = JobState.CANCELLED
        except (JobFailed, Refused, PenstockError) as failure:
            state, error = JobState.FAILED, str(failure)
        except OSError as failure:
            state, error = JobState.FAILED, _in_words(failure)
        except Exception:
            log.exception("job failed", extra={"job": job.id})
            state, error = JobState.FAILED, "an error of the program; the event log has it"
        running = self._running[job.id]
        running.has_ended = True
        try:
            async with running.writing:
                with suppress(OSError):
                    await self._afterwards()
                    await self._end(running.job, progress, state, error)
        finally:
            del self._running[job.id]
        self._wake.set()

    async def _end(self, job: Job, progress: Progress, state: JobState, error: str | None) -> None:
        ended = self._marked(job, progress).model_copy(
            update={"state": state, "error": error, "ended": self._clock.wall()}
        )
        await asyncio.to_thread(self._book.write, ended)
        await asyncio.to_thread(self._book.clear_cancel, job.id)
        log.info("job ended", extra={"job": job.id, "state": state.value, "error": error or ""})

    async def _note(self, running: _Running) -> None:
        """Write down how far it is, if it has come further."""
        marked = self._marked(running.job, running.progress)
        if marked == running.job:
            return
        async with running.writing:
            # Look again now that we are inside: what has ended must not be called running.
            if not running.has_ended:
                running.job = marked
                await asyncio.to_thread(self._book.write, marked)

    def _marked(self, job: Job, progress: Progress) -> Job:
        return job.model_copy(
            update={
                "files": progress.files,
                "files_total": progress.files_total,
                "bytes": progress.bytes,
                "bytes_total": progress.bytes_total,
                "note": progress.note,
                "result": dict(progress.result),
            }
        )


def _in_words(failure: OSError) -> str:
    """Paths are those of the machine that the node runs on, which need not be that of the person."""
    if failure.filename is None:
        return str(failure)
    return f"{failure.filename}: {failure.strerror} (for the node, on its machine)"
