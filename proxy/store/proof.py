"""Proving one slice of an open blob, by the digest that the blob's manifest gives for it.

In a fleet a node may never hold the whole, whose digest is the origin's only proof. What is found right is *verified*
as after a seal; what is found wrong is lost, and fetched again by whoever wants it next.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.core.errors import StoreError
from proxy.core.manifest import Found
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span

from .chunkmap import union
from .doubt import Doubt
from .parts import Parts
from .sealing import Sealing

if TYPE_CHECKING:
    from .part import Part


class Proof:
    """See the head of the file."""

    def __init__(self, parts: Parts, doubt: Doubt, sealing: Sealing) -> None:
        self._parts = parts
        self._doubt = doubt
        self._sealing = sealing

    def holds(self, chunks: range) -> bool:
        """Whether all of `chunks` were found right, as part of the whole or of their slice."""
        healthy = self._parts.healthy()
        return bool(healthy) and 0 not in union(part.map.verified(chunks.start, chunks.stop) for part in healthy)

    async def find(self, span: Span, sha256: str) -> Found:
        """Compare the complete slice `span` with its digest and act on it. Raises DiskFailed, NoDisk."""
        await self._doubt.checked(span)
        seen = self._seen(span.units(CHUNK))
        if seen is None:
            return Found.INCOMPLETE
        found = await self._sealing.digest(span)
        # Who was hashed must be who is marked, or lost: between the look at the map and now a chunk may have been lost
        # and filled anew, and then it is another.
        if found == sha256:
            for part, crcs in seen:
                if not await part.disk.run(part.verify_those, crcs):
                    return Found.INCOMPLETE
            self._parts.step()
            return Found.RIGHT
        # Wrong as it came, or since? Bytes that are not those of their CRC are the disk's fault, and nobody else's.
        rotten = [(part, bad) for part, crcs in seen if (bad := await self._rotten(part, crcs))]
        for part, crcs in rotten or seen:
            if await self._doubt.lose_as_seen(part, crcs):
                self._parts.rack.observer.corrupted(part.disk.name, "read" if rotten else "slice")
        return Found.INCOMPLETE if rotten else Found.WRONG

    async def _rotten(self, part: Part, crcs: dict[int, int]) -> dict[int, int]:
        """Those of the chunks that the disk does not give as they were written."""
        return {chunk: crc for chunk, crc in crcs.items() if not await part.disk.run(part.is_right, chunk)}

    def _seen(self, chunks: Iterable[int]) -> list[tuple[Part, dict[int, int]]] | None:
        """The CRC of each chunk by the part that has it; None when one is missing."""
        by_disk: dict[str, tuple[Part, dict[int, int]]] = {}
        for chunk in chunks:
            part = self._parts.holder_of(chunk)
            if part is None:
                return None
            by_disk.setdefault(part.disk.name, (part, {}))[1][chunk] = part.map.crc(chunk)
        return list(by_disk.values())

    def crcs(self) -> list[int]:
        """The CRC of every chunk that was found right, 0 for the others."""
        found = [0] * self._parts.chunks
        for part in self._parts.healthy():
            for chunk, is_right in enumerate(part.map.verified()):
                if is_right:
                    found[chunk] = part.map.crc(chunk)
        return found

    def is_complete(self) -> bool:
        """Whether every chunk there is, wherever it lies, was found right."""
        healthy = self._parts.healthy()
        whole = range(self._parts.chunks)
        return self.holds(whole) and all(part.map.verified() == part.map.complete(0, len(whole)) for part in healthy)

    # --- what the slices are compared with ------------------------------------------------------------------------

    async def manifest(self) -> bytes | None:
        """What `keep_manifest` kept, on whichever disk."""
        for part in self._parts.healthy():
            with suppress(StoreError):
                kept = await part.disk.run(self._parts.shelf_of(part).manifest_beside, part)
                if kept is not None:
                    return kept
        return None

    async def keep_manifest(self, content: bytes) -> None:
        """Keep it beside the blob, as long as that is kept there. A disk that does not take it: then not."""
        part = self._parts.anchor(0)
        if part is not None and part.writable and not part.abandoned:
            with suppress(StoreError):
                await part.disk.run(self._parts.shelf_of(part).keep_manifest, part, content)
