"""Telemetry of a process: opened before its node, closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.config.schema import LogSection
from proxy.core.clock import Clock
from proxy.core.tasks import TaskSet
from proxy.telemetry.accesslog import open_access_log
from proxy.telemetry.looplag import watch_loop_lag
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.telemetry import Telemetry


@asynccontextmanager
async def open_telemetry(metrics: Metrics, log: LogSection, secret: bytes, clock: Clock) -> AsyncIterator[Telemetry]:
    """Access log and loop-lag probe of one process; `secret` is the node's own, for the clients' pseudonyms. Raises
    OSError when the log cannot be opened."""
    lost = metrics.counter("log_lines_lost_total").labels("access")
    access = open_access_log(log.access, log.client, secret, lost.inc)
    telemetry = Telemetry(metrics, access)
    try:
        async with TaskSet("telemetry") as tasks:
            tasks.start(watch_loop_lag(clock, telemetry.loop_lag), "loop-lag")
            yield telemetry
    finally:
        access.close()
