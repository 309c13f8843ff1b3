"""Common knowledge: what the origin said of public repos is asked once for all nodes.

Shared are: which commit a revision means and what a listing says (for as long as that is taken as true), what a file at
a commit is (which never changes), and for moments that the origin refuses to answer. Nothing that somebody needs a
right for is told here, and who takes it over has found out by itself that everybody may read the repo. Values are
sealed: whoever gets at Redis learns nothing and cannot make a file another.

    turn      one node asks, the others wait for what it tells, two seconds at most
    look      the ref, then the thing at that commit
    tell      when the turn ends, beside the request: nobody waits for that

Redis away, or slow: everybody asks for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import Final, TypeVar
from uuid import uuid4

from proxy.core.clock import Clock
from proxy.core.errors import RedisAway
from proxy.core.tasks import TaskSet
from proxy.hub.facts import ListingKey
from proxy.hub.names import FileTarget, Revision

from .keys import commons_key
from .observer import CommonsObserver, QuestionOutcome
from .redis import Script, SharedRedis
from .seal import Seal
from .turns import BUSY_FOR, LARGEST, FileTurn, ListingTurn, Turn, Word, refusal_in

ASKING: Final = 3.0
"""Seconds after which a node that asks is not waited for any more, whoever looks."""
PATIENCE: Final = 2.0
"""Seconds that a node waits for another's answer."""

AnyTurn = TypeVar("AnyTurn", bound=Turn)

_TAKE: Final = Script("""
local function only_for(key, most)
  local left = redis.call('PTTL', key)
  return left >= 0 and left <= tonumber(most) and redis.call('TYPE', key)['ok'] == 'string'
end
if only_for(KEYS[2], ARGV[3]) then return redis.call('GET', KEYS[2]) end
if only_for(KEYS[1], ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")
# A mark without a TTL, or with one that is too long, is nobody's; a refusal like that is none.

_FREE: Final = Script("""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")


class Commons:
    """What one worker takes from the others and gives to them."""

    def __init__(self, redis: SharedRedis, seal: Seal, clock: Clock, observer: CommonsObserver, chance: Random) -> None:
        self._redis = redis
        self._seal = seal
        self._clock = clock
        self._observer = observer
        self._chance = chance
        # one short task for each question to the origin
        self._tasks = TaskSet("commons")

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis: SharedRedis, seal: Seal, *, clock: Clock, observer: CommonsObserver
    ) -> AsyncIterator[Commons]:
        commons = cls(redis, seal, clock, observer, Random())
        async with commons._tasks:
            yield commons

    def file(self, target: FileTarget) -> AbstractAsyncContextManager[FileTurn]:
        """The right to ask what the file is, and what its revision means. Waits while another node asks the same.
        Never fails."""
        return self._turn(FileTurn(self._seal, self._clock, target))

    def listing(
        self, asked: ListingKey, revision: Revision | None, at: Callable[[str], ListingKey]
    ) -> AbstractAsyncContextManager[ListingTurn]:
        """As `file`, for a listing; `at` is what it is called at a commit."""
        return self._turn(ListingTurn(self._seal, self._clock, asked, revision, at))

    @asynccontextmanager
    async def _turn(self, turn: AnyTurn) -> AsyncIterator[AnyTurn]:
        token = uuid4().hex
        try:
            self._observer.question(await self._outcome(turn, token))
            yield turn
        finally:
            if (turn.marked or turn.told) and not self._tasks.is_closing:
                self._tasks.start(self._end(turn, token), "tell")

    async def _outcome(self, turn: Turn, token: str) -> QuestionOutcome:
        """Take the turn, unless the answer is there, or another has it for too long."""
        until = self._clock.monotonic() + PATIENCE
        with suppress(RedisAway, TimeoutError):
            while True:
                # all questions to Redis together may take what one may
                async with asyncio.timeout(self._redis.within):
                    outcome = await self._tried(turn, token)
                if outcome is not None:
                    return outcome
                if self._clock.monotonic() >= until:
                    break
                await asyncio.sleep(self._chance.uniform(0.02, 0.08))
        return QuestionOutcome.ALONE

    async def _tried(self, turn: Turn, token: str) -> QuestionOutcome | None:
        """What becomes of the question; None when another is asking it. Raises RedisAway."""
        if await turn.look(self._read):
            return QuestionOutcome.KNOWN
        turn.marked = True  # also when no answer comes
        keys = (commons_key("asking", turn.name), commons_key("refused", turn.name))
        words = (token, round(ASKING * 1000), round(BUSY_FOR * 1000))
        match await self._redis.run(_TAKE, keys, words):
            case bytes(sealed):
                turn.marked = False
                turn.refusal = refusal_in(self._seal.opened(turn.name, sealed), self._clock.wall())
                return QuestionOutcome.ALONE if turn.refusal is None else QuestionOutcome.REFUSED
            case 0:
                turn.marked = False
                return None
            case _:
                # 1. we look: nothing   2. another tells, and its turn ends   3. we take the turn
                return QuestionOutcome.KNOWN if await turn.look(self._read) else QuestionOutcome.OURS

    async def _read(self, kind: str, name: str) -> bytes | None:
        return self._seal.opened(name, await self._redis.ask("GET", commons_key(kind, name)))

    async def _end(self, turn: Turn, token: str) -> None:
        """Tell first: whoever waits looks as soon as the turn is free."""
        with suppress(RedisAway):
            for word in turn.told:
                await self._say(word)
            await self._redis.run(_FREE, (commons_key("asking", turn.name),), (token,))

    async def _say(self, word: Word) -> None:
        """Raises RedisAway."""
        sealed = self._seal.closed(word.name, word.content)
        if len(sealed) <= LARGEST[word.kind]:
            key = commons_key(word.kind, word.name)
            await self._redis.ask("SET", key, sealed, "PX", max(1, round(word.ttl * 1000)))
