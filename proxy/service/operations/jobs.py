"""Jobs: what takes longer than a question may. Kept as files, so that they outlive the process that runs them.

    <state>/jobs/<id>.json      what is to be done and how far it is; replaced by rename
    <state>/jobs/<id>.cancel    it is not wanted any more
    <state>/jobs/lock           held (flock) by the one worker of the node that runs them

Any worker takes an order and answers questions; it writes and reads files. One runs them: whoever holds the lock, which
the kernel frees when its holder dies, and then another goes on with what was running.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from proxy.core.clock import Clock

from .shape import Refused, Told

KEPT: Final = 200
"""Jobs that have ended and are remembered."""
MOST_WAITING: Final = 1000
"""Jobs that wait or run; a further one is refused."""


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Job(Told):
    """A job and how far it is. Times are seconds since 1970."""

    id: str
    kind: str
    about: str = Field(description="What it works on, for people.")
    order: dict[str, Any] = Field(description="What was asked for.")
    state: JobState = JobState.WAITING
    created: float
    started: float | None = None
    ended: float | None = None
    resumed: int = Field(0, description="How often it went on after its node had ended.")
    files: int = Field(0, description="Files done.")
    files_total: int | None = None
    bytes: int = Field(0, description="Bytes looked at or fetched.")
    bytes_total: int | None = None
    note: str = Field("", description="What it does or waits for just now.")
    error: str | None = None
    result: dict[str, Any] = Field(default_factory=dict)


class JobBook:
    """The files. All methods block."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self.folder = state / "jobs"
        self._clock = clock

    def add(self, kind: str, about: str, order: dict[str, Any]) -> Job:
        """A new job, on disk when this returns. Raises Refused when there are too many, OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        jobs = self.all()
        if sum(not job.state.has_ended for job in jobs) >= MOST_WAITING:
            raise Refused(409, f"{MOST_WAITING} jobs wait already; cancel some, or wait for them")
        for old in [job for job in jobs if job.state.has_ended][KEPT:]:
            self._forget(old)
        job = Job(id=f"{kind}-{secrets.token_hex(4)}", kind=kind, about=about, order=order, created=self._clock.wall())
        self.write(job)
        return job

    def write(self, job: Job) -> None:
        """Raises OSError."""
        draft = self.folder / f".{job.id}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(job.model_dump_json().encode())
            file.flush()
            os.fdatasync(file.fileno())
        draft.rename(self.folder / f"{job.id}.json")

    def get(self, job_id: str) -> Job:
        """Raises Refused when there is none of that name."""
        if (found := self.find(job_id)) is None:
            raise Refused(404, f"there is no job {job_id!r}; penstock jobs lists them")
        return found

    def find(self, job_id: str) -> Job | None:
        """As `get`; None when there is none."""
        return self._read(self.folder / f"{job_id}.json") if _is_id(job_id) else None

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        return sorted(self._found(), key=lambda job: job.created, reverse=True)

    def _found(self) -> Iterator[Job]:
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.suffix == ".json" and (job := self._read(path)) is not None:
                    yield job

    def _read(self, path: Path) -> Job | None:
        try:
            return Job.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):  # gone meanwhile, or cut by a power failure
            return None

    def cancel(self, job_id: str) -> Job:
        """Ask for its end; it is cancelled within a second or so. Raises Refused, OSError."""
        job = self.get(job_id)
        if job.state.has_ended:
            raise Refused(409, f"job {job_id} has ended: {job.state.value}")
        (self.folder / f"{job.id}.cancel").touch()
        return job

    def is_cancelled(self, job_id: str) -> bool:
        return (self.folder / f"{job_id}.cancel").exists()

    def clear_cancel(self, job_id: str) -> None:
        (self.folder / f"{job_id}.cancel").unlink(missing_ok=True)

    def _forget(self, job: Job) -> None:
        self.clear_cancel(job.id)
        (self.folder / f"{job.id}.json").unlink(missing_ok=True)


def _is_id(text: str) -> bool:
    """Whether it can be a name of a job: never a path."""
    kind, dash, token = text.rpartition("-")
    return bool(dash) and kind.isascii() and kind.isalpha() and token.isascii() and token.isalnum()
