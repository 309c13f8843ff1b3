"""Patience: how often a transfer that makes no progress is taken up again, and after which pauses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
MOST_CUTS: Final = 100
"""Cuts of one read, with or without progress: an origin that gives a byte at a time must not be asked for ever."""


@dataclass(slots=True)
class Patience:
    """The account of one read. `retries` is how many failures in a row, without a byte between them, are forgiven."""

    retries: int
    chance: Random
    _failures: int = 0
    _cuts: int = 0

    def progressed(self) -> None:
        """A byte arrived."""
        self._failures = 0

    def pause(self) -> float | None:
        """Seconds to wait before the next attempt (0.05 to 5, growing, with jitter); None at the end of patience."""
        self._failures += 1
        self._cuts += 1
        if self._failures > self.retries or self._cuts > MOST_CUTS:
            return None
        longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1))
        return longest * self.chance.uniform(0.5, 1.0)
