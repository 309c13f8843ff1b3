"""`bench run`: one scenario, from the command line to its record and its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

from . import record, scenario
from .conditions import Condition
from .conduct import drive
from .find_max import Found, Probe, search
from .folder import folder_of_a_run
from .live import watching
from .load.crew import CrewFailed
from .node import NotStarted
from .record import Run
from .recording import recorded
from .scenario import Scenario, ScenarioError
from .standing import CannotRun, Target, Watcher, standing
from .volume import CannotMount
from .wanted import Wanted, plan_of

BROKEN = (CannotRun, CrewFailed, NotStarted, CannotMount)
"""What a run can break off with."""


def chosen(name: str, changes: dict[str, Any]) -> Scenario:
    """The scenario of that name or file. Raises ScenarioError."""
    return scenario.read(scenario.find(name), changes)


def allowed(url: str, admin: str | None, *, is_owned: bool) -> Target:
    """A mirror to be put under load. Raises ScenarioError for one that is not on this machine, unless whoever asks
    says that it is theirs: load on somebody else's machine is an attack."""
    host = urlsplit(url).hostname
    if not url.startswith("http://") or host is None:
        raise ScenarioError(f"{url!r} is no address; write it like http://127.0.0.1:8080")
    if not is_owned and not _is_loopback(host):
        raise ScenarioError(f"{host} is not this machine; if it is yours to put under load, add --i-own-this-target")
    return Target(url, admin)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(wanted: Wanted, out: Path, console: Console) -> Run:
    """Do it, and leave `run.json` in `out`. Raises one of BROKEN, or OSError."""
    out.mkdir(parents=True, exist_ok=True)
    with watching(wanted.name, wanted.scenario.duration, console) as watcher, _runner() as runner:
        found = runner.run(conducted(wanted, watcher))
    record.write(found, out / "run.json")
    return found


def found_max(wanted: Wanted, conditions: list[Condition], out: Path, tell: Callable[[Probe], None]) -> Found:
    """The highest rate at which the conditions hold; the record of that run is left in `out`. Raises ScenarioError,
    one of BROKEN, or OSError."""
    out.mkdir(parents=True, exist_ok=True)
    with _runner() as runner:
        found = runner.run(search(wanted, conditions, tell))
    if found.run is not None:
        record.write(found.run, out / "run.json")
    return found


async def conducted(wanted: Wanted, watcher: Watcher) -> Run:
    """The run and its record. Raises one of BROKEN."""
    with folder_of_a_run() as folder:
        async with standing(plan_of(wanted, folder), watcher) as stand:
            outcome = await drive(stand, wanted.scenario, watcher)
    return recorded(wanted.name, wanted.scenario, outcome, wanted.target.url if wanted.target else None)


def check(wanted: Wanted) -> None:
    """Raises ScenarioError for what cannot be done to a mirror that is not ours."""
    proxy = wanted.scenario.proxy
    if wanted.target is not None and (wanted.scenario.hurts_mirror or proxy.nodes > 1):
        raise ScenarioError(
            "with --target there is no mirror of ours to kill, pause, fill or double",
            ["leave such faults out with --without KIND, and fleets with --set proxy.nodes=1"],
        )


@contextlib.contextmanager
def _runner() -> Iterator[asyncio.Runner]:
    """SIGTERM ends a run as ^C does: what was started is stopped, what was mounted is unmounted."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            yield runner
    finally:
        signal.signal(signal.SIGTERM, before)
