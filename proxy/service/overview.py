"""What the admin port shows of a supervisor and its workers (`admin.View`)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import proxy
from proxy.config.reload import Reload
from proxy.config.schema import Config
from proxy.core.blob import BlobKey
from proxy.telemetry.exposition import SharedMetrics, page_of
from proxy.telemetry.metrics import Metrics

from .child import Worker
from .cluster_api import of_all_workers
from .control import HandOver, Purge
from .crew import Crew
from .drain import StopOrder
from .operations.renewing import RenewalTold, RenewTold
from .operations.shape import NODE_STARTS, Reply
from .succession import Succession


class Overview:
    """See the head of the file. `shared` are the metrics of the workers, `metrics` those of the supervisor itself;
    `reread` reads the configuration anew (True: only says what would change)."""

    def __init__(
        self,
        config: Config,
        crew: Crew,
        order: StopOrder,
        shared: SharedMetrics,
        metrics: Metrics,
        reread: Callable[[bool], Reload],
        succession: Succession,
    ) -> None:
        self._reread = reread
        self._succession = succession
        self._config = config
        self._crew = crew
        self._order = order
        self._shared = shared
        self._metrics = metrics

    async def reasons(self) -> list[str]:
        """Ready as long as one worker is: while another restarts, the kernel gives its share to the living."""
        if self._order.begun.is_set():
            return ["draining"]
        if not self._crew.served:
            return ["starting"]
        if any(worker.ready for worker in self._crew.at_work):
            return []
        return sorted({reason for worker in self._crew.at_work for reason in worker.reasons}) or ["no worker lives"]

    async def status(self) -> dict[str, Any]:
        workers = self._crew.everybody
        told = await asyncio.gather(*(worker.status() for worker in workers))
        return {
            "version": proxy.__version__,
            "pid": os.getpid(),
            "reasons": await self.reasons(),
            "workers": [
                {"index": worker.number, "pid": worker.pid, "reasons": self._reasons_of(worker), "node": node}
                for worker, node in zip(workers, told, strict=True)
            ],
        }

    @property
    def in_cluster(self) -> bool:
        return self._config.cluster.is_on

    async def cluster(self) -> dict[str, Any] | None:
        told = await asyncio.gather(*(worker.status() for worker in self._crew.at_work))
        return of_all_workers([status.get("cluster") for status in told])

    async def hand_over(self) -> None:
        self._crew.handed_over = True
        self._crew.tell(HandOver())

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
        """One of this program if it can, else of the one before, which may not understand everything."""
        return next((worker for worker in self._crew.at_work if worker.ready), None)

    async def reload(self, *, dry_run: bool) -> Reload:
        return self._reread(dry_run)

    async def stop(self) -> None:
        self._order.begin()

    def renewal(self) -> RenewalTold:
        return self._succession.told()

    async def renew(self, *, dry_run: bool) -> RenewTold:
        return await self._succession.ordered(dry_run=dry_run)

    async def metrics(self) -> bytes:
        ready = sum(worker.ready for worker in self._crew.serving.values())
        gauge = self._metrics.gauge("workers")
        gauge.labels("ready").set(ready)
        gauge.labels("starting").set(self._config.server.workers - ready)
        gauge.labels("leaving").set(len(self._crew.formers) + len(self._crew.leaving))
        return self._shared.page() + page_of(self._metrics)

    def _reasons_of(self, worker: Worker) -> list[str]:
        return ["leaving"] if worker in self._crew.leaving else list(worker.reasons)

    async def lives(self) -> bool:
        """Whether any of those who take connections answers; a node that starts or waits for a worker lives too."""
        ready = [worker for worker in self._crew.at_work if worker.ready]
        told = await asyncio.gather(*(worker.status() for worker in ready))
        return not ready or any(not status.get("silent") for status in told)
