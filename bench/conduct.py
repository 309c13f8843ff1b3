"""One run, from nothing to its record: a synthetic Hub, a mirror, the load, the faults, and what everybody counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from proxy.core.tasks import TaskSet

from .environment import Cores, divided
from .faults import Dials
from .load import catalogue as catalogues
from .load import trace as traces
from .load.catalogue import Catalogue
from .load.crew import crew, soon
from .load.orders import Order, Task
from .load.tally import Second, Totals
from .load.trace import Trace
from .meter import Meter, Reading
from .node import Node, Process, hub_process, running
from .record import Mark
from .scenario import Scenario
from .timeline import Timeline, Victims
from .volume import mounted

QUIET_WITHIN: Final = 10.0
"""Seconds in which the mirror ends what it has under way when the load is over."""
_LOOK_AGAIN: Final = 0.1
_ANSWER_WITHIN: Final = 5.0


class CannotRun(Exception):
    """The run cannot be made, or broke off; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A mirror that is not started by us. `admin` is where its /metrics are, if it is a Penstock."""

    url: str
    admin: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and where. `folder` holds everything that is made on the way."""

    scenario: Scenario
    catalogue: Catalogue
    folder: Path
    target: Target | None = None
    hub_listen: str = "127.0.0.1:0"
    trace: Trace | None = None
    """Replay this instead of the scenario's own load."""


class Watcher(Protocol):
    """Whoever wants to see a run while it happens."""

    def phase(self, name: str) -> None: ...

    def generated(self, second: Second) -> None:
        """One process' second."""
        ...

    def sampled(self, number: int, reading: Reading) -> None:
        """What both sides have counted at the end of second `number` - 1."""
        ...

    def marked(self, mark: Mark) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What happened, raw: `recording` makes the record of it."""

    begin: float
    """Unix time."""
    seconds: float
    seconds_by_process: list[Second]
    samples: list[Reading]
    """At the begin, and after each second."""
    final: Reading
    totals: list[Totals]
    marks: list[Mark]
    is_mirror_known: bool
    cpu_seconds: float | None
    resident_bytes: int | None
    pinning: str


@dataclass(frozen=True, slots=True)
class Stand:
    """Hub and mirror, serving."""

    plan: Plan
    hub: Process
    node: Node | None
    meter: Meter
    cores: Cores
    volume: Path | None
    catalogue_file: Path
    trace_file: Path | None

    @property
    def address(self) -> tuple[str, int]:
        host = self.host
        name, _, port = host.rpartition(":")
        return name.strip("[]"), int(port)

    @property
    def host(self) -> str:
        if self.plan.target is None:
            assert self.node is not None
            return self.node.address
        parts = urlsplit(self.plan.target.url)
        return f"{parts.hostname}:{parts.port or 80}"


@contextlib.asynccontextmanager
async def standing(plan: Plan, watcher: Watcher) -> AsyncIterator[Stand]:
    """Start what the plan needs, warm if it says so. Raises NotStarted, CannotRun."""
    watcher.phase("starting")
    scenario = plan.scenario
    cores = divided(frozenset(os.sched_getaffinity(0)), scenario.proxy.workers)
    catalogue_file = plan.folder / "catalogue.json"
    catalogues.write(plan.catalogue, catalogue_file)
    trace_file = None
    if plan.trace is not None:
        trace_file = plan.folder / "trace.json"
        traces.write(plan.trace, trace_file)
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(
            running(hub_process(plan.folder, catalogue_file, plan.hub_listen, cores.load))
        )
        session = await stack.enter_async_context(_session())
        volume = await stack.enter_async_context(mounted(plan.folder, scenario.proxy.volume))
        node = None if plan.target is not None else _node(plan, hub, volume, cores)
        if node is not None:
            await stack.enter_async_context(running(node))
        meter = Meter(session, _admin(plan, node), hub.facts["url"])
        stand = Stand(plan, hub, node, meter, cores, volume, catalogue_file, trace_file)
        await meter.arm(_dials(scenario))
        if scenario.proxy.warm:
            watcher.phase("warming")
            await _warm(stand)
        yield stand


async def drive(stand: Stand, scenario: Scenario, watcher: Watcher) -> Outcome:
    """The load of `scenario` against `stand`, once. Raises CrewFailed."""
    task = Task.LOAD if stand.trace_file is None else Task.REPLAY
    seconds: list[Second] = []

    def generated(second: Second) -> None:
        seconds.append(second)
        watcher.generated(second)

    parts = scenario.load.generators
    orders = [_order(stand, scenario, task, part, parts) for part in range(parts)]
    dials = Dials(scenario.origin.bandwidth, scenario.origin.connection_bandwidth, scenario.origin.latency)
    timeline = Timeline(scenario.faults, Victims(stand.meter, stand.node, stand.volume, dials), watcher.marked)
    samples: list[Reading] = []
    async with crew(orders, stand.cores.load) as ready, TaskSet("run") as tasks:
        await stand.meter.reset()
        stand.meter.has_lost = False
        cpu = stand.node.cpu_seconds() if stand.node else None
        watcher.phase("running")
        begin, unix = soon(), time.time()
        tasks.start(_sample(stand.meter, begin, samples, watcher), "samples")
        hurting = tasks.start(timeline.run(begin), "timeline")
        totals = await ready.run(begin, generated)
        ended = time.monotonic()
        watcher.phase("settling")
        timeline.end()
        try:
            await hurting
        except Exception as error:  # whatever it was, a fault that could not be made is no run
            raise CannotRun(f"a fault could not be made: {error!r}") from error
        spent = stand.node.cpu_seconds() - cpu if stand.node and cpu is not None else None
        final = await _quiet(stand)
    return Outcome(
        begin=unix,
        seconds=ended - begin,
        seconds_by_process=seconds,
        samples=samples,
        final=final,
        totals=totals,
        marks=timeline.marks,
        is_mirror_known=_is_known(stand),
        cpu_seconds=None if spent is None else max(0.0, spent),
        resident_bytes=stand.node.peak_resident_bytes() if stand.node else None,
        pinning=str(stand.cores),
    )


def _admin(plan: Plan, node: Node | None) -> str | None:
    if node is not None:
        return node.admin
    return plan.target.admin if plan.target is not None else None


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN))


def _node(plan: Plan, hub: Process, volume: Path | None, cores: Cores) -> Node:
    proxy = plan.scenario.proxy
    settings = dict(proxy.settings)
    if volume is not None:
        settings.setdefault("store.free_floor", 0)
    return Node(
        plan.folder,
        hub.facts["url"],
        (volume or plan.folder) / "disk",
        size=proxy.disk,
        workers=proxy.workers,
        settings=settings,
        cores=cores.mirror,
    )


def _dials(scenario: Scenario) -> dict[str, object]:
    origin = scenario.origin
    return {
        "bandwidth": origin.bandwidth,
        "connection_bandwidth": origin.connection_bandwidth,
        "latency": origin.latency,
    }


def _order(stand: Stand, scenario: Scenario, task: Task, part: int, parts: int) -> Order:
    return Order(task, scenario, stand.catalogue_file, stand.address, stand.host, part, parts, stand.trace_file)


async def _warm(stand: Stand) -> None:
    """Raises CannotRun when that does not go without errors."""
    order = _order(stand, stand.plan.scenario, Task.WARM, 0, 1)
    async with crew([order], stand.cores.load) as ready:
        (totals,) = await ready.run(soon(), lambda second: None)
    for name, failures in totals.failures.items():
        raise CannotRun(f"the cache could not be warmed: {name}, {failures.count} times, such as {failures.example}")
    await _quiet(stand)


async def _sample(meter: Meter, begin: float, samples: list[Reading], watcher: Watcher) -> None:
    """What both sides have counted, at the begin and after each second."""
    number = 0
    while True:
        await asyncio.sleep(max(0.0, begin + number - time.monotonic()))
        reading = await meter.read()
        samples.append(reading)
        watcher.sampled(number, reading)
        number = max(number + 1, int(time.monotonic() - begin))
        while len(samples) < number:
            samples.append(reading)


async def _quiet(stand: Stand) -> Reading:
    """The counts when nothing moves any more, or when patience is at its end."""
    deadline = time.monotonic() + QUIET_WITHIN
    before = await stand.meter.read()
    while True:
        await asyncio.sleep(_LOOK_AGAIN)
        reading = await stand.meter.read()
        if (reading == before and reading.mirror.is_quiet) or time.monotonic() > deadline:
            return reading
        before = reading


def _is_known(stand: Stand) -> bool:
    has_metrics = stand.node is not None or (stand.plan.target is not None and stand.plan.target.admin is not None)
    return has_metrics and not stand.meter.has_lost
