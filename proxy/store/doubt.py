"""Chunks of an open blob that may be wrong: written in another boot, or unreadable. They are proven, or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from proxy.core.errors import StoreError
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span, whole

from .filling import Filling
from .part import Part
from .parts import Parts


class Doubt:
    """What becomes of doubtful chunks of `parts`; one that `filling` brings is left to it."""

    def __init__(self, parts: Parts, filling: Filling) -> None:
        self._parts = parts
        self._filling = filling

    async def checked(self, span: Span) -> None:
        """As `OpenBlob.checked`."""
        chunks = self._chunks(span)
        for part in self._parts.healthy():
            doubtful = part.map.doubtful(chunks.start, chunks.stop)
            if doubtful:
                await self._check(part, doubtful)

    def _chunks(self, span: Span) -> range:
        return span.clip(whole(self._parts.record.size)).units(CHUNK)

    async def _check(self, part: Part, chunks: list[int]) -> None:
        bad: list[int] = []
        for chunk in chunks:
            try:
                right = await part.disk.run(part.prove, chunk)
            except StoreError:
                right = False
            if not right:
                bad.append(chunk)
        # Only what is in doubt still:
        #   1. A and B find the chunk bad   2. A loses it   3. C fills it anew   4. B loses C's good chunk
        # C leaves a state without doubt, and fills under the lock that losing takes.
        if await self._lose(part, bad, part.is_doubtful):
            self._parts.rack.observer.corrupted(part.disk.name, "read")

    async def lose(self, span: Span, disk: str) -> None:
        """As `OpenBlob.lose`."""
        part = self._parts.on(disk)
        if part is not None:
            await self._lose(part, list(self._chunks(span)), lambda chunk: bool(part.map.complete(chunk, chunk + 1)[0]))

    async def lose_as_seen(self, part: Part, crcs: Mapping[int, int]) -> bool:
        """Make those chunks of `part` missing that still have these CRCs; whether there were any."""

        def still(chunk: int) -> bool:
            return bool(part.map.complete(chunk, chunk + 1)[0]) and part.map.crc(chunk) == crcs[chunk]

        return await self._lose(part, sorted(crcs), still)

    async def _lose(self, part: Part, chunks: list[int], still: Callable[[int], bool]) -> bool:
        """Make those of `chunks` missing that `still` are as they were found; whether there were any.

        In a task of ours, since a thread goes on when its caller is cancelled."""
        self._parts.hold()
        task = self._parts.rack.tasks.start(self._lose_unclaimed(part, chunks, still), "lose chunks")
        return await asyncio.shield(task)

    async def _lose_unclaimed(self, part: Part, chunks: list[int], still: Callable[[int], bool]) -> bool:
        """A chunk that somebody fills is left to him."""
        lost: list[int] = []
        with self._filling.kept_from_claims(chunks) as ours, suppress(StoreError):
            call = part.disk.submit(part.lose_those, ours, still)
            await call.finished
            lost = await call.result
            if lost:
                await part.disk.run(self._parts.shelf_of(part).recount, part)
        self._parts.step()
        self._parts.release()
        return bool(lost)
