"""A node of several processes: a small parent that starts workers, restarts the ones that die, and stops them all.

Theory of operation. The parent takes the port (so that a second node fails) and holds it bound, without listening; each
worker binds the same port with SO_REUSEPORT and the kernel shares connections out. The parent itself serves the admin
port alone: health and status asked of the workers over a socket pair each, metrics read from files they share.

    slot      the place of worker number i: a loop of start, watch, bury, wait
    worker    one process in a slot, known by its pid

A worker that dies takes its connections with it and nothing else. It is started again after a pause that doubles with
every quick death. The node gives up only if no worker has ever been ready.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import proxy
from proxy.config.schema import Address
from proxy.core.blob import BlobKey
from proxy.core.errors import PenstockError
from proxy.core.tasks import TaskSet
from proxy.telemetry.events import set_level
from proxy.telemetry.exposition import SharedMetrics, metrics_of_supervisor, page_of

from .admin import admin_listener
from .admission import admission_of
from .child import Worker, born
from .cluster_api import of_all_workers
from .control import Drain, HandOver, Hurry, Order, Purge, Reload, Start, lines, read_report
from .drain import StopOrder
from .folder import metrics_folder
from .operations.shape import NODE_STARTS, Reply
from .reach import warn_if_unreachable
from .ready import ReadyFile, Standing, ready_file
from .run import Run, config_after_hangup, note_reload, note_start
from .sockets import address_of, held_port
from .system import tell_systemd

log: Final = logging.getLogger(__name__)

_TRIES: Final = 3
"""How often a worker may die silently before any worker has been ready."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_SETTLED: Final = 30.0
"""Seconds of life after which a death is no longer a quick one."""
_GRACE: Final = 10.0
"""Seconds beyond its own limits that a worker gets to end before it is killed."""


class NodeFailed(PenstockError):
    """No worker could ever serve."""


def pause_before_restart(quick_deaths: int) -> float:
    """Seconds to wait after so many deaths in a row, the first being 1."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (min(quick_deaths, 32) - 1))


class Supervisor:
    """All slots of a node."""

    def __init__(self, run: Run, assembly: str, listen: Address, admin: Address, folder: Path, file: ReadyFile) -> None:
        self._run = run
        self._assembly = assembly
        self._config = run.config
        self._listen = listen
        self._admin = admin
        self._file = file
        self._secret = secrets.token_bytes(32)
        self._shared = SharedMetrics(folder)
        self._metrics = metrics_of_supervisor()
        self._order = StopOrder()
        self._workers: dict[int, Worker] = {}
        self._served = False
        self._handed_over = False
        self._failure: str | None = None

    async def serve(self, admin: socket.socket) -> None:
        """Until told to stop. Raises NodeFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._order.signalled)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        note_start(self._metrics, self._run.clock)
        async with admin_listener(admin, self, admission_of(self._config)), TaskSet("supervisor") as tasks:
            origin = self._config.origin
            tasks.start(warn_if_unreachable(origin.url, origin.connect_timeout), "reach")
            slots = [tasks.start(self._slot(index), f"slot-{index}") for index in range(self._config.server.workers)]
            await self._order.begun.wait()
            await self._stop(slots)
        if self._failure is not None:
            raise NodeFailed(self._failure)
        log.info("stopped")

    # --- what the admin port shows ---------------------------------------------------------------------------------

    async def reasons(self) -> list[str]:
        """Ready as long as one worker is: while another restarts, the kernel gives its share to the living."""
        if self._order.begun.is_set():
            return ["draining"]
        if not self._served:
            return ["starting"]
        if any(worker.ready for worker in self._workers.values()):
            return []
        return sorted({reason for worker in self._workers.values() for reason in worker.reasons}) or ["no worker lives"]

    async def status(self) -> dict[str, Any]:
        indexes = sorted(self._workers)
        told = await asyncio.gather(*(self._workers[index].status() for index in indexes))
        return {
            "version": proxy.__version__,
            "pid": os.getpid(),
            "reasons": await self.reasons(),
            "workers": [
                {"index": index, "pid": worker.pid, "reasons": list(worker.reasons), "node": node}
                for index, node in zip(indexes, told, strict=True)
                if (worker := self._workers.get(index)) is not None
            ],
        }

    @property
    def in_cluster(self) -> bool:
        return self._config.cluster.is_on

    async def cluster(self) -> dict[str, Any] | None:
        told = await asyncio.gather(*(worker.status() for worker in self._workers.values()))
        return of_all_workers([status.get("cluster") for status in told])

    async def hand_over(self) -> None:
        self._handed_over = True
        self._tell_all(HandOver())

    async def purge(self, key: BlobKey) -> bool:
        worker = self._any_worker()
        if worker is None:
            return False
        worker.tell(Purge(key))
        return True

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        worker = self._any_worker()
        return NODE_STARTS if worker is None else await worker.operate(verb, arguments)

    def _any_worker(self) -> Worker | None:
        return next((worker for worker in self._workers.values() if worker.ready), None)

    async def metrics(self) -> bytes:
        ready = sum(worker.ready for worker in self._workers.values())
        self._metrics.gauge("workers").labels("ready").set(ready)
        self._metrics.gauge("workers").labels("starting").set(self._config.server.workers - ready)
        return self._shared.page() + page_of(self._metrics)

    # --- slots -----------------------------------------------------------------------------------------------------

    async def _slot(self, index: int) -> None:
        quick_deaths = 0
        while not self._order.begun.is_set():
            born = self._run.clock.monotonic()
            code, failure = await self._life_or_none(index)
            if self._order.begun.is_set():
                return
            quick_deaths = 1 if self._run.clock.monotonic() - born > _SETTLED else quick_deaths + 1
            if not self._served and (failure is not None or quick_deaths >= _TRIES):
                self._give_up(failure or f"worker {index} died {quick_deaths} times with exit code {code}; see above")
                return
            self._metrics.counter("worker_restarts_total").inc()
            pause = pause_before_restart(quick_deaths)
            log.error("worker died", extra={"index": index, "code": code, "why": failure or "", "restart_in": pause})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._order.begun.wait(), pause)

    async def _life_or_none(self, index: int) -> tuple[int, str | None]:
        try:
            return await self._life(index)
        except OSError as error:  # no process, memory or descriptor left to start one with
            return 1, f"cannot be started: {error}"

    async def _life(self, index: int) -> tuple[int, str | None]:
        """One worker from its start to its end: its exit code and what it said it died of."""
        async with born(index, self._assembly, self._shared.folder) as (worker, reports):
            self._workers[index] = worker
            try:
                worker.tell(Start(self._config, self._listen, self._secret))
                if self._order.begun.is_set():
                    # 1. the slot starts a worker  2. the order comes, and is told to all  3. the worker is born
                    worker.tell(Drain())
                if self._handed_over:
                    worker.tell(HandOver())
                async for line in lines(reports):
                    worker.heard(read_report(line))
                    self._note_health()
                worker.gone()
                return await worker.ended(), worker.failure
            finally:
                del self._workers[index]
                worker.gone()
                self._shared.worker_died(index)

    def _note_health(self) -> None:
        everybody = len(self._workers) == self._config.server.workers
        if self._order.begun.is_set() or not everybody or not all(worker.ready for worker in self._workers.values()):
            return
        pids = tuple(self._workers[index].pid for index in sorted(self._workers))
        standing = Standing(self._listen, self._admin, os.getpid(), pids)
        self._file.write(standing)
        if not self._served:
            self._served = True
            self._run.announce(standing)
            tell_systemd("READY=1")

    def _give_up(self, why: str) -> None:
        self._failure = self._failure or why
        self._order.hurry()

    # --- signals ---------------------------------------------------------------------------------------------------

    async def _stop(self, slots: list[asyncio.Task[None]]) -> None:
        tell_systemd("STOPPING=1")
        self._file.remove()
        self._tell_all(Drain())
        server = self._config.server
        await self._until_ended(slots, server.drain_delay + server.drain_timeout + _GRACE)
        self._tell_all(Hurry())
        await asyncio.wait(slots, timeout=_GRACE)
        # What is left now is killed when its slot is cancelled.

    async def _until_ended(self, slots: list[asyncio.Task[None]], timeout: float) -> None:
        async with TaskSet("stop") as tasks:
            hurry = tasks.start(self._order.hurried.wait(), "hurry")
            ends = tasks.start(_all_ended(slots), "ends")
            await asyncio.wait((hurry, ends), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _reload(self) -> None:
        config = config_after_hangup(self._run, self._config)
        if config is not None:
            self._config = config
            set_level(config.log.level)
            note_reload(self._metrics, self._run.clock)
        # Also after a refused configuration: the workers reopen their logs.
        self._tell_all(Reload(self._config))

    def _tell_all(self, order: Order) -> None:
        for worker in self._workers.values():
            worker.tell(order)


async def supervise(run: Run, assembly: str) -> None:
    """Serve with several workers until told to stop. Raises PenstockError or OSError when the node cannot start."""
    server = run.config.server
    with (
        held_port(server.listen, "--listen", shared=True) as data,
        held_port(server.admin, "--admin", shared=False) as admin,
        ready_file(server.ready_file) as file,
        metrics_folder(run.clock) as folder,
    ):
        supervisor = Supervisor(run, assembly, address_of(data), address_of(admin), folder, file)
        await supervisor.serve(admin)


async def _all_ended(slots: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(slots)
