"""The bytes of one representation at a generic origin: few long requests, read in short spans.

Theory of operation. A flight asks for a megabyte at a time, in the order in which readers want them. Here each answer
that is being read is a *course*: it stands at an offset and runs to its end. A read that begins where a course stands,
or will stand when the reads that wait for it are done, or a little further on, is given its bytes; for any other a new
course is begun, up to the end of what the reader of that place wants. So a whole GET is one request however many spans
it is read in, a range far ahead of it is a second, and what is cut is asked for again from the byte where it ended.

Who leaves in the middle leaves its course behind, for the next who comes that way; of those that nobody uses the ones
used last are kept, and the others let go, for each is a connection. What a course is to bring is forecast, chunk by
chunk, to whoever else may fetch it.

Without a strong validator there is no second request: what was read from another answer could be of another version.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from random import Random
from typing import Final, Protocol

from proxy.core.blob import BlobRecord
from proxy.core.errors import OriginRefused, OriginUnreachable, SourceChanged
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span

from .credentials import Fields
from .exactness import judge_transfer
from .head import Head
from .incoming import TransferCut
from .patience import Patience

READ_OVER: Final = MIB
"""Fewer bytes than this are rather read over than asked for anew: never a whole chunk, which another read may want."""
IDLE: Final = 64
"""Courses that nobody reads from just now, kept of one record: more than a client has connections for one file."""


class Body(Protocol):
    """An answer of the origin (`web.WebAnswer`)."""

    status: int
    fields: Fields

    def pieces(self) -> AsyncGenerator[bytes, None]: ...

    async def aclose(self) -> None: ...


class Forecast(Protocol):
    """Tells the other workers what is on its way (`fetch.web.ports.Forecast`)."""

    def say(self, span: Span) -> None: ...

    def unsay(self, span: Span) -> None: ...


class Course:
    """One answer on its way: the bytes of `span`, used by one read after another."""

    def __init__(self, answer: Body, span: Span, forecast: Forecast) -> None:
        position, stop = span.start, span.stop
        forecast.say(span)
        self._forecast = forecast
        self._answer = answer
        self._pieces = answer.pieces()
        self._left = b""
        self._waiting: list[int] = []
        self._turn = asyncio.Lock()
        self.position = position
        self.stop = stop
        self.is_closed = False

    @property
    def planned(self) -> int:
        """Where it will stand when all who wait for it have read."""
        return max(self._waiting, default=self.position)

    @property
    def is_idle(self) -> bool:
        """Whether nobody reads from it, or waits to."""
        return not self._waiting

    @contextlib.asynccontextmanager
    async def turn(self, until: int) -> AsyncGenerator[None, None]:
        """Have it for oneself, after those who came before, to read up to `until`."""
        self._waiting.append(until)
        try:
            async with self._turn:
                yield
        finally:
            self._waiting.remove(until)

    async def take(self, most: int) -> bytes:
        """The next bytes, 1 to `most`. Raises TransferCut."""
        while not self._left:
            piece = await anext(self._pieces, None)
            if piece is None:
                raise TransferCut(f"the transfer ended {self.stop - self.position} bytes early")
            self._left = piece
        taken, self._left = self._left[:most], self._left[most:]
        before, self.position = self.position, self.position + len(taken)
        if before // CHUNK != self.position // CHUNK:
            self._forecast.unsay(Span(before // CHUNK * CHUNK, self.position // CHUNK * CHUNK))
        return taken

    async def aclose(self) -> None:
        if not self.is_closed:
            self._forecast.unsay(Span(self.position // CHUNK * CHUNK, self.stop))
        self.is_closed = True
        await self._pieces.aclose()
        await self._answer.aclose()


class WebSource:
    """What all readers of one record share; each reads by `asked_with`. `aclose` it when nobody reads any more."""

    def __init__(
        self,
        ask: Callable[[Fields], Awaitable[Body]],
        record: BlobRecord,
        *,
        strong: bool,
        retries: int,
        chance: Random,
        pause: Callable[[float], Awaitable[None]],
        forecast: Forecast,
        within: int | None = None,
    ) -> None:
        """`ask` sends a GET; `strong`: what is missing can be asked for by range, of which none goes past a multiple of
        `within` bytes."""
        self._forecast = forecast
        self._within = within
        self._ask = ask
        self._record = record
        self._strong = strong
        self._retries = retries
        self._chance = chance
        self._pause = pause
        self._courses: list[Course] = []
        self._wanted: list[Span] = []
        self._reaches: list[Span] = []
        self._asked: list[Span] = []

    def adopt(self, answer: Body, span: Span) -> None:
        """Read on from an answer that is under way already, whose body is `span`."""
        self._courses.append(Course(answer, span, self._forecast))

    @contextlib.contextmanager
    def wanting(self, span: Span) -> Iterator[None]:
        """While inside, somebody reads `span`: a request for some of it is made for the rest of it too."""
        self._wanted.append(span)
        try:
            yield
        finally:
            self._wanted.remove(span)

    @contextlib.contextmanager
    def reaching(self, span: Span) -> Iterator[None]:
        """While inside, no request that begins in `span` goes past its end."""
        self._reaches.append(span)
        try:
            yield
        finally:
            self._reaches.remove(span)

    @property
    def is_shared(self) -> bool:
        """Whether its readers want different parts of it."""
        return len(set(self._wanted)) > 1

    def is_near(self, span: Span) -> bool:
        """Whether an answer stands at the beginning of `span`, or will in a moment."""
        return self._nearest(span) is not None

    def front(self, offset: int) -> int | None:
        """Where the answer stands that is to bring the byte at `offset`, nearest to it; None when none is."""
        coming = [Span(course.position, course.stop) for course in self._courses]
        return max((span.start for span in (*coming, *self._asked) if offset in span), default=None)

    async def let_go(self, front: int) -> None:
        """End the answers that stand at `front` and that nobody reads: what they are to bring next has come."""
        for course in [course for course in self._courses if course.position == front and course.is_idle]:
            self._courses.remove(course)
            await course.aclose()

    async def aclose(self) -> None:
        """End what is under way."""
        courses, self._courses = self._courses, []
        for course in courses:
            await course.aclose()

    def asked_with(self, fields: Fields) -> AskedWith:
        """The source for one client, in whose name it is asked, and who alone is refused then."""
        return AskedWith(self, fields)

    async def read(self, span: Span, fields: Fields) -> AsyncGenerator[bytes, None]:
        """The bytes of `span`, exactly, in order (`fetch.ports.Source`); requests for them are made with `fields`."""
        offset = span.start
        patience = Patience(self._retries, self._chance)
        while offset < span.stop:
            try:
                async with contextlib.aclosing(self._attempt(Span(offset, span.stop), fields)) as pieces:
                    async for piece in pieces:
                        offset += len(piece)
                        patience.progressed()
                        yield piece
            except OriginUnreachable as error:
                if (pause := patience.pause()) is None or not self._strong:
                    raise
                del error
                await self._pause(pause)

    async def _attempt(self, span: Span, fields: Fields) -> AsyncGenerator[bytes, None]:
        """The bytes of `span` from one course, as far as it goes; none when it has gone on without us."""
        course = self._nearest(span) or await self._begun(span, fields)
        stop = min(span.stop, course.stop)
        async with course.turn(stop):
            if course.is_closed or course.position > span.start:
                return
            is_done = False
            try:
                while course.position < span.start:
                    await course.take(span.start - course.position)
                while course.position < stop:
                    yield await course.take(stop - course.position)
                is_done = True
            finally:
                if course in self._courses:
                    self._courses.remove(course)
                if not is_done or course.position == course.stop:
                    await course.aclose()
                elif not course.is_closed:
                    self._courses.append(course)

    def _nearest(self, span: Span) -> Course | None:
        """The course that will stand at the beginning of `span`, or nearest before it, soon enough."""
        near = [
            course for course in self._courses if span.start - READ_OVER < course.planned <= span.start < course.stop
        ]
        return max(near, key=lambda course: course.planned, default=None)

    async def _begun(self, span: Span, fields: Fields) -> Course:
        """A new course for the beginning of `span`. Raises what the origin's answer deserves."""
        if not self._strong:
            raise SourceChanged(
                "the origin gives no strong validator, so that no part of it can be asked for; ask anew"
            )
        await self._let_go_of_idle()
        reach = Span(span.start, self._reach(span))
        with self._asking(reach):
            extra = (("Range", f"bytes={reach.start}-{reach.stop - 1}"), ("If-Range", f'"{self._record.validator}"'))
            answer = await self._ask((*fields, *extra))
            try:
                start = self._judged(answer, reach)
            except BaseException:
                await answer.aclose()
                raise
        stop = self._record.size if start < reach.start else reach.stop
        course = Course(answer, Span(start, stop), self._forecast)
        self._courses.append(course)
        return course

    @contextlib.contextmanager
    def _asking(self, reach: Span) -> Iterator[None]:
        """It is on its way as soon as it is asked for: who looks meanwhile does not ask as well."""
        self._asked.append(reach)
        self._forecast.say(reach)
        try:
            yield
        finally:
            self._asked.remove(reach)
            self._forecast.unsay(reach)  # the answer says it anew

    async def _let_go_of_idle(self) -> None:
        """Those used the longest ago."""
        for course in [course for course in self._courses if course.is_idle][:-IDLE]:
            if course in self._courses:
                self._courses.remove(course)
                await course.aclose()

    def _reach(self, span: Span) -> int:
        """The end of what is wanted from there on, or where another course has begun."""
        wanted = max((want.stop for want in self._wanted if span.start in want), default=span.stop)
        begun = (*(course.position for course in self._courses), *(asked.start for asked in self._asked))
        ahead = [position for position in begun if position > span.start]
        edge = self._record.size if self._within is None else (span.start // self._within + 1) * self._within
        bounds = [reach.stop for reach in self._reaches if span.start in reach]
        return max(span.stop, min(wanted, *ahead, *bounds, edge, self._record.size))

    def _judged(self, answer: Body, reach: Span) -> int:
        """The offset of the first byte of its body. Raises SourceChanged, RangeMangled, OriginRefused,
        OriginUnreachable."""
        head = Head(answer.status, answer.fields)
        if head.status >= 500 or head.status in (408, 429):
            raise OriginUnreachable(f"the origin failed with status {head.status}")
        if head.status == 412 or 300 <= head.status < 400:
            raise SourceChanged(f"the origin has something else there now (status {head.status})")
        if 400 <= head.status < 500 and head.status != 416:
            raise OriginRefused(head.status, f"the origin refuses the rest of it (status {head.status})")
        # An origin without ranges sends it all again, and what comes before is read over: slow, and right.
        asked = Span(0, reach.stop) if head.status == 200 else reach
        judge_transfer(head, asked, self._record.size, f'"{self._record.validator}"')
        return asked.start


class AskedWith:
    """One client's view of a source that many share (`fetch.ports.Source`)."""

    def __init__(self, source: WebSource, fields: Fields) -> None:
        self._source = source
        self._fields = fields

    def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """`can_wait` makes no difference."""
        return self._source.read(span, self._fields)
