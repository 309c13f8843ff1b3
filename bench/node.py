"""The mirror under load, as a process that can be killed, paused and started again on the same ports and disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.core.tasks import TaskSet

PATIENCE: Final = 60.0
"""Seconds for a process to start or to end."""
_LOOK_AGAIN: Final = 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SAMPLE: Final = re.compile(r"(penstock_\w+)(?:\{(.*)\})? ([0-9.e+-]+|[+-]Inf|NaN)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


class NotStarted(Exception):
    """A process did not come to serve; the text has the end of its log."""


class Process:
    """A program with a ready file: `start`, and it is there; `stop`, and it is gone. It ends when we are killed."""

    def __init__(self, command: Sequence[str], ready: Path, log: Path, cores: frozenset[int] | None) -> None:
        """`cores`: the ones it is held to; None: any."""
        self._command = list(command)
        self._name = ready.stem
        self._ready = ready
        self._log = log
        self._cores = cores
        self._process: asyncio.subprocess.Process | None = None
        self.facts: dict[str, Any] = {}
        """Its ready file."""

    def __str__(self) -> str:
        return self._name

    async def start(self) -> None:
        """Returns when it serves. Raises NotStarted."""
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *mortal(self._command), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        if self._cores is not None:
            os.sched_setaffinity(self._process.pid, self._cores)
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self._serves():
                    if self._process.returncode is not None:
                        raise NotStarted(f"{self._name} ended with {self._process.returncode}:\n{self._end()}")
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError as error:
            raise NotStarted(f"{self._name} was not ready in {PATIENCE:g} s:\n{self._end()}") from error

    async def _serves(self) -> bool:
        if not self._ready.exists():
            return False
        self.facts = json.loads(self._ready.read_bytes())
        return True

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pids(self) -> list[int]:
        """Its own, and its workers'."""
        assert self._process is not None, "it has been started"
        return [self._process.pid, *_children(self._process.pid)]

    def send(self, number: int) -> None:
        """A signal to all of its processes."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def stop(self) -> None:
        """SIGTERM, and when that is not enough in time, SIGKILL. Returns when it has ended. Idempotent."""
        if not self.is_running or self._process is None:
            return
        self.send(signal.SIGCONT)
        self._process.terminate()
        try:
            await self._ended()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """kill -9 of all of its processes. Returns when they have ended."""
        if self.is_running:
            self.send(signal.SIGKILL)
            await self._ended()

    async def _ended(self) -> None:
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()

    def _end(self) -> str:
        """The last of what it said."""
        return self._log.read_text(errors="replace")[-2000:]


def mortal(command: Sequence[str]) -> list[str]:
    """The command, ended by the kernel when we are: a run that is killed leaves nothing behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv is not None else list(command)


@dataclass(frozen=True, slots=True)
class Page:
    """/metrics at one moment: (name, labels) and value."""

    samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]

    @classmethod
    def parse(cls, text: str) -> Page:
        found = {}
        for match in _SAMPLE.finditer(text):
            labels = tuple(_LABEL.findall(match[2] or ""))
            found[match[1], labels] = float(match[3])
        return cls(found)

    def total(self, name: str, **wanted: str) -> float:
        """The sum of all samples of `name` that carry these labels."""
        return sum(
            value
            for (sample, labels), value in self.samples.items()
            if sample == name and all((label, text) in labels for label, text in wanted.items())
        )

    def by(self, name: str, label: str, *, but: tuple[str, str] | None = None) -> dict[str, float]:
        """The sums of `name` by the values of a label; without the samples that carry the label `but`."""
        sums: dict[str, float] = {}
        for (sample, labels), value in self.samples.items():
            if sample == name and but not in labels:
                key = dict(labels).get(label, "")
                sums[key] = sums.get(key, 0.0) + value
        return sums


class Node(Process):
    """A mirror in front of an origin."""

    def __init__(
        self,
        folder: Path,
        origin: str,
        disk: Path,
        *,
        size: int,
        workers: int,
        settings: Mapping[str, object],
        cores: frozenset[int] | None,
        listen: str = "127.0.0.1:0",
    ) -> None:
        """`folder` is there already, and its alone."""
        self._listen = listen
        self._spent = 0.0
        self._origin = origin
        self._folder = folder
        self._disk = f"{disk}={size}"
        self._workers = workers
        self._settings = settings
        super().__init__((), folder / "mirror.json", folder / "mirror.log", cores)

    @property
    def address(self) -> str:
        return str(self.facts["data"])

    @property
    def admin(self) -> str:
        return f"http://{self.facts['admin']}"

    @property
    def worker_pids(self) -> list[int]:
        return self.pids[1:]

    async def start(self) -> None:
        """Also again, after it has ended: on the same ports. Raises NotStarted."""
        data, admin = self.facts.get("data", self._listen), self.facts.get("admin", "127.0.0.1:0")
        config = self._folder / "mirror.toml"
        config.write_text("".join(f"{line}\n" for line in _toml(self._settings)))
        self._command = [
            *(sys.executable, "-m", "proxy.cli.main", "serve", "--config", str(config)),
            *("--listen", data, "--admin", admin, "--origin", self._origin),
            *("--origin-redirect-host", "127.0.0.1", "--origin-allow-private", "--disk", self._disk),
            *("--workers", str(self._workers), "--access-log", "", "--ready-file", str(self._ready)),
        ]
        await super().start()

    async def stop(self) -> None:
        self._note_spent()
        await super().stop()

    async def kill(self) -> None:
        self._note_spent()
        await super().kill()

    def _note_spent(self) -> None:
        if self.is_running:
            self._spent += sum(cpu_seconds(pid) for pid in self.pids)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes, those that were killed or stopped too."""
        return self._spent + (sum(cpu_seconds(pid) for pid in self.pids) if self.is_running else 0.0)

    def resident_bytes(self) -> int:
        """What its processes hold now."""
        return sum(_status_bytes(pid, "VmRSS:") for pid in self.pids)

    def descriptors(self) -> int:
        """Files and sockets that its processes have open now."""
        return sum(_descriptors(pid) for pid in self.pids)

    def peak_resident_bytes(self) -> int:
        """The most that each of its processes has held, together."""
        return sum(_status_bytes(pid, "VmHWM:") for pid in self.pids)


def _toml(settings: Mapping[str, object]) -> list[str]:
    """Dotted names at the top are TOML already."""
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]


def cpu_seconds(pid: int) -> float:
    """0 for a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status_bytes(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def hub_process(folder: Path, catalogue: Path, listen: str, cores: frozenset[int] | None) -> Process:
    """The synthetic Hub with the repos of a catalogue."""
    ready = folder / "hub.json"
    command = [sys.executable, "-m", "bench.hub", "--listen", listen, "--cdn", "127.0.0.1:0", "--no-xet"]
    command += ["--catalogue", str(catalogue), "--ready-file", str(ready)]
    return Process(command, ready, folder / "hub.log", cores)


@contextlib.asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    """Started, and stopped in the end."""
    try:
        await process.start()
        yield process
    finally:
        await process.stop()


@contextlib.asynccontextmanager
async def all_running(processes: Sequence[Process]) -> AsyncIterator[None]:
    """All of them started at the same time, and stopped in the end."""
    try:
        async with TaskSet("start") as tasks:
            for started in [tasks.start(process.start(), str(process)) for process in processes]:
                await started
        yield
    finally:
        await asyncio.gather(*(process.stop() for process in processes))
