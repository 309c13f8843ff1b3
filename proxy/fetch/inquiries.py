"""Inquiries: what is kept, else one question to the origin for all who ask the same, else what was kept before.

Who shares an answer is decided by what it is made of. The thing asked for is kept in the catalogue, for all workers and
for everybody who may see it; the right to see it is in the memory of one worker. So

    in one worker        one caller asks the same thing once, however often it came for it
    on the whole node    whose right is known already, and nobody in particular (whose right the catalogue holds), ask
                         one after another, and those behind find what the first was told
    whose right is new   asks by itself, beside the others: no other's answer could tell what it may

Nothing made of a token leaves the worker for that: the name that workers share is of the thing alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

from proxy.core.caller import Caller
from proxy.core.errors import OriginAway, OriginRefused, OriginUnreachable
from proxy.core.tasks import TaskSet

from .coordinator import CacheOutcome, LfsAnswer, Located, LocatedObject, Metadata
from .ports import BlobStore
from .shared import SharedCalls

ANSWER_WITHIN: Final = 8.0
"""Seconds: clients give up after ten, so what may serve instead has to leave before. The question goes on."""

T = TypeVar("T")


class Enough(Enum):
    """How good what is kept has to be."""

    FRESH = auto()
    """Nobody needs to be asked."""
    DUE = auto()
    """It is due to be confirmed, but there; only to a right that is fresh."""
    AWAY = auto()
    """The origin cannot be asked: old things will do, and to have been public before."""


@dataclass(frozen=True, slots=True)
class Inquiry(Generic[T]):
    """One thing that one caller wants to know."""

    caller: Caller
    about: str
    """Names the thing and its kind: who asks under the same name gets the same answer, if allowed."""
    would_share: Callable[[], bool]
    """Whether another's answer would do: the right is known, so that only the thing is asked for, and the thing is the
    same for all. May raise OriginRefused."""
    known: Callable[[Enough], T | None]
    """What is kept, if it is good enough. May raise OriginRefused, if that is what is known."""
    ask: Callable[[bool], Coroutine[Any, Any, T]]
    """Asks the origin, and keeps what it says; the argument tells that the question can wait (see `ports.Origin`)."""
    in_a_hurry: bool = False
    """Clients give up soon; else they wait for as long as it takes, if there is nothing else to give them."""


class Inquiries:
    """All inquiries of one worker."""

    def __init__(self, store: BlobStore, tasks: TaskSet) -> None:
        self._store = store
        self._calls: SharedCalls[Any] = SharedCalls(tasks)

    async def answer(self, inquiry: Inquiry[T]) -> T:
        """Raises OriginRefused, OriginAway, OriginLied."""
        known = inquiry.known(Enough.FRESH)
        if known is not None:
            return known
        name = (inquiry.about, inquiry.caller.identity)
        joined = self._calls.is_under_way(name)
        hurries = inquiry.in_a_hurry or inquiry.known(Enough.AWAY) is not None
        try:
            async with asyncio.timeout(ANSWER_WITHIN if hurries else None):
                answer: T = await self._calls.run(
                    name, lambda: self._in_turn(inquiry), f"ask for {inquiry.about[:200]}"
                )
        except (OriginAway, TimeoutError) as away:
            known = inquiry.known(Enough.AWAY)
            if known is not None:
                return known
            if isinstance(away, OriginAway):
                raise
            raise OriginUnreachable("the origin takes long to answer; ask again in a moment") from None
        return _coalesced(answer) if joined else answer

    async def _in_turn(self, inquiry: Inquiry[T]) -> T:
        async with self._turn(inquiry):
            # Look again now that we are inside: another worker may have asked while we waited for the lock.
            known = inquiry.known(Enough.FRESH)
            return known if known is not None else await inquiry.ask(_can_wait(inquiry))

    def _turn(self, inquiry: Inquiry[T]) -> AbstractAsyncContextManager[None]:
        if inquiry.caller.is_anonymous or inquiry.would_share():
            return self._store.once(inquiry.about)
        return nullcontext()


def _can_wait(inquiry: Inquiry[T]) -> bool:
    """Whether what is kept would do, though it is due to be confirmed. Rights never wait."""
    try:
        return inquiry.known(Enough.DUE) is not None
    except OriginRefused:
        return True


def _coalesced(answer: T) -> T:
    if isinstance(answer, Located | Metadata | LfsAnswer | LocatedObject):
        return replace(answer, cache=CacheOutcome.COALESCED)
    return answer
