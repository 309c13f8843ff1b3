"""Where a walk happens: a stage of real nodes, the Prometheus that watches them, and the clock of the walk."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.kit.command import Done, penstock
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.redis import RedisServer
from tests.kit.stage import Stage
from tests.kit.waiting import NotInTime, until

from .monitor import Monitor

SEEN_WITHIN: Final = 30.0
FIRES_WITHIN: Final = 60.0
OVER_WITHIN: Final = 120.0


@dataclass
class Walked:
    """Seconds by the name of an alert: from the break until it fired, and from then, with what was done, until it was
    over."""

    fired: dict[str, float] = field(default_factory=dict)
    over: dict[str, float] = field(default_factory=dict)


class Ground:
    """What a walk holds in its hands. `alerts` are those it is about."""

    def __init__(self, alerts: tuple[str, ...], stage: Stage, monitor: Monitor) -> None:
        self.alerts = alerts
        self.stage = stage
        self.monitor = monitor
        self.walked = Walked()
        self._began = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, alerts: tuple[str, ...]) -> AsyncIterator[Ground]:
        """A Hub and a Prometheus, and no node yet."""
        with tempfile.TemporaryDirectory(prefix="penstock-walk-") as name:
            folder = Path(name)
            async with Monitor.open(folder / "prometheus") as monitor, Stage.open(folder, judge=False) as stage:
                yield cls(alerts, stage, monitor)

    async def node(self, **how: Any) -> Node:
        """A node that is watched; the words are those of `Stage.node`."""
        node = await self.stage.node(**how)
        self.watch()
        return node

    async def fleet(self, count: int, *, redis: bool = True, **how: Any) -> Fleet:
        """Nodes that know one another, and are watched; the words are those of `Fleet.start`."""
        server = None
        if redis:
            server = await self.stage.props.enter_async_context(RedisServer.open(self.stage.folder / "redis"))
        fleet = await Fleet.start(self.stage, count, redis=server, **how)
        self.watch()
        return fleet

    def watch(self) -> None:
        """Have Prometheus read all nodes; again when one has come to listen elsewhere. It counts from here when a node
        is broken from the start."""
        self._began = asyncio.get_running_loop().time()
        self.monitor.watch(str(node.admin) for node in self.stage.nodes)

    async def quiet(self) -> None:
        """Returns when Prometheus has read all nodes and none of our alerts is on. From now on it counts: break it."""
        wanted = {str(node.admin) for node in self.stage.nodes}

        async def all_seen() -> bool:
            return await self.monitor.seen() == wanted and not await self._on()

        await until(all_seen, f"all nodes are read, and {self.alerts} are silent", SEEN_WITHIN)
        self._began = asyncio.get_running_loop().time()

    async def fires(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        """Returns when all our alerts have fired. `meanwhile` is done again and again until then. Raises NotInTime."""

        async def news() -> bool:
            if meanwhile is not None:
                await meanwhile()
            self._note(self.walked.fired, {name for name, state in (await self._on()).items() if state == "firing"})
            return len(self.walked.fired) == len(self.alerts)

        await self._in_time(news, "fires", FIRES_WITHIN)
        self._began = asyncio.get_running_loop().time()

    async def over(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        """Returns when all our alerts are silent again; as `fires`."""

        async def news() -> bool:
            if meanwhile is not None:
                await meanwhile()
            self._note(self.walked.over, set(self.alerts) - set(await self._on()))
            return len(self.walked.over) == len(self.alerts)

        await self._in_time(news, "is over", OVER_WITHIN)

    async def readiness(self, node: Node) -> Any:
        """What `/-/readyz` says."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{node.admin}/-/readyz") as answer:
            return await answer.json()

    async def command(self, node: Node, *words: str) -> Done:
        """`penstock WORDS`, asking this node."""
        return await penstock(*words, "--admin", str(node.admin))

    async def penstock(self, *words: str) -> Done:
        """`penstock WORDS` as it is."""
        return await penstock(*words)

    async def _in_time(self, news: Callable[[], Awaitable[bool]], what: str, within: float) -> None:
        try:
            await until(news, f"{self.alerts} {what}", within)
        except NotInTime as late:
            raise NotInTime(f"{late}; on now: {await self.monitor.alerts()}") from None

    async def _on(self) -> dict[str, str]:
        return {name: state for name, state in (await self.monitor.alerts()).items() if name in self.alerts}

    def _note(self, times: dict[str, float], names: set[str]) -> None:
        now = asyncio.get_running_loop().time()
        for name in names - times.keys():
            times[name] = now - self._began
