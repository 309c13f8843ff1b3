"""A real `penstock serve` in processes of its own, on disks of its own, ended by pid."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from .nursery import Child, born
from .procfs import children, descendants, is_running
from .scrape import Page, access_records
from .waiting import until

REPO_ROOT = Path(__file__).parents[2]
START_WITHIN = 30.0
STOP_WITHIN = 20.0

Settings = Mapping[str, Any]
"""Knobs by their dotted name: {"fetch.span": "1MiB"}."""

QUICK: Settings = {
    "server.drain_timeout": "10s",
    "origin.connect_timeout": "2s",
    "origin.read_timeout": "3s",
    "store.free_floor": "1MiB",
    "freshness.ref_ttl": "1s",
    "freshness.listing_ttl": "1s",
    "freshness.allow_ttl": "2s",
    "freshness.deny_ttl": "500ms",
    "fetch.span": "2MiB",
    "fetch.parallel": 4,
    "fetch.progress_timeout": "20s",
    "fetch.finish_below": "4MiB",
    "log.level": "debug",
    "log.form": "json",
    "log.client": "full",
}
"""Short times and small spans, so that a scenario takes seconds."""


@dataclass(frozen=True)
class NodePlan:
    """What a node is started with. `command` comes before `serve`, `wrapper` before the interpreter (strace, say);
    `disks` are DIR or DIR=SIZE."""

    folder: Path
    origin: str
    redirect_hosts: tuple[str, ...]
    disks: tuple[str, ...]
    workers: int = 1
    settings: Settings = field(default_factory=dict)
    command: tuple[str, ...] = ("-m", "proxy.cli.main")
    wrapper: tuple[str, ...] = ()

    @property
    def disk_folders(self) -> tuple[Path, ...]:
        return tuple(Path(disk.partition("=")[0]) for disk in self.disks)

    @property
    def config_file(self) -> Path:
        return self.folder / "penstock.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def setting(self, name: str) -> Any:
        return {**QUICK, **self.settings}.get(name)


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        host, _, port = text.rpartition(":")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def own_places(count: int, port: int = 8080) -> list[Address]:
    """Addresses nobody else listens on: loopback has 16 million, and each process of tests has some for itself."""
    own = os.getpid()
    return [Address(f"127.{16 + own % 200}.{own // 200 % 250}.{number + 1}", port) for number in range(count)]


class NodeDidNotStart(AssertionError):
    """The process ended, or was not ready in time; the message holds what it said."""


class Node:
    """One run of a node after another, on the same disks and, after the first, the same ports."""

    def __init__(self, plan: NodePlan) -> None:
        self.plan = plan
        # Not 127.0.0.1: from there connections go out, and one of them may have the port when the node comes again.
        self.data = self.admin = own_places(1, port=0)[0]
        self.runs = 0
        self.killed = False
        """Whether a process of the present run was killed: its counters and last log lines may be lost."""
        self._process: asyncio.subprocess.Process | Child | None = None
        self._pid = 0
        self._workers: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        return f"http://{self.data}"

    @property
    def pid(self) -> int:
        """Of the node itself, wrapped or not."""
        return self._pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def workers(self) -> tuple[int, ...]:
        """The processes that serve: the workers, or the one process that does it all."""
        supervised = self.plan.workers > 1 or self.plan.setting("server.supervised")
        return tuple(children(self.pid)) if supervised else (self.pid,)

    @property
    def access_log(self) -> Path:
        return self.plan.folder / f"access-{self.runs}.log"

    @property
    def events(self) -> Path:
        return self.plan.folder / f"events-{self.runs}.log"

    @property
    def ports(self) -> frozenset[int]:
        return frozenset({self.data.port, self.admin.port})

    async def start(self, **settings: Any) -> Node:
        """Start it and wait until it is ready. Raises NodeDidNotStart."""
        assert not self.running, "one run at a time"
        self.runs += 1
        self.killed = False
        ready = self.plan.folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.configure(**settings)
        with self.events.open("wb") as events:
            self._process = await self._born(events)
        await self._until_ready(ready)
        return self

    async def _born(self, events: BinaryIO) -> asyncio.subprocess.Process | Child:
        plan, environment = self.plan, _environment(self.plan.folder)
        words = (*plan.command, "serve", "--config", str(plan.config_file))
        if words[0] == "-m" and not plan.wrapper:
            return await born(words, folder=REPO_ROOT, environment=environment, output=events)
        return await asyncio.create_subprocess_exec(
            *plan.wrapper,
            sys.executable,
            *words,
            cwd=REPO_ROOT,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=events,
            stderr=events,
            start_new_session=True,
        )

    def configure(self, **settings: Any) -> None:
        """Write the configuration file; `settings` are knobs with `__` for the dot. They hold for later runs too."""
        given = {name.replace("__", "."): value for name, value in settings.items()}
        merged = {**QUICK, **self._places(), **self.plan.settings, **given}
        self.plan = replace(self.plan, settings={**self.plan.settings, **given})
        self.plan.config_file.write_text(_toml(merged))

    async def metrics(self) -> Page:
        return Page.parse(await self._admin("/metrics"))

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(await self._admin("/-/status"))
        return status

    async def is_ready(self) -> bool:
        """What `/-/readyz` says; False too when nobody answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://{self.admin}/-/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def accepts(self) -> bool:
        """Whether the data port takes connections."""
        try:
            _, writer = await asyncio.open_connection(self.data.host, self.data.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    def access_records(self) -> list[dict[str, Any]]:
        return access_records(self.access_log)

    def said(self) -> str:
        """All it has written to standard output and standard error in this run."""
        return self.events.read_text(errors="replace")

    def unwrap(self) -> None:
        """Later runs go without the wrapper."""
        self.plan = replace(self.plan, wrapper=())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def renew(self) -> tuple[int, ...]:
        """SIGUSR2: let another program take the place, until its workers serve; returns the workers before them."""
        before = self._workers
        self.signal(signal.SIGUSR2)

        def renewed() -> bool:
            self._workers = tuple(json.loads((self.plan.folder / "ready.json").read_text())["workers"])
            return not set(before) & set(self._workers)

        await until(renewed, "new workers serve", START_WITHIN)
        return before

    async def kill_worker(self, pid: int | None = None) -> int:
        """Kill -9 one worker (the first) and wait until it is gone; returns its pid."""
        victim = pid if pid is not None else self.workers[0]
        self.killed = True
        os.kill(victim, signal.SIGKILL)
        await until(lambda: not is_running(victim), f"worker {victim} is gone")
        return victim

    async def kill(self) -> None:
        """Kill -9 every process of the node, the supervisor first."""
        if self._process is None:
            return
        self.killed = True
        family = self._family()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(self._process.wait(), STOP_WITHIN)
        await until(lambda: not any(is_running(pid) for pid in family), "all processes are gone")

    async def stop(self, within: float = STOP_WITHIN) -> int:
        """SIGTERM, and the exit code. Raises TimeoutError when it takes longer than `within` seconds."""
        if self._process is None:
            return 0
        family = self._family()
        if self.running:
            self.signal(signal.SIGTERM)
        code = await asyncio.wait_for(self._process.wait(), within)
        await until(lambda: not any(is_running(pid) for pid in family), "the workers went with their supervisor")
        return code

    async def wait(self, within: float = STOP_WITHIN) -> int:
        """The exit code of a process that was told to end."""
        assert self._process is not None, "it was started"
        return await asyncio.wait_for(self._process.wait(), within)

    def __repr__(self) -> str:
        return f"<Node {self.data} run {self.runs} {'running' if self.running else 'stopped'}>"

    def _family(self) -> list[int]:
        assert self._process is not None, "it was started"
        first = self._process.pid
        return [first, *(descendants(first) if is_running(first) else ()), *self._workers]

    def _places(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "server.listen": str(self.data),
            "server.admin": str(self.admin),
            "server.workers": plan.workers,
            "server.ready_file": str(plan.folder / "ready.json"),
            "origin.url": plan.origin,
            "origin.redirect_hosts": list(plan.redirect_hosts),
            "origin.allow_private": True,
            "store.disks": list(plan.disks),
            "store.state": str(plan.state),
            "log.access": str(self.access_log),
        }

    async def _until_ready(self, ready: Path) -> None:
        try:
            await until(lambda: ready.exists() or not self.running, "the ready file", START_WITHIN)
        except AssertionError as error:
            said = self.said()
            await self.kill()
            raise NodeDidNotStart(f"{error}; it said:\n{said}") from error
        if not ready.exists():
            assert self._process is not None
            raise NodeDidNotStart(f"it ended with {self._process.returncode} and said:\n{self.said()}")
        standing = json.loads(ready.read_text())
        self.data, self.admin = Address.parse(standing["data"]), Address.parse(standing["admin"])
        self._pid, self._workers = standing["pid"], tuple(standing["workers"])

    async def _admin(self, path: str) -> str:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(f"http://{self.admin}{path}") as answer,
        ):
            answer.raise_for_status()
            return await answer.text()


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the one who runs the tests, but the search path."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def _toml(settings: Settings) -> str:
    """`origin.NAME.knob` is of an origin mounted beside the one at the root: then both are tables of one list."""
    tables: dict[str, list[str]] = {}
    for name, value in settings.items():
        section, _, knob = name.rpartition(".")
        tables.setdefault(section, []).append(f"{knob} = {json.dumps(value)}")
    mounted = [section for section in tables if section.startswith("origin.")]
    for section in mounted:
        tables[section].append(f'name = "{section.partition(".")[2]}"')
    heads = dict.fromkeys(("origin", *mounted), "[[origin]]") if mounted else {}
    return "\n".join(
        line for section, lines in tables.items() for line in (heads.get(section, f"[{section}]"), *lines, "")
    )
