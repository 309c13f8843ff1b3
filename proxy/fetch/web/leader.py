"""Asking the origin, once for all who wait: what is asked, and what becomes of the answer.

the head is here ──> may it be kept? ── yes, short or of unknown length ──> spooled: all read while it comes
            │                        └─ yes, long and with a strong validator ──> a blob: read as any other
            ├── 304: what is kept holds, with the fields that came
            ├── an error of the origin: the same for all who wait, or what is kept stands in
            └── no: for the one who asked; the others ask for themselves, at the same time
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from proxy.core.clock import Clock
from proxy.core.conditional import format_date
from proxy.core.errors import OriginLied, OriginRefused, OriginUnreachable, PenstockError
from proxy.core.sizes import CHUNK, KIB
from proxy.core.spans import whole
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.ports import FillObserver, Source
from proxy.hub.web_peering import CREDENTIALS
from proxy.rfc9111 import relaying
from proxy.rfc9111.directives import policy
from proxy.rfc9111.fields import Fields, joined, without
from proxy.rfc9111.reuse import is_error
from proxy.rfc9111.stored import NOTHING, LargeBody, SmallBody, StoredResponse
from proxy.rfc9111.storing import NotStorable, Storable, kept_fields, storable
from proxy.rfc9111.validation import CONDITIONS, is_confirmed, questions, refreshed
from proxy.rfc9111.variants import selecting

from .answers import Held, WebRequest
from .in_fleet import WITHIN, Neighbours
from .kept import Coming, LargeHeld, Rooms, SmallHeld
from .outcomes import Failed, ForOne, Found, Question
from .ports import WebAnswer, WebOrigin, WebSource
from .shelving import Shelving
from .spool import Spool
from .windows import Part, Window, part_of, strong_validator, window

log = logging.getLogger(__name__)

LONGEST_ERROR: Final = 64 * KIB
"""Bytes of an error that is told to all who wait for it."""
_STORED_WITHIN: Final = 2.0
"""Seconds that the end of an answer waits for the disk; then it goes out, and is stored or not."""
_TAKEN_UP: Final = 3
"""Times a spooled answer that was cut is taken up again."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer, and what it was asked with; times of the wall clock."""

    request: WebRequest
    window: Window | None
    answer: WebAnswer
    requested_at: float
    received_at: float


class Leader:
    """Asks one origin."""

    def __init__(
        self,
        origin: WebOrigin,
        shelving: Shelving,
        rooms: Rooms,
        clock: Clock,
        observer: FillObserver,
        longest: int,
        neighbours: Neighbours | None = None,
    ) -> None:
        """`longest`: bytes of an answer whose length is not said. `neighbours`: the peers, in a fleet."""
        self._neighbours = neighbours
        self._origin = origin
        self._shelving = shelving
        self._rooms = rooms
        self._clock = clock
        self._observer = observer
        self._longest = longest

    def is_elsewhere(self, request: WebRequest) -> bool:
        """See `outcomes.Ring`."""
        return False

    async def ask(
        self, request: WebRequest, stored: StoredResponse | None, question: Question, *, verbatim: bool
    ) -> None:
        """Ask, settle `question` as soon as the head says how, and see to the body. `stored` is to be confirmed.

        `verbatim`: the answer is known not to be kept, so that the client's range goes as it is. Raises PenstockError
        when there is no answer."""
        asked = None if verbatim or stored is not None else window(request.field("range"))
        exchange = await self._exchange(request, stored, asked, verbatim=verbatim)
        if exchange.answer.status == 304 and stored is not None:
            if await self._confirmed(exchange, stored, question):
                return
            exchange = await self._exchange(request, None, None, verbatim=verbatim)
        if exchange.answer.status == 206 and asked is not None:
            part = _part(exchange, asked)
            if part is not None and part.size > CHUNK:
                await self._begun(exchange, self._head(exchange, 200), part, question)
                return
            if part is not None:
                await self.spooled(exchange, self._head(exchange, 200), part.size, question)
                return
            await exchange.answer.aclose()
            kept = _verdict(exchange, 200)
            exchange = await self._exchange(request, None, None, verbatim=isinstance(kept, NotStorable))
        await self._entirely(exchange, stored, question)

    async def _exchange(
        self, request: WebRequest, stored: StoredResponse | None, asked: Window | None, *, verbatim: bool
    ) -> Exchange:
        leaving = frozenset() if verbatim else frozenset({"range", "if-range"})
        if stored is not None:
            leaving |= CONDITIONS
        fields = relaying.request_fields(request.fields, request.version, leaving=leaving)
        if stored is not None:
            fields = (*fields, *questions(stored))
        if asked is not None:
            fields = (*without(fields, {"accept-encoding"}), ("Range", asked.field))
        if joined(fields, "accept-encoding") is None:
            fields = (*fields, ("Accept-Encoding", "identity"))
        began = self._clock.wall()
        answer = await self._origin.ask("GET", request.target, fields, interim=request.interim)
        if (lie := _unasked(fields, answer.status)) is not None:
            await answer.aclose()
            raise OriginLied(lie)
        return Exchange(request, asked, answer, began, self._clock.wall())

    # --- 304 ------------------------------------------------------------------------------------------------------

    async def _confirmed(self, exchange: Exchange, stored: StoredResponse, question: Question) -> bool:
        """Whether the 304 was about what is kept; else the question is still open."""
        answer = exchange.answer
        await answer.aclose()
        if not is_confirmed(stored, answer.fields):
            await self._shelving.forget(exchange.request.target, stored.selecting)
            return False
        fresh = refreshed(stored, answer.fields, exchange.requested_at, exchange.received_at)
        if isinstance(storable("GET", exchange.request.fields, fresh.status, fresh.fields), Storable):
            await self._shelving.keep(exchange.request.target, fresh)
        body = self.held(exchange.request, fresh)
        question.settle(Found(fresh, body, CacheOutcome.REVALIDATED, "fwd=stale; fwd-status=304"))
        return True

    # --- a whole answer -------------------------------------------------------------------------------------------

    async def _entirely(self, exchange: Exchange, stored: StoredResponse | None, question: Question) -> None:
        answer, request = exchange.answer, exchange.request
        verdict = _verdict(exchange, answer.status)
        failed = is_error(answer.status) and (stored is not None or isinstance(verdict, NotStorable))
        if failed and (error := await self._error(answer, shared=not _is_for_one(answer.fields))) is not None:
            question.settle(error)
            return
        why = verdict.rule if isinstance(verdict, NotStorable) else "" if answer.is_delimited else "no end"
        if why:
            if stored is not None and not is_error(answer.status):
                await self._shelving.forget(request.target, stored.selecting)  # that is not what is there any more
            question.settle(ForOne(answer, f'fwd-status={answer.status}; detail="{why}"'))
            return
        head = self._head(exchange, answer.status)
        validator = strong_validator(answer.fields)
        # An origin that sends the whole where a part was asked for will do so again: it is read once, from its start.
        if validator is not None and _is_blob(answer) and exchange.window is None:
            assert answer.length is not None
            await self._begun(exchange, head, Part(whole(answer.length), answer.length, validator), question)
        else:
            await self.spooled(exchange, head, answer.length, question)

    async def _error(self, answer: WebAnswer, *, shared: bool) -> Failed | None:
        """The whole of a short error; None when it is for one alone, or too long."""
        if not shared or not answer.is_delimited or answer.length is None or answer.length > LONGEST_ERROR:
            return None
        body = bytearray()
        try:
            async with aclosing(answer.pieces()) as pieces:
                async for piece in pieces:
                    body += piece
        finally:
            await answer.aclose()
        return Failed(answer.status, answer.fields, bytes(body), f"fwd-status={answer.status}")

    def _head(self, exchange: Exchange, status: int) -> StoredResponse:
        fields = exchange.answer.fields
        if exchange.answer.status == 206:
            fields = relaying.part_fields(fields)  # what is said of the part's content is not true of the whole
        if joined(fields, "date") is None:
            fields = (*fields, ("date", format_date(int(exchange.received_at))))  # RFC 9110 §6.6.1
        head = StoredResponse(status, kept_fields(fields), (), exchange.requested_at, exchange.received_at, NOTHING)
        return replace(head, selecting=selecting(exchange.request.fields, head.varies_on))

    # --- blobs ----------------------------------------------------------------------------------------------------

    async def _begun(self, exchange: Exchange, head: StoredResponse, part: Part, question: Question) -> None:
        """A long body under a strong validator: what has come of it is read on by those who want it."""
        target = exchange.request.target
        record = self._shelving.record(target, part.validator, part.size)
        stored = replace(head, body=LargeBody(record, strong=True))
        held = self.held(exchange.request, stored)
        source = self._source(exchange.request, stored)
        if self._neighbours is None:
            source.adopt(exchange.answer, part.span)
        else:
            await self._neighbours.adopt(source, exchange.request, stored, exchange.answer, part.span)
        told = f"fwd=uri-miss; fwd-status={exchange.answer.status}; stored"
        # Others find the head before anybody has the answer: a HEAD, or a reader of another part, asks nobody.
        try:
            await self._shelving.keep(target, stored)
        finally:
            question.settle(Found(stored, held, CacheOutcome.MISS, told))
            self._rooms.sources.expect_reader(record.key)

    def held(self, request: WebRequest, stored: StoredResponse) -> Held:
        """The body of a response that is kept."""
        match stored.body:
            case SmallBody():
                return SmallHeld(self._rooms.store, stored.body)
            case LargeBody(record):
                return LargeHeld(
                    self._rooms,
                    record,
                    lambda: self._ways(request, stored),
                    lambda error: self._gone(request, error),
                    None if self._neighbours is None else self._neighbours.gave(record),
                )

    async def _gone(self, request: WebRequest, error: PenstockError) -> None:
        """The origin does not give the bytes any more; what it says to one client in person says nothing of that."""
        if isinstance(error, OriginRefused) and any(request.field(name) is not None for name in CREDENTIALS):
            return
        await self._shelving.void(request.target)

    def _ways(self, request: WebRequest, stored: StoredResponse) -> tuple[WebSource, Source]:
        """The origin's source of a long body, and who of the fleet gives its bytes."""
        source = self._source(request, stored)
        own = source.asked_with(_plainly(request))
        return source, own if self._neighbours is None else self._neighbours.through(own, request, stored)

    def _source(self, request: WebRequest, stored: StoredResponse) -> WebSource:
        assert isinstance(stored.body, LargeBody)
        body = stored.body
        return self._rooms.sources.of(
            body.record.key,
            lambda: self._origin.source(
                request.target,
                body.record,
                strong=body.strong,
                forecast=self._rooms.sources.forecasts.of(body.record.key),
                within=None if self._neighbours is None else WITHIN,
            ),
        )

    # --- spools ---------------------------------------------------------------------------------------------------

    async def spooled(
        self, exchange: Exchange, head: StoredResponse, length: int | None, question: Question, told: str | None = None
    ) -> None:
        """A body that is short, or of unknown length, or without a strong validator: read by all while it comes.

        `told` are the parameters of Cache-Status, if there is more to say than that the origin gave it."""
        spool = Spool(length, self._shelving.folder, self._longest)
        told = told or f"fwd=uri-miss; fwd-status={exchange.answer.status}; stored"
        question.settle(Found(head, Coming(spool), CacheOutcome.MISS, told))
        self._observer.fill_started()
        result = "aborted"
        try:
            await self._received(exchange, head, spool)
            result = "ok"
            await self._put(exchange.request.target, head, spool)
            spool.finish()
        except PenstockError as error:
            result = "upstream_error"
            spool.fail(error)
        except OSError as error:
            result = "disk"
            spool.fail(OriginUnreachable(f"the answer could not be held: {error.strerror}"))
        except BaseException:
            spool.fail(OriginUnreachable("this node is ending"))
            raise
        finally:
            self._observer.fill_ended(result)

    async def _put(self, target: str, head: StoredResponse, spool: Spool) -> None:
        """Store it, but let nobody wait long for a disk that hangs, or fail with one that is full."""
        try:
            async with asyncio.timeout(_STORED_WITHIN if spool.length <= CHUNK else None):
                await self._shelving.put(target, head, spool)
        except (PenstockError, OSError, TimeoutError) as error:
            log.warning("an answer was not stored", extra={"why": str(error) or type(error).__name__})

    async def _received(self, exchange: Exchange, head: StoredResponse, spool: Spool) -> None:
        """All of the body; taken up again where it was cut, if a strong validator allows it."""
        answer = exchange.answer
        for left in reversed(range(_TAKEN_UP + 1)):
            try:
                await self._read_out(answer, spool)
                return
            except OriginUnreachable:
                if not left:
                    raise
            finally:
                await answer.aclose()
            answer = await self._taken_up(exchange.request, head, spool)

    async def _read_out(self, answer: WebAnswer, spool: Spool) -> None:
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                self._observer.fill_bytes(len(piece))
                await spool.write(piece)
        if spool.size is not None and spool.length < spool.size:
            raise OriginUnreachable("the origin's answer ended early")

    async def _taken_up(self, request: WebRequest, head: StoredResponse, spool: Spool) -> WebAnswer:
        """An answer that goes on where the body was cut. Raises OriginUnreachable when there is none."""
        validator = strong_validator(head.fields)
        if validator is None or not spool.length or head.status != 200 or head.field("content-encoding") is not None:
            raise OriginUnreachable("the origin's answer was cut, and cannot be taken up again")
        rest = Window(spool.length)
        extra = (("Range", rest.field), ("If-Range", f'"{validator}"'))
        answer = await self._origin.ask("GET", request.target, (*_plainly(request), *extra))
        part = part_of(rest, answer.fields, answer.length) if answer.status == 206 else None
        fits = part is not None and part.validator == validator and spool.size in (None, part.size)
        if not fits:
            await answer.aclose()
            raise OriginUnreachable("the origin's answer was cut, and the rest of it is not to be had")
        return answer


def _unasked(fields: Fields, status: int) -> str | None:
    """What is wrong with a status that answers what the request with `fields` did not ask; None for nothing."""
    names = {name.lower() for name, _ in fields}
    if status == 304 and not names & CONDITIONS:
        return "the origin says that something was not modified, and was not asked about it"
    if status == 206 and "range" not in names:
        return "the origin gives a part where the whole was asked for"
    return None


def _plainly(request: WebRequest) -> Fields:
    """The client's fields for a question of our own about the bytes it wants, which are to come unpacked."""
    leaving = CONDITIONS | {"range", "accept-encoding"}
    return (
        *relaying.request_fields(request.fields, request.version, leaving=leaving),
        ("Accept-Encoding", "identity"),
    )


def _verdict(exchange: Exchange, status: int) -> Storable | NotStorable:
    return storable("GET", exchange.request.fields, status, exchange.answer.fields)


def _part(exchange: Exchange, asked: Window) -> Part | None:
    """What a 206 is a part of; None when it cannot be kept."""
    answer = exchange.answer
    part = part_of(asked, answer.fields, answer.length)
    if part is None or isinstance(_verdict(exchange, 200), NotStorable) or not _has_ranges(answer.fields):
        return None
    return part if part.size > CHUNK or part.span == whole(part.size) else None


def _is_blob(answer: WebAnswer) -> bool:
    """Whether its body is kept with a chunk map."""
    plain = joined(answer.fields, "content-encoding") is None
    long = answer.length is not None and answer.length > CHUNK
    return answer.status == 200 and plain and long and _has_ranges(answer.fields)


def _has_ranges(fields: Fields) -> bool:
    return (joined(fields, "accept-ranges") or "").strip().lower() != "none"


def _is_for_one(fields: Fields) -> bool:
    """Whether an error may be told to nobody but who asked."""
    said = policy(fields).directives
    return any(name in said for name in ("no-store", "private")) or joined(fields, "set-cookie") is not None
