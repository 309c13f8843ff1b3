"""`python -m bench.load.generator`: one process of load. An order on standard input; on standard output a line for each
second, and the totals at the end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import uvloop

from bench.record import Check, Loop
from proxy.core.tasks import TaskSet

from . import catalogue as catalogues
from . import trace as traces
from .arrivals import arrivals, shared
from .catalogue import Catalogue
from .client import Client, Shop
from .metronome import Metronome
from .orders import Order, Task, begin_of, said
from .pool import Entrances, Pool
from .tally import Tally
from .verify import Checker
from .wire import Surroundings
from .workload import Session, Whole, Wish, Wishes

LATE: Final = 0.010
"""Seconds after its time from which a session counts as late."""
_LOOK: Final = 0.1
"""Seconds between two looks at silent connections, and at the loop's own lag."""
_MOST_IDLE: Final = 512
_WARM_CLIENTS: Final = 4


class Generator:
    """Carries out one order."""

    def __init__(self, order: Order, put: Callable[[bytes], None]) -> None:
        self._begin = 0.0
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._order = order
        self._scenario = order.scenario
        self._put = put
        self._catalogue: Catalogue = catalogues.read(order.catalogue)
        self._random = Random(f"{self._scenario.seed}/{order.part}/{order.parts}")
        self._tally = Tally(lambda: loop.time() - self._begin)
        around = Surroundings(loop, self._scenario.load.patience)
        is_shared = self._scenario.load.connections == "shared"
        self._shop = Shop(
            around=around,
            addresses=order.addresses,
            returns=self._scenario.clients.returns,
            checker=Checker(),
            check=Check.FULL if order.task is Task.WARM else self._scenario.verify.check,
            hash_again=self._scenario.verify.hash == "always",
            tally=self._tally,
            pool=Pool(Entrances(around, order.addresses, order.part), _MOST_IDLE, in_turn=True) if is_shared else None,
        )
        self._number = 0
        self._cpu = time.process_time()
        self._turned = loop.time()

    async def run(self, begin: float) -> None:
        """From `begin` (of the loop) until the time is up and the sessions under way are done, or left."""
        self._begin = begin
        cpu = self._cpu = time.process_time()
        async with TaskSet("generator") as housekeeping:
            housekeeping.start(self._look_around(), "look around")
            housekeeping.start(self._report(), "report")
            async with TaskSet("sessions") as sessions:
                await self._load(sessions)
                await self._end(sessions)
        self._say_second(int(self._tally.seconds()) + 1)
        totals = self._tally.totals
        totals.seconds = max(self._tally.seconds(), 1e-6)
        totals.cpu_seconds = time.process_time() - cpu
        self._put(said("totals", totals.to_plain()))
        if self._shop.pool is not None:
            self._shop.pool.close()

    async def _load(self, sessions: TaskSet) -> None:
        match self._order.task:
            case Task.WARM:
                await self._closed(sessions, self._warming(), _WARM_CLIENTS, float("inf"))
            case Task.REPLAY:
                await self._open(sessions, self._replayed())
            case Task.LOAD if self._scenario.load.loop is Loop.CLOSED:
                clients = self._part_of(self._scenario.load.clients)
                await self._closed(sessions, self._drawn(), clients, self._scenario.duration)
            case Task.LOAD:
                await self._open(sessions, self.by_the_clock())

    # -- open loop --------------------------------------------------------------------------------------------------

    def by_the_clock(self) -> Iterator[tuple[float, Session]]:
        """When, of the run, which session is meant to begin: of the same seed always the same."""
        shape = shared(self._scenario.load.arrivals(), self._order.part, self._order.parts)
        wishes = self._wishes()
        for at in arrivals(shape, self._random):
            if at >= self._scenario.duration:
                return
            yield at, wishes.draw(at)

    def _replayed(self) -> Iterator[tuple[float, Session]]:
        order = self._order
        assert order.trace is not None, "a replay has a trace"
        return traces.sessions(order.trace, self._catalogue, order.part, order.parts)

    async def _open(self, sessions: TaskSet, plan: Iterator[tuple[float, Session]]) -> None:
        """Each session at its time, however many are under way (up to the bound that the scenario names)."""
        most = max(1, self._scenario.load.most_at_once // self._order.parts)
        metronome = Metronome(self._loop)
        totals = self._tally.totals
        try:
            for at, session in plan:
                intended = self._begin + at
                if self._loop.time() < intended:
                    await metronome.until(intended)
                totals.planned += 1
                if len(sessions) >= most:
                    totals.dropped += 1
                    continue
                totals.sent += 1
                totals.late += self._loop.time() - intended > LATE
                self._number += 1
                name = f"{self._order.part}-{self._number}"
                sessions.start(self._one(session, intended, name, self._number), name)
                if self._loop.time() - intended > _LOOK:
                    await asyncio.sleep(0)  # far behind: still give the answers a turn
            if self._scenario.load.shape != "herd" and self._order.task is Task.LOAD:
                await metronome.until(self._begin + self._scenario.duration)
        finally:
            metronome.close()

    async def _one(self, session: Session, intended: float, name: str, number: int) -> None:
        client = Client(self._shop, name, number)
        try:
            await client.act(session, intended)
        finally:
            client.close()

    # -- closed loop ------------------------------------------------------------------------------------------------

    def _drawn(self) -> Iterator[Session]:
        wishes = self._wishes()
        while True:
            yield wishes.draw(self._tally.seconds())

    def _warming(self) -> Iterator[Session]:
        for number, repo in enumerate(self._catalogue.popular):
            if number % self._order.parts == self._order.part:
                yield Session(repo, tuple(Wish(file, Whole()) for file in repo.files), opening=True, parallel=4)

    async def _closed(self, sessions: TaskSet, plan: Iterator[Session], clients: int, duration: float) -> None:
        """`clients` at a time, each beginning anew when it is done."""
        delay = self._begin - self._loop.time()
        await asyncio.sleep(max(0.0, delay))
        until = self._begin + duration
        repeating = [
            sessions.start(self._again_and_again(plan, until, number), f"client {number}") for number in range(clients)
        ]
        if repeating:
            await asyncio.wait(
                repeating, timeout=None if duration == float("inf") else max(0.0, until - self._loop.time())
            )

    async def _again_and_again(self, plan: Iterator[Session], until: float, number: int) -> None:
        client = Client(self._shop, f"{self._order.part}-{number}", number)
        totals = self._tally.totals
        try:
            for session in plan:
                now = self._loop.time()
                if now >= until:
                    return
                totals.planned += 1
                totals.sent += 1
                await client.act(session, now)
                if not client.pleased:
                    await asyncio.sleep(_LOOK)  # who is refused at once does not come again at once
        finally:
            client.close()

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _end(self, sessions: TaskSet) -> None:
        """Let the sessions under way finish, if the scenario says so; leaving the set cancels what is left."""
        if self._scenario.load.at_end == "leave" and self._order.task is Task.LOAD:
            return
        try:
            async with asyncio.timeout(self._scenario.load.linger):
                await sessions.join()
        except TimeoutError:
            for _ in range(len(sessions)):
                self._tally.failed("unfinished", f"not done {self._scenario.load.linger:g} s after the end")

    # -- housekeeping -----------------------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        while True:
            due = self._loop.time() + _LOOK
            await asyncio.sleep(_LOOK)
            self._tally.totals.lag = max(self._tally.totals.lag, self._loop.time() - due)
            self._shop.around.sweep()

    async def _report(self) -> None:
        number = 0
        while True:
            number += 1
            await asyncio.sleep(max(0.0, self._begin + number - self._loop.time()))
            self._say_second(number)

    def _say_second(self, next_number: int) -> None:
        second = self._tally.turn(next_number)
        now, cpu = self._loop.time(), time.process_time()
        second.cpu_share = (cpu - self._cpu) / max(now - self._turned, 0.01)
        self._cpu, self._turned = cpu, now
        self._put(said("second", second.to_plain()))

    def _wishes(self) -> Wishes:
        habits = self._scenario.clients.habits(herd=self._scenario.load.shape == "herd")
        return Wishes(self._catalogue, habits, self._random, part=self._order.part, parts=self._order.parts)

    def _part_of(self, count: int) -> int:
        return count // self._order.parts + (1 if self._order.part < count % self._order.parts else 0)


def put(line: bytes) -> None:
    """Whole, to standard output."""
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(1, rest) :]


async def _main() -> None:
    order = Order.from_line(sys.stdin.buffer.readline())
    generator = Generator(order, put)
    put(said("ready", {}))
    await generator.run(begin_of(sys.stdin.buffer.readline()))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
