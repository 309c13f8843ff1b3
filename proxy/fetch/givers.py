"""Who gave which slice, and what follows when it was wrong. Decides, and tells those who count.

A slice that may be wrong, and that peers had given, comes from the origin alone until it is proven: with a liar among
them nobody could say which of the others is to be believed.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict

from .crossings import Place
from .ports import Fleet

log: Final = logging.getLogger(__name__)

PLACES: Final = 4096
"""Slices of which is remembered who gave them, and as many that are distrusted."""
ORIGIN: Final = ""
"""The origin, among those that gave a slice."""


class GiversObserver(Protocol):
    """Who counts. Called on the loop; returns at once."""

    def slices_proven(self, count: int) -> None:
        """So many slices were found right by their manifest."""
        ...

    def slice_wrong(self, reason: str) -> None:
        """A slice was found wrong; `reason`: see penstock_fleet_slices_wrong_total."""
        ...


class Givers:
    """See the head of the file."""

    def __init__(self, fleet: Fleet, observer: GiversObserver) -> None:
        self._fleet = fleet
        self._observer = observer
        self._by_place: BoundedDict[Place, frozenset[str]] = BoundedDict(entries=PLACES)
        self._distrusted: BoundedDict[Place, bool] = BoundedDict(entries=PLACES)

    def note(self, place: Place, giver: str) -> None:
        """`giver` (a peer, or `ORIGIN`) gave some of the slice."""
        known = self._by_place.get(place) or frozenset()
        if giver not in known:
            self._by_place.put(place, known | {giver})

    def of(self, place: Place) -> frozenset[str]:
        """Who gave some of the slice, as far as is remembered."""
        return self._by_place.get(place) or frozenset()

    def are_peers(self, name: BlobKey, index: int) -> bool:
        """Whether what came of the slice in this worker came from peers alone."""
        givers = self.of((name, index))
        return bool(givers) and ORIGIN not in givers

    def are_distrusted(self, place: Place) -> bool:
        """Whether the slice is to come from the origin alone."""
        return self._distrusted.get(place) or False

    def distrust(self, place: Place) -> frozenset[str]:
        """The slice may have been wrong, and is dropped; who had given it. What is not known not to have come from a
        peer (another worker fetched it, or we in another life) is taken to have."""
        givers = self.of(place)
        self._by_place.discard(place)
        if givers != {ORIGIN}:
            self._distrusted.put(place, True)
        return givers

    def trust(self, place: Place) -> None:
        """The slice is here, and right: it may come from anybody again."""
        self._distrusted.discard(place)

    def proven(self, place: Place) -> None:
        """The slice was found right by its manifest."""
        self.trust(place)
        self._observer.slices_proven(1)

    def blame(self, place: Place, givers: frozenset[str]) -> None:
        """The slice was wrong when `givers` had given it. Of several it cannot be told which one it was."""
        name, index = place
        names = " ".join(sorted(giver or "origin" for giver in givers))
        log.error("a slice was wrong", extra={"blob": str(name), "slice": index, "from": names})
        self._observer.slice_wrong(_reason(givers))
        if len(givers) == 1 and ORIGIN not in givers:
            self._fleet.lied(next(iter(givers)))

    def was_misled(self, name: BlobKey) -> bool:
        """A small file was wrong: whether peers had given it. It is not theirs to give again."""
        givers = self.distrust((name, 0))
        if misled := bool(givers - {ORIGIN}):
            self.blame((name, 0), givers)
        return misled


def _reason(givers: frozenset[str]) -> str:
    """For the metric."""
    if not givers:
        return "unknown"
    if len(givers) > 1:
        return "several"
    return "origin" if ORIGIN in givers else "peer"
