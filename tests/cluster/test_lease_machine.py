"""Leases against a real Redis whose clock jumps and whose memory goes, and workers that crash, pause and come late.

The books kept beside it say what must hold: no fence is given out twice, and as long as Redis neither forgot nor ran
ahead, at most one worker believes that a slice is its to read, and nobody else touches its lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proxy.cluster.keys import lease_keys
from proxy.cluster.lease import Mine, deadline
from proxy.cluster.leasebook import Granted, Held, LeaseBook, LeaseName
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import Script, SharedRedis
from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.core.errors import RedisAway
from tests.kit.clockshift import ClockShift
from tests.kit.redis import RedisServer
from tests.kit.waiting import until

from .workers import PATIENT

T = TypeVar("T")

TTL = 10.0
ROBBED = -1
"""The era of a writer whose lease another took that could not reach it."""
WORKERS = 3
NAMES = [LeaseName(BlobKey.sha256("ab" * 32), index) for index in range(2)]

who = st.integers(0, WORKERS - 1)
names = st.sampled_from([NAMES[0]] * 5 + [NAMES[1]])
"""Mostly the same: what happens to one shall meet what happened to it before."""
any_writer = st.integers(0, 10**6)

LOOK = Script("""
local owners, immortal = {}, {}
for i, key in ipairs(ARGV) do owners[i] = redis.call('HGET', key, 'owner') or '' end
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 then immortal[#immortal + 1] = key end
end
return {owners, immortal}
""")
"""Who has each lease now, and which keys have no TTL."""


@dataclass(slots=True)
class ShiftedClock:
    """Goes on by itself, and jumps where the test says that time passes."""

    ahead: float = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.ahead


@dataclass(slots=True)
class Writer:
    """One acquisition that was granted, and what its worker knows of it."""

    worker: int
    name: LeaseName
    owner: str
    mine: Mine
    era: int
    ended: bool = False

    @property
    def believes(self) -> bool:
        return not self.ended and not self.mine.lost


class Stage:
    """What all examples share: one server, one loop."""

    def __init__(self, runner: asyncio.Runner, server: RedisServer, shift: ClockShift, redis: SharedRedis) -> None:
        self.runner = runner
        self.server = server
        self.shift = shift
        self.redis = redis

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def restart(self) -> None:
        """Killed, and back with nothing in it; the line has noticed."""
        await self.server.restart()

        async def answers() -> bool:
            with suppress(RedisAway):
                return bool(await self.redis.ask("PING"))
            return False

        await until(answers, "the line is back")


def lease_of(name: LeaseName) -> str:
    return lease_keys(name.key, name.index)[0]


class LeaseMachine(RuleBasedStateMachine):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.clock = ShiftedClock()
        self.jumped = 0.0
        self.era = 0
        """Grows when leases may end early: Redis forgot, or ran ahead of the workers' clocks."""
        self.writers: list[Writer] = []
        self.given: dict[LeaseName, list[tuple[int, str]]] = {name: [] for name in NAMES}
        self.numbers = 0
        self.persisted: set[LeaseName] = set()
        """Leases that somebody made immortal; whoever asks for one next mends that."""
        self.forgot = self.went_back = False
        """Redis lost its memory, its clock went back: only where both happened the numbers alone may not grow."""
        self.books = [
            LeaseBook(stage.redis, worker=f"w{index}", url=f"http://w{index}:1", ttl=TTL) for index in range(WORKERS)
        ]

    @initialize()
    def begin(self) -> None:
        self.set_clock()
        self.stage.run(self.stage.redis.ask("FLUSHALL"))

    # --- what workers do

    @rule(order=st.permutations(range(WORKERS)), name=names)
    def all_want_it(self, order: list[int], name: LeaseName) -> None:
        for worker in order:
            self.acquire(worker, name, repeated=False)

    @rule(worker=who, name=names)
    def one_wants_it_and_the_reply_is_lost(self, worker: int, name: LeaseName) -> None:
        self.acquire(worker, name, repeated=True)

    @rule(worker=who, other=who, name=names)
    def one_wants_it_and_cannot_reach_another(self, worker: int, other: int, name: LeaseName) -> None:
        """It takes the lease of that one, who believes in it until it is to be renewed."""
        before = list(self.writers)
        if worker != other:
            self.acquire(worker, name, repeated=False, unreached=(f"http://w{other}:1",))
        for writer in before if len(self.writers) > len(before) else ():
            if (writer.worker, writer.name) == (other, name):
                writer.era = ROBBED

    def acquire(self, worker: int, name: LeaseName, *, repeated: bool, unreached: tuple[str, ...] = ()) -> None:
        if any(one.worker == worker and one.name == name and one.believes for one in self.writers):
            return  # a worker does not ask for what it has
        owner = f"w{worker}:{self.numbers}"
        self.numbers += 1
        sent = self.clock.monotonic()
        answer = self.stage.run(self.books[worker].acquire(name, owner, unreached))
        if repeated:
            sent = self.clock.monotonic()
            first, answer = answer, self.stage.run(self.books[worker].acquire(name, owner))
            ran_out = isinstance(first, Held) and isinstance(answer, Granted)  # real time passes between the two
            assert answer == first or ran_out
        self.persisted.discard(name)
        left = self.stage.run(self.stage.redis.ask("PTTL", lease_of(name)))
        assert left != -1
        assert left <= TTL * 1000
        if isinstance(answer, Granted):
            mine = Mine(answer.epoch, answer.holders, deadline(sent, TTL), self.clock)
            self.note(Writer(worker, name, owner, mine, self.era))
        else:
            assert answer.url != f"http://w{worker}:1", "a worker is not kept out by itself"

    @precondition(lambda self: self.writers)
    @rule(pick=any_writer)
    def renew(self, pick: int) -> None:
        """By whoever ever had it: one that was paused does not know better."""
        writer = self.picked(pick)
        sent = self.clock.monotonic()
        book, epoch = self.books[writer.worker], writer.mine.epoch
        if not self.stage.run(book.renew(writer.name, writer.owner, epoch)):
            writer.mine.taken(passed_on=self.stage.run(book.is_passed_on(writer.name, epoch)))
        elif not writer.ended:
            writer.mine.renewed(deadline(sent, TTL))

    @precondition(lambda self: self.writers)
    @rule(pick=any_writer, done=st.booleans())
    def end(self, pick: int, done: bool) -> None:
        """Release or done, in time or late, once or twice."""
        writer = self.picked(pick)
        book = self.books[writer.worker]
        verb = book.done if done else book.release
        self.stage.run(verb(writer.name, writer.owner, writer.mine.epoch))
        writer.ended = True

    @rule(worker=who)
    def crash(self, worker: int) -> None:
        """All it knew is gone; nothing is given back."""
        for writer in self.writers:
            writer.ended = writer.ended or writer.worker == worker

    # --- what the world does

    @rule(seconds=st.floats(0.1, 15.0))
    def time_passes(self, seconds: float) -> None:
        self.clock.ahead += seconds
        self.set_clock()

    @rule(seconds=st.sampled_from([-3600.0, -720.0, -5.0, 0.5, 9.0, 120.0]))
    def clock_of_redis_jumps(self, seconds: float) -> None:
        self.jumped += seconds
        self.went_back = self.went_back or seconds < 0
        self.set_clock()
        if seconds > 0:
            self.era += 1

    @rule(how=st.integers(0, 7))
    def redis_forgets(self, how: int) -> None:
        if how == 7:  # which takes longer
            self.stage.run(self.stage.restart())
        else:
            self.stage.run(self.stage.redis.ask("FLUSHALL"))
            self.stage.run(self.stage.redis.ask("SCRIPT", "FLUSH"))
        self.era += 1
        self.forgot = True

    @rule(name=names, seconds=st.sampled_from([None, 0.001, 9.0, 1e6]))
    def somebody_changes_the_time_of_a_lease(self, name: LeaseName, seconds: float | None) -> None:
        """It ends early, late, or would never end."""
        if seconds is None:
            self.stage.run(self.stage.redis.ask("PERSIST", lease_of(name)))
            self.persisted.add(name)
        else:
            self.stage.run(self.stage.redis.ask("PEXPIRE", lease_of(name), round(seconds * 1000)))
        if seconds is None or seconds < TTL:
            self.era += 1

    # --- what must hold

    @invariant()
    def at_most_one_believes(self) -> None:
        for name in NAMES:
            live = [one for one in self.writers if one.name == name and one.believes and one.era == self.era]
            assert len(live) <= 1, f"{live} all read {name}"

    @invariant()
    def a_lease_in_force_is_untouched_and_every_key_dies(self) -> None:
        owners, immortal = self.stage.run(self.stage.redis.run(LOOK, (), [lease_of(name) for name in NAMES]))
        meddled_with = {lease_of(name).encode() for name in self.persisted}
        assert set(immortal) <= meddled_with
        for name, owner in zip(NAMES, owners, strict=True):
            for writer in self.writers:
                if writer.name == name and writer.believes and writer.era == self.era:
                    assert owner == writer.owner.encode() or not writer.believes

    def note(self, writer: Writer) -> None:
        fence, before = (writer.mine.epoch, writer.owner), self.given[writer.name]
        assert fence not in before, "a fence given out twice"
        if before and not (self.forgot and self.went_back):
            assert fence[0] > before[-1][0], "fencing numbers grow"
        before.append(fence)
        self.writers.append(writer)

    def picked(self, pick: int) -> Writer:
        return self.writers[pick % len(self.writers)]

    def set_clock(self) -> None:
        self.stage.shift.set(self.clock.ahead + self.jumped)


def test_two_live_writers_never_share_a_fence(tmp_path: Path) -> None:
    shift = ClockShift(tmp_path / "clock")
    with asyncio.Runner() as runner:

        async def start() -> tuple[RedisServer, Any, SharedRedis, Any]:
            opening = RedisServer.open(tmp_path / "redis", clock=shift)
            server = await opening.__aenter__()
            line = SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved(), within=PATIENT)
            return server, opening, await line.__aenter__(), line

        server, opening, redis, line = runner.run(start())
        try:
            stage = Stage(runner, server, shift, redis)
            run_state_machine_as_test(
                lambda: LeaseMachine(stage), settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
            )
        finally:
            runner.run(line.__aexit__(None, None, None))
            runner.run(opening.__aexit__(None, None, None))
