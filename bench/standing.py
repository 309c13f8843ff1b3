"""What a run is made against: a synthetic Hub, a mirror or a fleet of them, and how they are started and warmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from . import fleet
from .environment import Cores, divided
from .fleet import Redis
from .load import catalogue as catalogues
from .load import trace as traces
from .load.catalogue import Catalogue
from .load.crew import crew, soon
from .load.orders import Order, Task
from .load.tally import Second
from .load.trace import Trace
from .meter import Meter, Reading
from .node import Node, Process, all_running, hub_process, running
from .record import Mark
from .scenario import Scenario
from .volume import mounted

QUIET_WITHIN: Final = 10.0
"""Seconds in which the mirror ends what it has under way when the load is over."""
ACQUAINTED_WITHIN: Final = 30.0
"""Seconds in which the nodes of a fleet find one another."""
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


@dataclass(frozen=True, slots=True)
class Stand:
    """Hub and mirrors, serving. `nodes` is empty for a mirror that is not ours; `volumes` are theirs, in order, if the
    scenario wants some."""

    plan: Plan
    hub: Process
    nodes: tuple[Node, ...]
    redis: Redis | None
    meter: Meter
    cores: Cores
    volumes: tuple[Path, ...]
    catalogue_file: Path
    trace_file: Path | None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where clients find it."""
        if self.plan.target is None:
            return tuple(_address(node.address) for node in self.nodes)
        parts = urlsplit(self.plan.target.url)
        return ((parts.hostname or "", parts.port or 80),)

    def order(self, scenario: Scenario, task: Task, part: int, parts: int) -> Order:
        return Order(task, scenario, self.catalogue_file, self.addresses, part, parts, self.trace_file)


def _address(text: str) -> tuple[str, int]:
    name, _, port = text.rpartition(":")
    return name.strip("[]"), int(port)


@contextlib.asynccontextmanager
async def standing(plan: Plan, watcher: Watcher) -> AsyncIterator[Stand]:
    """Start what the plan needs, warm if it says so. Raises NotStarted, CannotMount, CannotRun."""
    watcher.phase("starting")
    proxy = plan.scenario.proxy
    cores = divided(frozenset(os.sched_getaffinity(0)), proxy.workers * proxy.nodes)
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
        redis, nodes, volumes = await _mirrors(stack, plan, hub, cores)
        meter = Meter(session, _admins(plan, nodes), hub.facts["url"])
        stand = Stand(plan, hub, nodes, redis, meter, cores, volumes, catalogue_file, trace_file)
        await meter.arm(dials(plan.scenario))
        await _acquainted(stand)
        if proxy.warm:
            watcher.phase("warming")
            await _warm(stand)
        yield stand


async def quiet(stand: Stand) -> Reading:
    """The counts when nothing moves any more, or when patience is at its end."""
    deadline = time.monotonic() + QUIET_WITHIN
    before = await stand.meter.read()
    while True:
        await asyncio.sleep(_LOOK_AGAIN)
        reading = await stand.meter.read()
        if (reading == before and reading.mirror.is_quiet) or time.monotonic() > deadline:
            return reading
        before = reading


def dials(scenario: Scenario) -> dict[str, object]:
    """How the origin of a scenario behaves when nothing is wrong with it."""
    origin = scenario.origin
    return {
        "bandwidth": origin.bandwidth,
        "connection_bandwidth": origin.connection_bandwidth,
        "latency": origin.latency,
    }


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN))


def _admins(plan: Plan, nodes: Sequence[Node]) -> list[str]:
    if plan.target is not None:
        return [] if plan.target.admin is None else [plan.target.admin]
    return [node.admin for node in nodes]


async def _mirrors(
    stack: contextlib.AsyncExitStack, plan: Plan, hub: Process, cores: Cores
) -> tuple[Redis | None, tuple[Node, ...], tuple[Path, ...]]:
    """What runs between clients and Hub, started; nothing of it for a target that is not ours."""
    if plan.target is not None:
        return None, (), ()
    proxy = plan.scenario.proxy
    redis = None
    if proxy.has_redis:
        redis = Redis(plan.folder, cores.load)
        await stack.enter_async_context(running(redis))
    fleet.write_secret(plan.folder / "cluster.secret")
    nodes, volumes = [], []
    for number in range(proxy.nodes):
        folder = plan.folder / f"n{number}"
        folder.mkdir()
        volume = await stack.enter_async_context(mounted(folder, proxy.volume))
        volumes += [] if volume is None else [volume]
        nodes.append(_node(plan, number, folder, hub, redis, volume, cores))
    await stack.enter_async_context(all_running(nodes))
    return redis, tuple(nodes), tuple(volumes)


def _node(
    plan: Plan, number: int, folder: Path, hub: Process, redis: Redis | None, volume: Path | None, cores: Cores
) -> Node:
    proxy = plan.scenario.proxy
    settings: dict[str, object] = dict(proxy.settings)
    listen = "127.0.0.1:0"
    if volume is not None:
        settings.setdefault("store.free_floor", 0)
    if proxy.nodes > 1:
        all_places = fleet.places(proxy.nodes)
        listen = all_places[number]
        url = None if redis is None else redis.url
        settings |= fleet.membership(number, all_places, plan.folder / "cluster.secret", url)
    return Node(
        folder,
        hub.facts["url"],
        (volume or folder) / "disk",
        size=proxy.disk,
        workers=proxy.workers,
        settings=settings,
        cores=cores.mirror,
        listen=listen,
    )


async def _acquainted(stand: Stand) -> None:
    """Return when every node counts all the others. Raises CannotRun."""
    count = len(stand.nodes)
    if count < 2:
        return
    deadline = time.monotonic() + ACQUAINTED_WITHIN
    while (known := await stand.meter.members()) != [count] * count:
        if time.monotonic() > deadline:
            raise CannotRun(f"the nodes did not find one another in {ACQUAINTED_WITHIN:g} s; they see {known}")
        await asyncio.sleep(_LOOK_AGAIN)


async def _warm(stand: Stand) -> None:
    """Raises CannotRun when that does not go without errors."""
    order = stand.order(stand.plan.scenario, Task.WARM, 0, 1)
    async with crew([order], stand.cores.load) as ready:
        (totals,) = await ready.run(soon(), lambda second: None)
    for name, failures in totals.failures.items():
        raise CannotRun(f"the cache could not be warmed: {name}, {failures.count} times, such as {failures.example}")
    await quiet(stand)
