"""Telemetry of a process: opened before its node, closed after it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import proxy
from proxy.config.schema import Config, LogSection
from proxy.core.clock import Clock
from proxy.core.tasks import TaskSet
from proxy.telemetry.accesslog import open_access_log
from proxy.telemetry.looplag import watch_loop_lag
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.rotation import Rotation
from proxy.telemetry.telemetry import Telemetry
from proxy.telemetry.tracing import Untraced

if TYPE_CHECKING:
    from proxy.telemetry.otel import OtelTracer


def _rotation(log: LogSection) -> Rotation | None:
    return None if log.rotate_at is None else Rotation(log.rotate_at, log.rotate_keep)


@asynccontextmanager
async def open_telemetry(metrics: Metrics, config: Config, secret: bytes, clock: Clock) -> AsyncIterator[Telemetry]:
    """Access log, traces and loop-lag probe of one process; `secret` is the node's own, for the clients' pseudonyms.
    Raises OSError when the log cannot be opened."""
    log = config.log
    lost = metrics.counter("log_lines_lost_total").labels("access")
    access = open_access_log(log.access, log.client, secret, lost.inc, _rotation(log))
    tracer = _tracer(config)
    telemetry = Telemetry(metrics, access, Untraced() if tracer is None else tracer)
    try:
        async with TaskSet("telemetry") as tasks:
            tasks.start(watch_loop_lag(clock, telemetry.loop_lag), "loop-lag")
            yield telemetry
    finally:
        if tracer is not None:
            await asyncio.to_thread(tracer.close)
        access.close()


def _tracer(config: Config) -> OtelTracer | None:
    """What traces this process, if it is wanted; its library is imported then alone."""
    section = config.tracing
    if section.endpoint is None:
        return None
    from proxy.telemetry.otel import OtelTracer

    return OtelTracer(
        section.endpoint,
        sample=section.sample,
        tells_outside=section.to_origin,
        node=config.cluster.name if config.cluster.is_on else socket.gethostname(),
        version=proxy.__version__,
    )
