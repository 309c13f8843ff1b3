"""What the cluster room tells whoever counts. Sums only: no key, repo or address is ever handed over."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class RedisResult(Enum):
    """What became of one call to Redis. The metric label `result`."""

    OK = "ok"
    SLOW = "timeout"
    """No answer within the time a call may take."""
    LOST = "error"
    """No connection, a broken one, or a server out of order (loading, read-only, out of memory, wrong password)."""
    REFUSED = "refused"
    """An answer that says no to this call alone."""
    SKIPPED = "skipped"
    """Not asked: the breaker is open."""


class LeaseOutcome(Enum):
    """The answer to one asking for a lease. The metric label `outcome`."""

    MINE = "mine"
    BUSY = "busy"
    """Another has it."""
    UNKNOWN = "unknown"
    """Redis was silent."""


class RedisObserver(Protocol):
    """Called on the loop thread; must return at once."""

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        """One call ended after `seconds`. Sum: all results are all calls."""
        ...

    def redis_breaker(self, state: str) -> None:
        """The breaker went to a `BreakerState` value."""
        ...


class LeaseObserver(Protocol):
    """Called on the loop thread; must return at once."""

    def lease(self, outcome: LeaseOutcome, seconds: float) -> None:
        """A lease was asked for and the answer came after `seconds`. Sum: all outcomes are all askings."""
        ...

    def lease_lost(self) -> None:
        """A lease that was ours became another's, or ran out because Redis was silent."""
        ...


class Unobserved:
    """Counts nothing."""

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        pass

    def redis_breaker(self, state: str) -> None:
        pass

    def lease(self, outcome: LeaseOutcome, seconds: float) -> None:
        pass

    def lease_lost(self) -> None:
        pass
