"""The ring of the fleet: who owns a place asks the origin, and the others ask it. Both sides of that.

    node A: a miss ──> node B, which owns the place: kept there? else B asks the origin, for all who ask B meanwhile
                   <── a head that all may have, and the body, or how to get it: A keeps it as if the origin had said it
                   <── no: B is away or slow, or the answer is for one alone: A asks the origin by itself

B asks nobody but the origin for another node's sake, and whoever waits at A for B's answer is waited for by no other
node: two that take each other for the owner do not wait for each other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, assert_never

from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, OriginUnreachable, PeerFailed
from proxy.core.sizes import KIB
from proxy.fetch.coordinator import CacheOutcome
from proxy.hub.web_asking import AnswerQuestion
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.relaying import PSEUDONYM
from proxy.rfc9111.stored import StoredResponse
from proxy.rfc9111.variants import is_for

from . import crossing
from .answers import Held, Kept, Passed, Told, WebRequest
from .cache import WebCache
from .leader import LONGEST_ERROR, Exchange, Leader
from .outcomes import Failed, Found, Question, Ring
from .ports import FellowAnswer, Fellows
from .shelving import Shelving
from .telling import (
    Follows,
    NoAnswer,
    SharedError,
    SharedResponse,
    decoded,
    encoded,
    shared,
    taken_over,
)

ASKED: Final = 2
"""Nodes asked, one after the other, when the first cannot be reached."""
AT_ONCE: Final = 64 * KIB
"""Bytes: so long a body is taken whole before anybody is answered with it, so that a node that dies costs no answer."""


class FromOwner:
    """The ring around who asks the origin."""

    def __init__(
        self, inner: Ring, leader: Leader, fellows: Fellows, origin: str, shelving: Shelving, clock: Clock
    ) -> None:
        """`origin`: the name that all nodes know it by. `leader` sees to the bodies."""
        self._inner = inner
        self._leader = leader
        self._fellows = fellows
        self._origin = origin
        self._shelving = shelving
        self._clock = clock

    def is_elsewhere(self, request: WebRequest) -> bool:
        """Whether another node is asked for it before the origin."""
        return not request.from_peer and bool(self._owners(request))

    async def ask(
        self, request: WebRequest, stored: StoredResponse | None, question: Question, *, verbatim: bool
    ) -> None:
        """See `outcomes.Ring`."""
        if verbatim or request.from_peer or not await self._answered(request, stored, question):
            await self._inner.ask(request, stored, question, verbatim=verbatim)

    async def _answered(self, request: WebRequest, stored: StoredResponse | None, question: Question) -> bool:
        asked = crossing.question(
            self._origin,
            request,
            stored,
            is_shared=question.is_shared,
            is_behind=question.is_behind,
            void_ago=self._shelving.void_ago(request.target),
        )
        for peer in () if asked is None else self._owners(request):
            assert asked is not None
            asked_at = self._clock.wall()
            try:
                answer = await self._fellows.ask(peer, asked)
            except PeerFailed:
                continue
            except AskAnother:
                return False
            taking = _Taking(self, request, stored, question, asked_at, self._clock.wall())
            try:
                return await taking.take(answer)
            finally:
                await answer.aclose()
        return False

    def _owners(self, request: WebRequest) -> tuple[str, ...]:
        return self._fellows.before_us(crossing.place_key(self._origin, request.target))[:ASKED]


@dataclass(frozen=True, slots=True)
class _Taking:
    """One answer of `peer`; times of our wall clock."""

    ring: FromOwner
    request: WebRequest
    stored: StoredResponse | None
    question: Question
    asked_at: float
    received_at: float

    async def take(self, answer: FellowAnswer) -> bool:
        """Settle the question with it; False for what is of no use."""
        try:
            told = decoded(answer.said)
            match told:
                case SharedError(status, fields, words):
                    body = await _all_of(answer, LONGEST_ERROR)
                    self.question.settle(Failed(status, fields, body, self._words(words)))
                    return True
                case SharedResponse():
                    return await self._response(told, answer)
                case _:
                    assert_never(told)
        except (NoAnswer, PeerFailed):
            return False

    async def _response(self, told: SharedResponse, answer: FellowAnswer) -> bool:
        """Raises NoAnswer, PeerFailed."""
        ring, target = self.ring, self.request.target
        head = taken_over(told, ring._origin, target, self.stored, self.asked_at, self.received_at)
        if head is None or not is_for(head, self.request.fields) or ring._shelving.is_void(target, head):
            # 1. something is written to, or purged, here   2. we ask the owner, which has not heard of it
            return False
        words = self._words(told.told)
        if isinstance(told.body, Follows):
            body = await _Body.of(head, answer)
            exchange = Exchange(self.request, None, body, self.asked_at, self.received_at)
            await ring._leader.spooled(exchange, head, body.length, self.question, words)
            return True
        await ring._shelving.keep(target, head)
        held = ring._leader.held(self.request, head)
        outcome = CacheOutcome.MISS if self.stored is None else CacheOutcome.REVALIDATED
        self.question.settle(Found(head, held, outcome, words))
        return True

    def _words(self, told: str) -> str:
        """What both nodes say of it in Cache-Status, the other's first (RFC 9211 §2)."""
        why = "uri-miss" if self.stored is None else "stale"
        return f"{told}, {PSEUDONYM}; fwd={why}; stored; detail=owner"


class _Body:
    """The answer of a peer, as one of the origin (`ports.WebAnswer`)."""

    def __init__(self, head: StoredResponse, answer: FellowAnswer, content: bytes | None) -> None:
        self.status = head.status
        self.fields: Fields = head.fields
        self.length = answer.length
        self.is_delimited = True
        self._answer = answer
        self._content = content

    @classmethod
    async def of(cls, head: StoredResponse, answer: FellowAnswer) -> _Body:
        """With all of a short body. Raises PeerFailed."""
        is_short = answer.length is not None and answer.length <= AT_ONCE
        return cls(head, answer, await _all_of(answer, AT_ONCE) if is_short else None)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        if self._content is not None:
            yield self._content
            return
        try:
            async with aclosing(self._answer.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        except PeerFailed as error:
            raise OriginUnreachable(str(error)) from None

    async def aclose(self) -> None:
        await self._answer.aclose()


async def _all_of(answer: FellowAnswer, most: int) -> bytes:
    """Raises PeerFailed."""
    body = bytearray()
    async with aclosing(answer.pieces()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > most:
                raise PeerFailed("a body that is longer than it was said to be")
    if answer.length is not None and len(body) != answer.length:
        raise PeerFailed("a body that is not of the length that was announced")
    return bytes(body)


# --- who is asked -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lent:
    """What is told to another node: the head, and the body, or nothing of it. `forget`: see `WebCache.forget`."""

    said: bytes
    body: bytes | Held
    kept: Kept | None = None


class Owner:
    """Answers the other nodes, for all generic origins of this one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.caches: dict[str, WebCache] = {}
        """By the name that all nodes know the origin by."""

    async def answer(self, asked: AnswerQuestion) -> Lent:
        """What is kept, or what the origin says, if all may have it. Raises AskAnother, and what the cache raises."""
        cache, came_at = self._cache(asked), self._clock.wall()
        request = crossing.as_request(asked)
        if asked.void_ago is not None:
            await cache.void(asked.target, asked.void_ago)
        if cache.is_passed(asked.target):
            raise AskAnother("such answers are for one client alone")
        reply = cache.at_hand(request) if asked.stored_only else await cache.answer(request)
        match reply:
            case Kept():
                return self._kept(reply, asked, came_at)
            case Told(status, fields, body, told):
                return Lent(_encoded(SharedError(status, fields, told)), body)
            case Passed(answer):
                await answer.aclose()
                raise AskAnother("the answer is for one client alone")
            case None:
                raise AskAnother("nothing that may be served is kept here")
            case _:
                assert_never(reply)

    async def forget(self, asked: AnswerQuestion, kept: Kept) -> None:
        """What was told cannot be read."""
        await self._cache(asked).forget(crossing.as_request(asked), kept)

    def _cache(self, asked: AnswerQuestion) -> WebCache:
        cache = self.caches.get(asked.origin)
        if cache is None:
            raise AskAnother("this node has no such origin")
        return cache

    def _kept(self, kept: Kept, asked: AnswerQuestion, came_at: float) -> Lent:
        told = shared(kept, came_at, asked.etag, is_part=any(name == "range" for name, _ in asked.fields))
        if told is None:
            raise AskAnother("it was selected by what no other node is told")
        said = _encoded(told)
        return Lent(said, kept.body, kept) if isinstance(told.body, Follows) else Lent(said, b"")


def _encoded(told: SharedResponse | SharedError) -> bytes:
    try:
        return encoded(told)
    except TypeError:
        raise AskAnother("the head of the answer holds what is no text") from None
