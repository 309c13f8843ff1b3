"""What Redis is asked: leases as `proxy.cluster.lease` and `leasebook` keep them, on a virtual clock; the rest counted.

Each acquisition, renewal and farewell is one call of a script there, and is counted as one here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from bench.scale.shelf import Blob
from proxy.cluster.allowances import EVERY as ALLOWANCES_EVERY
from proxy.cluster.leasebook import HOLDERS, HOLDERS_TTL
from proxy.cluster.turns import FACTS_TTL
from proxy.config.cluster import ClusterSection
from proxy.config.schema import FreshnessSection

DEFAULTS: Final = ClusterSection()
REF_TTL: Final = FreshnessSection().ref_ttl
LEARNING: Final = 5
"""Calls for what nobody knows yet: look, take the turn, look again, tell, give the turn back (`cluster.commons`)."""

Place = tuple[Blob, int]


@dataclass(slots=True)
class _Lease:
    node: int
    until: float


class Redis:
    """The leases and the common knowledge of a fleet, and how often it was asked; `calls` by what for."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._leases: dict[Place, _Lease] = {}
        self._holders: dict[Place, dict[int, float]] = {}
        self._facts: dict[str, float] = {}
        self._refs: dict[str, float] = {}

    def acquire(self, node: int, place: Place, now: float, lasts: float) -> int | None:
        """Take the lease for a fill that `lasts` so many seconds; None, or the node that has it."""
        self.calls["lease"] += 1
        held = self._leases.get(place)
        if held is not None and held.until > now and held.node != node:
            return held.node
        self._leases[place] = _Lease(node, now + lasts)
        self.calls["lease"] += int(lasts / (DEFAULTS.lease_ttl / 3))  # renewals
        self.calls["lease"] += 1  # done, at the end
        holders = self._holders.setdefault(place, {})
        holders[node] = now + lasts
        while len(holders) > HOLDERS:
            del holders[min(holders, key=holders.__getitem__)]
        return None

    def holders(self, place: Place, now: float) -> list[int]:
        """Nodes that said so, the longest ago first."""
        known = self._holders.get(place, {})
        if known and now - max(known.values()) > HOLDERS_TTL:
            del self._holders[place]
            return []
        return [node for node, since in known.items() if since <= now]

    def learn_ref(self, repo: str, now: float) -> None:
        """A node asks what a branch means."""
        self._learn("refs", self._refs, repo, now, REF_TTL)

    def learn_facts(self, file: str, now: float) -> None:
        """A node asks what a file is."""
        self._learn("facts", self._facts, file, now, FACTS_TTL)

    def _learn(self, what: str, known: dict[str, float], name: str, now: float, ttl: float) -> None:
        if known.get(name, 0.0) > now:
            self.calls[what] += 1
        else:
            self.calls[what] += LEARNING
            known[name] = now + ttl


def beating(nodes: int, workers: int) -> float:
    """Calls a second of a fleet that does nothing: every worker beats, and reads and tells allowances."""
    return nodes * workers * (1.0 / DEFAULTS.heartbeat + 2.0 / ALLOWANCES_EVERY)
