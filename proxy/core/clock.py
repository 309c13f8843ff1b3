"""Time as an argument. Deadlines and TTLs use `monotonic`; `wall` is for what people and files read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two readings of time, in seconds."""

    def monotonic(self) -> float:
        """Never goes back; the same for all processes of a machine since its boot."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 (UTC); may jump."""
        ...


class SystemClock:
    """The machine's clocks; the functions themselves, which are read several times in each request."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until it is moved; for tests and simulation."""

    now: float = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
