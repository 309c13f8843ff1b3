"""What a node of a fleet does besides: it reads for its peers, and sees to it that no wrong byte stays."""

from __future__ import annotations

from functools import partial

from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.core.tasks import TaskSet
from proxy.hub.names import FileTarget, ObjectTarget
from proxy.hub.peering import PeerQuestion

from .coordinator import Readable
from .fleet import OncePerFleet
from .flight import FlightLimits
from .flights import Flights
from .follow import FromPeers
from .for_peers import PeerReadings
from .manifests import KnownManifests
from .mend import Mender
from .ports import BlobStore, Origin, Source
from .prover import Prover
from .sealer import Sealer
from .small import SmallFiles


class InFleet:
    """`ring` is who is asked for bytes, `mender` sees to wholes that are wrong."""

    def __init__(self, ring: OncePerFleet, store: BlobStore, origin: Origin, tasks: TaskSet, clock: Clock) -> None:
        self.ring = ring
        self._store = store
        self._origin = origin
        self._tasks = tasks
        self._clock = clock
        self._manifests = KnownManifests(store, ring.fleet)
        self._sealer = Sealer(store, ring, self._manifests, self._from_origin, tasks, clock)
        self.mender = Mender(store, ring, self._sealer)

    def from_peers(self, located: Readable) -> FromPeers:
        """Which slices of the file came from peers."""
        return partial(self.ring.givers.are_peers, located.facts.shared_name(located.target.repo))

    def prover(self, flights: Flights) -> Prover:
        """Proves slices of what `flights` brings."""
        return Prover(self._store, self.ring, self._manifests, self._sealer, self._tasks, flights)

    def readings(self, flights: Flights, small: SmallFiles, prover: Prover, limits: FlightLimits) -> PeerReadings:
        """Reads for peers."""
        return PeerReadings(
            store=self._store,
            from_origin=self._from_origin,
            ring=self.ring,
            sealer=self._sealer,
            prover=prover,
            flights=flights,
            small=small,
            clock=self._clock,
            limits=limits,
        )

    def _from_origin(self, question: PeerQuestion, caller: Caller = ANONYMOUS) -> Source:
        """For a peer, in its caller's name; or in nobody's, for ourselves."""
        lend = question.lend and caller.is_anonymous
        match question.target:
            case FileTarget() as target:
                return self._origin.source(target, question.facts, caller, lend=lend)
            case ObjectTarget() as target:
                return self._origin.object_source(target, question.facts, caller, lend=lend)
