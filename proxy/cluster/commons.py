"""Common knowledge: what the origin said of public repos is asked once for all nodes.

Two things are shared: which commit a revision means (for as long as that is taken as true), and what a file at a commit
is (which never changes). Nothing that somebody needs a right for is told here, and who takes it over has found out by
itself that everybody may read the repo. Values are sealed: whoever gets at Redis cannot make a file another.

    turn      one node asks, the others wait for what it tells, two seconds at most
    look      the ref, then the file at that commit
    tell      when the turn ends, beside the request: nobody waits for that

Redis away: everybody asks for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, Final
from uuid import uuid4

import orjson

from proxy.core.clock import Clock
from proxy.core.errors import RedisAway
from proxy.core.tasks import TaskSet
from proxy.hub.facts import Absent, FileFacts, RefEntry, facts_fields, facts_of
from proxy.hub.names import FileTarget, RepoId, Revision

from .keys import commons_key
from .redis import Script, SharedRedis
from .seal import Seal

FACTS_TTL: Final = 3600.0
"""Seconds. Facts never change; this bounds how much of them Redis holds."""
ASKING: Final = 3.0
"""Seconds after which a node that asks is not waited for any more, whoever looks."""
PATIENCE: Final = 2.0
"""Seconds that a node waits for another's answer."""
LARGEST: Final = 2048
"""Bytes of a sealed value."""

_TAKE: Final = Script("""
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")
# A mark without a TTL, or with one that is too long, is nobody's.

_FREE: Final = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


class Turn:
    """One question: what others have found, and what is found now (told to them when the turn ends)."""

    def __init__(self, target: FileTarget, seal: Seal, clock: Clock) -> None:
        self.ref: RefEntry | None = None
        self.facts: FileFacts | Absent | None = None
        self.learnt: list[tuple[str, bytes, float]] = []
        self._target = target
        self._seal = seal
        self._clock = clock

    def tell_ref(self, entry: RefEntry, ttl: float) -> None:
        """The revision means that commit, for `ttl` seconds from when it was asked."""
        left = ttl - max(0.0, self._clock.wall() - entry.checked_at)
        if left > 0 and entry != self.ref:
            self._note("ref", ref_name(self._seal, self._target), [entry.commit, entry.checked_at], left)

    def tell_facts(self, commit: str, facts: FileFacts | Absent) -> None:
        """The file at `commit` is that."""
        if facts != self.facts:
            content = None if isinstance(facts, Absent) else facts_fields(facts)
            self._note("facts", facts_name(self._seal, self._target.at(commit)), [commit, content], FACTS_TTL)

    def _note(self, kind: str, name: str, content: list[Any], ttl: float) -> None:
        sealed = self._seal.closed(name, orjson.dumps(content))
        if len(sealed) <= LARGEST:
            self.learnt.append((commons_key(kind, name), sealed, ttl))


def ref_name(seal: Seal, target: FileTarget) -> str:
    return seal.name("ref", str(target.repo), target.revision.text)


def facts_name(seal: Seal, target: FileTarget) -> str:
    return seal.name("facts", str(target.repo), target.revision.text, target.path)


class Commons:
    """What one worker takes from the others and gives to them."""

    def __init__(self, redis: SharedRedis, seal: Seal, clock: Clock, chance: Random) -> None:
        self._redis = redis
        self._seal = seal
        self._clock = clock
        self._chance = chance
        # one short task for each question to the origin
        self._tasks = TaskSet("commons")

    @classmethod
    @asynccontextmanager
    async def open(cls, redis: SharedRedis, seal: Seal, *, clock: Clock) -> AsyncIterator[Commons]:
        commons = cls(redis, seal, clock, Random())
        async with commons._tasks:
            yield commons

    @asynccontextmanager
    async def turn(self, repo: RepoId, revision: Revision, path: str | None) -> AsyncIterator[Turn]:
        """The right to ask what `revision` means and (unless None) what the file at `path` is, with what is known of
        it. Waits while another node asks the same. Never fails."""
        target = FileTarget(repo, revision, path or "")
        key = commons_key("asking", self._seal.name("asking", str(repo), revision.text, target.path))
        token, turn = uuid4().hex, Turn(target, self._seal, self._clock)
        mine = False
        with suppress(RedisAway):
            mine = await self._taken(turn, key, token, target)
        try:
            yield turn
        finally:
            if (mine or turn.learnt) and not self._tasks.is_closing:
                self._tasks.start(self._end(key, token, turn.learnt), "tell")

    async def _taken(self, turn: Turn, key: str, token: str, target: FileTarget) -> bool:
        """Take the turn, unless all is known, or another has it for too long. Raises RedisAway."""
        until = self._clock.monotonic() + PATIENCE
        while not await self._look(turn, target) and self._clock.monotonic() < until:
            if await self._redis.run(_TAKE, (key,), (token, round(ASKING * 1000))):
                # 1. we look: nothing   2. another tells, and its turn ends   3. we take the turn
                await self._look(turn, target)
                return True
            await asyncio.sleep(self._chance.uniform(0.02, 0.08))
        return False

    async def _look(self, turn: Turn, target: FileTarget) -> bool:
        """Take in what is told of `target` (without a path: of its revision alone); whether that is all."""
        commit = target.revision.text
        if not target.revision.is_commit:
            turn.ref = await self._ref(target)
            if turn.ref is None:
                return False
            commit = turn.ref.commit
        if not target.path:
            return True
        turn.facts = await self._facts(target.at(commit))
        return turn.facts is not None

    async def _ref(self, target: FileTarget) -> RefEntry | None:
        match await self._read("ref", ref_name(self._seal, target)):
            case [str(commit), int() | float() as asked] if Revision(commit).is_commit:
                # a clock that is ahead of ours must not make it true for longer
                return RefEntry(commit, min(float(asked), self._clock.wall()))
            case _:
                return None

    async def _facts(self, target: FileTarget) -> FileFacts | Absent | None:
        said = await self._read("facts", facts_name(self._seal, target))
        match said:
            case [str(commit), None] if commit == target.revision.text:
                return Absent(commit)
            case [str(commit), list(fields)] if commit == target.revision.text:
                with suppress(ValueError, TypeError, AttributeError):
                    return facts_of(fields)
        return None

    async def _read(self, kind: str, name: str) -> Any:
        content = self._seal.opened(name, await self._redis.ask("GET", commons_key(kind, name)))
        if content is None:
            return None
        try:
            return orjson.loads(content)
        except ValueError:
            return None

    async def _end(self, key: str, token: str, learnt: list[tuple[str, bytes, float]]) -> None:
        """Tell first: whoever waits looks as soon as the turn is free."""
        with suppress(RedisAway):
            for name, sealed, ttl in learnt:
                await self._redis.ask("SET", name, sealed, "PX", max(1, round(ttl * 1000)))
            await self._redis.run(_FREE, (key,), (token,))
