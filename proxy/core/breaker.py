"""The breaker: after a few failures in a row nobody waits for somebody else's server until it had time to recover.

    CLOSED ── `failures` in a row, within `window` ──> OPEN (`shortest`, doubling to `longest`, with jitter)
      ^                                             │ time is up
      └───────── the trial succeeds ──────── HALF_OPEN ── the trial fails ──> OPEN (longer)

Pure but for its own counters: every verb takes the time from the clock and decides at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from random import Random

from .clock import Clock


@dataclass(frozen=True, slots=True)
class Rest:
    """When a breaker opens, and for how long; times in seconds."""

    failures: int
    """So many in a row open it."""
    window: float
    """Failures further apart than this are no row."""
    shortest: float
    longest: float


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """One breaker. Whoever was admitted must say `succeeded`, `failed` or `abandoned`, once, with the `turn` that there
    was when it was admitted: nothing is learnt from what was asked in an earlier turn.

        1. A is admitted   2. others fail, it opens   3. its time is up, B is admitted as the trial   4. A leaves
    without the turn A would be taken for B, and a second trial let in beside it; or B's right answer would come to a
    breaker that A's late failure has opened again."""

    def __init__(self, rest: Rest, clock: Clock, chance: Random) -> None:
        self._rest = rest
        self._clock = clock
        self._chance = chance
        self._state = BreakerState.CLOSED
        self._row = 0
        self._row_began = 0.0
        self._openings = 0
        self._opens_until = 0.0
        self._turn = 0

    def __repr__(self) -> str:
        return f"Breaker({self._state.value}, {self._row} failures in a row, opened {self._openings} times)"

    @property
    def state(self) -> BreakerState:
        return self._state

    @property
    def turn(self) -> int:
        """Another with every opening, and with every trial."""
        return self._turn

    def refusal(self) -> int | None:
        """Seconds (>= 1) to wait before asking is worth it; None when asking is. Changes nothing."""
        if self._state is BreakerState.CLOSED:
            return None
        left = self._opens_until - self._clock.monotonic()
        if self._state is BreakerState.OPEN:
            return None if left <= 0 else max(1, math.ceil(left))
        return 1

    def admit(self) -> int | None:
        """None: go ahead, and report. A number: refused, wait so many seconds. Only one trial runs at a time."""
        refused = self.refusal()
        if refused is None and self._state is BreakerState.OPEN:
            self._state = BreakerState.HALF_OPEN
            self._turn += 1
        return refused

    def succeeded(self, turn: int) -> None:
        """There was an answer; for the origin, anything but a 5xx."""
        if turn != self._turn:
            return
        self._state = BreakerState.CLOSED
        self._row = self._openings = 0

    def failed(self, turn: int) -> None:
        """There was none, or one that says that it is out of order."""
        if turn != self._turn:
            return
        now = self._clock.monotonic()
        if self._row == 0 or now - self._row_began > self._rest.window:
            self._row, self._row_began = 0, now
        self._row += 1
        if self._state is BreakerState.HALF_OPEN or self._row >= self._rest.failures:
            self._open(now)

    def abandoned(self, turn: int) -> None:
        """The one who was admitted left without learning anything; another may try at once."""
        if turn == self._turn and self._state is BreakerState.HALF_OPEN:
            self._state = BreakerState.OPEN

    def _open(self, now: float) -> None:
        longest = min(self._rest.longest, self._rest.shortest * 2**self._openings)
        self._opens_until = now + max(self._rest.shortest, longest * self._chance.uniform(0.5, 1.0))
        self._openings = min(self._openings + 1, 16)
        self._row = 0
        self._turn += 1
        self._state = BreakerState.OPEN
