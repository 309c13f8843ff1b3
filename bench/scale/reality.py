"""The same trace for a simulated fleet and for real nodes on this machine, and how far the two are apart.

Real are the nodes (processes, disks, peers), the Hub and every byte; each file comes by a request of its own, to the
node that the trace names. Small files stand for large ones, so that a machine can hold the fleet; a slice is a file.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from bench import node as nodes
from bench.hub import planting
from bench.hub.content import SyntheticBlob
from bench.hub.server import SyntheticHub
from bench.hub.world import World
from bench.load.catalogue import Catalogue, File, drawn, to_plain
from bench.scenario import Scenario
from proxy.core.blob import BlobKey

from .fleet import Fleet, Setting
from .outcome import hottest
from .trace import Reading, Visit, visits

AT_ONCE: Final = 64
"""Readings under way; the next waits, and is late."""
ATTEMPTS: Final = 60
"""So often a reading is refused by a node that has too much to do, until it has failed, and the comparison with it."""
_CLIENT: Final = aiohttp.ClientTimeout(total=120)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is compared. Shares are of the bytes wanted."""

    origin_share: float
    peer_share: float
    hottest: float
    """Bytes sent by the node that sent most, over the mean."""


TOLERANCE: Final = Seen(origin_share=0.03, peer_share=0.05, hottest=0.05)
"""By how much a simulation may be off."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Both, and how much was wanted. `late` seconds: the longest that a reading began after its time."""

    simulated: Seen
    real: Seen
    readings: int
    wanted: int
    late: float

    @property
    def agree(self) -> bool:
        return all(
            abs(getattr(self.simulated, name) - getattr(self.real, name)) <= getattr(TOLERANCE, name)
            for name in Seen.__slots__
        )


async def compared(scenario: Scenario, folder: Path, *, count: int, room: int, seed: int) -> Compared:
    """`count` nodes that may keep `room` bytes each, given the scenario for its duration."""
    catalogue = drawn(scenario.catalogue.extent(), seed)
    trace = list(itertools.takewhile(lambda one: one.at < scenario.duration, visits(scenario, catalogue, seed)))
    ports = _free_ports(count)
    simulated, wanted = _simulated(trace, ports, room, seed)
    world = World()
    planting.plant(world, to_plain(catalogue)["repos"])
    planting.hash_all(world)
    async with SyntheticHub.open(world) as hub, _fleet(folder, hub.url, ports, room) as fleet:
        player = _Player(catalogue, [_url(port) for port in ports])
        await player.play(trace)
        real = await _seen(fleet, hub, wanted)
    return Compared(simulated, real, sum(len(one.readings) for one in trace), wanted, player.late)


def _simulated(trace: Sequence[Visit], ports: Sequence[int], room: int, seed: int) -> tuple[Seen, int]:
    """And the bytes that were wanted."""
    setting = Setting(nodes=len(ports), room=room, seed=seed)
    fleet = Fleet(setting, urls=[_url(port) for port in ports], key_of=_key)
    fleet.play(trace, requests=sys.maxsize)
    books, wanted = fleet.books, fleet.books.wanted_bytes
    sent = [ours + theirs for ours, theirs in zip(books.to_readers, books.to_peers, strict=True)]
    return Seen(books.all_origin / wanted, sum(books.to_peers) / wanted, hottest(sent)), wanted


async def _seen(fleet: Sequence[nodes.Process], hub: SyntheticHub, wanted: int) -> Seen:
    sent, for_peers = [], 0.0
    async with aiohttp.ClientSession(timeout=_CLIENT) as session:
        for node in fleet:
            async with session.get(f"http://{node.facts['admin']}/metrics") as answer:
                page = nodes.Page.parse(await answer.text())
            sent.append(int(page.total("penstock_response_bytes_total")))
            for_peers += page.total("penstock_response_bytes_total", route="peer")
    return Seen(hub.counters.total_bytes() / wanted, for_peers / wanted, hottest(sent))


class _Player:
    """Asks for what is in a trace, when it is in it."""

    def __init__(self, catalogue: Catalogue, urls: Sequence[str]) -> None:
        self._urls = urls
        self._pages = {
            file.seed: f"/{repo.id}/resolve/{repo.commit}/{file.path}" for repo in catalogue for file in repo.files
        }
        self._places = asyncio.Semaphore(AT_ONCE)
        self.late = 0.0

    async def play(self, trace: Sequence[Visit]) -> None:
        loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_CLIENT) as session, asyncio.TaskGroup() as group:
            began = loop.time()
            for visit in trace:
                await asyncio.sleep(began + visit.at - loop.time())
                for reading in visit.readings:
                    await self._places.acquire()
                    self.late = max(self.late, loop.time() - began - visit.at)
                    group.create_task(self._read(session, reading))

    async def _read(self, session: aiohttp.ClientSession, reading: Reading) -> None:
        url = self._urls[int(reading.lot * len(self._urls))] + self._pages[reading.file.seed]
        try:
            for _ in range(ATTEMPTS):
                if await self._served(session, url):
                    return
                await asyncio.sleep(1.0)  # what Retry-After says
            raise TimeoutError(f"{url} was refused {ATTEMPTS} times")
        finally:
            self._places.release()

    async def _served(self, session: aiohttp.ClientSession, url: str) -> bool:
        """False when the node has too much to do just now."""
        async with session.get(url) as answer:
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                return False
            answer.raise_for_status()
            async for _ in answer.content.iter_any():
                pass
        return True


@asynccontextmanager
async def _fleet(folder: Path, origin: str, ports: Sequence[int], room: int) -> AsyncIterator[list[nodes.Process]]:
    """Nodes that know one another by a list."""
    (folder / "cluster.secret").write_text(secrets.token_hex(32))
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(nodes.running(_process(folder, origin, ports, number, room)))
            for number in range(len(ports))
        ]


def _process(folder: Path, origin: str, ports: Sequence[int], number: int, room: int) -> nodes.Process:
    own = folder / f"n{number}"
    own.mkdir()
    urls = [_url(port) for port in ports]
    command = [sys.executable, "-m", "proxy.cli.main", "serve", "--listen", f"127.0.0.1:{ports[number]}"]
    command += ["--admin", "127.0.0.1:0", "--origin", origin, "--origin-allow-private"]
    command += ["--origin-redirect-host", "127.0.0.1", "--disk", f"{own}/disk={room}", "--access-log", ""]
    command += ["--log-level", "warning", "--ready-file", f"{own}/ready.json", "--node", f"n{number}"]
    command += ["--advertise", urls[number], "--cluster-secret-file", str(folder / "cluster.secret")]
    command += itertools.chain.from_iterable(("--peer", url) for url in urls if url != urls[number])
    return nodes.Process(command, own / "ready.json", own / "log", None)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _key(file: File) -> BlobKey:
    return BlobKey.sha256(SyntheticBlob(file.seed, file.size).sha256)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
