"""One run on a stand: the load, the faults, and what everybody counted."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from proxy.core.tasks import TaskSet

from .faults import Dials
from .load.crew import crew, soon
from .load.orders import Task
from .load.tally import Second, Totals
from .meter import Meter, Reading
from .node import Node
from .record import Mark
from .scenario import Scenario
from .standing import CannotRun, Stand, Watcher, quiet
from .timeline import Timeline, Victims

SAMPLE_WITHIN: Final = 1.0
"""Seconds in which a mirror under load shall answer what it has counted; else it stands still for that second."""
MOST_LOOKS: Final = 600
"""Looks at the mirror's memory in one run, however long it is."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the mirror's processes held at a second of the run, all nodes together."""

    second: float
    resident_bytes: int
    descriptors: int


@dataclass(slots=True)
class Outcome:
    """What happened, raw: `recording` makes the record of it."""

    begin: float
    """Unix time."""
    seconds: float
    seconds_by_process: list[Second]
    samples: list[Reading]
    """At the begin, and after each second."""
    held: list[Held]
    final: Reading
    totals: list[Totals]
    marks: list[Mark]
    is_mirror_known: bool
    cpu_seconds: float | None
    resident_bytes: int | None
    pinning: str


async def drive(stand: Stand, scenario: Scenario, watcher: Watcher) -> Outcome:
    """The load of `scenario` against `stand`, once. Raises CannotRun, CrewFailed."""
    task = Task.LOAD if stand.trace_file is None else Task.REPLAY
    seconds: list[Second] = []

    def generated(second: Second) -> None:
        seconds.append(second)
        watcher.generated(second)

    parts = scenario.load.generators
    orders = [stand.order(scenario, task, part, parts) for part in range(parts)]
    timeline = Timeline(scenario.faults, _victims(stand, scenario), watcher.marked)
    samples: list[Reading] = []
    held: list[Held] = []
    async with crew(orders, stand.cores.load) as ready, TaskSet("run") as tasks:
        await stand.meter.reset()
        cpu = _cpu_seconds(stand.nodes)
        watcher.phase("running")
        begin, unix = soon(), time.time()
        tasks.start(_sample(stand.meter, begin, samples, watcher), "samples")
        every = max(1.0, scenario.duration / MOST_LOOKS)
        tasks.start(_weigh(stand.nodes, begin, every, held), "held")
        hurting = tasks.start(timeline.run(begin), "timeline")
        totals = await ready.run(begin, generated)
        ended = time.monotonic()
        watcher.phase("settling")
        timeline.end()
        await hurting
        if timeline.failed is not None:
            raise CannotRun(f"a fault could not be made: {timeline.failed}")
        spent = _cpu_seconds(stand.nodes) - cpu
        final = await quiet(stand)
    return Outcome(
        begin=unix,
        seconds=ended - begin,
        seconds_by_process=seconds,
        samples=samples,
        held=held,
        final=final,
        totals=totals,
        marks=timeline.marks,
        is_mirror_known=stand.meter.is_mirror_known,
        cpu_seconds=spent if stand.nodes else None,
        resident_bytes=_peak(stand.nodes, held) if stand.nodes else None,
        pinning=str(stand.cores),
    )


def _victims(stand: Stand, scenario: Scenario) -> Victims:
    dials = Dials(scenario.origin.bandwidth, scenario.origin.connection_bandwidth, scenario.origin.latency)
    return Victims(stand.meter, stand.nodes, stand.redis, stand.volumes, dials)


def _peak(nodes: tuple[Node, ...], held: list[Held]) -> int:
    """The most that the nodes have held: as their processes know it, or, of one that was killed, as it was seen."""
    known = sum(node.peak_resident_bytes() for node in nodes)
    return max([known, *(one.resident_bytes for one in held)])


def _cpu_seconds(nodes: tuple[Node, ...]) -> float:
    return sum(node.cpu_seconds() for node in nodes)


async def _sample(meter: Meter, begin: float, samples: list[Reading], watcher: Watcher) -> None:
    """What both sides have counted, at the begin and after each second."""
    number = 0
    while True:
        await asyncio.sleep(max(0.0, begin + number - time.monotonic()))
        reading = await meter.read(within=SAMPLE_WITHIN)
        samples.append(reading)
        watcher.sampled(number, reading)
        number = max(number + 1, int(time.monotonic() - begin))
        while len(samples) < number:
            samples.append(reading)


async def _weigh(nodes: tuple[Node, ...], begin: float, every: float, found: list[Held]) -> None:
    """What the mirror's processes hold, `every` so many seconds, all nodes together."""
    while nodes:
        await asyncio.sleep(every)
        if all(node.is_running for node in nodes):
            second = max(0.0, time.monotonic() - begin)
            resident = sum(node.resident_bytes() for node in nodes)
            found.append(Held(second, resident, sum(node.descriptors() for node in nodes)))
