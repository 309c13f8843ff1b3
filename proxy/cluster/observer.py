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


class QuestionOutcome(Enum):
    """How a question about a public repo, that all nodes ask together, went. The metric label `outcome`."""

    KNOWN = "known"
    """Another node told the answer."""
    OURS = "ours"
    """We ask the origin for all."""
    REFUSED = "refused"
    """Another node was refused a moment ago."""
    ALONE = "alone"
    """We ask for ourselves: Redis was silent, or who asks takes long."""


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


class CommonsObserver(Protocol):
    """Called on the loop thread; must return at once."""

    def question(self, outcome: QuestionOutcome) -> None:
        """A question went that way. Sum: ours and alone go to the origin, and refused, when whoever asks has a right of
        its own."""
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

    def question(self, outcome: QuestionOutcome) -> None:
        pass
