"""The line to the Hub itself: every request to the configured origin passes its budget and its breaker here.

Turned away are those who would only be refused (budget) or would only wait (breaker); both get OriginBusy at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Final

from yarl import URL

from proxy.core.breaker import Breaker, BreakerState, Rest
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginBusy, OriginUnreachable, SlowDown
from proxy.core.rights import Plane

from .budget import UNSAID, Budget, retry_after
from .credentials import Fields, home_fields
from .incoming import Answer, Disconnected
from .observer import HostClass, OriginObserver
from .transport import Asking, Lane, Transport
from .upload import Upload

REST: Final = Rest(failures=5, window=30.0, shortest=1.0, longest=30.0)


class HubLine:
    """Requests to the origin with a caller's token."""

    def __init__(self, transport: Transport, *, clock: Clock, chance: Random, observer: OriginObserver) -> None:
        self._transport = transport
        self._clock = clock
        self._observer = observer
        self._breaker = Breaker(REST, clock, chance)
        self.budget: Final = Budget(clock)

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        url: URL,
        caller: Caller,
        plane: Plane,
        *,
        fields: Fields = (),
        ranged: Fields = (),
        body: bytes | Upload | None = None,
        lane: Lane = Lane.CALL,
        patience: float = 0.0,
        can_wait: bool = False,
    ) -> AsyncIterator[Answer]:
        """One request. `url` must be of the origin itself: the token goes there. Of `fields` only the allowed pass;
        `ranged` are our own Range and If-Range. `can_wait`: not worth one of the last requests the origin allows.

        Raises OriginBusy (429, budget, breaker), OriginUnreachable (5xx included), OriginLied."""
        self._refuse_if_busy(caller, plane, can_wait=can_wait)
        asking = Asking(method, url, (*home_fields(caller, fields), *ranged), HostClass.HUB, True, lane, body, patience)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._transport.turn(asking))
            # again: those who waited their turn may have waited into an outage
            self._refuse_if_busy(caller, plane, can_wait=can_wait)
            self.budget.spend(caller.identity, plane)
            answer = await self._answered(asking, stack)
            remaining = self.budget.learn(caller.identity, plane, answer.head)
            if remaining is not None:
                self._observer.rate_limit_remaining(remaining)
            await self._refuse_if_away(answer)
            yield answer

    async def _answered(self, asking: Asking, stack: contextlib.AsyncExitStack) -> Answer:
        """The answer, once more if an idle connection had just been closed: all we ask is safe to ask twice."""
        with self._admitted():
            try:
                answer = await stack.enter_async_context(self._transport.ask(asking))
            except Disconnected:
                if isinstance(asking.body, Upload):
                    raise  # what has passed through cannot be sent again
                answer = await stack.enter_async_context(self._transport.ask(asking))
            if answer.head.status >= 500:
                await answer.drain()
                raise OriginUnreachable(f"the origin failed with status {answer.head.status}")
            return answer

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """Tell the breaker what became of one request."""
        before = self._breaker.state
        if (wait := self._breaker.admit()) is not None:
            raise _not_now(wait)
        turn = self._breaker.turn
        before = self._told(before)
        try:
            yield
        except OriginUnreachable:
            self._breaker.failed(turn)
            raise
        except BaseException:
            self._breaker.abandoned(turn)
            raise
        else:
            self._breaker.succeeded(turn)
        finally:
            self._told(before)

    def _told(self, before: BreakerState) -> BreakerState:
        """Tell the observer when the breaker has moved since `before`; gives where it is now."""
        if self._breaker.state is not before:
            self._observer.breaker(self._breaker.state.value)
        return self._breaker.state

    def _refuse_if_busy(self, caller: Caller, plane: Plane, *, can_wait: bool) -> None:
        if (wait := self.budget.refusal(caller.identity, plane, can_wait=can_wait)) is not None:
            raise OriginBusy(f"the origin's rate limit is used up; it opens again in {wait} s", wait)
        if (wait := self._breaker.refusal()) is not None:
            raise _not_now(wait)

    async def _refuse_if_away(self, answer: Answer) -> None:
        if answer.head.status == 429:
            await answer.drain()
            wait = retry_after(answer.head, self._clock.wall()) or UNSAID
            raise SlowDown(f"the origin asks us to slow down and come back in {wait} s", wait)
        if answer.head.status == 408:
            raise OriginUnreachable("the origin gave up waiting for our request")


def _not_now(wait: int) -> OriginBusy:
    return OriginBusy(f"the origin has failed several times in a row; it is asked again in {wait} s", wait)
