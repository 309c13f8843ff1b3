"""Makes the faults of a scenario happen at their seconds, takes them back, and keeps the marks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import aiohttp

from .faults import (
    Dials,
    DiskFull,
    Fault,
    NodeFault,
    NodeKill,
    NodePause,
    NodeRestart,
    OriginFault,
    OriginOff,
    RedisFault,
    RedisKill,
    RedisPause,
    WorkerKill,
    armed,
    victim,
)
from .fleet import Redis
from .meter import Meter
from .node import Node, NotStarted, Process
from .record import Mark

_BALLAST = "ballast"
_LEAST_STEP = 4096
"""Bytes that it is not worth to fight for."""
_OfProcesses = NodeKill | NodeRestart | NodePause | RedisKill | RedisPause


@dataclass(frozen=True, slots=True)
class Victims:
    """What there is to hurt: no `nodes` for a mirror that is not ours; `volumes` are those of the nodes, in order."""

    meter: Meter
    nodes: tuple[Node, ...]
    redis: Redis | None
    volumes: tuple[Path, ...]
    dials: Dials


class Timeline:
    """`run` it beside the load; `marks` are what has happened."""

    def __init__(self, faults: tuple[Fault, ...], victims: Victims, on_mark: Callable[[Mark], None]) -> None:
        self._faults = sorted(faults, key=lambda fault: fault.at)
        self._victims = victims
        self._on_mark = on_mark
        self._armed: list[OriginFault] = []
        self._begin = 0.0
        self._over = asyncio.Event()
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """What happens to one process happens one after another: it may take its time to come back."""
        self.marks: list[Mark] = []
        self.failed: str | None = None
        """Why a fault could not be made; None if all could."""

    async def run(self, begin: float) -> None:
        """From `begin` (CLOCK_MONOTONIC) until the last fault is over and taken back, or one could not be made."""
        self._begin = begin
        try:
            async with asyncio.TaskGroup() as group:
                for fault in self._faults:
                    group.create_task(self._one(fault), name=fault.do)
        except* (NotStarted, aiohttp.ClientError, OSError, ValueError) as errors:
            self.failed = str(errors.exceptions[0])

    def end(self) -> None:
        """The load is over: what is under way is taken back now, what has not begun does not happen."""
        self._over.set()

    async def _rest(self, seconds: float) -> None:
        """That long, or until the load is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._over.wait()

    async def _one(self, fault: Fault) -> None:
        await self._rest(self._begin + fault.at - time.monotonic())
        async with self._turns[victim(fault)] if isinstance(fault, _OfProcesses) else contextlib.nullcontext():
            if self._over.is_set():
                return
            name = self._name(fault)
            self._mark(name)
            await self._hurt(fault)
            self._mark(f"{name} over")

    async def _hurt(self, fault: Fault) -> None:
        match fault:
            case NodeKill() | NodeRestart() | NodePause() | WorkerKill() | DiskFull():
                await self._hurt_node(fault)
            case RedisKill() | RedisPause():
                await self._hurt_redis(fault)
            case _:
                await self._hurt_origin(fault)

    def _name(self, fault: Fault) -> str:
        """As it is marked: of several nodes, with the one that it befalls."""
        several = len(self._victims.nodes) > 1
        return f"{fault.do} n{fault.node}" if isinstance(fault, NodeFault) and several else fault.do

    async def _hurt_origin(self, fault: OriginFault) -> None:
        if isinstance(fault, OriginOff):
            await self._victims.meter.arm({"off": fault.seconds})
            await self._rest(fault.seconds)
            return
        self._armed.append(fault)
        try:
            await self._arm()
            await self._rest(fault.seconds)
        finally:
            self._armed.remove(fault)
            await self._arm()

    async def _arm(self) -> None:
        await self._victims.meter.arm(armed(self._armed, self._victims.dials))

    async def _hurt_node(self, fault: NodeFault) -> None:
        node = self._victims.nodes[fault.node]
        match fault:
            case NodeKill():
                self._victims.meter.lose(fault.node)
                await self._kill(node, fault.seconds)
            case NodeRestart():
                self._victims.meter.lose(fault.node)
                await node.stop()
                await node.start()
            case NodePause():
                await self._pause(node, fault.seconds)
            case WorkerKill():
                os.kill(random.choice(node.worker_pids), signal.SIGKILL)
            case DiskFull():
                await self._fill(self._victims.volumes[fault.node], fault)
            case _:
                assert_never(fault)

    async def _hurt_redis(self, fault: RedisFault) -> None:
        redis = self._victims.redis
        assert redis is not None, "the scenario's schema asks for a Redis"
        match fault:
            case RedisKill():
                await self._kill(redis, fault.seconds)
            case RedisPause():
                await self._pause(redis, fault.seconds)
            case _:
                assert_never(fault)

    async def _kill(self, process: Process, seconds: float) -> None:
        await process.kill()
        await self._rest(seconds)
        await process.start()

    async def _pause(self, process: Process, seconds: float) -> None:
        process.send(signal.SIGSTOP)
        try:
            await self._rest(seconds)
        finally:
            process.send(signal.SIGCONT)

    async def _fill(self, volume: Path, fault: DiskFull) -> None:
        ballast = volume / _BALLAST
        try:
            with ballast.open("wb") as file:
                fill(file.fileno(), fault.free)
            await self._rest(fault.seconds)
        finally:
            ballast.unlink(missing_ok=True)

    def _mark(self, name: str) -> None:
        mark = Mark(max(0.0, time.monotonic() - self._begin), name)
        self.marks.append(mark)
        self._on_mark(mark)


def fill(file: int, free: int) -> None:
    """Make an empty file as long as its file system has room, but for `free` bytes. Others may write meanwhile: whoever
    comes first has the room. Raises OSError for any error but that of a full disk."""
    length, step = 0, 1 << 62
    while step >= _LEAST_STEP:
        state = os.fstatvfs(file)
        step = min(step, state.f_bavail * state.f_frsize - free)
        if step <= 0:
            return
        try:
            os.posix_fallocate(file, length, step)
            length += step
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2
