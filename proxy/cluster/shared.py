"""What the nodes of a fleet know together, by way of Redis: common knowledge, allowances, notices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proxy.core.clock import Clock

from .allowances import Allowances
from .commons import Commons
from .notices import Notices
from .observer import CommonsObserver
from .redis import SharedRedis
from .seal import Seal


@dataclass(frozen=True, slots=True)
class Shared:
    """Those of one worker."""

    commons: Commons
    allowances: Allowances
    notices: Notices
    writes: Notices

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis: SharedRedis, secret: bytes, *, clock: Clock, observer: CommonsObserver
    ) -> AsyncIterator[Shared]:
        """All of them; allowances, notices and writes are heard once `listen` was called on them."""
        seal = Seal(secret)
        async with (
            Commons.open(redis, seal, clock=clock, observer=observer) as commons,
            Allowances.open(redis, seal, clock=clock) as allowances,
            Notices.open(redis, seal) as notices,
            Notices.of_writes(redis, seal) as writes,
        ):
            yield cls(commons, allowances, notices, writes)
