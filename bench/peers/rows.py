"""The rows of the comparison: what is done to a server, and which figures come of it.

They are done in this order to a server that has just been started with an empty cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.load.wire import Exchange, Pace
from bench.rush import again_and_again

from .asking import CONNECTIONS, FAILURES, Asked, Client, Many, NotMeasurable, Unexpected, many
from .memory import held
from .origin import File, Origin
from .servers import Installed, Running

RANGE: Final = 16 << 20
RANGES: Final = 64
WHOLES: Final = 4
HERD: Final = 64
UPLINK: Final = 50_000_000
"""Bytes a second that the origin gives to a herd."""
TAIL: Final = 1 << 20
SLOW_RATE: Final = 100_000.0
SLOW_SECONDS: Final = 4.0
OFF_SECONDS: Final = 6.0
READING: Final = 0.9
"""Share of the slow readers that must have a byte for their memory to be told."""
MOST_MEMORY: Final = 6 << 30
"""A server that takes more for its slow readers is let go: the machine has other uses for it."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row works with. `running` is None when the origin itself is asked, for comparison."""

    running: Running | None
    origin: Origin
    files: Mapping[str, File]
    client: Client
    installed: Installed
    load_core: int | None
    readers: int
    """Slow ones."""
    small_seconds: int
    slow_seconds: float = SLOW_SECONDS
    remarks: set[str] = field(default_factory=set)
    """What has to be said of the figures."""

    def asked(self, name: str, *, span: tuple[int, int] | None = None, method: str = "GET") -> Asked:
        file = self.files[name]
        return Asked(file.path_at(self.running.server if self.running else None), file.size, span, method)

    @property
    def server(self) -> Running:
        assert self.running is not None, "this row is not for the origin"
        return self.running


async def cold_whole(bench: Bench) -> Figures:
    [exchange] = await bench.client.ask(bench.asked("whole"))
    return {"cold_whole_wall": _wall(exchange), "cold_whole_first": _first(exchange)}


async def right_bytes(bench: Bench) -> Figures:
    """No figure: a server that gives wrong bytes is not worth measuring."""
    await bench.client.ask(bench.asked("whole"), hashed=bench.files["whole"].sha256)
    return {}


async def warm_whole(bench: Bench) -> Figures:
    return await _moved(bench, "warm_whole", [bench.asked("whole")] * WHOLES)


async def warm_ranges(bench: Bench) -> Figures:
    size, chance = bench.files["whole"].size, random.Random(5)
    begins = [chance.randrange(0, max(size - RANGE, 1)) for _ in range(RANGES)]
    spans = [(begin, min(begin + RANGE, size)) for begin in begins]
    return await _moved(bench, "warm_ranges", [bench.asked("whole", span=span) for span in spans])


async def _moved(bench: Bench, name: str, wanted: list[Asked]) -> Figures:
    with _warm(bench):
        cpu = bench.server.cpu_seconds()
        exchanges = await bench.client.ask(*wanted)
        cost = max(bench.server.cpu_seconds() - cpu, 0.01)
    moved, wall = sum(asked.expected for asked in wanted), _ended(exchanges[-1]) - exchanges[0].sent
    return {f"{name}_cpu": moved / cost, f"{name}_wall": moved / wall}


@contextlib.contextmanager
def _warm(bench: Bench) -> Iterator[None]:
    with held(bench.server.folder) as count:
        if count is None:
            bench.remarks.add(
                "The files of warm rows could not be held in memory (RLIMIT_MEMLOCK): the kernel may take them."
            )
        yield


async def small_get(bench: Bench) -> Figures:
    return await _asked_for_often(bench, "small_get", bench.asked("small"))


async def generic_get(bench: Bench) -> Figures:
    """A hit of an answer of any server, by the rules of HTTP."""
    if not bench.server.server.takes_any_origin:
        raise NotMeasurable("it knows the Hub alone")
    return await _asked_for_often(bench, "generic_get", bench.asked("generic"))


async def _asked_for_often(bench: Bench, name: str, asked: Asked) -> Figures:
    await bench.client.ask(asked)
    url = "http://{}:{}".format(*bench.server.address) + asked.path
    wrk, libraries = bench.installed.program("wrk"), bench.installed.environment
    with _warm(bench):
        cpu = bench.server.cpu_seconds()
        done = await many(wrk, libraries, url, seconds=bench.small_seconds, core=bench.load_core)
        return _answered(name, done, bench.server.cpu_seconds() - cpu)


async def small_head(bench: Bench) -> Figures:
    """With a loop of our own: wrk waits for the body of an answer to HEAD, which never comes."""
    asked = bench.asked("small", method="HEAD")
    await bench.client.ask(asked)
    address, text = bench.server.address, asked.text("{}:{}".format(*bench.server.address))
    with _warm(bench):
        cpu = bench.server.cpu_seconds()
        done = await asyncio.to_thread(
            again_and_again, address, text, connections=CONNECTIONS, seconds=bench.small_seconds
        )
        return _answered("small_head", Many(done.requests, done.seconds), bench.server.cpu_seconds() - cpu)


def _answered(name: str, done: Many, cpu: float) -> Figures:
    if not done.requests:
        raise Unexpected("not one small request was answered")
    return {f"{name}_cpu": done.requests / max(cpu, 0.01), f"{name}_wall": done.requests / done.seconds}


async def cold_tail(bench: Bench) -> Figures:
    """The last MiB of a large file of which nothing is there."""
    size = bench.files["tail"].size
    _, before = await bench.origin.sent()
    [exchange] = await bench.client.ask(bench.asked("tail", span=(size - TAIL, size)))
    _, after = await bench.origin.sent()
    return {"cold_tail_wall": _wall(exchange), "cold_tail_origin": (after - before) / TAIL}


async def herd(bench: Bench) -> Figures:
    """Many clients want one file that is not there, over a thin uplink."""
    await bench.origin.set(bandwidth=UPLINK)
    try:
        _, before = await bench.origin.sent()
        exchanges = await bench.client.herd(bench.asked("herd"), HERD)
        _, after = await bench.origin.sent()
    finally:
        await bench.origin.set(bandwidth=None)
    return {
        "herd_wall": max(map(_ended, exchanges)) - min(one.sent for one in exchanges),
        "herd_first": max(map(_first, exchanges)),
        "herd_origin": (after - before) / bench.files["herd"].size,
    }


async def lone(bench: Bench) -> Figures:
    """One client of the origin itself over the same uplink: what a herd is measured against."""
    await bench.origin.set(bandwidth=UPLINK)
    try:
        [exchange] = await bench.client.ask(bench.asked("lone"))
    finally:
        await bench.origin.set(bandwidth=None)
    return {"herd_wall": _wall(exchange), "herd_first": _first(exchange)}


async def slow_readers(bench: Bench) -> Figures:
    """Readers who take 100 kB/s of a file that is there. Raises NotMeasurable when they get nothing to read."""
    before = bench.server.memory()
    asked, exchanges = bench.asked("whole"), list[Exchange]()
    pace, buffer = Pace(SLOW_RATE, 16 << 10), 16 << 10
    async with asyncio.TaskGroup() as group:
        each = (bench.client.ask_into(exchanges, asked, pace=pace, buffer=buffer) for _ in range(bench.readers))
        tasks = [group.create_task(one) for one in each]
        after, until = before, asyncio.get_running_loop().time() + bench.slow_seconds
        while asyncio.get_running_loop().time() < until and after - before < MOST_MEMORY:
            await asyncio.sleep(0.5)
            after = max(after, bench.server.memory())
        reading = sum(exchange.received > 0 for exchange in exchanges)
        for task in tasks:
            task.cancel()
    if reading < READING * bench.readers:
        raise NotMeasurable(f"{reading} of {bench.readers} had a byte after {bench.slow_seconds:g} s")
    return {"slow_memory": max(after - before, 0) / bench.readers}


async def origin_off(bench: Bench) -> Figures:
    """What is there is asked for while the origin's ports are closed."""
    wanted = [
        bench.asked("small"),
        bench.asked("whole", method="HEAD"),
        bench.asked("whole", span=(TAIL, 2 * TAIL)),
    ]
    await bench.origin.set(off=OFF_SECONDS)
    closed = asyncio.get_running_loop().time()
    await asyncio.sleep(0.5)
    served = 0
    for asked in wanted:
        served += await _is_served(bench.client, asked)
    await asyncio.sleep(max(closed + OFF_SECONDS + 1.0 - asyncio.get_running_loop().time(), 0.0))
    return {"origin_off": served / len(wanted)}


async def _is_served(client: Client, asked: Asked) -> bool:
    try:
        async with asyncio.timeout(1.5):
            await client.ask(asked)
    except FAILURES:
        return False
    return True


def _wall(exchange: Exchange) -> float:
    return _ended(exchange) - exchange.sent


def _first(exchange: Exchange) -> float:
    assert exchange.first_byte is not None, "it was answered"
    return exchange.first_byte - exchange.sent


def _ended(exchange: Exchange) -> float:
    assert exchange.ended is not None, "it was answered"
    return exchange.ended


Row = Callable[[Bench], Awaitable[Figures]]

ROWS: Mapping[str, Row] = {
    "cold-whole": cold_whole,
    "right-bytes": right_bytes,
    "warm-whole": warm_whole,
    "warm-ranges": warm_ranges,
    "small-get": small_get,
    "small-head": small_head,
    "generic-get": generic_get,
    "cold-tail": cold_tail,
    "herd": herd,
    "slow-readers": slow_readers,
    "origin-off": origin_off,
}
"""By name, in the order in which they are done."""
DIRECT: Mapping[str, Row] = {"cold-whole": cold_whole, "herd": lone}
"""What is done to the origin itself, under the names of the rows it belongs to."""
