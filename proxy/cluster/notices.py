"""Notices: what a node tells all others at once, and what those who were away catch up on.

    penstock:{notices}    stream of the last 10,000 (a day at most): who said it, the sealed notice
    penstock:notices      channel: something is new
    penstock:{writes}     the same for what may be told often, so that it pushes out nothing else

Who hears is woken by the channel, looks every few seconds besides, and reads the stream from where it stopped; from the
beginning when it starts, and when Redis forgot. So a notice may come twice and late: it must do no harm then. What
cannot be told now is told when Redis is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import uuid4

from proxy.core.errors import PenstockError, RedisAway
from proxy.core.tasks import TaskSet
from proxy.hub.notices import Notice, decoded, encoded

from .hints import Hints
from .keys import NOTICES, NOTICES_CHANNEL, WRITES, WRITES_CHANNEL
from .redis import Script, SharedRedis
from .seal import Seal

KEPT: Final = 10_000
WRITES_KEPT: Final = 1000
KEPT_FOR: Final = 86_400.0
"""Seconds since the last one."""
AT_ONCE: Final = 500
LOOK_EVERY: Final = 5.0
WAITING: Final = 1000
"""Notices kept while Redis is away; the oldest are forgotten first."""
BEGINNING: Final = b"0-0"

Hear = Callable[[Notice], Awaitable[None]]

log = logging.getLogger(__name__)

_TELL: Final = Script("""
local found = redis.call('TYPE', KEYS[1])['ok']
if found ~= 'stream' and found ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'from', ARGV[3], 'notice', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[5], '')
return 1
""")

_READ: Final = Script("""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'stream' then return {} end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then return {} end
local function parts(id)
  local time, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(time), tonumber(number)
end
local time, number = parts(last[1])
local after_time, after_number = parts(ARGV[1])
local start = '('  .. ARGV[1]
-- Redis forgot, and counts from an earlier time now
if time < after_time or (time == after_time and number < after_number) then start = '-' end
return redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', ARGV[2])
""")


class Notices:
    """What one worker tells and hears."""

    def __init__(
        self, redis: SharedRedis, seal: Seal, kept: int = KEPT, key: str = NOTICES, channel: str = NOTICES_CHANNEL
    ) -> None:
        self._kept = kept
        self._key = key
        self._channel = channel
        self._redis = redis
        self._seal = seal
        self._us = uuid4().hex
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._tasks = TaskSet("notices")
        self._hints: Hints | None = None
        self._after = BEGINNING

    @classmethod
    @asynccontextmanager
    async def open(cls, redis: SharedRedis, seal: Seal, *, kept: int = KEPT) -> AsyncIterator[Notices]:
        """`kept` is how many notices Redis holds, all nodes' together."""
        notices = cls(redis, seal, kept)
        async with notices._tasks:
            yield notices

    @classmethod
    @asynccontextmanager
    async def of_writes(cls, redis: SharedRedis, seal: Seal) -> AsyncIterator[Notices]:
        """Those of what was written to: as many as writes go through the fleet."""
        notices = cls(redis, seal, WRITES_KEPT, WRITES, WRITES_CHANNEL)
        async with notices._tasks:
            yield notices

    def tell(self, notice: Notice) -> None:
        """Tell all other workers of all nodes; returns at once."""
        self._waiting.append(self._seal.closed(self._key, encoded(notice)))
        if self._hints is not None:
            self._hints.put(b"")

    def listen(self, hear: Hear) -> None:
        """From now on `hear` is told what others tell, and first what they told lately."""
        self._tasks.start(self._listen(hear), "listen")

    async def _listen(self, hear: Hear) -> None:
        async with self._redis.subscribe(self._channel) as hints:
            self._hints = hints
            while True:
                with suppress(RedisAway):
                    await self._send()
                    await self._read(hear)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await hints.next()

    async def _send(self) -> None:
        while self._waiting:
            words = (self._kept, round(KEPT_FOR * 1000), self._us, self._waiting[0], self._channel)
            await self._redis.run(_TELL, (self._key,), words)
            self._waiting.popleft()

    async def _read(self, hear: Hear) -> None:
        while entries := await self._redis.run(_READ, (self._key,), (self._after, AT_ONCE)):
            for number, fields in entries:
                self._after = number
                await self._heard(fields, hear)

    async def _heard(self, fields: list[bytes], hear: Hear) -> None:
        match fields:
            case [b"from", bytes(who), b"notice", bytes(sealed)] if who != self._us.encode():
                content = self._seal.opened(self._key, sealed)
                notice = None if content is None else decoded(content)
                if notice is not None:
                    await self._pass_on(notice, hear)

    async def _pass_on(self, notice: Notice, hear: Hear) -> None:
        log.info("notice", extra={"notice": type(notice).__name__})
        try:
            await hear(notice)
        except (PenstockError, OSError) as error:
            # a disk that cannot drop a blob now must not make us deaf to what comes next
            log.warning("notice failed", extra={"notice": type(notice).__name__, "why": str(error)})
