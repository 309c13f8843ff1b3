"""A node of several processes: a small parent that starts workers, restarts the ones that die, and stops them all.

Theory of operation. The parent takes the port (so that a second node fails) and holds it bound, without listening; each
slot has a socket of its own on the same port (SO_REUSEPORT), and the kernel shares connections out. The parent itself
serves the admin port alone: health and status asked of the workers over a socket pair each, metrics read from files
they share.

    slot      the place of a worker: a loop of start, watch, bury, wait
    worker    one process in a slot, known by its pid
    former    a worker of the program that ran in this process before (`renewal`)

A worker that dies takes its connections with it and nothing else. It is started again after a pause that doubles with
every quick death. The node gives up only if no worker has ever been ready, this program's or the one's before it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from contextlib import suppress
from typing import Final

import proxy
from proxy.config.reload import Reload as Plan
from proxy.core.errors import PenstockError
from proxy.core.tasks import TaskSet
from proxy.telemetry.events import set_level
from proxy.telemetry.exposition import SharedMetrics, metrics_of_supervisor

from .admin import admin_listener
from .admission import admission_of
from .child import adopted, born
from .control import Drain, HandOver, Hurry, Leave, Reload, Start, lines, read_report
from .crew import Crew
from .drain import StopOrder
from .overview import Overview
from .place import Place, inherited, taken
from .reach import warn_if_unreachable
from .ready import Standing
from .renewal import Former, Legacy, take_signals
from .run import Run, config_after_hangup, note_refusal, note_reload, note_start, planned_reload
from .succession import Succession
from .system import answer_watchdog, reloading, tell_systemd

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
    """All slots of a node. `legacy` is of the program before this one."""

    def __init__(self, run: Run, assembly: str, place: Place, legacy: Legacy | None) -> None:
        self._run = run
        self._assembly = assembly
        self._config = run.config
        self._place = place
        self._formers = () if legacy is None else legacy.workers
        self._secret = secrets.token_bytes(32) if legacy is None else bytes.fromhex(legacy.secret)
        self._shared = SharedMetrics(place.folder.path)
        self._metrics = metrics_of_supervisor()
        self._order = StopOrder()
        doors = () if legacy is None else legacy.doors
        self._crew = Crew(place.data.address, {slot: socket.socket(fileno=door) for slot, door in doors})
        self._crew.served = legacy is not None
        self._tasks = TaskSet("supervisor")
        self._succession = Succession(
            run.words,
            1 if legacy is None else legacy.program + 1,
            crew=self._crew,
            order=self._order,
            tasks=self._tasks,
            config=lambda: self._config,
            legacy=self._legacy,
        )
        self._overview = Overview(
            self._config, self._crew, self._order, self._shared, self._metrics, self._reread, self._succession
        )
        self._failure: str | None = None

    async def serve(self) -> None:
        """Until told to stop. Raises NodeFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._order.signalled)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR2, self._succession.begin)
        take_signals()
        note_start(self._metrics, self._run.clock)
        admin = self._place.admin.bound
        async with admin_listener(admin, self._overview, admission_of(self._config)), self._tasks as tasks:
            for origin in (self._config.origin, *self._config.mounted):
                tasks.start(warn_if_unreachable(origin.url, origin.connect_timeout), "reach")
            tasks.start(answer_watchdog(self._overview.lives), "watchdog")
            lives = [tasks.start(self._former(one), f"former-{one.number}") for one in self._formers]
            lives += [tasks.start(self._slot(slot), f"slot-{slot}") for slot in range(self._config.server.workers)]
            await self._order.begun.wait()
            await self._stop(lives)
        if self._failure is not None:
            raise NodeFailed(self._failure)
        log.info("stopped")

    # --- slots -----------------------------------------------------------------------------------------------------

    async def _slot(self, slot: int) -> None:
        quick_deaths = 0
        while not self._order.begun.is_set():
            born = self._run.clock.monotonic()
            code, failure = await self._life_or_none(slot)
            if self._order.begun.is_set():
                return
            quick_deaths = 1 if self._run.clock.monotonic() - born > _SETTLED else quick_deaths + 1
            if not self._crew.served and (failure is not None or quick_deaths >= _TRIES):
                self._give_up(failure or f"worker {slot} died {quick_deaths} times with exit code {code}; see above")
                return
            self._metrics.counter("worker_restarts_total").inc()
            self._succession.worker_died(failure or f"worker {slot} died with exit code {code}; the log says more")
            pause = pause_before_restart(quick_deaths)
            log.error("worker died", extra={"index": slot, "code": code, "why": failure or "", "restart_in": pause})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._order.begun.wait(), pause)

    async def _life_or_none(self, slot: int) -> tuple[int, str | None]:
        number = self._crew.take_number()
        try:
            return await self._life(slot, number)
        except (OSError, PenstockError) as error:  # no process, memory or descriptor left to start one with
            return 1, f"cannot be started: {error}"
        except ValueError as error:  # a line that is none, or longer than any: it is of no use any more
            return 1, f"said what cannot be understood: {error}"
        finally:
            self._crew.died(slot)
            self._shared.worker_died(number)
            self._crew.give_back(number)

    async def _life(self, slot: int, number: int) -> tuple[int, str | None]:
        """One worker from its start to its end: its exit code and what it said it died of."""
        door = self._crew.door(slot)
        async with born(number, self._assembly, self._shared.folder, door) as (worker, reports):
            self._crew.serving[slot] = worker
            worker.tell(Start(self._config, self._secret))
            if self._order.begun.is_set():
                # 1. the slot starts a worker  2. the order comes, and is told to all  3. the worker is born
                worker.tell(Drain())
            if self._crew.handed_over:
                worker.tell(HandOver())
            try:
                async for line in lines(reports):
                    worker.heard(read_report(line))
                    self._note_health()
            finally:
                worker.gone()
            return await worker.ended(), worker.failure

    def _note_health(self) -> None:
        serving = self._crew.serving
        everybody = len(serving) == self._config.server.workers
        if self._order.begun.is_set() or not everybody or not all(worker.ready for worker in serving.values()):
            return
        pids = tuple(serving[slot].pid for slot in sorted(serving))
        standing = Standing(self._place.data.address, self._place.admin.address, os.getpid(), pids)
        self._place.file.write(standing)
        if not self._succession.serves:
            self._crew.served = True
            self._succession.workers_serve()
            self._run.announce(standing)
            tell_systemd("READY=1")
            self._dismiss_formers()

    # --- from one program to the next ------------------------------------------------------------------------------

    async def _former(self, former: Former) -> None:
        """A worker of the program before us, from our start to its end."""
        self._crew.take_number(former.number)
        group = self._crew.leaving if former.leaving else self._crew.formers
        async with adopted(former) as (worker, reports):
            group.append(worker)
            try:
                async for line in lines(reports):
                    with suppress(ValueError):  # half a line, whose other half the program before us has read
                        worker.heard(read_report(line))
                await worker.ended()
            finally:
                worker.gone()
                for one in (self._crew.formers, self._crew.leaving):
                    if worker in one:
                        one.remove(worker)
                self._shared.worker_died(former.number)
                self._crew.give_back(former.number)

    def _dismiss_formers(self) -> None:
        """All slots serve: let those before them go."""
        if self._crew.formers:
            log.info("renewed", extra={"version": proxy.__version__, "leaving": len(self._crew.formers)})
        for worker in self._crew.formers:
            worker.tell(Leave())
        self._crew.leaving += self._crew.formers
        self._crew.formers.clear()

    def _legacy(self) -> Legacy:
        crew = self._crew
        return Legacy(
            data=self._place.data.descriptors,
            admin=self._place.admin.descriptors,
            metrics=str(self._place.folder.path),
            metrics_lock=self._place.folder.lock,
            secret=self._secret.hex(),
            doors=crew.doors,
            workers=tuple(worker.former(leaving=worker in crew.leaving) for worker in crew.everybody),
            program=self._succession.program,
        )

    def _give_up(self, why: str) -> None:
        self._failure = self._failure or why
        self._order.hurry()

    # --- signals ---------------------------------------------------------------------------------------------------

    async def _stop(self, lives: list[asyncio.Task[None]]) -> None:
        tell_systemd("STOPPING=1")
        self._place.file.remove()
        self._crew.tell(Drain())
        self._crew.shut()
        server = self._config.server
        await self._until_ended(lives, server.drain_delay + server.drain_timeout + _GRACE)
        self._crew.tell(Hurry())
        await asyncio.wait(lives, timeout=_GRACE)
        # What is left now is killed when its slot is cancelled.

    async def _until_ended(self, lives: list[asyncio.Task[None]], timeout: float) -> None:
        async with TaskSet("stop") as tasks:
            hurry = tasks.start(self._order.hurried.wait(), "hurry")
            ends = tasks.start(_all_ended(lives), "ends")
            await asyncio.wait((hurry, ends), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _reread(self, dry_run: bool) -> Plan:
        """What reading the configuration anew comes to; done unless it is a `dry_run`. Raises ConfigError."""
        plan = planned_reload(self._run, self._config)
        if not dry_run:
            self._reload()
        return plan

    def _reload(self) -> None:
        with reloading(self._run.clock):
            config = config_after_hangup(self._run, self._config)
        if config is None:
            note_refusal(self._metrics)
        else:
            self._config = config
            set_level(config.log.level)
            note_reload(self._metrics, self._run.clock)
        # Also after a refused configuration: the workers reopen their logs.
        # Not to those of another program, which may know other knobs.
        for worker in self._crew.serving.values():
            worker.tell(Reload(self._config))


async def supervise(run: Run, assembly: str, legacy: Legacy | None = None) -> None:
    """Serve with workers until told to stop. `legacy` is what another program left in this process. Raises
    PenstockError or OSError when the node cannot start."""
    with taken(run) if legacy is None else inherited(run, legacy) as place:
        await Supervisor(run, assembly, place, legacy).serve()


async def _all_ended(lives: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(lives)
