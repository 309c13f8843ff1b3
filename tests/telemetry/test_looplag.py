"""The probe of the loop."""

from __future__ import annotations

import asyncio
import time

from proxy.core.clock import SystemClock
from proxy.core.tasks import TaskSet
from proxy.telemetry.looplag import watch_loop_lag


async def test_a_blocked_loop_is_seen() -> None:
    lags: asyncio.Queue[float] = asyncio.Queue()
    async with TaskSet("test") as tasks:
        tasks.start(watch_loop_lag(SystemClock(), lags.put_nowait, interval=0.01), "lag")
        await lags.get()
        time.sleep(0.2)  # noqa: ASYNC251 - the loop shall be blocked
        async with asyncio.timeout(10):
            while await lags.get() < 0.1:
                pass
