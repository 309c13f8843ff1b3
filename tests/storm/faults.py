"""What nobody wants: to the origins, the nodes, their disks, Redis. Each lasts a while and is made good again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from bench.hub import faults as hub
from tests.kit.node import Node
from tests.kit.redis import RedisServer
from tests.kit.stage import Stage
from tests.kit.waiting import until

from .documents import Documents, Mood
from .judge import Judge

MIB = 1 << 20
FILES = ("cdn", "resolve-cache")


class Faults:
    """They befall what stands on the stage. `volumes` are file systems of their own, under each node's disks."""

    def __init__(
        self,
        stage: Stage,
        documents: Documents,
        judge: Judge,
        chance: Random,
        redis: RedisServer | None,
        volumes: list[Path],
    ) -> None:
        self._stage = stage
        self._documents = documents
        self._judge = judge
        self._chance = chance
        self._redis = redis
        self._volumes = volumes
        self.done: dict[str, int] = {}
        self.table = self._table()

    def _table(self) -> dict[str, Callable[[], Awaitable[None]]]:
        table: dict[str, Callable[[], Awaitable[None]]] = {
            "hub": self.hub_misbehaves,
            "hub-off": self.hub_off,
            "web": self.web_misbehaves,
            "kill": self.kill_node,
            "restart": self.restart_node,
            "pause": self.pause_node,
            "reload": self.reload,
        }
        if self._stage.nodes[0].plan.workers > 1:
            table |= {"kill-worker": self.kill_worker, "renew": self.renew}
        if self._redis is not None:
            table |= {"redis-kill": self.redis_killed, "redis-pause": self.redis_paused}
        else:
            table |= {"disk-gone": self.disk_gone}
        if self._volumes:
            table |= {"disk-full": self.disk_full}
        return table

    async def strike(self) -> None:
        name = self._chance.choice(sorted(self.table))
        self.done[name] = self.done.get(name, 0) + 1
        await self.table[name]()

    # -- origins -----------------------------------------------------------------------------------------------------

    async def hub_misbehaves(self) -> None:
        lied = self._chance.choice([5, 700_000, MIB + 5, 2 * MIB])
        kinds: tuple[tuple[hub.Act, tuple[str, ...]], ...] = (
            (hub.RateLimited(1), ()),
            (hub.Fail(503), ()),
            (hub.Fail(500), FILES),
            (hub.Reset(), ()),
            (hub.Cut(self._chance.randrange(2 * MIB)), FILES),
            (hub.Cut(self._chance.randrange(MIB), reset=True), FILES),
            (hub.Stall(self._chance.randrange(MIB), 1.0), FILES),
            (hub.Throttle(2e6), FILES),
            (hub.Delay(0.7), ()),
            (hub.FlipByte(lied), FILES),
            (hub.IgnoreRange(), FILES),
            (hub.ShiftContentRange(1), FILES),
            (hub.WrongLength(-7), FILES),
            (hub.Gzip(), FILES),
            (hub.ChangeETag(), FILES),
        )
        act, met = self._chance.choice(kinds)
        if isinstance(act, hub.FlipByte):
            self._judge.lied.add(lied)
        with self._judge.weather.while_("hub"):
            armed = self._stage.faults.add(act, kinds=met)
            self.done[repr(act)] = self.done.get(repr(act), 0) + 1
            await self._lasts()
            self._stage.faults.remove(armed)

    async def hub_off(self) -> None:
        with self._judge.weather.while_("hub"):
            await self._stage.hub_off()
            await self._lasts()
            await self._stage.hub.on()

    async def web_misbehaves(self) -> None:
        with self._judge.weather.while_("web"):
            self._documents.mood = self._chance.choice([mood for mood in Mood if mood is not Mood.WELL])
            await self._lasts()
            self._documents.mood = Mood.WELL

    # -- nodes -------------------------------------------------------------------------------------------------------

    async def kill_node(self) -> None:
        number, node = self._some()
        with self._judge.weather.while_("node", f"n{number}"):
            await self._stage.kill(node)
            await self._lasts(0.5)
            await self._stage.start(node)

    async def restart_node(self) -> None:
        number, node = self._some()
        with self._judge.weather.while_("node", f"n{number}"):
            await self._stage.restart(node)

    async def pause_node(self) -> None:
        number, node = self._some()
        pids = {node.pid, *node.workers}
        with self._judge.weather.while_("node", f"n{number}"):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await self._lasts()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def kill_worker(self) -> None:
        number, node = self._some()
        with self._judge.weather.while_("node", f"n{number}"):
            victim = self._chance.choice(node.workers)
            await self._stage.kill_worker(node, victim)
            await until(lambda: len(node.workers) == node.plan.workers, "another worker", 20.0)

    async def renew(self) -> None:
        """Nothing is excused by it."""
        number, node = self._some()
        with self._judge.weather.while_("renew", f"n{number}"):
            await self._stage.renew(node)

    async def reload(self) -> None:
        """Nothing is excused by it."""
        number, node = self._some()
        self._judge.weather.happened("reload", f"n{number}")
        node.configure(store__scrub_rate=self._chance.choice(["8MiB", "64MiB"]))
        node.signal(signal.SIGHUP)

    # -- disks -------------------------------------------------------------------------------------------------------

    async def disk_full(self) -> None:
        volume = self._chance.choice(self._volumes)
        filler = volume / "filler"
        with self._judge.weather.while_("disk"):
            await asyncio.to_thread(_fill, filler)
            await self._lasts()
            filler.unlink()

    async def disk_gone(self) -> None:
        """Another, empty folder is in its place for a while, as when it is unmounted."""
        _, node = self._some()
        disk = self._chance.choice(node.plan.disk_folders)
        away = disk.with_name(f"{disk.name}-away")
        with self._judge.weather.while_("disk"):
            disk.rename(away)
            disk.mkdir()
            await self._lasts()
            await asyncio.to_thread(_put_back, away, disk)

    # -- Redis -------------------------------------------------------------------------------------------------------

    async def redis_killed(self) -> None:
        assert self._redis is not None
        with self._judge.weather.while_("redis"):
            await self._redis.kill()
            await self._lasts()
            await self._redis.start()

    async def redis_paused(self) -> None:
        assert self._redis is not None
        with self._judge.weather.while_("redis"):
            self._redis.pause()
            await self._lasts()
            self._redis.resume()

    def _some(self) -> tuple[int, Node]:
        number = self._chance.randrange(len(self._stage.nodes))
        return number, self._stage.nodes[number]

    async def _lasts(self, times: float = 1.0) -> None:
        await asyncio.sleep(times * self._chance.uniform(0.3, 2.5))


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MIB))


def _put_back(away: Path, disk: Path) -> None:
    """What was written into the folder that stood in its place is lost, as on a mount point."""
    stand_in = disk.with_name(f"{disk.name}-stand-in")
    disk.rename(stand_in)
    away.rename(disk)
