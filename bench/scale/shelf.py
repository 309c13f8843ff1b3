"""What a node keeps, and what goes when it is full: the queues of `proxy.store.index` in memory, the store's own sweep.

`Recent` is the same with the longest unread going first (LRU): theory speaks of that one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from proxy.core.blob import BlobKey
from proxy.store.eviction import FREQUENCY_LIMIT, Queue, Row, sweep
from proxy.store.index import GHOSTS
from proxy.store.layout import Entry
from proxy.store.ledger import Books, Limits, Room, excess

AT_ONCE: Final = 128
"""Rows of each queue that a sweep is given (the store gives 512); it is called again while there is more to free."""

_ROUNDS: Final = FREQUENCY_LIMIT + 2
"""So often all that is kept is walked through: whoever is not being read by then has gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """A file's bytes: there is one for each file. `entry` is what a disk calls it."""

    entry: Entry
    size: int

    @property
    def key(self) -> BlobKey:
        return self.entry.key


@dataclass(eq=False, slots=True)
class Kept:
    """What is here of a blob: `slices` as bits, their bytes, where it waits. Who is being read stays."""

    blob: Blob
    queue: Queue
    slices: int = 0
    size: int = 0
    frequency: int = 0
    readers: int = 0
    touched: int = -1
    """The second in which it was last counted as read: `store.upkeep` counts once a second."""


Owns = Callable[[Blob, int], bool]
"""Whether the slice of that index is this node's to fetch for all."""


@dataclass(slots=True)
class _Queues:
    small: OrderedDict[Blob, Kept] = field(default_factory=OrderedDict)
    main: OrderedDict[Blob, Kept] = field(default_factory=OrderedDict)

    def of(self, queue: Queue) -> OrderedDict[Blob, Kept]:
        return self.small if queue is Queue.SMALL else self.main


class Shelf:
    """All disks of a node as one, of `room` bytes; `soft` is the share to which it is emptied. As `store.index`."""

    def __init__(self, room: int, *, soft: float = 0.95, ghosts: int = GHOSTS, owns: Owns | None = None) -> None:
        """What is mostly one that the node `owns` does not go with the newcomers."""
        self._owns = owns
        self._limits = Limits(int(room * soft), room, 0)
        self._ghosts_kept = ghosts
        self._kept: dict[Blob, Kept] = {}
        self._blobs: dict[str, Blob] = {}
        self._queues = _Queues()
        self._ghosts: OrderedDict[Blob, int] = OrderedDict()
        self._moves = 0
        self._tended = -1
        self._stuck = False
        """All that could go is being read: it is tried again in the next second."""
        self._small = 0
        self.stored = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._kept)

    def has(self, blob: Blob, index: int) -> bool:
        kept = self._kept.get(blob)
        return kept is not None and bool(kept.slices >> index & 1)

    def open(self, blob: Blob, now: float) -> Kept:
        """What is here of the blob, made if there is nothing; counted as read."""
        kept = self._kept.get(blob)
        if kept is None:
            kept = self._add(blob)
        if int(now) != kept.touched:
            kept.touched = int(now)
            self._touch(kept)
        return kept

    def grow(self, kept: Kept, index: int, size: int, now: float) -> None:
        """Slice `index`, `size` bytes, is here now, or on its way. Room is made once a second, or at need."""
        kept.slices |= 1 << index
        kept.size += size
        self.stored += size
        if kept.queue is Queue.SMALL:
            self._small += size
        over = self.stored > self._limits.hard and not self._stuck
        if int(now) != self._tended or over:
            self._tended = int(now)
            kept.readers += 1
            self._evict(excess(Books(self.stored, 0), self._limits, _PLENTY))
            kept.readers -= 1
            self._stuck = self.stored > self._limits.hard

    def _add(self, blob: Blob) -> Kept:
        queue = Queue.MAIN if self._ghosts.pop(blob, None) is not None else Queue.SMALL
        kept = self._kept[blob] = Kept(blob, queue)
        self._blobs[blob.key.hex] = blob
        self._queues.of(queue)[blob] = kept
        self._moves += 1
        return kept

    def _touch(self, kept: Kept) -> None:
        kept.frequency = min(FREQUENCY_LIMIT, kept.frequency + 1)

    def _evict(self, wanted: int) -> None:
        """Until so many bytes are gone, or everything left is being read."""
        fruitless = 0
        while wanted > 0 and fruitless <= _ROUNDS * (len(self._kept) + 1):
            plan = sweep(
                _rows(self._queues.small),
                _rows(self._queues.main),
                small_bytes=self._small,
                stored=self.stored,
                wanted=wanted,
                at_most=AT_ONCE,
                stays=self._is_owned,
            )
            for row in plan.to_main:
                self._requeue(self._of(row), row.frequency)
            gone = sum(self._leave(self._of(row)) for row in plan.victims)
            wanted -= gone
            fruitless = 0 if gone else fruitless + max(1, len(plan.victims) + len(plan.to_main))

    def _of(self, row: Row) -> Kept:
        return self._at(row.entry)

    def _at(self, entry: Entry) -> Kept:
        return self._kept[self._blobs[entry.key.hex]]

    def _is_owned(self, entry: Entry) -> bool:
        """As `store.owned`: by the slices that are here."""
        if self._owns is None:
            return False
        kept = self._at(entry)
        here = [index for index in range(kept.slices.bit_length()) if kept.slices >> index & 1]
        return 2 * sum(self._owns(kept.blob, index) for index in here) > len(here)

    def _leave(self, kept: Kept) -> int:
        """The bytes that are free now; none when it is being read, then it goes to the tail."""
        if kept.readers:
            self._requeue(kept, 0)
            return 0
        self._drop(kept)
        self._ghosts[kept.blob] = self._moves
        while self._ghosts and next(iter(self._ghosts.values())) < self._moves - self._ghosts_kept:
            self._ghosts.popitem(last=False)
        return kept.size

    def _drop(self, kept: Kept) -> None:
        del self._kept[kept.blob]
        del self._queues.of(kept.queue)[kept.blob]
        self.stored -= kept.size
        self.evicted += kept.size
        if kept.queue is Queue.SMALL:
            self._small -= kept.size

    def _requeue(self, kept: Kept, frequency: int) -> None:
        del self._queues.of(kept.queue)[kept.blob]
        if kept.queue is Queue.SMALL:
            self._small -= kept.size
        kept.queue, kept.frequency = Queue.MAIN, frequency
        self._queues.main[kept.blob] = kept
        self._moves += 1


class Recent(Shelf):
    """LRU: who was not read the longest goes first."""

    def _touch(self, kept: Kept) -> None:
        self._queues.of(kept.queue).move_to_end(kept.blob)

    def _evict(self, wanted: int) -> None:
        going, freed = [], 0
        for kept in self._queues.small.values():
            if freed >= wanted:
                break
            if not kept.readers:
                going.append(kept)
                freed += kept.size
        for kept in going:
            self._drop(kept)


_PLENTY: Final = Room(free=1 << 62, inodes=None)


def _rows(queue: OrderedDict[Blob, Kept]) -> list[Row]:
    return [Row(kept.blob.entry, kept.size, kept.frequency) for kept in islice(queue.values(), AT_ONCE)]
