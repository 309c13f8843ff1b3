"""The ring of the node: one of its workers asks, the others wait a while for what it finds.

    worker A: takes the lead ── asks ──> kept          ── ends the lead: B finds the answer in the catalogue
                                         for one alone ── tells it, ends the lead: all at B ask, at the same time
                                         an error, long ── ends the lead: B asks for itself
    worker B: the lead is taken ── looks every few milliseconds ──> as above
                                └─ A is killed (the kernel ends its lead), or takes too long: B asks for itself

Who has waited takes no lead: nothing is waited for twice, and workers never queue behind a slow origin. The lead is for
a question of this node's: one to the owner of the place, and one to the origin for another node, never wait for each
other, or two nodes that take each other for the owner would.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from proxy.core.clock import Clock
from proxy.core.sizes import CHUNK
from proxy.fetch.coordinator import CacheOutcome
from proxy.rfc9111.reuse import may_be_shared
from proxy.rfc9111.stored import StoredResponse
from proxy.rfc9111.variants import select

from .answers import WebRequest
from .kept import Coming
from .leader import Leader
from .outcomes import ForEach, ForOne, Found, Outcome, Question, Ring
from .ports import Lead, Leads
from .shelving import Shelving

_WAITED: Final = 5.0
"""Seconds that another worker is waited for. A slower origin is asked by each worker, as if there were no others."""
_BODY_WAITED: Final = 0.5
"""Seconds for which a short body may come while the other workers wait; one that takes longer is asked for by each."""
_TOLD: Final = 0.3
"""Seconds for which it is told that an answer was for one alone: some looks of who waits, on a loop that is late."""
_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05
"""Seconds between two looks."""
_WAITING: Final = 256
"""Questions of this worker that may wait at once: looking costs time. Others are asked without."""


class AmongWorkers:
    """The ring around who asks the origin, or the owner."""

    def __init__(self, inner: Ring, leader: Leader, leads: Leads, shelving: Shelving, clock: Clock) -> None:
        """`leader` sees to the bodies."""
        self._inner = inner
        self._leader = leader
        self._leads = leads
        self._shelving = shelving
        self._clock = clock
        self._waiting = 0

    def is_elsewhere(self, request: WebRequest) -> bool:
        """See `outcomes.Ring`."""
        return self._inner.is_elsewhere(request)

    async def ask(
        self, request: WebRequest, stored: StoredResponse | None, question: Question, *, verbatim: bool
    ) -> None:
        """See `outcomes.Ring`."""
        if verbatim or not question.is_shared:
            await self._inner.ask(request, stored, question, verbatim=verbatim)
            return
        name = _name(question)
        lead = self._leads.take(name)
        if lead is None:
            await self._waited(name)
            if not self._is_settled(name, request, stored, question):
                await self._inner.ask(request, stored, question, verbatim=verbatim)
            return
        try:
            # Look again, now that the lead is ours:
            #   1. B misses   2. A keeps the answer, ends its lead   3. B takes the lead
            # without this, B would ask for what A has just kept.
            if not self._is_settled(name, request, stored, question):
                await self._led(lead, request, stored, question)
        finally:
            lead.end()

    async def _waited(self, name: bytes) -> None:
        """Until nobody has the lead, or for as long as it is worth."""
        if self._waiting >= _WAITING:
            return
        pause, ends = _SHORTEST_PAUSE, self._clock.monotonic() + _WAITED
        self._waiting += 1
        try:
            while self._leads.is_taken(name) and self._clock.monotonic() < ends:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._waiting -= 1

    def _is_settled(self, name: bytes, request: WebRequest, stored: StoredResponse | None, question: Question) -> bool:
        """Whether another worker has found, since `stored` was looked up, what settles `question`."""
        found = select(self._shelving.at(request.target), request.fields)
        is_new = found is not None and (stored is None or found.received_at > stored.received_at)
        if found is not None and is_new and may_be_shared(request.fields, found, self._clock.wall()):
            told = f"fwd={'uri-miss' if stored is None else 'stale'}; collapsed"
            question.settle(Found(found, self._leader.held(request, found), CacheOutcome.COALESCED, told))
            return True
        if self._leads.is_for_each(name):
            question.settle(ForEach())
            return True
        return False

    async def _led(self, lead: Lead, request: WebRequest, stored: StoredResponse | None, question: Question) -> None:
        """Ask for all workers."""
        loop = asyncio.get_running_loop()
        question.outcome.add_done_callback(lambda outcome: loop.call_later(_worth_waiting(outcome), lead.end))
        await self._inner.ask(request, stored, question, verbatim=False)
        if _is_for_each(question.outcome):
            lead.tell()
            lead.end()
            try:
                await asyncio.sleep(_TOLD)
            finally:
                lead.take_back()


def _name(question: Question) -> bytes:
    """The same in all workers, and in no other question."""
    (name,) = question.names
    return hashlib.blake2b(repr(name).encode(), digest_size=8).digest()


def _worth_waiting(outcome: asyncio.Future[Outcome]) -> float:
    """Seconds that the others wait for the body, now that the head is here."""
    if outcome.cancelled() or outcome.exception() is not None:
        return 0.0
    found = outcome.result()
    is_coming = isinstance(found, Found) and isinstance(found.body, Coming)
    size = found.body.size if isinstance(found, Found) else None
    return _BODY_WAITED if is_coming and (size is None or size <= CHUNK) else 0.0


def _is_for_each(outcome: asyncio.Future[Outcome]) -> bool:
    if not outcome.done() or outcome.cancelled() or outcome.exception() is not None:
        return False
    found = outcome.result()
    return isinstance(found, ForOne) and found.is_of_the_place
