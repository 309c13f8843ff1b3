"""A flight: all that this process fetches of one blob, for all its readers.

Theory of operation. A flight belongs to no client. Readers join with the span they want and say how far they have
come; the flight keeps up to `parallel` downloads going in the order the readers want them (`plan.next_spans`), and
wakes the readers whenever something has moved: a write of our own, a chunk another worker has written, a seal, an
error. When a reader leaves, what nobody wants any more is stopped, unless little is missing: then it is finished.

The first bytes come before all else: while all readers wait for the same ones, one download is under way, not
`parallel` whose questions and connections would stand in line before those bytes.

    reader joins ──> pump ──> downloads ──> chunk map moves ──> readers go on
         ^              ^          │
         └── leaves     └── ends ──┘

An error of a download is shared by all readers that wait for its span (one answer of the origin, not one per reader);
only a refusal (401, 403) concerns the reader whose token was used: the others go on with theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.core.clock import Clock
from proxy.core.errors import (
    BlobDropped,
    DigestMismatch,
    OriginBusy,
    OriginRefused,
    PenstockError,
    RangeMangled,
    Stalled,
    StoreError,
)
from proxy.core.spans import Span, total, whole
from proxy.core.tasks import TaskSet

from .followers import Follower, Followers
from .leisure import AtLeisure, Leisure
from .mend import Mender
from .mistrust import Mistrust
from .node import Filler
from .pace import Stride
from .plan import Interest, next_spans
from .ports import Blob, Source

log = logging.getLogger(__name__)

_SEAL_RETRY: Final = 0.05
_TRY_AGAIN: Final = 1.0
"""Seconds after which a span that failed with nobody at it is tried again."""
_RESTED_AT_MOST: Final = 30
"""Seconds: an origin that asks for a longer rest is as good as away."""


@dataclass(frozen=True, slots=True)
class FlightLimits:
    """`span` and `finish_below` in bytes, `progress_timeout` in seconds; see the configuration section `fetch`.

    `first_byte`, in seconds, is how long a reader waits for an answer at all: clients give up after ten."""

    span: int
    parallel: int
    finish_below: int
    progress_timeout: float
    first_byte: float = 8.0
    least: int | None = None
    """Bytes of the smallest span, where spans are as long as the pace (`pace.Stride`); None: all are `span`."""


class Flight:
    """The downloads of one open blob in this process."""

    def __init__(
        self,
        blob: Blob,
        filler: Filler,
        tasks: TaskSet,
        clock: Clock,
        limits: FlightLimits,
        mistrust: Mistrust,
        mender: Mender | None = None,
        *,
        eager: bool = True,
    ) -> None:
        """Without `eager` each reader has one span fetched at a time: where one answer of the origin runs through
        several."""
        self._mender = mender
        self._eager = eager
        self.blob = blob
        self._filler = filler
        self._tasks = tasks
        self._clock = clock
        self._limits = limits
        self._mistrust = mistrust
        self._followers = Followers(blob, tasks)
        self._running: dict[Span, asyncio.Task[None]] = {}
        self._sealing: asyncio.Task[None] | None = None
        self._last_source: Source | None = None
        self._ahead = Span(0, 0)
        self._finishing = False
        self._has_begun = False
        self._leisure = Leisure(tasks, self._pump)
        self._stride = Stride(limits.least or limits.span, limits.span)

    def __repr__(self) -> str:
        return (
            f"<Flight {self.blob.record.key} readers={len(self._followers)} "
            f"running={[str(span) for span in self._running]} sealing={self._sealing is not None}>"
        )

    @property
    def followers(self) -> int:
        return len(self._followers)

    @property
    def is_idle(self) -> bool:
        """Nobody aboard and nothing under way: the blob may be closed."""
        return not (self._followers or self._running or self._sealing or self._leisure.is_put_off)

    async def until_idle(self, is_boarding: Callable[[], bool]) -> None:
        """Return once the flight is idle and nobody is about to join; the caller ends it before anything else runs."""
        while is_boarding() or not self.is_idle:
            await self._followers.change()

    # --- readers ------------------------------------------------------------------------------------------------

    def join(self, source: Source, wanted: Span, *, needs_seal: bool) -> Follower:
        """Take a reader aboard."""
        follower = Follower(source, wanted, needs_seal, wants_all=wanted == whole(self.blob.record.size))
        self._followers.add(follower)
        self._last_source = source
        self._finishing = False
        self._pump()
        return follower

    def leave(self, follower: Follower) -> None:
        """The reader is done, or gone. What nobody wants any more stops, unless little is missing."""
        self._followers.discard(follower)
        if self._eager:
            self._stop_unwanted()
        elif follower.wants_all and self._is_nearly_whole():
            # What is under way is short and ends by itself; only who wanted all of it leaves something to finish.
            self._finishing = True
            self._pump()
        self._wake()

    def read_ahead(self, span: Span) -> None:
        """Fetch `span` too, after what readers wait for: somebody reads this blob range after range."""
        self._ahead = span
        self._pump()

    def touch(self) -> None:
        """Look again whether there is anything left to do."""
        self._wake()

    async def wait(self, follower: Follower, deadline: float) -> None:
        """Return when something may have changed for the follower: bytes, the seal, an error.

        Raises its error, BlobDropped, or Stalled when nothing has by `deadline` (monotonic seconds).
        """
        follower.waiting = True
        try:
            if follower.under_way and not self._has_begun:
                self._has_begun = True
                self._pump()
            if not any(follower.wanted.start in span for span in self._running):
                self._pump()
            self._raise_for(follower)
            self._followers.watch()
            async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                await self._followers.change()
            self._raise_for(follower)
        except TimeoutError:
            raise Stalled("no byte of the file arrived for too long; ask again later") from None
        finally:
            follower.waiting = False

    def _raise_for(self, follower: Follower) -> None:
        if follower.error is not None:
            raise follower.error
        if self.blob.dropped:
            raise BlobDropped("the file was dropped from the cache while it was being read; ask again")

    # --- downloads ----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Start what should be under way now."""
        if self.blob.dropped or self._tasks.is_closing:
            return
        interests = self._followers.interests() | {Interest(span, waiting=False) for span in self._at_leisure()}
        spans = next_spans(
            interests,
            self.blob.missing,
            self._running,
            span_size=self._stride.size,
            parallel=self._limits.parallel if self._has_begun or len(interests) > 1 else 1,
            eager=self._eager,
        )
        for span in spans:
            task = self._tasks.start(self._fill(span), f"fill {span}")
            self._running[span] = task
            # Not in a `finally` of the task: one that is cancelled before its first step never gets to it.
            task.add_done_callback(partial(self._landed, span))
        if self._should_seal():
            self._sealing = self._tasks.start(self._seal(), "seal")

    def _at_leisure(self) -> list[Span]:
        """What to fetch though nobody waits for it."""
        if self._leisure.is_put_off:
            return []
        return [span for span in (self._ahead, whole(self.blob.record.size) if self._finishing else Span(0, 0)) if span]

    async def _fill(self, span: Span) -> None:
        source = self._source_for(span)
        somebody_waits = bool(self._followers.wanting(span))
        try:
            if source is None:
                self._finishing, self._ahead = False, Span(0, 0)
            else:
                await self._filled(span, source if somebody_waits else AtLeisure(source))
        except OriginBusy as busy:
            if not somebody_waits:
                self._leisure.put_off(busy.retry_after)
            elif busy.retry_after > _RESTED_AT_MOST:
                self._fail(span, source, busy)
            else:
                await self._followers.rest(span, busy)
        except PenstockError as error:
            self._fail(span, source, error)
            if self._followers.wanting(span):
                await asyncio.sleep(_TRY_AGAIN)  # nobody stands there yet; who comes to it finds it tried again

    async def _filled(self, span: Span, source: Source) -> None:
        began = self._clock.monotonic()
        try:
            await self._filler.fill(self.blob, span, source)
            self._stride.landed(len(span), self._clock.monotonic() - began)
        except RangeMangled:
            # What a box on the way garbled once, it may leave alone the next time; nothing of it was kept.
            await self._filler.fill(self.blob, span, source)

    def _landed(self, span: Span, task: asyncio.Task[None]) -> None:
        del self._running[span]
        self._has_begun = True
        if not task.cancelled():
            if task.exception() is not None:  # a fault of ours, logged by the task set: no reader is left waiting
                self._fail(span, None, StoreError("the download failed inside the mirror; its log says why"))
            self._pump()
        self._wake()

    def _source_for(self, span: Span) -> Source | None:
        """The token of a reader who wants `span`; of any reader; or, when finishing alone, of the last one."""
        lenders = self._followers.wanting(span) or self._followers.healthy()
        return next((follower.source for follower in lenders), self._last_source)

    def _fail(self, span: Span, source: Source | None, error: PenstockError) -> None:
        """Hand `error` to those it concerns: who stands in the span, or, of a refusal, whose token it was."""
        refused = isinstance(error, OriginRefused)
        if not refused:
            log.warning("fill failed", extra={"blob": str(self.blob.record.key), "span": str(span), "why": str(error)})
        self._finishing = False
        self._ahead = Span(0, 0)
        if refused and self._last_source is source:
            self._last_source = None
        for follower in self._followers:
            concerned = follower.source is source if refused else follower.wanted.start in span
            if concerned and follower.error is None:
                follower.error = error

    def _stop_unwanted(self) -> None:
        interests = [self._ahead, *(follower.wanted for follower in self._followers.healthy())]
        unwanted = [span for span in self._running if not any(span.overlaps(want) for want in interests)]
        if not unwanted or self.blob.dropped:
            return
        if self._is_nearly_whole():
            self._finishing = True
            return
        for span in unwanted:
            self._running[span].cancel()

    def _is_nearly_whole(self) -> bool:
        return total(self.blob.missing(whole(self.blob.record.size))) <= self._limits.finish_below

    # --- sealing ------------------------------------------------------------------------------------------------

    def _should_seal(self) -> bool:
        if self._sealing is not None or not self.blob.pending_seal():
            return False
        wanted = any(f.needs_seal and f.error is None for f in self._followers)
        return wanted or (not self._running and not self.blob.missing(whole(self.blob.record.size)))

    async def _seal(self) -> None:
        """Have the blob verified, by us or by the worker that is at it, while it is wanted or whole."""
        everything = whole(self.blob.record.size)
        try:
            while self.blob.pending_seal() and not await self.blob.seal():
                if self.blob.missing(everything) and not any(f.needs_seal for f in self._followers):
                    return
                await asyncio.sleep(_SEAL_RETRY)
            if self._mender is not None and self.blob.sealed:
                await self._mender.proven(self.blob)
        except PenstockError as error:
            log.error("seal failed", extra={"blob": str(self.blob.record.key), "why": str(error)})
            for follower in self._followers:
                follower.error = follower.error or error
            self._wake()
            if isinstance(error, DigestMismatch):
                self._mistrust.mismatched(self.blob.record.key)
                if self._mender is not None:
                    await self._mender.mend(self.blob)
        finally:
            self._sealing = None
            self._wake()

    def _wake(self) -> None:
        self._followers.wake()
