"""How evenly a fleet carries its load: a simulation that runs the modules which decide in production.

    python -m bench.placement --nodes 8 --zipf 1.0

Readers come to nodes by chance and ask for slices whose popularity follows Zipf's law. A node that has the slice on
its disk sends it; else it reads it from its owner, or from the one that relieves the owner
(`proxy.cluster.placement`), sends it on and keeps it as its disk does: newcomers in a small queue first, who is read
again stays. An owner without it reads it from the origin. Nothing takes time here: what is shown is how many slices
each node sends, to readers and to peers.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from proxy.cluster.members import Member, View
from proxy.cluster.placement import Demand, relief
from proxy.core.blob import BlobKey
from proxy.core.clock import ManualClock

SMALL_SHARE: Final = 0.1
"""The part of a disk that newcomers may hold before they go first."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One simulation. `disk` is the part of all slices that one node's disk holds."""

    nodes: int = 8
    slices: int = 20_000
    requests: int = 200_000
    zipf: float = 1.0
    disk: float = 0.05
    seed: int = 1
    relieved: bool = True
    owned_stay: bool = False
    """What a node owns skips its disk's queue of newcomers, as in the store; off, to see what it is worth."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, counted in the second half. Loads are relative to the mean node."""

    hottest: float
    """Slices sent, to readers and peers, by the node that sent most."""
    hottest_for_peers: float
    """The same, of those sent to peers alone."""
    hit_rate: float
    peer_rate: float
    """Parts of the requests that were answered from the own disk, and by reading from a peer."""
    origin: int
    """Slices read from the origin, in both halves."""


class Disk:
    """What a node keeps: a queue of newcomers, and those that were read again, the longest unread going first."""

    def __init__(self, room: int) -> None:
        self._room = max(2, room)
        self._small: OrderedDict[int, None] = OrderedDict()
        self._main: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, index: int) -> bool:
        return index in self._main or index in self._small

    def read(self, index: int) -> None:
        if index in self._small:
            del self._small[index]
        self._main[index] = None
        self._main.move_to_end(index)

    def keep(self, index: int, *, stays: bool = False) -> None:
        (self._main if stays else self._small)[index] = None
        while len(self._small) + len(self._main) > self._room:
            from_small = len(self._small) > self._room * SMALL_SHARE or not self._main
            (self._small if from_small else self._main).popitem(last=False)


class Fleet:
    """Nodes with their disks, and what they have sent."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._chance = Random(setting.seed)
        members = tuple(Member(f"n{number:03}", f"http://n{number:03}:8080", 1) for number in range(setting.nodes))
        self._view = View(1, members, members[0].name)
        self._number = {member.name: number for number, member in enumerate(members)}
        self._names = [member.name for member in members]
        self._ranked: dict[int, tuple[Member, ...]] = {}
        self._disks = [Disk(int(setting.slices * setting.disk)) for _ in members]
        self._demands = [Demand(ManualClock()) for _ in members]
        self.to_readers = [0] * setting.nodes
        self.to_peers = [0] * setting.nodes
        self.hits = 0
        self.from_origin = 0

    def forget_counts(self) -> None:
        self.to_readers = [0] * self._setting.nodes
        self.to_peers = [0] * self._setting.nodes
        self.hits = 0

    def request(self, index: int) -> None:
        """A reader comes to some node and wants the slice."""
        node = self._chance.randrange(self._setting.nodes)
        self.to_readers[node] += 1
        if index in self._disks[node]:
            self.hits += 1
            self._disks[node].read(index)
            return
        ranked = self._rank(index)
        owned = self._names[node] == ranked[0].name
        if owned:
            self.from_origin += 1
        else:
            self._ask(node, index, ranked)
        self._disks[node].keep(index, stays=owned and self._setting.owned_stay)

    def _ask(self, node: int, index: int, ranked: Sequence[Member]) -> None:
        place, demand = (KEY, index), self._demands[node]
        demand.asked(place, ranked[0].url)
        if self._setting.relieved:
            other = relief(place, ranked, self._names[node], demand, self._chance)
            if other is not None and index in self._disks[self._number[other.name]]:
                self._send(self._number[other.name], index)
                return
        self._send(self._number[ranked[0].name], index)

    def _send(self, peer: int, index: int) -> None:
        self.to_peers[peer] += 1
        if index in self._disks[peer]:
            self._disks[peer].read(index)
        else:
            self.from_origin += 1
            self._disks[peer].keep(index, stays=self._setting.owned_stay)

    def _rank(self, index: int) -> tuple[Member, ...]:
        found = self._ranked.get(index)
        if found is None:
            found = self._ranked[index] = self._view.ranked(KEY, index)
        return found


KEY: Final = BlobKey.sha256("5e" * 32)


def simulate(setting: Setting) -> Outcome:
    """Play `setting`; the same setting has the same outcome."""
    fleet = Fleet(setting)
    for number, index in enumerate(_wanted(setting)):
        if number == setting.requests // 2:
            fleet.forget_counts()  # until here disks were empty, and counts too few
        fleet.request(index)
    counted = setting.requests - setting.requests // 2
    sent = [readers + peers for readers, peers in zip(fleet.to_readers, fleet.to_peers, strict=True)]
    return Outcome(
        hottest=_hottest(sent),
        hottest_for_peers=_hottest(fleet.to_peers),
        hit_rate=fleet.hits / counted,
        peer_rate=sum(fleet.to_peers) / counted,
        origin=fleet.from_origin,
    )


def _wanted(setting: Setting) -> Iterator[int]:
    chance = Random(setting.seed + 1)
    weights = list(itertools.accumulate(1 / (rank + 1) ** setting.zipf for rank in range(setting.slices)))
    for _ in range(setting.requests):
        yield min(bisect.bisect(weights, chance.random() * weights[-1]), setting.slices - 1)


def _hottest(counts: Sequence[int]) -> float:
    return max(counts) * len(counts) / sum(counts) if sum(counts) else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.placement", description=__doc__.split("\n\n")[0])
    default = Setting()
    parser.add_argument("--nodes", type=int, default=default.nodes)
    parser.add_argument("--slices", type=int, default=default.slices)
    parser.add_argument("--requests", type=int, default=None, help="[default: 2000 a node, at least 200000]")
    parser.add_argument("--zipf", type=float, default=default.zipf)
    parser.add_argument("--disk", type=float, default=default.disk, help="part of all slices that one node can keep")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--without-relief", action="store_true")
    parser.add_argument("--owned-stay", action="store_true", help="what a node owns skips the queue, as in the store")
    given = parser.parse_args()
    setting = Setting(
        nodes=given.nodes,
        slices=given.slices,
        requests=given.requests or max(default.requests, 2000 * given.nodes),
        zipf=given.zipf,
        disk=given.disk,
        seed=given.seed,
        relieved=not given.without_relief,
        owned_stay=given.owned_stay,
    )
    json.dump({"setting": asdict(setting), "outcome": asdict(simulate(setting))}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
