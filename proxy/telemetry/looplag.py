"""How late the event loop is: what every request waits besides its own work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.core.clock import Clock

INTERVAL: Final = 0.25


async def watch_loop_lag(clock: Clock, report: Callable[[float], None], interval: float = INTERVAL) -> None:
    """Sleep `interval` seconds again and again and report by how much each sleep was too long. Runs until cancelled."""
    while True:
        due = clock.monotonic() + interval
        await asyncio.sleep(interval)
        report(max(0.0, clock.monotonic() - due))
