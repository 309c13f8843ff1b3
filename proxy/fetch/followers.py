"""The readers aboard one flight, and how they learn that something has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.core.errors import OriginBusy, PenstockError
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .plan import Interest
from .ports import Blob, Source

_POLL_FIRST: Final = 0.001
_POLL_LAST: Final = 0.02
"""Seconds between two looks at the map for what other workers have written: from the first to the last."""
_STEP_PER_READER: Final = 0.0001


@dataclass(slots=True, eq=False)
class Follower:
    """One reader aboard: what it still wants, whose token it brought, and the error that ends it."""

    source: Source
    wanted: Span
    needs_seal: bool
    """Whether it will wait for the digest before its last chunk."""
    waiting: bool = False
    awaits_seal: bool = False
    """Whether what it waits for is the seal, not a byte."""
    error: PenstockError | None = None
    wants_all: bool = False
    """Whether it came for the whole blob."""
    under_way: bool = False
    """Whether it has had bytes: too late for an answer that says "come back later"."""

    def moved(self, position: int) -> None:
        self.wanted = Span(min(position, self.wanted.stop), self.wanted.stop)

    def can_go_on(self, blob: Blob) -> bool:
        """Whether there is something for it: an error, the seal or the byte it waits for."""
        if self.error is not None or blob.dropped:
            return True
        if self.awaits_seal:
            return blob.is_right
        head = self.wanted.start
        return blob.readable(head, min(blob.record.size, head + 1)) is not None


class Followers:
    """Who is aboard; woken, all at once, whenever something has moved."""

    def __init__(self, blob: Blob, tasks: TaskSet) -> None:
        self._blob = blob
        self._tasks = tasks
        self._aboard: set[Follower] = set()
        self._resting: dict[Span, OriginBusy] = {}
        self._watching: asyncio.Task[None] | None = None
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __iter__(self) -> Iterator[Follower]:
        return iter(self._aboard)

    def __len__(self) -> int:
        return len(self._aboard)

    def add(self, follower: Follower) -> None:
        self._aboard.add(follower)
        for span, busy in self._resting.items():
            self._tell_of_rest(follower, span, busy)

    def discard(self, follower: Follower) -> None:
        self._aboard.discard(follower)

    def healthy(self) -> list[Follower]:
        """Those whom no error has ended."""
        return [follower for follower in self._aboard if follower.error is None]

    def wanting(self, span: Span) -> list[Follower]:
        """The healthy ones who want (part of) `span`."""
        return [follower for follower in self.healthy() if follower.wanted.overlaps(span)]

    def interests(self) -> set[Interest]:
        """What the healthy ones want: a set, for the readers of a herd want the same."""
        return {Interest(follower.wanted, follower.waiting) for follower in self.healthy() if follower.wanted}

    async def rest(self, span: Span, busy: OriginBusy) -> None:
        """The origin asks for a rest: who has no byte of `span` yet is told so, those under way wait for its end."""
        self._resting[span] = busy
        try:
            for follower in self._aboard:
                self._tell_of_rest(follower, span, busy)
            self.wake()
            await asyncio.sleep(busy.retry_after)
        finally:
            del self._resting[span]

    def _tell_of_rest(self, follower: Follower, span: Span, busy: OriginBusy) -> None:
        """End `follower` with `busy` if it waits for its first byte, and that is one of `span`.

        One that can go on would be cut at its next wait, with its head sent by then."""
        head = follower.wanted.start
        if follower.under_way or follower.error is not None or head not in span:
            return
        if self._blob.readable(head, head + 1) is None:
            follower.error = busy

    # --- waking -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has moved."""
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        if not changed.done():
            changed.set_result(None)

    async def change(self) -> None:
        """Return when something has moved."""
        await asyncio.shield(self._changed)

    def watch(self) -> None:
        """From now on, wake them when one that waits can go on, until none waits."""
        if self._watching is None or self._watching.done():
            self._watching = self._tasks.start(self._watch_while_waited_for(), "watch")

    async def _watch_while_waited_for(self) -> None:
        """Wake the readers that can go on: at once for our own writes, by polling the map for other workers'.

        Waking costs work per reader, whatever little has come: the more there are, the longer the steps.
        """
        pause = _POLL_FIRST
        while waiting := [follower for follower in self._aboard if follower.waiting]:
            if any(follower.can_go_on(self._blob) for follower in waiting):
                pause = _POLL_FIRST
                self.wake()
                await asyncio.sleep(_STEP_PER_READER * len(waiting))
                continue
            await asyncio.wait([self._blob.progress()], timeout=pause)
            pause = min(2 * pause, _POLL_LAST)
