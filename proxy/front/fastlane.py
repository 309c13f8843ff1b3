"""The fast lane (DESIGN D10): a plain head for something hot is answered here, head and body in one write.

It gives again what the full lane has given (`hot`), to heads that it fully understands (`plainhead`); so it decides
nothing. What it does not understand, or has no copy of, goes to aiohttp byte for byte.

Its requests are booked like all others, but in sums: writing each of them into six metrics would cost more than
answering it. A log of requests still gets each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from proxy.core.changes import Changes, Noted
from proxy.core.clock import Clock
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource

from .file_lane import FileLane
from .hot import HOLD, Hot, HotAnswers, OurDate, Template, TheirDate
from .observer import Exchange, Observer
from .plainhead import Key, PlainHead, of_generic_origin, plain
from .request_ids import FRESH
from .web_answers import NO_CONTENT

if TYPE_CHECKING:
    from .connection import Connection

BOOK_EVERY: Final = 0.05
"""Seconds until what was answered is in the books. A process that is killed loses so much of its account."""
QUICK: Final = 0.001
"""Seconds; a request that took longer is booked by itself, so that a sum holds what falls into one bucket of every
histogram."""
HEADS: Final = 4096
"""Heads remembered with what they mean: a client says the same again and again."""
LONGEST_REMEMBERED: Final = 1024
"""Bytes of such a head."""
_REPEATED: Final = (200, 304, 307)
_ABOUT_FILES: Final = (b"/resolve/", b"/raw/")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request whose answer, which the full lane will give, may be given again."""

    key: Key
    noted: Noted
    """Before the full lane looked anything up."""
    has_range: bool = False


@dataclass(frozen=True, slots=True)
class Late:
    """An answer that was given, but is not all in the kernel yet."""

    hot: Hot
    head: PlainHead
    request_id: str
    began: float


class Generic(Protocol):
    """The targets of generic origins."""

    def is_for(self, raw_target: str) -> bool:
        """Whether the target is one of a generic origin's, or would be if there were that one."""
        ...

    def noted(self, raw_target: str) -> Noted | None:
        """Holds until another answer to the target is kept, or none any more; None for a target of none."""
        ...


class FastLane:
    """Answers for one listener. `changes` counts what was taken back of the Hub (see `hot`)."""

    def __init__(
        self,
        changes: Changes,
        generic: Generic | None,
        observer: Observer,
        clock: Clock,
        files: FileLane,
        *,
        entries: int,
        memory: int,
    ) -> None:
        self.files = files
        self._answers = HotAnswers(entries=entries, memory=memory)
        self._changes = changes
        self._generic = generic
        self._observer = observer
        self._logs = observer.logs
        self._now = clock.monotonic
        self._wall = clock.wall
        self._heads: dict[bytes, PlainHead] = {}
        self._unbooked: list[Hot] = []
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<FastLane {len(self._answers)} answers, {self._answers.weight} bytes>"

    def serve(self, head: bytes, write: Callable[[bytes], None], caller: Connection) -> bool:
        """Answer `head`, all that has arrived on an idle connection. False when that is for the full lane to do."""
        asked = self._heads.get(head) or self._read(head)
        if asked is None:
            return False
        began = self._now()
        hot = self._answers.get(asked.key, began) if asked.range is None else None
        if hot is None:
            if self.files.serve(asked, began, caller):
                return True
            noted = self._noted(asked.key[2])
            caller.candidate = None if noted is None else Candidate(asked.key, noted, asked.range is not None)
            return False
        if began >= hot.rendered_until:
            hot.render(began, self._wall())
        request_id = asked.request_id or next(FRESH)
        write(b"".join((hot.before, request_id.encode(), hot.after)))
        if caller.paused:
            caller.late = Late(hot, asked, request_id, began)
        else:
            self._book(hot, asked, request_id, caller.client, self._now() - began)
        return True

    def ended(self, late: Late, client: str, failure: str | None) -> None:
        """The rest of a late answer has been taken by the kernel, or (`failure`: the class of the error) never will."""
        exchange = self._exchange(late.hot, late.head, late.request_id, client, self._now() - late.began)
        if failure is not None:
            exchange = replace(exchange, sent=(), aborted=True, failure=failure)
        self._book_alone(exchange)

    def keep(
        self, candidate: Candidate, exchange: Exchange, answer: web.StreamResponse, *, holds: float, age: int
    ) -> None:
        """Give `answer` about the Hub again, if it can be: `exchange` is its account, `holds` for how many seconds it
        was good for everybody when its facts were looked up, `age` theirs then."""
        content = None if candidate.has_range else _repeatable(exchange, answer)
        if content is not None:
            time = OurDate(self._wall(), age if exchange.code == 307 else None)
            self._put(candidate, exchange, _template(answer, content), time, min(HOLD, holds) - exchange.seconds)

    def keep_generic(
        self, candidate: Candidate, exchange: Exchange, answer: web.StreamResponse, time: TheirDate
    ) -> None:
        """Give `answer` of a generic origin again, a hit for everybody whose head has the same key."""
        content = _content(exchange, answer)
        if content is not None:
            holds = min(HOLD, time.fresh_for) - (self._now() - time.since)
            self._put(candidate, exchange, _template(answer, content), time, holds)

    def _put(
        self, candidate: Candidate, exchange: Exchange, template: Template, time: OurDate | TheirDate, holds: float
    ) -> None:
        if holds <= 0.0:
            return
        now, size = self._now(), len(template.body)
        like = replace(exchange, sent=((ByteSource.MEMORY, size),) if size else ())
        hot = Hot(like, template, time, candidate.noted, refresh_at=now + holds / 2, until=now + holds)
        self._answers.put(candidate.key, hot)

    def flush(self) -> None:
        """Book all that was answered so far."""
        unbooked, self._unbooked = self._unbooked, []
        for hot in unbooked:
            count, hot.count = hot.count, 0
            seconds, hot.seconds = hot.seconds, 0.0
            self._observer.repeated(hot.like, count, seconds)

    def _noted(self, target: str) -> Noted | None:
        if self._generic is not None and self._generic.is_for(target):
            return self._generic.noted(target)
        return Noted.now(self._changes)

    def _read(self, head: bytes) -> PlainHead | None:
        if self._generic is None and not any(word in head for word in _ABOUT_FILES):
            return None
        asked = plain(head)
        if asked is not None and self._generic is not None and self._generic.is_for(asked.key[2]):
            asked = of_generic_origin(asked)
        if asked is not None and asked.may_be_remembered and len(head) <= LONGEST_REMEMBERED:
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[head] = asked
        return asked

    def _book(self, hot: Hot, head: PlainHead, request_id: str, client: str, seconds: float) -> None:
        if seconds > QUICK:
            self._book_alone(self._exchange(hot, head, request_id, client, seconds))
            return
        if not hot.count:
            if not self._unbooked:
                self._loop.call_later(BOOK_EVERY, self.flush)
            self._unbooked.append(hot)
        hot.count += 1
        hot.seconds += seconds
        if self._logs:
            self._observer.logged(self._exchange(hot, head, request_id, client, seconds))

    def _book_alone(self, exchange: Exchange) -> None:
        self._observer.request_began()
        for source, count in exchange.sent:
            self._observer.bytes_sent(exchange.route, source, count)
        self._observer.request_ended(exchange)

    def _exchange(self, hot: Hot, head: PlainHead, request_id: str, client: str, seconds: float) -> Exchange:
        return replace(
            hot.like,
            request_id=request_id,
            client=client,
            first_byte_seconds=seconds,
            seconds=seconds,
            user_agent=None if head.agent is None else head.agent[:256],
            host=head.host[:255],
        )


def leads_away(answer: web.StreamResponse) -> bool:
    """Whether the answer names the host that was asked: it is good for who asks that one."""
    return any(name == "Link" or name.startswith("X-Xet-") for name in answer.headers)


def _repeatable(exchange: Exchange, answer: web.StreamResponse) -> bytes | None:
    """The body of an answer that would be the same for everybody who sends this head; None when it would not be, or is
    no answer to keep."""
    if exchange.cache is not CacheOutcome.HIT or exchange.code not in _REPEATED or exchange.aborted:
        return None
    if leads_away(answer):
        return None
    return _content(exchange, answer)


def _content(exchange: Exchange, answer: web.StreamResponse) -> bytes | None:
    """The body of a whole answer that is in memory, b"" where it has none; None when it is on disk."""
    if exchange.aborted:
        return None
    if exchange.method == "HEAD" or exchange.code in NO_CONTENT:
        return b""
    return answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else None


def _template(answer: web.StreamResponse, content: bytes) -> Template:
    return Template(f"HTTP/1.1 {answer.status} {answer.reason}", tuple(answer.headers.items()), content)
