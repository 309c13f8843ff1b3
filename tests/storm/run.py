"""One storm from beginning to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from proxy.core.tasks import TaskSet
from tests.kit.fleet import Fleet
from tests.kit.redis import RedisServer
from tests.kit.stage import Stage
from tests.kit.waiting import until
from tests.kit.weborigin import WebSite

from .aftermath import held, logged
from .documents import Documents
from .faults import Faults
from .judge import Judge
from .models import Models
from .operators import MOUNT, Operators, job_done
from .readers import Ended, Exchange, Manner, exchanged, manner_of, range_of
from .volumes import volumes
from .weather import LASTS, Weather

_AGAIN = 0.2
"""Seconds until a client that met nobody tries again."""
OPERATORS = 2
ENOUGH = 12
"""Complaints after which nobody reads on."""


def _calm(chance: Random) -> float:
    """Seconds until the next fault: now and then so long that the last one explains nothing any more."""
    return chance.uniform(0.3, 3.0) if chance.random() < 0.75 else chance.uniform(LASTS, LASTS + 4)


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands there."""

    nodes: int = 1
    workers: int = 1


SHAPES = {"one": Shape(), "workers": Shape(workers=2), "fleet": Shape(nodes=3)}
SETTINGS: dict[str, Any] = {
    "log__level": "info",
    "origin__read_timeout": "2s",
    "fetch__progress_timeout": "6s",
    "server__drain_timeout": "3s",
    "store__free_floor": "0",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to happen. `only`: faults by name; none: all."""

    seed: int
    seconds: float = 20.0
    shape: str = "one"
    clients: int = 8
    disk: str = "20MiB"
    only: tuple[str, ...] = ()


@dataclass
class Report:
    """What came of it."""

    order: Order
    complaints: list[str] = field(default_factory=list)
    exchanges: int = 0
    bytes: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    story: str = ""

    def __str__(self) -> str:
        lines = [f"{self.order}", f"{self.exchanges} exchanges, {self.bytes / 1e6:.0f} MB: {self.statuses}"]
        lines += [f"operations: {self.operations}", f"faults: {self.faults}"]
        if self.complaints:
            lines += ["complaints:", *(f"  {one}" for one in self.complaints), "the last that was done:", self.story]
        return "\n".join(lines)


class Storm:
    """Everybody who takes part."""

    def __init__(self, order: Order, stage: Stage, site: WebSite, redis: RedisServer | None, disks: list[Path]) -> None:
        now = asyncio.get_running_loop().time
        started = now()
        self.now: Callable[[], float] = lambda: now() - started
        self.order = order
        self.report = Report(order)
        self.stage = stage
        self.weather = Weather(self.now)
        self.judge = Judge(self.weather)
        self.models = Models(stage, self._chance("models"), self.now)
        self.documents = Documents(site, self._chance("documents"), self.now)
        who = (stage.nodes, self.models, self.documents, self.judge)
        self.operators = Operators(*who, self._chance("operators"), self.complain)
        self.redis = redis
        self.disks = disks

    def complain(self, what: str) -> None:
        if not self.report.complaints:
            self.report.story = self.weather.latest()
        self.report.complaints.append(what)

    async def rage(self) -> None:
        """Until the time is over, or there is enough to complain of."""
        faults = Faults(self.stage, self.documents, self.judge, self._chance("faults"), self.redis, self.disks)
        if self.order.only:
            faults.table = {name: fault for name, fault in faults.table.items() if name in self.order.only}
        self.report.faults, self.report.operations = faults.done, self.operators.done
        tasks = TaskSet("storm")
        over = asyncio.Event()
        working = [tasks.start(self._client(number, over), f"client {number}") for number in range(self.order.clients)]
        for number in range(OPERATORS):
            work = self._repeated(
                self.operators.act, lambda chance: chance.uniform(0.05, 0.6), over, f"operator {number}"
            )
            working.append(tasks.start(work, f"operator {number}"))
        if faults.table:
            working.append(tasks.start(self._repeated(faults.strike, _calm, over, "faults"), "faults"))
        ending = tasks.start(self._ending(over, working), "end")
        try:
            await asyncio.gather(*working)
            await ending
        finally:
            over.set()
            await tasks.aclose()

    async def _ending(self, over: asyncio.Event, working: list[asyncio.Task[None]]) -> None:
        while self.now() < self.order.seconds and len(self.report.complaints) < ENOUGH:
            if any(task.done() for task in working):
                break
            await asyncio.sleep(0.05)
        over.set()

    async def _repeated(
        self, act: Callable[[], Awaitable[None]], pause: Callable[[Random], float], over: asyncio.Event, name: str
    ) -> None:
        chance = self._chance(name)
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause(chance)):
                    await over.wait()
                    return
            await act()

    # -- clients -----------------------------------------------------------------------------------------------------

    async def _client(self, number: int, over: asyncio.Event) -> None:
        chance = self._chance(f"client {number}")
        connector = aiohttp.TCPConnector(force_close=chance.random() < 0.3)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout) as session:
            while not over.is_set():
                node = chance.randrange(len(self.stage.nodes))
                match chance.randrange(10):
                    case 0:
                        await self._asks_main(session, chance, node)
                    case 1 | 2 | 3 | 4:
                        await self._asks_file(session, chance, node)
                    case _:
                        await self._asks_document(session, chance, node)

    async def _asks_main(self, session: aiohttp.ClientSession, chance: Random, node: int) -> None:
        model = chance.choice(self.models.all)
        path = chance.choice(["config.json", "weights-1.safetensors"])
        target = f"/{model.repo}/resolve/main/{path}"
        told = Exchange(node, chance.choice(["GET", "HEAD"]), target, {}, self.now())
        await self._exchange(session, told, Manner())
        self._judged(told, list(self.judge.redirect(told, model)))

    async def _asks_file(self, session: aiohttp.ClientSession, chance: Random, node: int) -> None:
        file = self.models.some()
        told = self._made(chance, node, file.target(), file.size, f'"{file.etag}"')
        await self._exchange(session, told, manner_of(chance, file.size))
        self._judged(told, list(self.judge.file(told, file)))

    async def _asks_document(self, session: aiohttp.ClientSession, chance: Random, node: int) -> None:
        document = chance.choice(self.documents.all)
        size = len(document.content(document.version))
        told = self._made(chance, node, f"{MOUNT}{document.target}", size, document.etag(document.version))
        if document.traits.vary:
            told.fields = {**told.fields, document.traits.vary: chance.choice(["de", "en"])}
        await self._exchange(session, told, manner_of(chance, size))
        self._judged(told, list(self.judge.document(told, document)))

    def _made(self, chance: Random, node: int, target: str, size: int, etag: str | None) -> Exchange:
        fields: dict[str, str] = {}
        if chance.random() < 0.4:
            fields["Range"] = range_of(chance, size)
            if etag is not None and chance.random() < 0.2:
                fields["If-Range"] = chance.choice([etag, '"other"'])
        match chance.randrange(12):
            case 0 if etag is not None:
                fields["If-None-Match"] = etag
            case 1:
                fields["If-None-Match"] = '"other"'
            case 2:
                fields["If-Match"] = '"other"'
            case _:
                pass
        return Exchange(node, "HEAD" if chance.random() < 0.1 else "GET", target, fields, self.now())

    async def _exchange(self, session: aiohttp.ClientSession, told: Exchange, manner: Manner) -> None:
        await exchanged(session, self.stage.nodes[told.node].url, told, manner, self.now)
        if told.ended is Ended.UNREACHED:
            await asyncio.sleep(_AGAIN)

    def _judged(self, told: Exchange, complaints: list[str]) -> None:
        report = self.report
        report.exchanges += 1
        report.bytes += len(told.body)
        kind = f"{told.status} {told.ended.value}"
        report.statuses[kind] = report.statuses.get(kind, 0) + 1
        for complaint in complaints:
            self.complain(f"{complaint}: {told}")

    # -- the end -----------------------------------------------------------------------------------------------------

    async def calm_down(self) -> None:
        """All is well again: everything can be read and is right, nothing is held, and the books are."""
        for number, node in enumerate(self.stage.nodes):
            await until(node.is_ready, f"n{number} is ready", 60.0)
            job = await job_done(node, "/-/api/jobs/scrub", {})
            if job["state"] != "done":
                self.complain(f"n{number}: the scrub ended so: {job}")
        await self._read_all()
        for node in self.stage.nodes:
            for model in self.models.all:
                job = await job_done(node, "/-/api/jobs/verify", {"repo": model.repo, "revision": "main"})
                if job["state"] != "done" or job["result"].get("wrong"):
                    self.complain(f"{node}: verify {model.repo}: {job}")
        self.report.complaints += await held(self.stage.nodes)

    async def _read_all(self) -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            for number in range(len(self.stage.nodes)):
                for model in self.models.all:
                    told = Exchange(number, "GET", f"/{model.repo}/resolve/main/config.json", {}, self.now())
                    await self._exchange(session, told, Manner())
                    self._last_judged(told, list(self.judge.redirect(told, model)), 307)
                    for file in model.files[model.commits[-1]].values():
                        told = Exchange(number, "GET", file.target(), {}, self.now())
                        await self._exchange(session, told, Manner())
                        self._last_judged(told, list(self.judge.file(told, file)), 200)
                for document in self.documents.all:
                    told = Exchange(number, "GET", f"{MOUNT}{document.target}", {}, self.now())
                    await self._exchange(session, told, Manner())
                    self._last_judged(told, list(self.judge.document(told, document)), document.traits.status)

    def _last_judged(self, told: Exchange, complaints: list[str], status: int) -> None:
        if told.status != status:
            complaints.append(f"in the end, {told.status}: {bytes(told.body[:200])!r}")
        self._judged(told, complaints)

    def _chance(self, of: str) -> Random:
        return Random(f"{self.order.seed}/{of}")


@asynccontextmanager
async def standing(order: Order, folder: Path) -> AsyncIterator[Storm]:
    """All that takes part, running."""
    shape = SHAPES[order.shape]
    async with AsyncExitStack() as stack:
        disks = await stack.enter_async_context(volumes(folder / "volumes", shape.nodes))
        site = await stack.enter_async_context(WebSite.open())
        stage = await stack.enter_async_context(Stage.open(folder, judge=False, xet=False))
        redis = None
        settings: dict[str, Any] = {**SETTINGS, "origin__gen__url": site.url, "workers": shape.workers}
        if shape.nodes > 1:
            redis = await stack.enter_async_context(RedisServer.open(folder / "redis"))
            await Fleet.start(stage, shape.nodes, redis=redis, disks=2, disk_size=order.disk, **settings)
        else:
            places = [f"{disk}/disk={order.disk}" for disk in disks] if disks else 2
            await stage.node(disks=places, disk_size=order.disk, **settings)
        stage.allow_origin(None)
        stage.others_ask()
        yield Storm(order, stage, site, redis, disks)


async def stormed(order: Order, folder: Path) -> Report:
    """The whole story."""
    async with standing(order, folder) as storm:
        try:
            await storm.rage()
            await storm.calm_down()
        except AssertionError as error:
            storm.complain(f"it came to nothing: {error}")
        complaints = await storm.stage.verdict()
        for name, found in complaints.items():
            for what in found:
                if not _is_known(what, storm.weather):
                    storm.complain(f"{name}: {what}")
        for node in storm.stage.nodes:
            for line in logged(node.plan.folder, storm.weather):
                storm.complain(line)
        return storm.report


def _is_known(complaint: str, weather: Weather) -> bool:
    """What the oracles of a stage say of it that is none of ours: there are two origins, and they know of one; and the
    name of a blob that was made while its disk was away, or its node killed, stays in the index without a byte."""
    lost = complaint.endswith("has None bytes, the index says 0") and weather.ever("disk", "node")
    return lost or "counted from the origin" in complaint
