"""Who reads what of whom here, so that no two nodes wait for each other. Decides only.

    1. A asks B for a stretch (in A's view B owns it)      2. B's client wants it too, and in B's view A owns it
    3. B asks A      4. each waits for the other

Therefore a node that is asked by a peer for what it has not got fetches it itself, without asking peers that rank
before it; and what it is reading from a peer just now it gives to none: it answers AskAnother, and the asker goes on to
the next.

That is known to one worker, and 2 and 3 may be another worker's. So a question by rank names its asker, and a node
that sees the asker before itself gives it what is stored, or on its way from the origin, and waits for nothing: of two
nodes that each see the other in front neither waits for the other. Who ranks before whom depends on these two alone, so
they differ only while one of them drains, or comes back with another weight, and the other has not heard of it.

Before a node turns to the origin it *inquires* of those that may have the bytes by chance. They give what is stored, or
on its way from the origin itself, and say no to everything else at once: an inquiry waits for nobody who waits for a
peer.

Circles of three would need three different views of the fleet at once; they end when the first of them has waited for
its progress timeout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from proxy.core.blob import BlobKey
from proxy.core.errors import AskAnother
from proxy.core.spans import Span, subtract

Place = tuple[BlobKey, int]
"""A slice of a blob, by the name that all nodes know it by."""


@dataclass(slots=True)
class _Reads:
    """Stretches on their way, by slice; as many as there are reads under way."""

    by_place: dict[Place, list[Span]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.by_place.values()))

    def touch(self, place: Place, span: Span) -> bool:
        """Whether any of them shares a byte with `span`."""
        return any(read.overlaps(span) for read in self.by_place.get(place, ()))

    @contextmanager
    def noted(self, place: Place, span: Span) -> Iterator[None]:
        self.by_place.setdefault(place, []).append(span)
        try:
            yield
        finally:
            self.by_place[place].remove(span)
            if not self.by_place[place]:
                del self.by_place[place]


class Crossings:
    """See the head of the file."""

    def __init__(self) -> None:
        self._asking = _Reads()
        self._fetching = _Reads()
        self._serving = _Reads()

    def __len__(self) -> int:
        return len(self._asking) + len(self._fetching) + len(self._serving)

    @contextmanager
    def asking(self, place: Place, span: Span) -> Iterator[None]:
        """We read `span` from a peer."""
        with self._asking.noted(place, span):
            yield

    @contextmanager
    def fetching(self, place: Place, span: Span) -> Iterator[None]:
        """We read `span` from the origin."""
        with self._fetching.noted(place, span):
            yield

    @contextmanager
    def serving(self, place: Place, span: Span) -> Iterator[None]:
        """A peer reads `span` from us, and it is not all here. Raises AskAnother while we read some of it from one."""
        if self._asking.touch(place, span):
            raise AskAnother("this node is reading these bytes from a peer itself")
        with self._serving.noted(place, span):
            yield

    def is_serving(self, place: Place, span: Span) -> bool:
        """Whether a peer waits for any of `span` here."""
        return self._serving.touch(place, span)

    def is_fetching(self, place: Place, gaps: Iterable[Span]) -> bool:
        """Whether all of `gaps` is on its way from the origin."""
        fetched = self._fetching.by_place.get(place, [])
        return not any(subtract(gap, fetched) for gap in gaps)
