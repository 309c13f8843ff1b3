"""What the origin still lets the fleet ask: each node tells what it was told, and hears what others were.

    penstock:{allowances}    account -> sealed [requests left, kept in reserve, end of the window (Unix time)]
    penstock:allowances      channel: nothing is left of one of them

One bucket for all nodes, as the origin sees it: they come by one address, or with one token. Read and written every few
seconds beside everything else, so a node may ask a little more than it would if it knew; after a 429 the others look at
once. Where nodes have addresses of their own the scarcest counts for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import orjson

from proxy.core.clock import Clock
from proxy.core.errors import RedisAway
from proxy.core.tasks import TaskSet

from .hints import Hints
from .keys import ALLOWANCES, ALLOWANCES_CHANNEL
from .redis import Script, SharedRedis
from .seal import Seal

EVERY: Final = 2.0
"""Seconds between two looks."""
KEPT: Final = 600.0
"""Seconds: no window lasts longer."""
MOST: Final = 16
"""Accounts in the hash; there are two, with two planes each."""
SAME_WINDOW: Final = 5.0

Window = tuple[int, int, float]
"""Requests left, kept in reserve, end (wall clock)."""
Hear = Callable[[str, int, int, float], None]

_TELL: Final = Script("""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' or redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[1])
end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], '') end
return 1
""")

_READ: Final = Script(
    "if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then return {} end return redis.call('HGETALL', KEYS[1])"
)


class Allowances:
    """The accounts of one worker that are the fleet's (`origin.budget.Windows`)."""

    def __init__(self, redis: SharedRedis, seal: Seal, clock: Clock) -> None:
        self._redis = redis
        self._seal = seal
        self._clock = clock
        # bounded by the accounts that are shared
        self._mine: dict[str, Window] = {}
        self._theirs: dict[str, Window] = {}
        self._hints: Hints | None = None
        self._tasks = TaskSet("allowances")

    @classmethod
    @asynccontextmanager
    async def open(cls, redis: SharedRedis, seal: Seal, *, clock: Clock) -> AsyncIterator[Allowances]:
        allowances = cls(redis, seal, clock)
        async with allowances._tasks:
            yield allowances

    def listen(self, hear: Hear) -> None:
        """Exchange allowances from now on; `hear` is told what others learnt."""
        self._tasks.start(self._exchange(hear), "exchange")

    def learnt(self, account: str, left: int, reserve: int, seconds: float) -> None:
        """Tell the others, at once when nothing is left."""
        window = (left, reserve, self._clock.wall() + seconds)
        if _is_news(window, self._theirs.get(account)):
            self._mine[account] = window
            if left == 0 and self._hints is not None:
                self._hints.put(b"")

    async def _exchange(self, hear: Hear) -> None:
        async with self._redis.subscribe(ALLOWANCES_CHANNEL) as hints:
            self._hints = hints
            while True:
                with suppress(RedisAway):
                    await self._tell()
                    await self._look(hear)
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await hints.next()

    async def _tell(self) -> None:
        told = dict(self._mine)
        if not told:
            return
        words: list[str | bytes] = []
        for account, window in told.items():
            words += [account, self._seal.closed(account, orjson.dumps(window))]
        channel = ALLOWANCES_CHANNEL if any(left == 0 for left, _, _ in told.values()) else ""
        await self._redis.run(_TELL, (ALLOWANCES,), (round(KEPT * 1000), MOST, channel, *words))
        for account, window in told.items():
            self._theirs[account] = window
            if self._mine.get(account) == window:
                del self._mine[account]

    async def _look(self, hear: Hear) -> None:
        fields = await self._redis.run(_READ, (ALLOWANCES,), ())
        for account, window in self._windows(fields):
            seconds = window[2] - self._clock.wall()
            if seconds <= 0:
                self._theirs.pop(account, None)
            elif window != self._theirs.get(account):
                self._theirs[account] = window
                hear(account, window[0], window[1], min(KEPT, seconds))

    def _windows(self, fields: object) -> list[tuple[str, Window]]:
        """What is there and was sealed by one of us."""
        found = []
        words = fields[: 2 * MOST] if isinstance(fields, list) else []
        for name, sealed in zip(words[::2], words[1::2], strict=False):
            account = name.decode(errors="replace") if isinstance(name, bytes) else ""
            match orjson.loads(self._seal.opened(account, sealed) or b"null"):
                case [int(left), int(reserve), int() | float() as until]:
                    found.append((account, (left, reserve, float(until))))
        return found


def _is_news(window: Window, known: Window | None) -> bool:
    """Whether the others do not know `window`, or anything scarcer of the same one."""
    return known is None or abs(window[2] - known[2]) > SAME_WINDOW or window[0] < known[0]
