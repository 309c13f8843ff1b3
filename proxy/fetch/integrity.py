"""What a node of a fleet does so that no wrong byte stays: `manifests`, `sealer`, `prover` and `mend`, put together."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.clock import Clock
from proxy.core.tasks import TaskSet
from proxy.hub.peering import PeerQuestion

from .fleet import OncePerFleet
from .flights import Flights
from .manifests import KnownManifests
from .mend import Mender
from .ports import BlobStore, Source
from .prover import Prover
from .sealer import Sealer


class Integrity:
    """`mender` sees to wholes that are wrong, `prover` to slices, `sealer` to what both go by."""

    def __init__(
        self,
        store: BlobStore,
        ring: OncePerFleet,
        from_origin: Callable[[PeerQuestion], Source],
        tasks: TaskSet,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ring = ring
        self._tasks = tasks
        self._manifests = KnownManifests(store, ring.fleet)
        self.sealer = Sealer(store, ring, self._manifests, from_origin, tasks, clock)
        self.mender = Mender(store, ring, self.sealer)

    def prover(self, flights: Flights) -> Prover:
        """The one of the node whose downloads are `flights`."""
        return Prover(self._store, self._ring, self._manifests, self.sealer, self._tasks, flights)
