"""Which nodes there are: the view of this worker, kept by heartbeats in Redis, by a list, and by how peers answer.

With Redis every worker beats for its node and reads who else does; without it, or while it is away, the last view stays
and the peers of the configuration count. Nothing waits for Redis here but the start, a quarter of a second at most.

    beats, list  ->  roster      who is there
    answers      ->  ejections   who is of use: told with the beats, and at once to whom it concerns
    both         ->  view        a value with a number, made anew when it is looked at and something changed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import Final, Protocol

from proxy.config.cluster import ClusterSection, name_of
from proxy.core.clock import Clock
from proxy.core.errors import RedisAway
from proxy.core.tasks import TaskSet

from .health import Ejections
from .hints import Hints
from .keys import MEMBERS_CHANNEL
from .members import Difference, Member, MemberState, View, difference
from .redis import REST
from .register import Line, Register
from .roster import Roster, mark_of

SILENT_BEATS: Final = 5
"""A node that is silent for so many heartbeats is gone."""
_JITTER: Final = 0.1
"""Share of the heartbeat by which beats are early or late, so that a fleet does not beat as one."""

log: Final = logging.getLogger(__name__)


class MembershipObserver(Protocol):
    """Called on the loop thread; must return at once."""

    def view_changed(self, view: View, change: Difference) -> None:
        """`view` is in force, by `change` from the one before."""
        ...

    def clock_ahead(self, seconds: float) -> None:
        """Our wall clock is `seconds` ahead of that of Redis (behind, when negative); right to half of a call."""
        ...


class LineWithHints(Line, Protocol):
    """The part of `SharedRedis` that is needed."""

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[Hints]: ...


class Membership:
    """See the head of the file."""

    def __init__(
        self, roster: Roster, register: Register | None, *, clock: Clock, observer: MembershipObserver
    ) -> None:
        self._roster = roster
        self._register = register
        self._clock = clock
        self._observer = observer
        self._ejections = Ejections(clock)
        self._view = View(0, (roster.us,), roster.us.name)
        self._look_again = 0.0
        self._nudge = asyncio.Event()
        self._has_beaten = False
        self._news: set[str] = set()
        """Addresses that we have left out since the last beat."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        section: ClusterSection,
        *,
        us: Member,
        line: LineWithHints | None,
        clock: Clock,
        observer: MembershipObserver,
        chance: Random | None = None,
    ) -> AsyncIterator[Membership]:
        """The membership of `us` (see `ourselves`). A node that drains says goodbye at the end; one that ends without
        that may be a worker of a node that goes on, and is missed only when the whole node falls silent."""
        silence = section.heartbeat * SILENT_BEATS
        register = None if line is None else Register(line, silence=silence)
        roster = Roster(us, _listed(section, us), silence=silence, rest=REST.longest, clock=clock)
        membership = cls(roster, register, clock=clock, observer=observer)
        await membership._beat()
        async with TaskSet("membership") as tasks:
            tasks.start(membership._keep_beating(section.heartbeat, chance or Random()), "beats")
            if line is not None:
                tasks.start(membership._look_when_told(line), "hints")
            yield membership
        await membership._say_goodbye()

    @property
    def view(self) -> View:
        """The fleet as we see it now."""
        if self._clock.monotonic() >= self._look_again:
            self._renew()
        return self._view

    @property
    def last_view(self) -> View:
        """The fleet as it was when we looked last, less than a heartbeat ago. For any thread."""
        return self._view

    @property
    def unreached(self) -> frozenset[str]:
        """The addresses of those that failed us lately, and are left out."""
        return self._ejections.out()

    @property
    def missed(self) -> tuple[Member, ...]:
        """For reports: who fell silent lately and is not back."""
        return self._roster.missed()

    @property
    def redis(self) -> str:
        """For reports: `none` there is, `up`, or `away`, while the last view and the listed peers count."""
        if self._register is None:
            return "none"
        return "up" if self._roster.hears else "away"

    def failed(self, name: str) -> None:
        """The member called `name` did not do what it was asked: it is not asked for a while."""
        if (url := self._url_of(name)) is not None and self._ejections.failed(url):
            self._renew()
            self._news.add(url)
            self._nudge.set()

    def lied(self, name: str) -> None:
        """The member called `name` gave what was wrong: it is not asked for a long while."""
        if (url := self._url_of(name)) is not None:
            self._ejections.lied(url)
            self._renew()

    def succeeded(self, name: str) -> None:
        """The member called `name` did what it was asked."""
        if (url := self._url_of(name)) is not None:
            self._ejections.succeeded(url)

    def leaving(self, name: str) -> None:
        """The member called `name` answered that it hands its slices over."""
        member = next((peer for peer in self._view.peers if peer.name == name), None)
        if member is not None:
            self._roster.is_leaving(member)
            self._renew()

    def drain(self) -> None:
        """Own nothing from now on, and tell the others. For the rest of this node's life. Idempotent."""
        if self._roster.us.state is not MemberState.DRAINING:
            self._roster.we_drain()
            self._renew()
            self._nudge.set()

    async def _keep_beating(self, heartbeat: float, chance: Random) -> None:
        while True:
            # Not `wait_for`, which takes a nudge that comes with the cancellation, and goes on beating for good.
            with suppress(TimeoutError):
                async with asyncio.timeout(heartbeat * chance.uniform(1 - _JITTER, 1 + _JITTER)):
                    await self._nudge.wait()
            self._nudge.clear()
            await self._beat()

    async def _look_when_told(self, line: LineWithHints) -> None:
        """Beat at once when another says that it has left us out."""
        mark = mark_of(self._roster.us.url).encode()
        async with line.subscribe(MEMBERS_CHANNEL) as hints:
            while True:
                if await hints.next() == mark:
                    self._nudge.set()

    async def _beat(self) -> None:
        if self._register is not None:
            before = {member.url: member.boot for member in self._view.members}
            us, news = self._roster.us, frozenset(self._news)
            self._news.clear()
            asked_at = self._clock.wall()
            try:
                beaten = await self._register.beat(us, out=self._ejections.out(), news=news)
            except RedisAway:
                self._roster.silent()
            else:
                self._observer.clock_ahead((asked_at + self._clock.wall()) / 2 - beaten.at)
                self._note_namesake(beaten.former)
                self._note_ourselves(beaten.said.members)
                for member in beaten.said.members:
                    if before.get(member.url, member.boot) != member.boot:
                        self._ejections.forget(member.url)
                self._roster.heard(beaten.said)
            if self._roster.us.state is not us.state:
                self._nudge.set()  # the others are to hear it now
        self._renew()

    def _note_ourselves(self, said: tuple[Member, ...]) -> None:
        """What another worker of this node was told counts for all of them."""
        us = self._roster.us
        if any(m.url == us.url and m.boot == us.boot and m.state is MemberState.DRAINING for m in said):
            self._roster.we_drain()

    def _note_namesake(self, former: str) -> None:
        """Our own former life is no news at the first beat; later only another node can have written it."""
        if self._has_beaten and former not in ("", self._roster.us.boot):
            log.warning("another node says it is at our address", extra={"advertise": self._roster.us.url})
        self._has_beaten = True

    async def _say_goodbye(self) -> None:
        us = self._roster.us
        if self._register is not None and us.state is MemberState.DRAINING:
            with suppress(RedisAway):
                await self._register.beat(us, goodbye=True)

    def _url_of(self, name: str) -> str | None:
        peers = self._view.peers
        return next((member.url for member in peers if member.name == name), None)

    def _renew(self) -> None:
        """Make the view anew, and tell the observer if it is another one."""
        members = self._roster.members()
        self._ejections.keep(frozenset(member.url for member in members))
        out = self._ejections.out()
        self._look_again = self._ejections.next_return()
        old, us = self._view, self._roster.us
        ejected = frozenset(member.name for member in members if member.url in out)
        if old.version and (members, ejected) == (old.members, old.ejected):
            return
        self._view = View(old.version + 1, members, us.name, ejected)
        change = difference(old, self._view)
        if change:
            log.info("the fleet changed", extra={"view": self._view.version, **_words(change)})
        self._observer.view_changed(self._view, change)


def ourselves(section: ClusterSection, *, weight: int, boot: str) -> Member:
    """This node as a member. `weight` is the sum of its disks (bytes), used when the section says none; `boot` one life
    of the node, the same for all its workers (letters, digits, hyphens)."""
    assert section.advertise is not None, "a node outside of a cluster is no member"
    return Member(section.name, section.advertise, section.weight or max(1, weight), MemberState.UP, boot)


def _listed(section: ClusterSection, us: Member) -> tuple[Member, ...]:
    """The peers of the configuration. One that says no weight weighs as we do: without Redis all nodes then agree."""
    return tuple(Member(name_of(peer.url), peer.url, peer.weight or us.weight) for peer in section.peers)


def _words(change: Difference) -> dict[str, str]:
    """What changed, for the log."""
    found = {field: getattr(change, field) for field in change.__dataclass_fields__}
    return {field: " ".join(names) for field, names in found.items() if names}
