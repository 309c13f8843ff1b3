"""The line to Redis: a quarter of a second per call, no second try, and a breaker before it.

Nothing is right or wrong because of what Redis says or does not say. Whoever asks has to go on without an answer, and
soon: the limit of a call holds from the question to the answer, a connection made on the way and the wait for a turn
included. After three failures in a row nobody waits at all for a moment (0.25 s, growing to 5 s); then one call tries.

Works with Redis from 6.2 and with what speaks like it (Valkey), alone, behind Sentinels or as a Redis Cluster. In a
cluster all keys of one call must share a hash tag.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from random import Random
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ReadOnlyError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from proxy.config.redis_address import RedisAddress
from proxy.core.breaker import Breaker, BreakerState, Rest
from proxy.core.clock import Clock
from proxy.core.errors import RedisAway

from .client import Client, make_client
from .hints import Hints, Listener
from .observer import RedisObserver, RedisResult

WITHIN: Final = 0.25
"""Seconds from question to answer."""
CALLS: Final = 32
"""Calls under way at once per worker; what comes on top waits for its turn, within its time."""
REST: Final = Rest(failures=3, window=30.0, shortest=0.25, longest=5.0)

Word = str | bytes | int | float
"""What a command is made of."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script that Redis runs as one step. Written so that running it again changes nothing."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", sha1(self.text.encode(), usedforsecurity=False).hexdigest())


class SharedRedis:
    """The calls of one worker. Answers are as Redis gives them: int, bytes, None, lists of these."""

    def __init__(
        self, client: Client, breaker: Breaker, clock: Clock, observer: RedisObserver, within: float = WITHIN
    ) -> None:
        self.within: Final = within
        self._client = client
        self._breaker = breaker
        self._clock = clock
        self._observer = observer
        self._turns = asyncio.Semaphore(CALLS)
        self._listener = Listener(client)

    def __repr__(self) -> str:
        return f"SharedRedis({self._breaker!r})"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        address: RedisAddress,
        *,
        clock: Clock,
        observer: RedisObserver,
        chance: Random | None = None,
        within: float = WITHIN,
    ) -> AsyncIterator[SharedRedis]:
        """The line to `address`, `within` seconds for a call. Connects when first used: Redis need not be there."""
        client = make_client(address)
        line = cls(client, Breaker(REST, clock, chance or Random()), clock, observer, within)
        try:
            async with line._listener:
                yield line
        finally:
            # Redis may hang: its connections are closed on our side, whatever it says.
            with contextlib.suppress(RedisError, OSError, TimeoutError, RuntimeError):
                async with asyncio.timeout(WITHIN):
                    await client.aclose()

    @property
    def is_away(self) -> bool:
        """Whether a call now would be skipped: for a status page, not to decide whether to call."""
        return self._breaker.refusal() is not None

    async def ask(self, command: str, *words: Word) -> Any:
        """One command. Raises RedisAway."""
        with self._account():
            async with self._turn():
                return await self._client.execute_command(command, *words)

    async def run(self, script: Script, keys: Sequence[str], words: Sequence[Word]) -> Any:
        """One run of `script`. Raises RedisAway; it may have run all the same."""
        with self._account():
            async with self._turn():
                try:
                    return await self._client.execute_command("EVALSHA", script.digest, len(keys), *keys, *words)
                except NoScriptError:
                    return await self._client.execute_command("EVAL", script.text, len(keys), *keys, *words)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[Hints]:
        """What is published on `channel` from now on. Only hints: see `Hints`."""
        return self._listener.subscribe(channel)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with asyncio.timeout(self.within), self._turns:
            try:
                yield
            except ReadOnlyError:
                # The name may lead to the new primary already: the next call looks.
                if isinstance(self._client, Redis):
                    await self._client.connection_pool.disconnect(inuse_connections=False)
                raise

    @contextlib.contextmanager
    def _account(self) -> Iterator[None]:
        """Tell breaker and observer what became of one call, and say RedisAway for every way to have no answer."""
        began, before = self._clock.monotonic(), self._breaker.state
        if self._breaker.admit() is not None:
            self._observer.redis_call(RedisResult.SKIPPED, 0.0)
            raise RedisAway("Redis is given a rest after failures", skipped=True)
        turn = self._breaker.turn
        try:
            yield
        except (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError) as error:
            # RuntimeError: uvloop's word for a connection that was reset before we wrote to it
            result = _result(error)
            if result is RedisResult.REFUSED:
                log.warning("redis refused", extra={"answer": str(error)[:200]})
                self._breaker.succeeded(turn)
            else:
                self._breaker.failed(turn)
            self._told(before, result, began, why=f"{type(error).__name__}: {error}".removesuffix(": ")[:200])
            raise RedisAway(f"Redis gave no answer: {type(error).__name__}") from error
        except BaseException:
            # cancelled: nothing was learnt
            self._breaker.abandoned(turn)
            self._noted(before)
            raise
        self._breaker.succeeded(turn)
        self._told(before, RedisResult.OK, began)

    def _told(self, before: BreakerState, result: RedisResult, began: float, *, why: str = "") -> None:
        self._observer.redis_call(result, self._clock.monotonic() - began)
        self._noted(before, why)

    def _noted(self, before: BreakerState, why: str = "") -> None:
        if self._breaker.state is before:
            return
        self._observer.redis_breaker(self._breaker.state.value)
        if self._breaker.state is BreakerState.CLOSED:
            log.info("redis is back")
        if self._breaker.state is BreakerState.OPEN:
            log.warning("redis is away", extra={"reason": why})


_OUT_OF_ORDER: Final = (
    *("READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN"),
    *("LOADING", "BUSY", "NOAUTH", "NOPERM", "WRONGPASS", "TRYAGAIN"),
)
"""What a server answers to everybody while it is out of order. Inside a script the word may come further back."""


def _result(error: Exception) -> RedisResult:
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return RedisResult.SLOW
    if not isinstance(error, ResponseError) or isinstance(error, ReadOnlyError):
        return RedisResult.LOST
    text = str(error)
    known = type(error) is not ResponseError or any(word in text for word in _OUT_OF_ORDER)
    return RedisResult.LOST if known else RedisResult.REFUSED
