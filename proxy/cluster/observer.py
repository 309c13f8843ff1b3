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


class RedisObserver(Protocol):
    """Called on the loop thread; must return at once."""

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        """One call ended after `seconds`. Sum: all results are all calls."""
        ...

    def redis_breaker(self, state: str) -> None:
        """The breaker went to a `BreakerState` value."""
        ...


class Unobserved:
    """Counts nothing."""

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        pass

    def redis_breaker(self, state: str) -> None:
        pass
