"""Blobs of at most one chunk: one file each, on the first disk in rank that takes it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.core.blob import BlobKey, Extent
from proxy.core.errors import StoreError
from proxy.core.sizes import CHUNK

from .index import Promise
from .layout import Entry
from .rack import Rack
from .shelf import Rotten, Shelf


class SmallBlobs:
    """The small blobs on the disks of `rack`; `hit` is told of each that is opened."""

    def __init__(self, rack: Rack, hit: Callable[[Entry], None]) -> None:
        self._rack = rack
        self._hit = hit

    @asynccontextmanager
    async def open(self, key: BlobKey) -> AsyncIterator[Extent | None]:
        """The blob of `key`, kept from eviction meanwhile; None when it is not here."""
        found = await self._find(key)
        if found is None:
            yield None
            return
        self._hit(Entry(key, small=True))
        try:
            yield found
        finally:
            os.close(found.fd)

    async def _find(self, key: BlobKey) -> Extent | None:
        for shelf in self._rack.by_rank(self._rack.usable(), key, 0):
            try:
                found = await shelf.disk.take(shelf.open_small, key, give_back=_close)
            except StoreError:
                continue
            if isinstance(found, Rotten):
                self._rack.observer.corrupted(shelf.disk.name, "read")
            elif found is not None:
                return Extent(found[0], 0, found[1], shelf.disk.name)
        return None

    async def put(self, key: BlobKey, content: bytes) -> bool:
        """Publish verified `content` (at most one chunk) under its sha256 key. False when no disk takes it."""
        if len(content) > CHUNK:
            raise ValueError(f"{len(content)} bytes are more than a small blob has")
        # As a task of ours: a caller who leaves must not leave a promise behind.
        return await asyncio.shield(self._rack.tasks.start(self._put(key, content), f"put {key}"))

    async def _put(self, key: BlobKey, content: bytes) -> bool:
        for shelf in self._rack.by_rank(self._rack.writable(), key, 0):
            try:
                if await self._put_on(shelf, key, content):
                    return True
            except StoreError:
                continue
        return False

    async def _put_on(self, shelf: Shelf, key: BlobKey, content: bytes) -> bool:
        entry = Entry(key, small=True)
        promise = await self._rack.reserve(shelf, Promise(0, shelf.worker, entry, 0, 0, 0, len(content)))
        if promise is None:
            return False
        try:
            await shelf.disk.run(shelf.put_small, key, content, promise)
        except StoreError:
            await self._rack.settle(shelf, promise, lambda: 0)
            raise
        shelf.live.discard(promise)
        self._rack.observer.written(shelf.disk.name, len(content))
        return True


def _close(found: tuple[int, int] | Rotten | None) -> None:
    if isinstance(found, tuple):
        os.close(found[0])
