"""Metrics of one process, or of a supervisor and its workers, as one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from .metrics import NODE_METRICS, WORKER_METRICS, Metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Must be in a worker's environment before prometheus_client is imported there; never in a supervisor's."""


# A `_created` series for each counter would double the page, and no dashboard reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]


def metrics_of_process() -> Metrics:
    """All metrics, in this process' memory: one process is the whole node."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return Metrics(registry, (*WORKER_METRICS, *NODE_METRICS))


def metrics_of_supervisor() -> Metrics:
    """The few metrics that a supervisor counts itself."""
    return Metrics(CollectorRegistry(), NODE_METRICS)


def metrics_of_worker(worker_index: int) -> Metrics:
    """Metrics that live in the supervisor's folder, in files named after `worker_index`: the next worker of that number
    counts on from there. No two living workers may share a number."""
    if not os.environ.get(FOLDER_VARIABLE):
        raise RuntimeError(f"a worker needs {FOLDER_VARIABLE} in its environment")
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: worker_index)  # type: ignore[no-untyped-call]
    return Metrics(CollectorRegistry(), WORKER_METRICS)


class SharedMetrics:
    """The supervisor's view on the files of its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def page(self) -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def worker_died(self, worker_index: int) -> None:
        """Its gauges (connections, requests in flight) are of nobody now; its counters stay. Call it before the next
        worker of that number starts."""
        mark_process_dead(worker_index, path=str(self.folder))  # type: ignore[no-untyped-call]


def page_of(metrics: Metrics) -> bytes:
    """The metrics of one process as text."""
    return generate_latest(metrics.registry)
