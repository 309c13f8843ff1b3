"""An open blob: what its readers may have, who may fill it, when it is sealed.

All decisions read mapped memory and do no I/O; all I/O runs in the disks' threads. Its `parts` lie on the disks;
`filling` brings bytes, `doubt` questions them, `sealing` proves them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

from proxy.core.blob import BlobRecord, Extent
from proxy.core.errors import StoreError
from proxy.core.hashing import HashThreads
from proxy.core.manifest import Found
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span, whole

from .chunkmap import SEALER_BYTE, union, zero_runs
from .claim import SpanWriter
from .disk import DiskState
from .doubt import Doubt
from .filling import Filling
from .part import Part
from .parts import Parts
from .proof import Proof
from .rack import Rack
from .rangelock import held_by_another
from .sealing import Sealing
from .shelf import Shelf


class OpenBlob:
    """A blob of more than one chunk, open in this process; implements the port `Blob`."""

    def __init__(self, record: BlobRecord, rack: Rack, hashers: HashThreads, idle: Callable[[OpenBlob], None]) -> None:
        self.record = record
        self.parts = Parts(record, rack, lambda: idle(self))
        self.chunks = self.parts.chunks
        self._rack = rack
        self._filling = Filling(self.parts)
        self._doubt = Doubt(self.parts, self._filling)
        self._sealing = Sealing(self, rack, hashers)
        self._proof = Proof(self.parts, self._doubt, self._sealing)
        self._verified: tuple[Part, ...] = ()
        self._right: tuple[tuple[Part, int], ...] = ()
        self._dropping = False
        self._dropped = False

    def __repr__(self) -> str:
        present = sum(part.map.bytes_kept() for part in self.parts)
        return f"<OpenBlob {self.record.key} {present}/{self.record.size} on {self.disk_names()}>"

    def disk_names(self) -> str:
        """For the log: where it lies."""
        return ",".join(sorted(part.disk.name for part in self.parts))

    # --- opening and closing ------------------------------------------------------------------------------------

    async def open(self, make_on: Iterable[Shelf] | None) -> None:
        """Open what every usable disk has of the blob, and make parts on `make_on` (None: nowhere at all).
        Disks that fail are left out.

        Raises NoDisk when there is no part to be had at all."""
        await self.parts.open(make_on)

    def hold(self) -> None:
        """Keep it open until `release`."""
        self.parts.hold()

    def release(self) -> None:
        """Let go; when the last one does, the store closes it."""
        self.parts.release()

    def close_at_once(self) -> bool:
        """Close the files if that takes no time; False when `close` is needed. Nobody uses the blob any more."""
        if self.dropped or not self._filling.all_durable:
            return False
        self.parts.close_at_once()
        return True

    async def close(self) -> None:
        """Make durable what is not, and close the files."""
        await self._filling.make_all_durable()
        await self.parts.close()

    # --- what is there ------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> bool:
        """Whether the blob was dropped meanwhile, by this worker or another."""
        return self._dropped or any(part.map.dropped for part in self.parts)

    @property
    def sealed(self) -> bool:
        """Whether all bytes are present and their digest has been found right."""
        if self._verified:
            # Nobody evicts an open blob, so what was complete stays so, but for a chunk found bad, or a disk lost.
            if all(part.map.sealed and part.disk.state is not DiskState.OUT for part in self._verified):
                return True
            self._verified = ()
        holders = [part for part in self.parts.healthy() if part.map.sealed]
        if not holders or 0 in union(part.map.verified() for part in holders):
            return False
        self._verified = tuple(holders)
        return True

    @property
    def is_right(self) -> bool:
        """Whether all bytes are present and their digest has been found right, be it that the disks are only now told
        so: a reader need not wait for what a power cut would cost."""
        return self._is_being_sealed() or self.sealed

    def _is_being_sealed(self) -> bool:
        """Whether every part still has what was found right: what comes in its place nobody has hashed."""
        parts = self._right
        out = DiskState.OUT
        return bool(parts) and all(part.failed_syncs == before and part.disk.state is not out for part, before in parts)

    def pending_seal(self) -> bool:
        """Whether a seal is needed: a digest is known and not all is verified."""
        return self.record.digest is not None and not self.sealed

    def missing(self, span: Span) -> tuple[Span, ...]:
        """The chunk-aligned parts of `span` (clipped to the blob) that no usable disk holds whole, in order. No I/O.

        A chunk of doubtful past is not missing; `checked` decides about it."""
        self.parts.look_for_siblings()
        aligned = span.clip(whole(self.record.size)).aligned(CHUNK, self.record.size)
        chunks = aligned.units(CHUNK)
        gaps = zero_runs(self.parts.complete(chunks.start, chunks.stop), chunks.start)
        return tuple(Span(gap.start * CHUNK, min(gap.stop * CHUNK, self.record.size)) for gap in gaps)

    def readable(self, offset: int, stop: int) -> Extent | None:
        """The longest readable extent on one disk from `offset` on, at most to `stop`; None when that byte is not there
        yet (or is of doubtful past: see `checked`). No I/O."""
        self.parts.look_for_siblings()
        best, holder = offset, None
        for part in self.parts.healthy():
            end = part.map.readable_to(offset, min(stop, self.record.size))
            if end > best:
                best, holder = end, part
                if best == stop:
                    break
        if holder is None:
            return None
        return Extent(holder.bytes_fd, offset, best - offset, holder.disk.name)

    def holder_of(self, chunk: int) -> Part | None:
        """A part that has `chunk` whole and beyond doubt."""
        return self.parts.holder_of(chunk)

    def progress(self) -> asyncio.Future[None]:
        """A future that is done when this process next writes, seals or drops something of the blob.

        Shared by all who wait: shield it, or use `asyncio.wait`."""
        return self.parts.progress()

    def step(self) -> None:
        """Wake all who wait for progress."""
        self.parts.step()

    async def checked(self, span: Span) -> None:
        """Compare the chunks of `span` that were written in another boot with their CRC; bad ones become missing.

        Returns at once in the ordinary case. Those that the disk cannot read count as bad."""
        await self._doubt.checked(span)

    async def lose(self, span: Span, disk: str) -> None:
        """The disk named `disk` could not read some of `span`: the chunks become missing there. The caller reports the
        error with `BlobStore.disk_failed` as well."""
        self._right = ()
        await self._doubt.lose(span, disk)

    # --- filling, sealing, dropping -----------------------------------------------------------------------------

    def try_claim(self, span: Span) -> AbstractAsyncContextManager[SpanWriter] | None:
        """The right to fill chunk-aligned `span` (inside one slice); None while another task or worker fills part of it
        (or, for a moment, while a part is being opened on another disk). Enter it at once.

        Raises ValueError for a span that is not aligned or crosses slices."""
        return self._filling.try_claim(span)

    def filling(self) -> bool:
        """Whether anybody on this node holds a claim."""
        return self._filling.under_way()

    async def seal(self) -> bool:
        """Verify the whole blob and mark it sealed; True when it is, also when it was before or by another task's call.

        Follows a fill under way. False when another worker seals it (watch `sealed`), or when bytes are missing and for
        a second nobody has held a claim or made progress: call it again once somebody fills.
        Raises DigestMismatch, after which the blob is dropped; BlobDropped; DiskFailed."""
        if self.sealed:
            return True
        return await self._sealing.run()

    def is_proven(self, span: Span) -> bool:
        """Whether the chunks of `span` were found right, as part of the whole or of their slices."""
        return self.is_right or self._proof.holds(span.clip(whole(self.record.size)).units(CHUNK))

    async def prove(self, span: Span, sha256: str) -> Found:
        """Compare a whole slice with its digest: its chunks are verified from now on, or missing. With the last slice
        the blob is sealed. Raises DiskFailed, NoDisk."""
        found = await self._proof.find(span, sha256)
        if found is Found.RIGHT and not self.sealed and self._proof.is_complete():
            await self.seal_parts(self._proof.crcs())
        return found

    async def manifest(self) -> bytes | None:
        """What `keep_manifest` kept, if anything; whether it is what it should be, is for the caller to see."""
        return await self._proof.manifest()

    async def keep_manifest(self, content: bytes) -> None:
        """Keep `content` (the stamped manifest) with the blob, for as long as that is here. Never fails."""
        await self._proof.keep_manifest(content)

    async def content(self, span: Span) -> bytes:
        """The bytes of `span`, of complete chunks; also of a blob that was dropped. Raises DiskFailed, NoDisk."""
        return await self._sealing.content(span)

    async def digest(self, span: Span) -> str:
        """The sha256 of the complete chunks of `span`, hexadecimal; raises as `content`."""
        return await self._sealing.digest(span)

    async def seal_parts(self, crcs: Sequence[int]) -> bool:
        """Every byte was found right, in chunks that had `crcs`: say so to the readers here, then on every disk. False
        when a disk has another by now: that one is lost. Raises DiskFailed."""
        parts = [part for part in self.parts.healthy() if 1 in part.map.complete(0, self.chunks)]
        self._right = tuple((part, part.failed_syncs) for part in parts)
        self.step()
        try:
            for part in parts:
                if others := await self._filling.seal(part, crcs):
                    self._right = ()
                    if await self._doubt.lose_as_seen(part, others):
                        self._rack.observer.corrupted(part.disk.name, "seal")
                    return False
        finally:
            self._right = ()
        self._rack.observer.sealed(self.record.size)
        self.step()
        return True

    def sealer_part(self) -> Part | None:
        """The part whose sealer byte all workers lock: on the first in rank of those that are open."""
        return self.parts.anchor(0)

    def others_seal(self) -> bool:
        """Whether another worker verifies the blob just now."""
        part = self.sealer_part()
        return part is not None and held_by_another(part.map_fd, SEALER_BYTE)

    async def drop(self, reason: str) -> None:
        """Forget all bytes; open readers keep what they have open and find `dropped` set."""
        if self._dropping:
            return
        self._dropping = True
        self._rack.observer.dropped(reason)
        parts = self.parts.healthy()
        # All maps say so before anybody learns of it: a reader told to ask again would else join what is about to go.
        await asyncio.gather(*(part.disk.run(part.map.drop) for part in parts), return_exceptions=True)
        self._dropped = True
        self.step()
        for part in parts:
            with suppress(StoreError):
                await part.disk.run(self.parts.shelf_of(part).drop, part)
