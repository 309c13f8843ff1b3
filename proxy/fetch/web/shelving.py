"""Putting what has come into the store, and its head into the catalogue."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.bounded import BoundedDict
from proxy.core.changes import Noted
from proxy.core.errors import NoDisk, RequestRefused
from proxy.core.purging import Purge, ThisTarget
from proxy.core.sizes import CHUNK, MIB, SLICE
from proxy.core.spans import Span, whole
from proxy.fetch.ports import Blob, BlobStore, Notices
from proxy.hub.notices import ResponsesPurged
from proxy.hub.web_peering import record_of
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import LargeBody, SmallBody, StoredResponse

from .places import place_of
from .ports import Responses
from .spool import Spool
from .windows import strong_validator

log = logging.getLogger(__name__)

_VOIDED = 10_000
"""Targets of which it is remembered when they were last made void."""


class Shelving:
    """Keeps and forgets responses of one origin. What was asked before a write made it void is not kept."""

    def __init__(
        self,
        origin: str,
        store: BlobStore,
        responses: Responses,
        folder: Path,
        wall: Callable[[], float],
        writes: Notices | None = None,
    ) -> None:
        """`writes`: by which the other nodes, and workers, hear of what was written to."""
        self._writes = writes
        self._origin = origin
        self._store = store
        self._responses = responses
        self.folder = folder
        self._wall = wall
        self._voided: BoundedDict[bytes, float] = BoundedDict(entries=_VOIDED)

    def place(self, target: str) -> bytes:
        return place_of(self._origin, target)

    def noted(self, target: str) -> Noted:
        """Holds until what is kept for `target` is another, or gone."""
        return self._responses.noted(self.place(target))

    def at(self, target: str) -> tuple[StoredResponse, ...]:
        """What is kept for `target`."""
        return self._responses.at(self.place(target))

    async def keep(self, target: str, stored: StoredResponse) -> bool:
        """Keep a head whose body is in the store, or will be. False when it was made void meanwhile."""
        place = self.place(target)
        if self._is_voided(place, stored):
            return False
        await self._responses.keep(place, self._origin, target, stored)
        # Look again now that all can see it:
        #   1. we see that it is not void   2. it is made void, and nothing is kept yet to be dropped   3. ours is kept
        if self._is_voided(place, stored):
            await self._responses.drop(place, stored.selecting)
            return False
        return True

    def is_void(self, target: str, stored: StoredResponse) -> bool:
        """Whether `target` was written to, or purged, since `stored` was asked for."""
        return self._is_voided(self.place(target), stored) or self._responses.is_purged(self._origin, target, stored)

    def _is_voided(self, place: bytes, stored: StoredResponse) -> bool:
        """As far as this worker knows by itself."""
        return (self._voided.get(place) or 0.0) >= stored.requested_at

    async def forget(self, target: str, selecting: Fields | None = None) -> None:
        """Nothing is kept for `target` any more (or for the requests with those fields)."""
        await self._responses.drop(self.place(target), selecting)

    async def void(self, target: str, ago: float = 0.0) -> None:
        """`target` was written to, or changed, `ago` seconds ago: nothing kept of it until then holds, nor anything
        that was on its way."""
        place, at = self.place(target), self._wall() - ago
        self._voided.put(place, max(at, self._voided.get(place) or 0.0))
        for stored in self._responses.at(place):
            if stored.requested_at <= at:
                await self._responses.drop(place, stored.selecting)

    async def written(self, target: str) -> None:
        """`target` was written to by way of us: nothing kept of it holds, nor anything that any worker of the node has
        on its way, in the whole fleet."""
        place, at = self.place(target), self._wall()
        self._voided.put(place, max(at, self._voided.get(place) or 0.0))
        with suppress(RequestRefused):  # what no purge can name, no client can ask for either
            purge = Purge(self._origin, ThisTarget(target), at, soft=False)
            if self._writes is not None:
                self._writes.tell(ResponsesPurged(purge))
            await self._responses.void(place, self._origin, target, at)

    def void_ago(self, target: str) -> float | None:
        """Seconds since `target` was last made void, as far as is remembered."""
        at = self._voided.get(self.place(target))
        return None if at is None else max(0.0, self._wall() - at)

    async def put(self, target: str, stored: StoredResponse, spool: Spool) -> None:
        """Store a body that is whole, then keep its head. Raises StoreError, OSError: then nothing is kept."""
        if spool.length <= CHUNK:
            content = await spool.part(0, spool.length)
            key = BlobKey.sha256(hashlib.sha256(content).hexdigest())
            if content and not await self._store.put_small(key, content):
                raise NoDisk("no disk takes the answer")
            await self.keep(target, replace(stored, body=SmallBody(key, spool.length)))
            return
        body = self._large(target, stored, spool)
        async with self._store.open_blob(body.record) as blob:
            for span in whole(spool.length).split(SLICE):
                await _copied(spool, blob, span)
        await self.keep(target, replace(stored, body=body))

    def _large(self, target: str, stored: StoredResponse, spool: Spool) -> LargeBody:
        strong = strong_validator(stored.fields)
        if strong is None or stored.field("content-encoding") is not None:
            # A name that no other answer will ever have, so that nothing is ever put to these bytes.
            return LargeBody(self.record(target, secrets.token_hex(16), spool.length), strong=False)
        return LargeBody(self.record(target, strong, spool.length), strong=True)

    def record(self, target: str, validator: str, size: int) -> BlobRecord:
        """The record of a body known by its place."""
        return record_of(self._origin, target, validator, size)


async def _copied(spool: Spool, blob: Blob, span: Span) -> None:
    for gap in blob.missing(span):
        claim = blob.try_claim(gap)
        if claim is None:
            continue  # another worker has the same bytes at hand
        async with claim as writer:
            for start in range(gap.start, gap.stop, MIB):
                await writer.write([await spool.part(start, min(gap.stop, start + MIB))])
