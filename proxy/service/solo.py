"""A node in one process: data port, admin port and everything between."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from typing import Any, Final

import proxy
from proxy.config.reload import Reload as Plan
from proxy.core.blob import BlobKey
from proxy.core.tasks import TaskSet
from proxy.store.layout import FORMAT
from proxy.telemetry.events import set_level
from proxy.telemetry.exposition import metrics_of_process, page_of
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.telemetry import Telemetry

from .admin import admin_listener
from .admission import admission_of
from .cluster_api import of_all_workers
from .drain import StopOrder, drained
from .node import Assemble, Node
from .operations.renewing import RenewalTold, RenewTold
from .operations.shape import NODE_STARTS, Refused, Reply
from .reach import warn_if_unreachable
from .readiness import watch_readiness
from .ready import ReadyFile, Standing, ready_file
from .run import Run, config_after_hangup, note_refusal, note_reload, note_start, planned_reload
from .sockets import held_port
from .system import answer_watchdog, reloading, tell_systemd
from .voice import open_telemetry

log: Final = logging.getLogger(__name__)

_ALONE: Final = "one process cannot take its own place; set server.supervised and restart once"
_GRACE: Final = 10.0
"""Seconds between the order to stop now and the end that asks nobody."""


async def run_solo(run: Run, assemble: Assemble) -> None:
    """Serve until told to stop. Raises PenstockError or OSError when the node cannot start."""
    server = run.config.server
    with (
        held_port(server.listen, "--listen", shared=False) as data,
        held_port(server.admin, "--admin", shared=False) as admin,
        ready_file(server.ready_file) as file,
    ):
        standing = Standing(data.address, admin.address, os.getpid(), ())
        metrics = metrics_of_process()
        note_start(metrics, run.clock)
        async with open_telemetry(metrics, run.config, secrets.token_bytes(32), run.clock) as telemetry:
            await _Solo(run, metrics, telemetry).serve(assemble, data.bound, admin.bound, standing, file)


class _Solo:
    """The running node and what signals do to it."""

    def __init__(self, run: Run, metrics: Metrics, telemetry: Telemetry) -> None:
        self._run = run
        self._config = run.config
        self._metrics = metrics
        self._telemetry = telemetry
        self._order = StopOrder()
        self._node: Node | None = None
        self._served = False

    async def serve(
        self, assemble: Assemble, data: socket.socket, admin: socket.socket, standing: Standing, file: ReadyFile
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._order.signalled)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR2, _cannot_renew)
        # The admin listener comes first: a node that takes long to start can be watched.
        async with admin_listener(admin, self, admission_of(self._config)), TaskSet("solo") as tasks:
            tasks.start(self._last_resort(), "last-resort")
            tasks.start(answer_watchdog(), "watchdog")
            async with assemble(self._config, 0, data, self._telemetry) as node:
                self._node = node
                tasks.start(watch_readiness(node, lambda reasons: self._tell(reasons, standing, file)), "readiness")
                for origin in (self._config.origin, *self._config.mounted):
                    tasks.start(warn_if_unreachable(origin.url, origin.connect_timeout), "reach")
                await self._order.begun.wait()
                tell_systemd("STOPPING=1")
                file.remove()
                await drained(node, self._order, self._config.server)
            log.info("stopped")

    async def reasons(self) -> list[str]:
        if self._node is None:
            return ["starting"]
        return ["draining"] if self._order.begun.is_set() else self._node.ready()

    async def status(self) -> dict[str, Any]:
        node = None if self._node is None else self._node.status()
        return {"version": proxy.__version__, "pid": os.getpid(), "reasons": await self.reasons(), "node": node}

    @property
    def in_cluster(self) -> bool:
        return self._config.cluster.is_on

    async def cluster(self) -> dict[str, Any] | None:
        return None if self._node is None else of_all_workers([self._node.status().get("cluster")])

    async def hand_over(self) -> None:
        if self._node is not None:
            self._node.hand_over()

    async def purge(self, key: BlobKey) -> bool:
        if self._node is None:
            return False
        self._node.purge(key)
        return True

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        return NODE_STARTS if self._node is None else await self._node.operate(verb, arguments)

    async def metrics(self) -> bytes:
        return page_of(self._metrics)

    async def _last_resort(self) -> None:
        """Told to stop now, the process ends soon, even while it still starts, or when something does not let go."""
        await self._order.hurried.wait()
        await asyncio.sleep(_GRACE)
        os._exit(1)

    def _tell(self, reasons: list[str], standing: Standing, file: ReadyFile) -> None:
        if self._order.begun.is_set():
            return
        self._metrics.gauge("workers").labels("ready").set(0 if reasons else 1)
        if reasons:
            log.warning("not ready", extra={"reasons": "; ".join(reasons)})
        elif self._served:
            log.info("ready again")
        else:
            self._served = True
            file.write(standing)
            self._run.announce(standing)
            tell_systemd("READY=1")

    async def reload(self, *, dry_run: bool) -> Plan:
        plan = planned_reload(self._run, self._config)
        if not dry_run:
            self._reload()
        return plan

    async def stop(self) -> None:
        self._order.begin()

    def renewal(self) -> RenewalTold:
        return RenewalTold(
            program=1,
            version=proxy.__version__,
            disk_format=FORMAT,
            state="serving" if self._served else "starting",
            why=None,
            workers=int(self._served),
            old_workers=0,
        )

    async def renew(self, *, dry_run: bool) -> RenewTold:
        raise Refused(409, _ALONE)

    def _reload(self) -> None:
        self._telemetry.access.reopen()
        with reloading(self._run.clock):
            config = config_after_hangup(self._run, self._config)
        if config is None:
            note_refusal(self._metrics)
            return
        self._config = config
        set_level(config.log.level)
        if self._node is not None:
            self._node.reload(config)
        note_reload(self._metrics, self._run.clock)


def _cannot_renew() -> None:
    log.error("not renewed", extra={"why": _ALONE})
