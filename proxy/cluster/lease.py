"""Leases: one node of the fleet reads a slice from the origin, the others follow it.

A lease saves work and guards nothing: blobs are verified, and a lease may be lost at any moment. So nobody waits for
one: the answer is `Mine`, `Busy` (at whose address the bytes come in) or `Unknown` (Redis is silent), within 250 ms.

All spans of a slice under way in a worker share one lease. It is renewed at a third of its time by a task of its own,
and is *lost* when Redis says so, or when its own time runs out before Redis could be asked: then what is under way is
finished (the bytes are right) and nothing new is begun under it. When the last span ends it is kept a moment, because
the next one of the slice mostly follows at once.

    1. acquire is sent   2. its answer is lost   3. acquire is sent again: Redis finds this owner, same number
    1. acquire is sent   2. everybody who wanted it leaves   3. it is granted: nobody is there, it is given back
    1. A is paused longer than its time   2. B acquires, a greater number   3. A wakes: its own deadline has passed, and
       what it sends late (renew, done, release) names an owner that is not the holder: nothing happens
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Final
from uuid import uuid4

from proxy.core.blob import BlobKey
from proxy.core.clock import Clock
from proxy.core.errors import RedisAway
from proxy.core.tasks import TaskSet

from .leasebook import Granted, Held, LeaseBook, LeaseName
from .observer import LeaseObserver, LeaseOutcome
from .redis import SharedRedis

AGAIN_WITHIN: Final = 0.1
"""Seconds: a failure that came sooner than this (a connection that was reset) leaves time to ask once more."""
LINGER: Final = 1.0
"""Seconds for which a lease is kept after its last use. Others who ask meanwhile come to us, where the bytes are."""
MARGIN: Final = 0.05
"""Seconds, and a tenth of the TTL: how much sooner than Redis the holder counts its lease as over."""


def deadline(sent: float, ttl: float) -> float:
    """When a lease that was asked for at `sent` is over, by our own clock: before Redis can think so."""
    return sent + 0.9 * ttl - MARGIN


class Mine:
    """The slice is this worker's to read. `epoch` is the fencing number, `holders` are addresses of nodes that say they
    have the slice already: ask one of them first."""

    def __init__(self, epoch: int, holders: tuple[str, ...], deadline: float, clock: Clock) -> None:
        self.epoch: Final = epoch
        self.holders: Final = holders
        self._deadline = deadline
        self._clock = clock
        self._taken = False
        self._passed_on = False
        self._whole = False

    def __repr__(self) -> str:
        return f"Mine({self.epoch}{', lost' if self.lost else ''})"

    @property
    def lost(self) -> bool:
        """Whether it is another's by now, or may be: finish what is under way, begin nothing new under it."""
        return self._taken or self._clock.monotonic() >= self._deadline

    @property
    def is_passed_on(self) -> bool:
        """Whether another is known to have, or have had, the lease after us: the bytes are elsewhere, or coming."""
        return self._passed_on

    @property
    def is_done(self) -> bool:
        return self._whole

    def done(self) -> None:
        """The whole slice is here now: others are told when the last who uses the lease lets go of it."""
        self._whole = True

    def renewed(self, deadline: float) -> None:
        self._deadline = deadline

    def taken(self, *, passed_on: bool) -> None:
        self._taken, self._passed_on = True, passed_on


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker reads the slice. Its node is at `url`, or so somebody wrote: follow it only to a node that is
    known. It may be our own. `holders` as in `Mine`."""

    url: str
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Redis is silent. Go on as if there were no others."""


Outcome = Mine | Busy | Unknown
_COUNTED_AS: Final = {Mine: LeaseOutcome.MINE, Busy: LeaseOutcome.BUSY, Unknown: LeaseOutcome.UNKNOWN}


class _Hold:
    """One acquisition, and who uses it here."""

    def __init__(self, name: LeaseName, owner: str, unreached: frozenset[str]) -> None:
        self.name = name
        self.unreached = unreached
        self.owner = owner
        self.users = 0
        self.outcome: Outcome | None = None
        self.asking: asyncio.Task[None]
        self.renewing: asyncio.Task[None] | None = None
        self.ended = False


class Leases:
    """The leases of one worker process."""

    def __init__(self, book: LeaseBook, worker: str, ttl: float, clock: Clock, observer: LeaseObserver) -> None:
        self._book = book
        self._within = book.within
        self._worker = worker
        self._ttl = ttl
        self._clock = clock
        self._observer = observer
        self._tasks = TaskSet("leases")
        # at most as many as there are spans under way, which the flights bound
        self._holds: dict[LeaseName, _Hold] = {}
        self._releasing: set[_Hold] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._holds)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis: SharedRedis, *, node: str, boot: str, url: str, ttl: float, clock: Clock, observer: LeaseObserver
    ) -> AsyncIterator[Leases]:
        """The leases of a worker of `node`, which peers reach at `url`; `boot` tells its lives apart. `ttl` in seconds
        (0.5 to 300). What is held at the end is given back."""
        worker = f"{node}:{boot}:{uuid4()}"
        leases = cls(LeaseBook(redis, worker=worker, url=url, ttl=ttl), worker, ttl, clock, observer)
        try:
            yield leases
        finally:
            await leases._close()

    @asynccontextmanager
    async def hold(self, key: BlobKey, index: int, unreached: frozenset[str] = frozenset()) -> AsyncIterator[Outcome]:
        """The lease of slice `index` of the blob while the block runs, if it can be had, be it from one `unreached`."""
        hold = self._joined(LeaseName(key, index), unreached)
        if hold is None:
            yield Unknown()
            return
        hold.users += 1
        kept = False
        try:
            await asyncio.wait({hold.asking})
            yield hold.outcome or Unknown()
            kept = True
        finally:
            hold.users -= 1
            if hold.users == 0 and isinstance(hold.outcome, Mine) and not self._tasks.is_closing:
                self._tasks.start(self._end(hold, LINGER if kept and not hold.outcome.is_done else 0.0), "end")

    def has(self, key: BlobKey, index: int) -> bool:
        """Whether the lease of the slice is ours now: we read it, and the others follow us."""
        hold = self._holds.get(LeaseName(key, index))
        return hold is not None and isinstance(hold.outcome, Mine) and not hold.outcome.lost

    def _joined(self, name: LeaseName, unreached: frozenset[str]) -> _Hold | None:
        """The acquisition under way or in force for `name`, else a new one; None when we are closing."""
        hold = self._holds.get(name)
        if hold is not None and not (isinstance(hold.outcome, Mine) and (hold.outcome.lost or hold.outcome.is_done)):
            return hold
        if self._tasks.is_closing:
            return None
        hold = self._holds[name] = _Hold(name, f"{self._worker}:{next(self._numbers)}", unreached)
        hold.asking = self._tasks.start(self._ask(hold), "acquire")
        return hold

    async def _ask(self, hold: _Hold) -> None:
        """Find out, and leave the outcome in `hold`. Belongs to nobody: who asked may leave."""
        began = self._clock.monotonic()
        try:
            hold.outcome = await self._acquire(hold)
        finally:
            if not isinstance(hold.outcome, Mine):
                self._forget(hold)
        self._observer.lease(_COUNTED_AS[type(hold.outcome)], self._clock.monotonic() - began)
        if isinstance(hold.outcome, Mine):
            hold.renewing = self._tasks.start(self._renew(hold, hold.outcome), "renew")
            if hold.users == 0:
                self._tasks.start(self._end(hold, 0.0), "end")

    async def _acquire(self, hold: _Hold) -> Outcome:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._within):
                for is_last in (False, True):
                    sent = self._clock.monotonic()
                    try:
                        return self._outcome(await self._book.acquire(hold.name, hold.owner, hold.unreached), sent)
                    except RedisAway as away:
                        if away.skipped:
                            return Unknown()
                        if is_last or self._clock.monotonic() - sent > AGAIN_WITHIN:
                            break
        # It may have been granted all the same, with nobody here to renew it.
        if not self._tasks.is_closing:
            self._tasks.start(self._give_back(hold, sent + self._ttl), "give back")
        return Unknown()

    def _outcome(self, answer: Granted | Held, sent: float) -> Outcome:
        match answer:
            case Granted(epoch, holders):
                return Mine(epoch, holders, deadline(sent, self._ttl), self._clock)
            case Held(url, holders):
                return Busy(url, holders)

    async def _renew(self, hold: _Hold, mine: Mine) -> None:
        pause = self._ttl / 3
        while not mine.lost:
            await asyncio.sleep(pause)
            sent = self._clock.monotonic()
            try:
                if not await self._book.renew(hold.name, hold.owner, mine.epoch):
                    mine.taken(passed_on=await self._book.is_passed_on(hold.name, mine.epoch))
                    break
            except RedisAway:
                pause = self._ttl / 12
            else:
                # 1. renew is sent   2. we are paused longer than the TTL   3. the answer of then is read now
                # the deadline counts from 1, so this one has passed when it is set.
                mine.renewed(deadline(sent, self._ttl))
                pause = self._ttl / 3
        self._observer.lease_lost()
        self._forget(hold)

    async def _end(self, hold: _Hold, linger: float) -> None:
        """Give the lease back, unless somebody takes it up again within `linger` seconds."""
        if linger:
            await asyncio.sleep(linger)
        if hold.users == 0 and not hold.ended:
            await self._finish(hold)

    async def _finish(self, hold: _Hold) -> None:
        hold.ended = True
        self._forget(hold)
        if hold.renewing is not None:
            hold.renewing.cancel()
        assert isinstance(hold.outcome, Mine), "only what was granted is given back"
        self._releasing.add(hold)
        # If Redis cannot be told, the time of the lease runs out there.
        with suppress(RedisAway):
            if hold.outcome.is_done:
                await self._book.done(hold.name, hold.owner, hold.outcome.epoch)
            else:
                await self._book.release(hold.name, hold.owner, hold.outcome.epoch)
        self._releasing.discard(hold)

    async def _give_back(self, hold: _Hold, until: float) -> None:
        """Delete what may have been granted to an owner that never learnt of it, or wait until its time is over."""
        while self._clock.monotonic() < until:
            try:
                await self._book.release(hold.name, hold.owner, None)
            except RedisAway:
                await asyncio.sleep(self._ttl / 10)
            else:
                return

    def _forget(self, hold: _Hold) -> None:
        if self._holds.get(hold.name) is hold:
            del self._holds[hold.name]

    async def _close(self) -> None:
        held = {*self._holds.values(), *self._releasing}
        await self._tasks.aclose()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._within):
                await asyncio.gather(*(self._let_go(hold) for hold in held))

    async def _let_go(self, hold: _Hold) -> None:
        if isinstance(hold.outcome, Mine):
            await self._finish(hold)
            return
        with suppress(RedisAway):
            await self._book.release(hold.name, hold.owner, None)
