"""The generator processes of one run: started, told when to begin, heard, merged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import orjson

from bench.node import mortal
from proxy.core.tasks import TaskSet

from .orders import Order, begin_line
from .tally import Second, Totals

READY_WITHIN: Final = 60.0
ENDED_WITHIN: Final = 10.0
_LONGEST_LINE: Final = 256 << 20
_HEAD_START: Final = 0.05
"""Seconds between the word to go and the begin, so that all processes have heard it."""


class CrewFailed(Exception):
    """A generator process died, or said what nobody understands."""


class Crew:
    """Use it as `async with crew(...)`: then all processes are ready."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes

    async def run(self, begin: float, on_second: Callable[[Second], None]) -> list[Totals]:
        """From `begin` (CLOCK_MONOTONIC) to the end; the totals of each process. `on_second` hears of each second
        of each process, in the order of each. Raises CrewFailed."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(begin_line(begin))
            await process.stdin.drain()
        async with TaskSet("crew") as tasks:
            heard = [tasks.start(_heard(one, on_second), f"generator {one.pid}") for one in self._processes]
            return [await one for one in heard]


def soon() -> float:
    """A moment (CLOCK_MONOTONIC) at which a crew that is ready can begin."""
    return time.monotonic() + _HEAD_START


@contextlib.asynccontextmanager
async def crew(orders: Sequence[Order], cores: frozenset[int] | None) -> AsyncIterator[Crew]:
    """A process for each order, held to `cores`. Raises CrewFailed."""
    processes: list[Process] = []
    try:
        for order in orders:
            process = await asyncio.create_subprocess_exec(
                *mortal((sys.executable, "-m", "bench.load.generator")), stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
            )
            processes.append(process)
            if cores is not None:
                os.sched_setaffinity(process.pid, cores)
            assert process.stdin is not None
            process.stdin.write(order.to_line())
        async with asyncio.timeout(READY_WITHIN):
            for process in processes:
                await _line(process)
        yield Crew(processes)
    finally:
        for process in processes:
            await _ended(process)


async def _heard(process: Process, on_second: Callable[[Second], None]) -> Totals:
    while True:
        said = await _line(process)
        match said.pop("kind"):
            case "second":
                on_second(Second.from_plain(said))
            case "totals":
                return Totals.from_plain(said)
            case other:
                raise CrewFailed(f"a generator said {other!r}")


async def _line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise CrewFailed(f"a generator process ended with {await process.wait()}; its error is above")
    return dict(orjson.loads(line))


async def _ended(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(0 if process.returncode is None and sys.exc_info()[0] else ENDED_WITHIN):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
