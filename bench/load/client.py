"""A client acts out a session: the requests that the Hub's own clients make, each checked and counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never
from urllib.parse import quote

from bench.record import Check
from proxy.core.tasks import TaskSet

from .bodies import Asked, BodyTaker, Collected, Unexpected
from .catalogue import File, Repo
from .heads import Head, Malformed
from .pool import Entrances, Pool
from .tally import Tally
from .verify import Checker, WrongByte
from .wire import Address, Broken, Connection, Enough, Exchange, Pace, Silent, Surroundings
from .workload import Aborted, HeadOnly, InRanges, Part, Resumed, Session, Slow, Whole, Wish, spans_of

_STEPS_PER_SECOND: Final = 8
_LARGEST_STEP: Final = 256 * 1024
_SMALLEST_STEP: Final = 1024
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0
"""Seconds from an answer that broke off until a client comes again; doubled each time."""
SLOW_BUFFER: Final = 64 * 1024
"""Receive buffer of slow readers: what the kernel takes for them does not count as read."""


class Failed(Exception):
    """A request went wrong, and has been counted; the session does what a client does then."""


@dataclass(slots=True)
class BrokenOff(Exception):
    """There was no connection, or no answer, or not all of it: a client may come again. Not counted yet."""

    name: str
    why: Exception
    exchange: Exchange | None = None


@dataclass(slots=True)
class Shop:
    """What all clients of a process share."""

    around: Surroundings
    addresses: Sequence[Address]
    returns: int
    """How often a client comes again for the rest of an answer that broke off."""
    checker: Checker
    check: Check
    hash_again: bool
    """Hash every whole file, not only the first time it comes."""
    tally: Tally
    pool: Pool | None
    """Connections that all clients share; None: each client has its own."""
    hashed: set[str] = field(default_factory=set)
    etags: dict[str, str] = field(default_factory=dict)
    """By blob: what the mirror called it first. It may never call it otherwise."""


class Client:
    """One client; `act` a session, then `close`."""

    def __init__(self, shop: Shop, name: str, number: int) -> None:
        """`number`: of this client; it says at which mirror it begins."""
        self._shop = shop
        self._name = name
        self._entrances = Entrances(shop.around, shop.addresses, number)
        self._own = None if shop.pool is not None else Pool(self._entrances, most_idle=64)
        self._received = 0
        self.pleased = True
        """Whether all requests of the last session went well."""

    async def act(self, session: Session, intended: float) -> None:
        """Everything the session wants. `intended`: when (of the loop) it was meant to begin. Never raises for what
        the mirror does: that is counted."""
        began = self._shop.around.now()
        self.pleased, self._received = True, 0
        try:
            if session.opening:
                await self._open(session.repo, intended)
                intended = self._shop.around.now()
            await self._read_all(session, intended)
        except Failed:
            return
        finally:
            self._shop.tally.served(self._name, self._received, self._shop.around.now() - began)

    def close(self) -> None:
        if self._own is not None:
            self._own.close()

    # -- what it does -----------------------------------------------------------------------------------------------

    async def _open(self, repo: Repo, intended: float) -> None:
        """Revision and tree, as `snapshot_download` asks for them."""
        revision = Collected()
        await self._ask(Asked("revision", "GET", f"/api/models/{repo.id}/revision/main"), revision, intended)
        commit = json.loads(revision.content).get("sha")
        tree = f"/api/models/{repo.id}/tree/{commit}?recursive=true&expand=false"
        await self._ask(Asked("tree", "GET", tree), Collected(), self._shop.around.now())

    async def _read_all(self, session: Session, intended: float) -> None:
        if len(session.wishes) == 1:
            await self._read(session.repo, session.wishes[0], intended, looks_first=session.opening)
            return
        wishes = iter(session.wishes)
        async with TaskSet(f"client {self._name}") as tasks:
            for number in range(min(session.parallel, len(session.wishes))):
                tasks.start(self._read_some(session, wishes, intended), f"file {number}")
            await tasks.join()

    async def _read_some(self, session: Session, wishes: Iterator[Wish], intended: float) -> None:
        for wish in wishes:
            try:
                await self._read(session.repo, wish, intended, looks_first=session.opening)
            except Failed:
                continue  # a client's other files are not held up by one that failed
            finally:
                intended = self._shop.around.now()

    async def _read(self, repo: Repo, wish: Wish, intended: float, *, looks_first: bool) -> None:
        style, file = wish.style, wish.file
        if looks_first or isinstance(style, HeadOnly | Resumed):
            await self._ask(Asked("head", "HEAD", _target(repo, file), file), self._body(file), intended)
            intended = self._shop.around.now()
        self._shop.tally.wants(repo, file, spans_of(wish))
        match style:
            case HeadOnly():
                return
            case Whole():
                kind = "whole" if file.linked else "small"
                await self._get(Asked(kind, "GET", _target(repo, file), file), intended)
            case Part(start, stop):
                await self._get(Asked("range", "GET", _target(repo, file), file, (start, stop)), intended)
            case InRanges(size, parallel):
                await self._in_ranges(repo, file, size, parallel, intended)
            case Resumed(start):
                guard = self._shop.etags.get(file.seed, "")
                asked = Asked("resume", "GET", _target(repo, file), file, (start, file.size), if_range=guard)
                await self._get(asked, intended)
            case Aborted(after):
                await self._get(Asked("abort", "GET", _target(repo, file), file, enough=after), intended)
            case Slow(rate):
                await self._get_slowly(Asked("slow", "GET", _target(repo, file), file), intended, rate)
            case _:
                assert_never(style)

    async def _in_ranges(self, repo: Repo, file: File, size: int, parallel: int, intended: float) -> None:
        starts = iter(range(0, file.size, size))

        async def some() -> None:
            when = intended
            try:
                for start in starts:
                    span = (start, min(file.size, start + size))
                    await self._get(Asked("range", "GET", _target(repo, file), file, span), when)
                    when = self._shop.around.now()
            except Failed:
                return  # counted; the other parts find their own way

        async with TaskSet(f"client {self._name}") as tasks:
            for number in range(min(parallel, -(-file.size // size))):
                tasks.start(some(), f"part {number}")
            await tasks.join()

    async def _get(self, asked: Asked, intended: float) -> None:
        assert asked.file is not None
        await self._ask(asked, self._body(asked.file, asked), intended)

    async def _get_slowly(self, asked: Asked, intended: float, rate: float) -> None:
        assert asked.file is not None
        step = int(min(_LARGEST_STEP, max(_SMALLEST_STEP, rate / _STEPS_PER_SECOND)))
        await self._ask(asked, self._body(asked.file, asked), intended, pace=Pace(rate, step))

    def _body(self, file: File, asked: Asked | None = None) -> BodyTaker:
        return BodyTaker(self._shop, file, asked)

    # -- one request ------------------------------------------------------------------------------------------------

    async def _ask(
        self, asked: Asked, taker: BodyTaker | Collected, intended: float, *, pace: Pace | None = None
    ) -> None:
        """One request and its answer; when that breaks off, again for the rest, as often as clients here do. Raises
        Failed."""
        delay = _FIRST_DELAY
        for left in range(self._shop.returns, -1, -1):
            try:
                await self._try(asked, taker, intended, pace)
            except BrokenOff as off:
                rest = taker.rest(asked) if left else None
                if rest is None:
                    raise self._counted(off.name, asked, off.why, off.exchange) from off
                self._shop.tally.returns(off.exchange)
                came_nothing, asked = rest is asked, rest
            else:
                return
            self._entrances.turn()
            await asyncio.sleep(delay)
            delay = min(_LONGEST_DELAY, 2 * delay)
            if not came_nothing:  # else its first byte is still due since then
                intended = self._shop.around.now()

    async def _try(self, asked: Asked, taker: BodyTaker | Collected, intended: float, pace: Pace | None) -> None:
        """Once. Raises BrokenOff, Failed."""
        if pace is not None:
            connection = await self._slow_connection(pace)
            try:
                await self._on(connection, asked, taker, intended, pace)
            finally:
                connection.close()
            return
        pool = self._shop.pool or self._own
        assert pool is not None
        while True:
            try:
                connection = await pool.get()
            except OSError as error:
                raise BrokenOff("connect", error) from error
            try:
                if await self._on(connection, asked, taker, intended):
                    return
            finally:
                pool.put(connection)

    async def _slow_connection(self, pace: Pace) -> Connection:
        """One of its own, whose buffer in the kernel is small. Raises BrokenOff."""
        try:
            return await self._entrances.connected(receive_buffer=min(SLOW_BUFFER, pace.step))
        except OSError as error:
            raise BrokenOff("connect", error) from error

    async def _on(
        self,
        connection: Connection,
        asked: Asked,
        taker: BodyTaker | Collected,
        intended: float,
        pace: Pace | None = None,
    ) -> bool:
        """Ask on `connection`; False if it was an old one that the mirror had closed meanwhile: ask again. Raises
        BrokenOff, Failed."""
        shop = self._shop
        tally = shop.tally
        exchange = Exchange(shop.around.now())
        request = asked.request(connection.address)
        tally.in_flight += 1
        before = taker.checked
        try:
            await connection.ask(request, taker, exchange, to_head=asked.method == "HEAD", pace=pace)
            taker.finish()
        except Enough:
            tally.left(exchange)
        except (Broken, OSError) as error:
            if connection.served and exchange.head is None:
                return False
            raise BrokenOff("broken", error, exchange) from error
        except Silent as error:
            raise BrokenOff("silent", error, exchange) from error
        except Malformed as error:
            raise self._counted("malformed", asked, error, exchange) from error
        except Unexpected as error:
            raise self._counted(error.name, asked, error, exchange) from error
        except WrongByte as error:
            tally.totals.wrong += 1
            raise self._counted("wrong byte", asked, error, exchange) from error
        except asyncio.CancelledError:
            tally.left(exchange)
            raise
        else:
            tally.answered(asked.kind, intended, exchange, hit=_is_hit(exchange.head))
        finally:
            tally.in_flight -= 1
            tally.totals.checked += taker.checked - before
            self._received += exchange.received
        return True

    def _counted(self, name: str, asked: Asked, error: BaseException, exchange: Exchange | None = None) -> Failed:
        at = self._shop.tally.seconds()
        text = f"{asked}: {str(error) or type(error).__name__} (second {at:.1f})"
        self._shop.tally.failed(name, text, exchange)
        self.pleased = False
        return Failed(text)


def _target(repo: Repo, file: File) -> str:
    return f"/{repo.id}/resolve/{repo.commit}/{quote(file.path)}"


def _is_hit(head: Head | None) -> bool:
    """Whether the origin was not asked (RFC 9211)."""
    assert head is not None
    status = head.fields.get("cache-status", "")
    return any(part.strip() == "hit" for part in status.split(";"))
