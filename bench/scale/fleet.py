"""Nodes on a virtual clock. Who owns a slice, who relieves its owner and what is evicted is decided by the modules that
decide in production; the order in which others are asked is that of `proxy.fetch.fleet`, written down here once more
without its waiting.

A reader takes a file slice by slice at its own rate. What is missing is fetched slice by slice, whole; who comes while
it is on its way has it too. Nothing here can break but a node, and a byte that is sent has no size but its own: there
are no heads, no losses, no line that is full.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, takewhile
from random import Random
from typing import Final

from bench.load.catalogue import File
from proxy.cluster.members import Member, View
from proxy.cluster.membership import SILENT_BEATS
from proxy.cluster.placement import Demand, relief
from proxy.core.blob import BlobKey
from proxy.core.clock import ManualClock
from proxy.core.sizes import CHUNK, SLICE
from proxy.store.layout import Entry

from .books import Books
from .leases import DEFAULTS, REF_TTL, Redis
from .shelf import Blob, Kept, Recent, Shelf
from .trace import Reading, Visit

UPLINK: Final = 125_000_000.0
"""Bytes a second of one fill from the origin. Assumed; only the renewals of leases depend on it."""
HOLDERS_ASKED: Final = 3
"""As `proxy.fetch.fleet`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One fleet: `room` bytes a node. `lose_at`: the last node dies when so many requests were made."""

    nodes: int
    room: int
    seed: int = 1
    relieved: bool = True
    ghosts: int = 100_000
    """Evicted blobs that a node remembers."""
    lru: bool = False
    lose_at: int | None = None
    owned_stay: bool = True
    """What is mostly a node's own does not go with the newcomers, as `store.owned` has it; False to see what that is
    worth."""
    kept_again: bool = False
    """What a node reads of a peer it keeps only when it was asked for it before: not what nodes do, likewise."""


@dataclass(eq=False, slots=True)
class _Node:
    """`views`: refs that it knows until when; `facts`: files it knows."""

    number: int
    name: str
    shelf: Shelf
    demand: Demand
    refs: dict[str, float]
    facts: set[str]
    asked: set[Blob] = field(default_factory=set)
    notices_at: float = float("inf")
    """When it knows that the lost node is gone."""


@dataclass(eq=False, slots=True)
class _Reader:
    """A reading under way; `left` are the slices it still has to come to, as bits."""

    node: _Node
    kept: Kept
    reading: Reading
    began: float
    left: int
    keeps: bool = True


class Fleet:
    """See the head of the file."""

    def __init__(
        self, setting: Setting, *, urls: Sequence[str] = (), key_of: Callable[[File], BlobKey] | None = None
    ) -> None:
        """`urls` of the nodes and `key_of` the files are theirs in reality, where that is to be compared: they say who
        owns what."""
        self._setting = setting
        self._key_of = key_of or _some_key
        self._clock = ManualClock(0.0)
        self._chance = Random(f"fleet {setting.seed}")
        urls = urls or [f"http://n{number:03}:8080" for number in range(setting.nodes)]
        members = [Member(f"n{number:03}", url, 1) for number, url in enumerate(urls)]
        self._views = [View(1, tuple(members), members[0].name)]
        if setting.lose_at is not None:
            self._views.append(View(2, tuple(members[:-1]), members[0].name))
        self._nodes = [
            _Node(n, m.name, self._shelf(m.name), Demand(self._clock), {}, set()) for n, m in enumerate(members)
        ]
        self._by_name = {node.name: node for node in self._nodes}
        self._lost: _Node | None = None
        self._blobs: dict[str, Blob] = {}
        self._ranked: dict[tuple[Blob, int, int], tuple[Member, ...]] = {}
        self._events: list[tuple[float, int, _Reader]] = []
        self._numbers = count()
        self.redis = Redis()
        self.books = Books(setting.nodes)

    def _shelf(self, name: str) -> Shelf:
        made = Recent if self._setting.lru else Shelf
        owns = partial(self._owns, name) if self._setting.owned_stay and self._setting.nodes > 1 else None
        return made(self._setting.room, ghosts=self._setting.ghosts, owns=owns)

    def _owns(self, name: str, blob: Blob, index: int) -> bool:
        """As `Cluster.owns`."""
        return self._rank(self._by_name[name], blob, index)[0].name == name

    def play(self, visits: Iterable[Visit], requests: int) -> None:
        """So many requests of HTTP; the second half is what rates are taken from."""
        for visit in visits:
            if self.books.requests >= requests:
                break
            if self.books.half_at is None and self.books.requests >= requests // 2:
                self.books.begin_second_half(visit.at, self.redis.calls)
            self._until(visit.at)
            self._lose_if_due(visit.at)
            self._visited(visit)
        self._until(float("inf"))
        self.books.evicted = sum(node.shelf.evicted for node in self._nodes)

    # --- time ---------------------------------------------------------------------------------------------------

    def _until(self, at: float) -> None:
        events = self._events
        while events and events[0][0] <= at:
            self._clock.now, _, reader = heapq.heappop(events)
            self._go_on(reader)
        if at < float("inf"):
            self._clock.now = at

    def _later(self, at: float, reader: _Reader) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), reader))

    def _lose_if_due(self, at: float) -> None:
        due = self._setting.lose_at
        if due is None or self._lost is not None or self.books.requests < due:
            return
        self._lost = self._nodes[-1]
        for node in self._nodes:
            node.notices_at = at + SILENT_BEATS * DEFAULTS.heartbeat

    # --- clients ------------------------------------------------------------------------------------------------

    def _visited(self, visit: Visit) -> None:
        """Each file on a connection of its own, which a balancer gives to any node."""
        self.books.visited(visit)
        if visit.opening:
            self._learn_ref(self._node(self._chance.random()), visit)
        for file in visit.heads:
            self._learn_facts(self._node(self._chance.random()), file)
        for reading in visit.readings:
            self._begin(self._node(reading.lot), reading)

    def _node(self, lot: float) -> _Node:
        alive = len(self._nodes) - (self._lost is not None)
        return self._nodes[int(lot * alive)]

    def _learn_ref(self, node: _Node, visit: Visit) -> None:
        if node.refs.get(visit.repo, 0.0) <= visit.at:
            node.refs[visit.repo] = visit.at + REF_TTL
            self.redis.learn_ref(visit.repo, visit.at)

    def _learn_facts(self, node: _Node, file: File) -> None:
        if file.seed not in node.facts:
            node.facts.add(file.seed)
            self.redis.learn_facts(file.seed, self._clock.now)

    def _begin(self, node: _Node, reading: Reading) -> None:
        if reading.stop <= reading.start:
            return
        self._learn_facts(node, reading.file)
        blob, now = self._blob(reading.file), self._clock.now
        self.books.wanted(node.number, blob, reading.start, reading.stop)
        kept = node.shelf.open(blob, now)
        if reading.requests > 1:
            # Each range opens the blob; readings are counted once a second.
            kept.frequency = min(3, kept.frequency + int((reading.stop - reading.start) / reading.rate))
        first, last = reading.start // SLICE, (reading.stop - 1) // SLICE
        kept.readers += 1
        keeps = not self._setting.kept_again or blob in node.asked
        node.asked.add(blob)
        self._go_on(_Reader(node, kept, reading, now, ((1 << (last - first + 1)) - 1) << first, keeps))

    def _go_on(self, reader: _Reader) -> None:
        """Bring the slice that the reader has come to, and come back when it needs the next that is not there."""
        self.books.turn_to(reader.began)
        reader.left &= ~reader.kept.slices
        index = (reader.left & -reader.left).bit_length() - 1
        if index >= 0 and self._comes_to(reader, index) <= self._clock.now:
            self._bring(reader, index)
            reader.left &= reader.left - 1
            index = (reader.left & -reader.left).bit_length() - 1
        if index >= 0:
            self._later(self._comes_to(reader, index), reader)
            return
        ends = reader.began + (reader.reading.stop - reader.reading.start) / reader.reading.rate
        if ends > self._clock.now:
            self._later(ends, reader)  # until then nobody may evict it
        else:
            reader.kept.readers -= 1

    def _comes_to(self, reader: _Reader, index: int) -> float:
        return reader.began + max(0, index * SLICE - reader.reading.start) / reader.reading.rate

    def _wanted(self, reading: Reading, index: int) -> int:
        return min(reading.stop, (index + 1) * SLICE) - max(reading.start, index * SLICE)

    # --- the ring of the fleet: see proxy.fetch.fleet -------------------------------------------------------------

    def _bring(self, reader: _Reader, index: int) -> None:
        """The slice that is not here, from whoever it is to come from."""
        node, blob = reader.node, reader.kept.blob
        self.books.missed(self._wanted(reader.reading, index))
        owned = not self._from_owner(node, blob, index)
        if owned:
            self._fill(node, blob, index)
        if owned or reader.keeps:
            node.shelf.grow(reader.kept, index, _size(blob, index), self._clock.now)
            self.books.wrote(node.number, _size(blob, index))

    def _from_owner(self, node: _Node, blob: Blob, index: int) -> bool:
        """As `Cluster.route`: from one that relieves the owner, or from those that rank before us, best first."""
        ranked = self._rank(node, blob, index)
        before = list(takewhile(lambda member: member.name != node.name, ranked))
        if not before:
            return False
        place = (blob.key, index)
        node.demand.asked(place, before[0].url)
        if self._setting.relieved:
            instead = relief(place, ranked, node.name, node.demand, self._chance)
            if instead is not None and self._has(instead.name, blob, index):
                self._give(self._by_name[instead.name], blob, index)
                return True
        for member in before:
            owner = self._by_name[member.name]
            if owner is self._lost:
                node.notices_at = self._clock.now  # it fails, and is not asked again
                continue
            there = owner.shelf.open(blob, self._clock.now)
            if not there.slices >> index & 1:
                self._fill(owner, blob, index)
                owner.shelf.grow(there, index, _size(blob, index), self._clock.now)
                self.books.wrote(owner.number, _size(blob, index))
            self.books.gave(owner.number, _size(blob, index))
            return True
        return False

    def _fill(self, node: _Node, blob: Blob, index: int) -> None:
        """Under a lease: from who has it by chance, or from who has the lease, or from the origin."""
        now, size = self._clock.now, _size(blob, index)
        holder = self.redis.acquire(node.number, (blob, index), now, size / UPLINK)
        if holder is not None and self._nodes[holder] is not self._lost:
            self._give(self._nodes[holder], blob, index, followed=True)
            return
        for other in self._by_chance(node, blob, index):
            if self._has(other.name, blob, index):
                self._give(other, blob, index, found=True)
                return
        self.books.fetched(size)

    def _by_chance(self, node: _Node, blob: Blob, index: int) -> list[_Node]:
        said = [self._nodes[number] for number in self.redis.holders((blob, index), self._clock.now)]
        ranked = self._rank(node, blob, index)
        after = [member.name for member in ranked][_place(ranked, node.name) + 1 :][:1]
        likely = [self._by_name[name] for name in after]
        return [other for other in dict.fromkeys((*said, *likely)) if other is not node][:HOLDERS_ASKED]

    def _has(self, name: str, blob: Blob, index: int) -> bool:
        node = self._by_name[name]
        return node is not self._lost and node.shelf.has(blob, index)

    def _give(self, giver: _Node, blob: Blob, index: int, *, followed: bool = False, found: bool = False) -> None:
        giver.shelf.open(blob, self._clock.now)
        self.books.gave(giver.number, _size(blob, index), followed=followed, found=found)

    def _rank(self, node: _Node, blob: Blob, index: int) -> tuple[Member, ...]:
        view = self._views[1 if node.notices_at <= self._clock.now else 0]
        found = self._ranked.get((blob, index, view.version))
        if found is None:
            found = self._ranked[blob, index, view.version] = view.ranked(blob.key, index)
        return found

    def _blob(self, file: File) -> Blob:
        blob = self._blobs.get(file.seed)
        if blob is None:
            entry = Entry(self._key_of(file), small=file.size <= CHUNK)
            blob = self._blobs[file.seed] = Blob(entry, file.size)
        return blob


def _some_key(file: File) -> BlobKey:
    return BlobKey.sha256(hashlib.sha256(file.seed.encode()).hexdigest())


def _size(blob: Blob, index: int) -> int:
    return min(SLICE, blob.size - index * SLICE)


def _place(ranked: Sequence[Member], name: str) -> int:
    return next(at for at, member in enumerate(ranked) if member.name == name)
