"""Peers judged by their answers: who failed us is not asked for a while, longer each time. Decides, does nothing.

Heartbeats tell that a node lives; its answers tell that it is of use, to us, over this network. The first failure
ejects at once: the next in rank, or the origin, has the bytes as well, and a node that is asked in vain costs every
reader a timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.core.clock import Clock

FIRST: Final = 3.0
"""Seconds of the first ejection; each further one is twice as long."""
LONGEST: Final = 60.0
LIED: Final = 600.0
"""Seconds for which a peer that gave wrong bytes is out."""
FORGIVEN: Final = 4.0
"""So many times the length of its last ejection a peer must go without a failure to be as good as new."""


@dataclass(slots=True)
class _Fault:
    times: int
    until: float


class Ejections:
    """Who is ejected, of peers told apart by a text. Bounded by the number of peers: see `keep`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[str, _Fault] = {}

    def failed(self, peer: str) -> bool:
        """Count a failure; whether the peer is ejected by it. While it is out its failures tell nothing new: they are
        of requests that were under way when it failed first."""
        now = self._clock.monotonic()
        fault = self._faults.get(peer)
        if fault is not None and now < fault.until:
            return False
        times = 1 if fault is None or now >= fault.until + FORGIVEN * _length(fault.times) else fault.times + 1
        self._faults[peer] = _Fault(times, now + _length(times))
        return True

    def lied(self, peer: str) -> None:
        """It gave what was wrong: whatever it answers meanwhile, it is out for `LIED`."""
        self._faults[peer] = _Fault(1, self._clock.monotonic() + LIED)

    def succeeded(self, peer: str) -> None:
        """Count an answer. One that comes while the peer is out was asked for before, and proves little."""
        fault = self._faults.get(peer)
        if fault is not None and self._clock.monotonic() >= fault.until:
            del self._faults[peer]

    def forget(self, peer: str) -> None:
        """The peer is another one than the one that failed: it was restarted."""
        self._faults.pop(peer, None)

    def keep(self, peers: frozenset[str]) -> None:
        """Forget everybody else: they are gone."""
        self._faults = {peer: fault for peer, fault in self._faults.items() if peer in peers}

    def out(self) -> frozenset[str]:
        """Who is ejected now."""
        now = self._clock.monotonic()
        return frozenset(peer for peer, fault in self._faults.items() if now < fault.until)

    def next_return(self) -> float:
        """When `out` changes by itself, as `Clock.monotonic` counts; infinity when it does not."""
        now = self._clock.monotonic()
        return min((fault.until for fault in self._faults.values() if now < fault.until), default=float("inf"))


def _length(times: int) -> float:
    return min(LONGEST, FIRST * 2.0 ** (min(times, 16) - 1))
