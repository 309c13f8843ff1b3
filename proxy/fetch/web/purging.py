"""Purges of responses: here, and on all other nodes when they hear of it."""

from __future__ import annotations

from typing import Protocol

from proxy.core.blob import BlobKey
from proxy.core.purging import Purge
from proxy.fetch.ports import BlobStore, Notices
from proxy.hub.notices import Notice, ResponsesPurged


class Purgeable(Protocol):
    """The heads that are kept."""

    async def purge(self, purge: Purge) -> tuple[int, tuple[BlobKey, ...]]:
        """How many responses it was about, and the names of bodies that nothing else has. Raises StoreError."""
        ...

    async def count(self, purge: Purge) -> int:
        """How many responses it would be about."""
        ...


class ResponsePurges:
    """Carries out purges; all workers of the node see the same heads and disks, so one does it for all."""

    def __init__(self, responses: Purgeable, store: BlobStore, notices: Notices | None) -> None:
        self._responses = responses
        self._store = store
        self._notices = notices

    async def purge(self, purge: Purge) -> int:
        """Tell the fleet, then carry it out here: how many responses that was about. Raises StoreError."""
        if self._notices is not None:
            self._notices.tell(ResponsesPurged(purge))
        return await self._carried_out(purge)

    async def count(self, purge: Purge) -> int:
        """How many responses `purge` would be about here; nothing is purged, and nobody told."""
        return await self._responses.count(purge)

    async def hear(self, notice: Notice) -> None:
        """Another node says that something is no longer as it was. It may say so twice, and late: what was asked for
        after the purge stays. Raises StoreError."""
        if isinstance(notice, ResponsesPurged):
            await self._carried_out(notice.purge)

    async def _carried_out(self, purge: Purge) -> int:
        count, keys = await self._responses.purge(purge)
        for key in keys:
            await self._store.drop(key, "purged")
        return count
