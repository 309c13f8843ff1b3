"""git-lfs: the batch question, and the objects at the addresses it gives out (HUB-PROTOCOL §5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from proxy.core.caller import Caller
from proxy.core.errors import RequestRefused
from proxy.fetch.coordinator import Coordinator, LfsAnswer, MovedTo
from proxy.hub import lfs_batch
from proxy.hub.lfs_batch import LfsMissing, LfsPointer
from proxy.hub.names import Counter, ObjectTarget, RepoId
from proxy.hub.paths import render
from proxy.hub.targets import LfsBatch, LfsObject

from .answers import Answer, Small
from .bodies import read_body
from .conditions import conditions_of
from .limits import Limits
from .object_answers import NOT_KEPT, answer_object, moved_to
from .tickets import LIFETIME, Tickets
from .visit import Visit

_INLINE: Final = 50
"""Addresses sealed on the loop; more of them by a thread."""


class LfsRoutes:
    """POST `…/info/lfs/objects/batch`, GET and HEAD of `/__lfs/…`."""

    def __init__(self, coordinator: Coordinator, tickets: Tickets, limits: Limits, external_url: str | None) -> None:
        self._coordinator = coordinator
        self._tickets = tickets
        self._limits = limits
        self._external_url = external_url

    async def batch(self, target: LfsBatch, visit: Visit) -> Small:
        """Raises WritesRefused for uploads, RequestRefused, and what proving the right raises."""
        wanted = lfs_batch.read_question(await read_body(visit, self._limits))
        base = visit.base_url(self._external_url)
        if base is None:
            raise RequestRefused("the objects have no address: send a Host field, or set server.external_url")
        found = await self._coordinator.lfs_batch(visit.caller, target, wanted)
        if isinstance(found, MovedTo):
            return moved_to(found)
        if len(wanted) <= _INLINE:
            body = self._told(base, target.repo, wanted, found, visit.caller)
        else:
            body = await asyncio.to_thread(self._told, base, target.repo, wanted, found, visit.caller)
        return Small(200, (("Content-Type", lfs_batch.MEDIA_TYPE), NOT_KEPT), body, cache=found.cache)

    async def object(self, target: LfsObject, visit: Visit) -> Answer:
        """Raises TicketExpired, TicketForged, and what proving the right raises."""
        shown = self._tickets.open(target.ticket, Counter.LFS, target.oid)
        visit.caller = shown.caller
        located = await self._coordinator.vouch_for_object(shown.caller, shown.target, shown.size)
        return answer_object(located, conditions_of(visit), visit.field("Range"), visit.method)

    def _told(self, base: str, repo: RepoId, wanted: Sequence[LfsPointer], found: LfsAnswer, caller: Caller) -> bytes:
        def fate(one: LfsPointer) -> str | LfsMissing:
            if (missing := found.missing.get(one.oid)) is not None:
                return missing
            place = ObjectTarget(repo, one.oid, Counter.LFS)
            ticket = self._tickets.seal(place, one.size, caller, everybody=found.everybody)
            return base + render(LfsObject(one.oid, ticket))

        return lfs_batch.answer([(one, fate(one)) for one in wanted], LIFETIME)
