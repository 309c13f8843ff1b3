"""The door of a generic origin's cache: what a request gets, from what is kept or from the origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Hashable
from typing import Final, assert_never

from proxy.core.bounded import BoundedDict
from proxy.core.changes import Noted
from proxy.core.clock import Clock
from proxy.core.errors import NotKept, OriginAway, PenstockError
from proxy.core.tasks import TaskSet
from proxy.fetch.coordinator import CacheOutcome
from proxy.rfc9111 import relaying
from proxy.rfc9111.directives import Directives
from proxy.rfc9111.fields import joined
from proxy.rfc9111.freshness import age, remaining
from proxy.rfc9111.reuse import (
    Decision,
    Forward,
    NotCached,
    Revalidate,
    Serve,
    ServeAndRevalidate,
    decide,
    may_be_shared,
    may_stand_in,
)
from proxy.rfc9111.stored import IMPLIED, StoredResponse
from proxy.rfc9111.storing import Storable, storable
from proxy.rfc9111.validation import is_same, made_void, refreshed
from proxy.rfc9111.variants import is_for, select, selecting

from .answers import Kept, Passed, Told, WebReply, WebRequest
from .leader import Leader
from .outcomes import Failed, ForEach, ForOne, Found, Outcome, Question, Ring
from .ports import WebAnswer, WebOrigin
from .shelving import Shelving

_TOGETHER: Final = 3
"""Times a request joins a question that turns out not to be its own; then it asks for itself."""
_PASSED_FOR: Final = 60.0
"""Seconds for which an answer that could not be kept is taken to be such: nobody waits for another's meanwhile."""
_PASSED: Final = 10_000


class WebCache:
    """The cache of one origin, for one worker."""

    def __init__(
        self, origin: WebOrigin, shelving: Shelving, leader: Leader, ring: Ring, clock: Clock, tasks: TaskSet
    ) -> None:
        """`ring`: by which way questions get to `leader`."""
        self._ring = ring
        self._origin = origin
        self._shelving = shelving
        self._leader = leader
        self._clock = clock
        self._tasks = tasks
        self._questions: dict[Hashable, Question] = {}
        self._passed: BoundedDict[bytes, float] = BoundedDict(entries=_PASSED)
        self._varies: BoundedDict[bytes, tuple[str, ...]] = BoundedDict(entries=_PASSED)
        """What answers varied on when they came: known before they are kept."""

    async def answer(self, request: WebRequest) -> WebReply:
        """What a GET or HEAD gets. Raises OriginAway, OriginLied, NotKept."""
        for _ in range(_TOGETHER):
            kept = self._shelving.at(request.target)
            stored = select(kept, request.fields)
            decision = decide(request.fields, stored, self._clock.wall())
            reply: WebReply | None
            if isinstance(decision, NotCached):
                raise NotKept("nothing that may be served is kept here, and nothing else was wanted")
            if (reply := self._at_hand(request, decision, kept)) is not None:
                return reply
            if (reply := await self._asked(request, stored, kept)) is not None:
                return reply
        return await self._alone(request, select(self._shelving.at(request.target), request.fields))

    def noted(self, target: str) -> Noted:
        """Holds until another answer to `target` is kept, or none any more."""
        return self._shelving.noted(target)

    def at_hand(self, request: WebRequest) -> Kept | None:
        """What it gets if the origin is not asked for that."""
        kept = self._shelving.at(request.target)
        decision = decide(request.fields, select(kept, request.fields), self._clock.wall())
        return self._at_hand(request, decision, kept)

    def _at_hand(self, request: WebRequest, decision: Decision, kept: tuple[StoredResponse, ...]) -> Kept | None:
        match decision:
            case Serve(found, rule):
                told = "hit" if rule == "fresh" else f"hit; detail={rule}"
                return self._served(request, found, CacheOutcome.HIT, told)
            case ServeAndRevalidate(found) if not request.is_behind:
                self._revalidate_behind(request, found, kept)
                return self._served(request, found, CacheOutcome.STALE, "hit; detail=stale-while-revalidate")
            case ServeAndRevalidate() | Revalidate() | Forward() | NotCached():
                return None
            case _:
                assert_never(decision)

    def is_passed(self, target: str) -> bool:
        """Whether the origin's answers there are for one client alone, as far as is known."""
        return self._is_passed(self._shelving.place(target))

    async def pass_on(self, request: WebRequest, body: AsyncIterable[bytes] | None) -> Passed:
        """What any other method gets: the origin's answer, after what it makes void was forgotten. Raises OriginAway,
        OriginLied, and what `body` raises."""
        fields = relaying.request_fields(request.fields, request.version)
        length = request.field("content-length")
        if body is not None and length is not None:
            fields = (*fields, ("Content-Length", length))
        if body is not None and request.version != "1.0" and request.field("expect") is not None:
            # So that the origin can refuse before the body is sent (RFC 9110 §10.1.1); there is no other expectation.
            fields = (*fields, ("Expect", "100-continue"))
        answer = await self._origin.ask(request.method, request.target, fields, body)
        try:
            sites = frozenset({self._origin.site.lower(), request.site.lower()})
            for target in made_void(request.method, answer.status, request.target, answer.fields, sites):
                await self._shelving.written(target)
        except BaseException:
            await answer.aclose()
            raise
        return Passed(answer, f"fwd=method; fwd-status={answer.status}")

    async def void(self, target: str, ago: float) -> None:
        """Another node has found that what was kept of `target` until then, seconds ago, is out of date."""
        await self._shelving.void(target, ago)

    async def forget(self, request: WebRequest, kept: Kept) -> None:
        """What was answered with cannot be read: it is not to be answered with again."""
        await self._shelving.forget(request.target, kept.stored.selecting)

    # --- one question for all who wait -----------------------------------------------------------------------------

    async def _asked(
        self, request: WebRequest, stored: StoredResponse | None, kept: tuple[StoredResponse, ...]
    ) -> WebReply | None:
        """The origin's answer, ours or that of one who asked before us; None when that was not for us."""
        name = self._name(request, kept)
        under_way = None if name is None else self._questions.get(name)
        if under_way is not None:
            return await self._joined(under_way, request, stored)
        if request.method == "HEAD":
            return await self._head(request, stored)
        if name is None:
            return await self._alone(request, stored)
        return await self._led(request, stored, name)

    def _name(self, request: WebRequest, kept: tuple[StoredResponse, ...]) -> Hashable | None:
        """Who asks the same; None for a request that nobody else waits for."""
        place = self._shelving.place(request.target)
        asked = Directives.read(request.field("cache-control"))
        if request.field("authorization") is not None or "no-store" in asked or self._is_passed(place):
            return None
        conditional = any(request.field(name) is not None for name in ("if-match", "if-unmodified-since"))
        if conditional or (not kept and _is_conditional(request)):
            return None  # the origin judges the condition, for this client alone
        varies = IMPLIED.union(self._varies.get(place) or (), *(stored.varies_on for stored in kept))
        selected = selecting(request.fields, varies)
        return place, selected, self._ring.is_elsewhere(request)

    def _is_passed(self, place: bytes) -> bool:
        until = self._passed.get(place)
        return until is not None and self._clock.monotonic() < until

    async def _led(self, request: WebRequest, stored: StoredResponse | None, name: Hashable | None) -> WebReply | None:
        question = self._begin(request, stored, name)
        try:
            outcome = await asyncio.shield(question.outcome)
        except asyncio.CancelledError:
            question.is_abandoned = True
            if question.outcome.done() and not question.outcome.cancelled() and not question.outcome.exception():
                self._let_go(question.outcome.result())
            raise
        except OriginAway as error:
            return self._stand_in(request, stored, error)
        return None if isinstance(outcome, ForEach) else self._reply(request, stored, outcome)

    async def _alone(self, request: WebRequest, stored: StoredResponse | None) -> WebReply:
        if request.method == "HEAD":
            return await self._head(request, stored)
        reply = await self._led(request, stored, None)
        assert reply is not None, "a question that nobody shares is settled by its answer"
        return reply

    def _begin(
        self, request: WebRequest, stored: StoredResponse | None, name: Hashable | None, *, is_behind: bool = False
    ) -> Question:
        question = Question(is_shared=name is not None, is_behind=is_behind)
        if name is not None:
            self._call(question, name)
        self._tasks.start(self._ask(request, stored, question), f"ask for {request.target[:200]}")
        return question

    def _call(self, question: Question, name: Hashable) -> None:
        self._questions[name] = question
        question.names.add(name)

    async def _ask(self, request: WebRequest, stored: StoredResponse | None, question: Question) -> None:
        place = self._shelving.place(request.target)
        verbatim = self._is_passed(place)
        question.outcome.add_done_callback(lambda outcome: self._learn(request, question, outcome))
        try:
            await self._ring.ask(request, stored, question, verbatim=verbatim)
        except PenstockError as error:
            question.fail(error)
        finally:
            question.is_over = True
            for known in question.names:
                if self._questions.get(known) is question:
                    del self._questions[known]
            if not question.outcome.done():
                question.outcome.cancel()

    def _learn(self, request: WebRequest, question: Question, outcome: asyncio.Future[Outcome]) -> None:
        """Remember what may be waited for, and by whom; close what nobody will read."""
        if outcome.cancelled() or outcome.exception() is not None:
            return
        place = self._shelving.place(request.target)
        match outcome.result():
            case ForEach():
                self._passed.put(place, self._clock.monotonic() + _PASSED_FOR)
            case ForOne() as found:
                if question.is_shared and found.is_of_the_place:
                    self._passed.put(place, self._clock.monotonic() + _PASSED_FOR)
                if question.is_abandoned:
                    self._let_go(found)
            case Found(stored):
                self._passed.discard(place)
                if question.is_shared and not IMPLIED.issuperset(stored.varies_on):
                    # Those who asked for another variant meanwhile wait for one another, not for this one any more.
                    self._varies.put(place, stored.varies_on)
                    if not question.is_over:
                        self._call(question, (place, stored.selecting, self._ring.is_elsewhere(request)))
            case Failed():
                pass

    def _let_go(self, outcome: Outcome) -> None:
        if isinstance(outcome, ForOne) and not self._tasks.is_closing:
            self._tasks.start(outcome.answer.aclose(), "let an answer go")

    async def _joined(self, question: Question, request: WebRequest, stored: StoredResponse | None) -> WebReply | None:
        try:
            outcome = await asyncio.shield(question.outcome)
        except asyncio.CancelledError:
            if question.outcome.cancelled():
                return None
            raise
        except OriginAway as error:
            return self._stand_in(request, stored, error)
        match outcome:
            case Found(found, body):
                now = self._clock.wall()
                if not is_for(found, request.fields) or not may_be_shared(request.fields, found, now):
                    return None
                told = f"fwd={'uri-miss' if stored is None else 'stale'}; collapsed"
                return Kept(found, body, age(found, now), CacheOutcome.COALESCED, told, confirmed=True)
            case Failed():
                return self._reply(request, stored, outcome)
            case ForOne() | ForEach():
                return None

    # --- replies ---------------------------------------------------------------------------------------------------

    def _reply(self, request: WebRequest, stored: StoredResponse | None, outcome: Found | ForOne | Failed) -> WebReply:
        match outcome:
            case Found(found, body, how, told):
                return Kept(found, body, age(found, self._clock.wall()), how, told, confirmed=True)
            case ForOne(answer, told):
                return Passed(answer, f"fwd={'uri-miss' if stored is None else 'stale'}; {told}")
            case Failed(status, fields, body_bytes, told):
                if stored is not None and may_stand_in(request.fields, stored, self._clock.wall()):
                    words = f"fwd=stale; {told}; detail=stale-if-error"
                    return self._served(request, stored, CacheOutcome.STALE, words)
                return Told(status, fields, body_bytes, f"fwd={'uri-miss' if stored is None else 'stale'}; {told}")
            case _:
                assert_never(outcome)

    def _stand_in(self, request: WebRequest, stored: StoredResponse | None, error: OriginAway) -> Kept:
        if stored is None or not may_stand_in(request.fields, stored, self._clock.wall()):
            raise error.with_traceback(None)
        return self._served(request, stored, CacheOutcome.STALE, "fwd=stale; detail=stale-if-error")

    def _served(self, request: WebRequest, stored: StoredResponse, how: CacheOutcome, told: str) -> Kept:
        now = self._clock.wall()
        fresh_for = remaining(stored, now)
        if told.startswith("hit"):
            told = f"hit; ttl={int(fresh_for)}{told[3:]}"
        body = self._leader.held(request, stored)
        return Kept(stored, body, age(stored, now), how, told, confirmed=False, fresh_for=fresh_for)

    def _revalidate_behind(self, request: WebRequest, stored: StoredResponse, kept: tuple[StoredResponse, ...]) -> None:
        """Have it confirmed, once for all who are served it meanwhile."""
        name = self._name(request, kept)
        if name is None or name in self._questions or self._tasks.is_closing:
            return
        question = self._begin(request, stored, name, is_behind=True)
        question.is_abandoned = True

    async def _head(self, request: WebRequest, stored: StoredResponse | None) -> WebReply:
        fields = relaying.request_fields(request.fields, request.version, leaving=frozenset({"range", "if-range"}))
        began = self._clock.wall()
        try:
            answer = await self._origin.ask("HEAD", request.target, fields)
        except OriginAway as error:
            return self._stand_in(request, stored, error)
        if stored is not None and answer.status == 200:
            await self._compare(request, stored, answer, began)
        return Passed(answer, f"fwd={'uri-miss' if stored is None else 'stale'}; fwd-status={answer.status}")

    async def _compare(self, request: WebRequest, stored: StoredResponse, answer: WebAnswer, began: float) -> None:
        """What a HEAD says of what is kept: it holds on, or is no more (RFC 9111 §4.3.5)."""
        try:
            if is_same(stored, stored.body.size, answer.fields, answer.length):
                fresh = refreshed(stored, answer.fields, began, self._clock.wall())
                if isinstance(storable("GET", request.fields, fresh.status, fresh.fields), Storable):
                    await self._shelving.keep(request.target, fresh)
            else:
                await self._shelving.forget(request.target, stored.selecting)
        except BaseException:
            await answer.aclose()
            raise


def _is_conditional(request: WebRequest) -> bool:
    return any(joined(request.fields, name) is not None for name in ("if-none-match", "if-modified-since"))
