"""Hints: what others publish, heard while Redis is there. Never more than a reason to look sooner than planned.

Pub/sub keeps nothing for who was away a moment, so a hint may be missing; whoever waits for one also looks by itself
now and then. All subscriptions of a worker come in over one connection; when that was lost and is back, everybody is
told that something may have been missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from redis.asyncio.client import PubSub
from redis.exceptions import RedisClusterException, RedisError

from proxy.core.tasks import TaskSet

from .client import Client

WAITING: Final = 256
"""Hints kept for one subscriber; it is told that it missed some when there were more."""
SILENCE: Final = 2.0
"""Seconds without a word after which Redis is asked for one; as long again, and the connection is given up."""
CONNECT_WITHIN: Final = 1.0
KEPT: Final = "penstock:hints"
"""A channel on which nothing is ever said: it keeps the connection in the state in which it hears."""
SHORTEST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0

log = logging.getLogger(__name__)


class Missed:
    """Something may have been published that was not heard: look."""


MISSED: Final = Missed()


class Hints:
    """What one subscriber has heard and not taken yet."""

    def __init__(self) -> None:
        self._heard: deque[bytes | Missed] = deque()
        self._some = asyncio.Event()

    async def next(self) -> bytes | Missed:
        """The oldest hint, waited for. The first is always `MISSED`: what was before is not known."""
        while not self._heard:
            self._some.clear()
            await self._some.wait()
        return self._heard.popleft()

    def put(self, hint: bytes | Missed) -> None:
        if len(self._heard) >= WAITING or hint is MISSED:
            self._heard.clear()
            hint = MISSED
        self._heard.append(hint)
        self._some.set()


class Listener:
    """The one connection on which a worker hears. It is made with the first subscription."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._channels: dict[str, set[Hints]] = {}
        self._tasks = TaskSet("hints")
        self._pubsub: PubSub | None = None
        self._listening = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._tasks.aclose()

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[Hints]:
        hints = Hints()
        known = channel in self._channels
        self._channels.setdefault(channel, set()).add(hints)
        try:
            if not self._listening:
                self._listening = True
                self._tasks.start(self._listen(), "listen")
            elif known:
                hints.put(MISSED)
            else:
                self._tasks.start(self._change("subscribe", channel), "subscribe")
            yield hints
        finally:
            self._channels[channel].discard(hints)
            if not self._channels[channel]:
                del self._channels[channel]
                if not self._tasks.is_closing:
                    self._tasks.start(self._change("unsubscribe", channel), "unsubscribe")

    async def _change(self, verb: str, channel: str) -> None:
        """Tell Redis of one channel more or less. If it cannot be told now it will be with the next connection."""
        pubsub = self._pubsub
        # 1. the last leaves   2. one comes back   3. this runs: the channel is wanted again
        if pubsub is None or (verb == "subscribe") is not (channel in self._channels):
            return
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await getattr(pubsub, verb)(channel)
        except (RedisError, OSError, TimeoutError, RuntimeError):
            if self._pubsub is pubsub:
                await _closed(pubsub)

    async def _listen(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            pubsub: Any = self._client.pubsub()
            try:
                await self._connect(pubsub)
                pause = SHORTEST_PAUSE
                while True:
                    await self._hear(pubsub)
            except (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError, LookupError) as error:
                # the last two: closed under our feet, and a cluster's slot that has no server
                log.info("hints are not heard", extra={"reason": type(error).__name__})
            finally:
                self._pubsub = None
                await _closed(pubsub)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _connect(self, pubsub: Any) -> None:
        wanted = tuple(self._channels)
        async with asyncio.timeout(CONNECT_WITHIN):
            await self._client.initialize()
            await pubsub.subscribe(KEPT, *wanted)
        self._pubsub = pubsub
        # who came while we connected found nobody to tell
        for channel in self._channels.keys() - wanted:
            self._tasks.start(self._change("subscribe", channel), "subscribe")

    async def _hear(self, pubsub: Any) -> None:
        """Take in one message. Raises TimeoutError when Redis does not answer any more."""
        message = await pubsub.get_message(timeout=SILENCE)
        if message is None:
            async with asyncio.timeout(CONNECT_WITHIN):
                await pubsub.ping()
            message = await pubsub.get_message(timeout=SILENCE)
        if message is None:
            raise TimeoutError("Redis does not answer a ping")
        self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode(errors="replace") if message["channel"] else ""
        for hints in tuple(self._channels.get(channel, ())):
            if message["type"] == "subscribe":
                hints.put(MISSED)
            elif message["type"] == "message":
                hints.put(message["data"])


async def _closed(pubsub: Any) -> None:
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            await pubsub.aclose()
    except (RedisError, OSError, TimeoutError, RuntimeError):
        pass
