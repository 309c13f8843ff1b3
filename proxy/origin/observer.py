"""What the origin room tells whoever counts. Sums only: no address, repo or caller is ever handed over."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class HostClass(Enum):
    """Whom a request went to: the configured origin, a host it sent us to, or its Xet store, which hf_xet asks by
    itself (bytes as they are given to us, no requests), or a generic origin. The metric label `host`."""

    HUB = "hub"
    CDN = "cdn"
    XET = "xet"
    WEB = "web"


class OriginObserver(Protocol):
    """Called on the loop thread; must return at once."""

    def request(self, host_class: str, code: int, seconds: float) -> None:
        """One request to a `HostClass` value was answered with status `code` (0: not at all) after `seconds`."""
        ...

    def bytes(self, host_class: str, count: int) -> None:
        """`count` body bytes arrived from a `HostClass` value. Sum: all calls are what crossed the uplink as bodies."""
        ...

    def rate_limit_remaining(self, count: int) -> None:
        """The origin says that `count` requests are left in its present window."""
        ...

    def breaker(self, state: str) -> None:
        """The breaker went to a `BreakerState` value."""
        ...


class Unobserved:
    """Counts nothing."""

    def request(self, host_class: str, code: int, seconds: float) -> None:
        pass

    def bytes(self, host_class: str, count: int) -> None:
        pass

    def rate_limit_remaining(self, count: int) -> None:
        pass

    def breaker(self, state: str) -> None:
        pass
