"""What a simulated fleet has done, in bytes; rates and shares are those of its second half, when disks are full."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from proxy.core.sizes import SLICE

from .shelf import Blob
from .trace import Visit


@dataclass(slots=True)
class Books:
    """Kept by a `Fleet` while it plays. Lists have an item for each node."""

    nodes: int
    requests: int = 0
    last_at: float = 0.0
    half_at: float | None = None
    all_origin: int = 0
    """Bytes from the origin from the beginning on, as `unique`."""
    unique: int = 0
    """Bytes of the slices that anybody wanted."""
    wanted_bytes: int = 0
    missed_bytes: int = 0
    """Wanted and not on the reader's node."""
    origin: int = 0
    followed: int = 0
    found: int = 0
    """Bytes that came from the holder of a lease, and from who had them by chance."""
    evicted: int = 0
    requests_before: int = 0
    calls_before: Counter[str] = field(default_factory=Counter)
    to_readers: list[int] = field(default_factory=list)
    to_peers: list[int] = field(default_factory=list)
    taken_in: list[int] = field(default_factory=list)
    """Bytes that were written to a node's disks."""
    _counts: bool = True
    _seen: dict[Blob, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._zero()

    def _zero(self) -> None:
        self.to_readers, self.to_peers, self.taken_in = ([0] * self.nodes for _ in range(3))
        self.wanted_bytes = self.missed_bytes = self.origin = self.followed = self.found = 0

    def begin_second_half(self, at: float, calls: Counter[str]) -> None:
        self._zero()
        self.half_at, self.requests_before, self.calls_before = at, self.requests, calls.copy()

    def visited(self, visit: Visit) -> None:
        self.requests += visit.requests
        self.last_at = visit.at

    def wanted(self, node: int, blob: Blob, start: int, stop: int) -> None:
        self.wanted_bytes += stop - start
        self.to_readers[node] += stop - start
        first, last = start // SLICE, (stop - 1) // SLICE
        seen = self._seen.get(blob, 0)
        new = ((1 << (last - first + 1)) - 1) << first & ~seen
        if new:
            self._seen[blob] = seen | new
            whole = new.bit_count() * SLICE
            at_end = (blob.size - 1) // SLICE
            self.unique += whole - ((at_end + 1) * SLICE - blob.size if new >> at_end & 1 else 0)

    def turn_to(self, began: float) -> None:
        """What follows is for a reading that began then: those of the first half are not counted in the second."""
        self._counts = self.half_at is None or began >= self.half_at

    def missed(self, count: int) -> None:
        if self._counts:
            self.missed_bytes += count

    def fetched(self, count: int) -> None:
        self.all_origin += count
        if self._counts:
            self.origin += count

    def wrote(self, node: int, count: int) -> None:
        if self._counts:
            self.taken_in[node] += count

    def gave(self, giver: int, count: int, *, followed: bool = False, found: bool = False) -> None:
        if not self._counts:
            return
        self.to_peers[giver] += count
        self.followed += count * followed
        self.found += count * found
