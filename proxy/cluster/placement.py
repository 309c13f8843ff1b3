"""Whom to ask for a slice, so that no node carries much more than its share. Decides, does nothing.

A slice has one owner, the first in rank: it alone reads from the origin, and whoever else wants the slice reads from
the owner. What is wanted often is soon kept by those who want it (a reader's copy stays when it is read again), so
that its owner is asked less and less. Until then, and for what no single node wants often enough to keep, *relief*: a
node counts what it asks its peers for; a slice that makes up much of that is asked for, not of its owner, but of one
of the next in rank, each asker choosing by chance among as many as the slice is hot. The relief is asked for bytes
that it has, and for nothing else: when it has none the owner is asked as ever, and no byte comes from the origin
twice for it. An owner that is asked for more than its share is relieved of whatever was asked for before, in the same
way.

Counts are of this worker alone. Clients come to nodes by chance, so every node sees about the same demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.clock import Clock

from .members import Member

HALF_LIFE: Final = 60.0
"""Seconds after which an old question counts half."""
SLICES: Final = 2048
"""Slices that are counted; beyond it those that were asked for least are forgotten."""
TOLERANCE: Final = 0.1
"""By how much of a mean node's share one slice may burden its owner before others relieve it."""
BOUND: Final = 1.15
"""An owner that is asked for more than so many times its share is relieved of all that was asked for before."""
TELLING: Final = 2
"""Questions, per member, below which nothing can be said about shares."""

ONCE: Final = 1.5
"""Questions for a slice below which it was read by one reader, from its beginning to its end or in part."""
_FADED: Final = 0.1
"""Questions, faded, that count no more."""

Slice = tuple[BlobKey, int]


class Demand:
    """What this worker asked its peers for lately, by slice and by owner. Bounded; old questions fade."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slices: dict[Slice, float] = {}
        self._owners: dict[str, float] = {}
        self.total = 0.0
        """Questions for all slices, old ones counting less."""
        self._faded = clock.monotonic()

    def __len__(self) -> int:
        return len(self._slices)

    def asked(self, place: Slice, owner: str, part: float = 1.0) -> None:
        """A reader of ours wants `part` (0 to 1) of a slice that is not here and that `owner` owns. A slice is read in
        several parts: only together they are one question."""
        self._fade()
        if place not in self._slices and len(self._slices) >= SLICES:
            self._forget_the_least()
        self._slices[place] = self._slices.get(place, 0.0) + part
        self._owners[owner] = self._owners.get(owner, 0.0) + part
        self.total += part

    def of(self, place: Slice) -> float:
        """Questions for the slice, old ones counting less."""
        return self._slices.get(place, 0.0)

    def of_owner(self, owner: str) -> float:
        """Questions for slices of `owner`."""
        return self._owners.get(owner, 0.0)

    def _fade(self) -> None:
        now = self._clock.monotonic()
        if now - self._faded < HALF_LIFE / 8:
            return
        left = 0.5 ** ((now - self._faded) / HALF_LIFE)
        self._faded = now
        self._slices = {place: count * left for place, count in self._slices.items() if count * left > _FADED}
        self._owners = {owner: count * left for owner, count in self._owners.items() if count * left > _FADED}
        self.total = sum(self._owners.values())

    def _forget_the_least(self) -> None:
        by_count = sorted(self._slices.items(), key=lambda item: item[1], reverse=True)
        self._slices = dict(by_count[: SLICES // 2])


def width(place: Slice, owner: Member, ranked: Sequence[Member], demand: Demand) -> int:
    """How many of the first in rank share the readings of the slice: 1 is its owner alone."""
    asked, total = demand.of(place), demand.total
    if asked < ONCE or total < TELLING * len(ranked):
        return 1
    burden = asked / total * len(ranked)
    found = min(len(ranked), 1 + int(burden / TOLERANCE))
    if found == 1 and demand.of_owner(owner.url) > BOUND * total * _share(owner, ranked):
        return min(2, len(ranked))
    return found


def relief(place: Slice, ranked: Sequence[Member], us: str, demand: Demand, chance: Random) -> Member | None:
    """The peer to ask, before the owner, for what it has of the slice; None when the owner is to be asked at once.

    `ranked` is `View.ranked`, `us` our name."""
    found = width(place, ranked[0], ranked, demand)
    if found == 1:
        return None
    chosen = ranked[chance.randrange(found)]
    return None if chosen.name == us or chosen is ranked[0] else chosen


def _share(owner: Member, ranked: Sequence[Member]) -> float:
    return owner.weight / sum(member.weight for member in ranked)
