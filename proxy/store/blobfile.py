"""An open blob: its parts on the disks, who fills it in this process, and what its readers may have.

All decisions read mapped memory and do no I/O; all I/O runs in the disks' threads. Parts are added while it is open
(by this worker, or noticed when another adds one) and closed all at once, so a descriptor handed out stays valid.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol

from proxy.core.blob import BlobRecord, Extent
from proxy.core.errors import BlobDropped, NoDisk, StoreError
from proxy.core.sizes import CHUNK, SLICE, chunk_count
from proxy.core.spans import Span, whole
from proxy.core.tasks import TaskSet

from .chunkmap import SEALER_BYTE, union, zero_runs
from .claim import Claim, Grant, NoClaim, SpanWriter
from .disk import Disk, DiskState
from .index import Promise
from .layout import Entry
from .observer import StoreObserver
from .part import Part
from .rangelock import held_by_another
from .sealing import Sealing
from .shelf import Shelf

_CHUNKS_PER_SLICE: Final = SLICE // CHUNK


class Disks(Protocol):
    """What an open blob needs of the store: the disks, ranked and watched."""

    observer: StoreObserver
    tasks: TaskSet
    durable_every: int

    def usable(self) -> list[Shelf]:
        """Disks that are not out."""
        ...

    def ranked(self, record: BlobRecord, slice_index: int) -> list[Shelf]:
        """Disks that take fills, the home of the slice first."""
        ...

    def shelf_of(self, disk: Disk) -> Shelf:
        """The shelf of a disk, out or not."""
        ...

    def hold(self, blob: OpenBlob) -> None:
        """Keep `blob` open until `release`."""
        ...

    def release(self, blob: OpenBlob) -> None: ...

    async def reserve(self, shelf: Shelf, promise: Promise) -> int | None:
        """Book room, evicting if need be; None when there is none. Not to be cancelled. Raises StoreError."""
        ...

    async def settle(self, shelf: Shelf, promise: int, count: Callable[[], int]) -> None:
        """End a promise; never raises for a disk that fails."""
        ...

    async def hash(self, update: Callable[[bytes], None], content: bytes) -> None:
        """Run `update(content)` in a hash thread."""
        ...


class OpenBlob:
    """A blob of more than one chunk, open in this process; implements the port `Blob`."""

    def __init__(self, record: BlobRecord, disks: Disks) -> None:
        self.record = record
        self.users = 0
        self.chunks = chunk_count(record.size)
        self._disks = disks
        self._parts: dict[str, Part] = {}
        self._claimed: set[int] = set()
        self._unsynced: dict[str, set[int]] = {}
        self._siblings: dict[str, bytes] = {}
        self._step: asyncio.Future[None] | None = None
        self._joining: asyncio.Task[None] | None = None
        self._verified: tuple[Part, ...] = ()
        self._sealing = Sealing(self, disks)
        self._dropped = False

    def __repr__(self) -> str:
        present = sum(part.map.bytes_kept() for part in self._parts.values())
        return f"<OpenBlob {self.record.key} {present}/{self.record.size} on {','.join(self._parts)}>"

    # --- parts --------------------------------------------------------------------------------------------------

    async def open_parts(self, make_on: Iterable[Shelf]) -> None:
        """Open what every usable disk has of the blob, and make parts on `make_on`. Disks that fail are left out.

        Raises NoDisk when there is no part to be had at all."""
        make = {shelf.disk.name for shelf in make_on}
        wanted = [shelf for shelf in self._disks.usable() if shelf.disk.name not in self._parts]
        if len(wanted) == 1:  # no task for the ordinary hit
            errors = [await self._join(wanted[0], make=wanted[0].disk.name in make)]
        else:
            errors = await asyncio.gather(*(self._join(shelf, make=shelf.disk.name in make) for shelf in wanted))
        if not self._parts:
            reasons = "; ".join(str(error) for error in errors if error) or "no healthy disk is left"
            raise NoDisk(reasons)

    async def _join(self, shelf: Shelf, *, make: bool) -> StoreError | None:
        call = shelf.disk.submit(lambda: shelf.open(self.record, make=make))
        try:
            part = await asyncio.shield(call.result)
        except StoreError as error:
            return error
        except BaseException:
            self._disks.tasks.start(_close_late(call.finished, call.result), "close a part nobody waits for")
            raise
        if part is not None:
            self._adopt(shelf, part)
        return None

    def _adopt(self, shelf: Shelf, part: Part) -> None:
        name = shelf.disk.name
        if name in self._parts:  # two tasks of this process were at it
            part.close()
            return
        self._parts[name] = part
        # Readers in other workers learn of the new part from the ones they know.
        news = secrets.token_bytes(8)
        for known in self._parts.values():
            if known.writable and part.map.bytes_kept() == 0:
                known.map.siblings = news
        self._siblings = {known: its.map.siblings for known, its in self._parts.items()}
        self.step()

    def disk_names(self) -> str:
        """For the log: where it lies."""
        return ",".join(sorted(self._parts))

    def _healthy(self) -> list[Part]:
        return [part for part in self._parts.values() if part.disk.state is not DiskState.OUT]

    def _look_for_siblings(self) -> None:
        """When another worker has made a part on one more disk: open it, in the background."""
        if all(part.map.siblings == self._siblings[name] for name, part in self._parts.items()):
            return
        self._siblings = {name: part.map.siblings for name, part in self._parts.items()}
        self._open_in_background(())

    def _open_in_background(self, make_on: Iterable[Shelf]) -> None:
        if self._joining is None or self._joining.done():
            self._disks.hold(self)
            self._joining = self._disks.tasks.start(self._open_more(list(make_on)), "open parts")

    async def _open_more(self, make_on: list[Shelf]) -> None:
        with suppress(NoDisk):
            await self.open_parts(make_on)
        self.step()
        self._disks.release(self)

    def close_at_once(self) -> bool:
        """Close the files if that takes no time; False when `close` is needed. Nobody uses the blob any more."""
        if self.dropped or any(self._unsynced.values()):
            return False
        for part in self._parts.values():
            part.close()
        self._parts.clear()
        return True

    async def close(self) -> None:
        """Make durable what is not, and close the files: in a thread, since the last one to close a file that was
        dropped waits until its blocks are free."""
        for name, part in self._parts.items():
            with suppress(StoreError):
                await self._make_durable(name)
            await part.disk.submit(part.close, even_out=True).finished
        self._parts.clear()

    # --- what is there ------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> bool:
        """Whether the blob was dropped meanwhile, by this worker or another."""
        return self._dropped or any(part.map.dropped for part in self._parts.values())

    @property
    def sealed(self) -> bool:
        """Whether all bytes are present and their digest has been found right."""
        if self._verified:
            # Nobody evicts an open blob, so what was complete stays so, but for a chunk found bad, or a disk lost.
            if all(part.map.sealed and part.disk.state is not DiskState.OUT for part in self._verified):
                return True
            self._verified = ()
        holders = [part for part in self._healthy() if part.map.sealed]
        if not holders or 0 in union(part.map.verified() for part in holders):
            return False
        self._verified = tuple(holders)
        return True

    def pending_seal(self) -> bool:
        """Whether a seal is needed: a digest is known and not all is verified."""
        return self.record.digest is not None and not self.sealed

    def complete(self, first: int, stop: int) -> bytes:
        """A 1 for every chunk of [first, stop) that a usable disk has whole, else a 0."""
        parts = self._healthy()
        if not parts:
            return bytes(stop - first)
        if len(parts) == 1:
            return parts[0].map.complete(first, stop)
        return union(part.map.complete(first, stop) for part in parts)

    def missing(self, span: Span) -> tuple[Span, ...]:
        """The chunk-aligned parts of `span` (clipped to the blob) that no usable disk holds whole, in order. No I/O.

        A chunk of doubtful past is not missing; `checked` decides about it."""
        self._look_for_siblings()
        aligned = span.clip(whole(self.record.size)).aligned(CHUNK, self.record.size)
        chunks = aligned.units(CHUNK)
        gaps = zero_runs(self.complete(chunks.start, chunks.stop), chunks.start)
        return tuple(Span(gap.start * CHUNK, min(gap.stop * CHUNK, self.record.size)) for gap in gaps)

    def readable(self, offset: int, stop: int) -> Extent | None:
        """The longest readable extent on one disk from `offset` on, at most to `stop`; None when that byte is not there
        yet (or is of doubtful past: see `checked`). No I/O."""
        self._look_for_siblings()
        best, holder = offset, None
        for part in self._healthy():
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
        edge = min((chunk + 1) * CHUNK, self.record.size)
        for part in self._healthy():
            if part.map.complete(chunk, chunk + 1)[0] and part.map.readable_to(chunk * CHUNK, edge) == edge:
                return part
        return None

    def progress(self) -> asyncio.Future[None]:
        """A future that is done when this process next writes, seals or drops something of the blob.

        Shared by all who wait: shield it, or use `asyncio.wait`."""
        if self._step is None or self._step.done():
            self._step = asyncio.get_running_loop().create_future()
        return self._step

    def step(self) -> None:
        """Wake all who wait for progress."""
        if self._step is not None and not self._step.done():
            self._step.set_result(None)
        self._step = None

    # --- doubt --------------------------------------------------------------------------------------------------

    async def checked(self, span: Span) -> None:
        """Compare the chunks of `span` that were written in another boot with their CRC; bad ones become missing.

        Returns at once in the ordinary case. Those that the disk cannot read count as bad."""
        chunks = span.clip(whole(self.record.size)).units(CHUNK)
        for part in self._healthy():
            doubtful = part.map.doubtful(chunks.start, chunks.stop)
            if doubtful:
                await self._check(part, doubtful)

    async def _check(self, part: Part, chunks: list[int]) -> None:
        bad: list[int] = []
        for chunk in chunks:
            try:
                right = await part.disk.run(part.is_right, chunk)
            except StoreError:
                right = False
            if right:
                part.map.trust(chunk)
            else:
                bad.append(chunk)
        # Only what is in doubt still:
        #   1. A and B find the chunk bad   2. A loses it   3. C fills it anew   4. B loses C's good chunk
        # C leaves a state without doubt, and fills under the lock that losing takes.
        if await self._lose(part, bad, part.is_doubtful):
            self._disks.observer.corrupted(part.disk.name, "read")

    async def lose(self, span: Span, disk: str) -> None:
        """The disk named `disk` could not read some of `span`: the chunks become missing there. The caller reports the
        error with `BlobStore.disk_failed` as well."""
        part = self._parts.get(disk)
        if part is not None:
            chunks = span.clip(whole(self.record.size)).units(CHUNK)
            await self._lose(part, list(chunks), lambda chunk: bool(part.map.complete(chunk, chunk + 1)[0]))

    async def _lose(self, part: Part, chunks: list[int], still: Callable[[int], bool]) -> bool:
        """Make those of `chunks` missing that `still` are as they were found; whether there were any."""
        lost = [chunk for chunk in chunks if self._lose_one(part, chunk, still)]
        if lost:
            with suppress(StoreError):
                await part.disk.run(self._shelf(part).recount, part)
            self.step()
        return bool(lost)

    def _lose_one(self, part: Part, chunk: int, still: Callable[[int], bool]) -> bool:
        """No I/O. A chunk that somebody fills is left to him."""
        lockable = self._anchor(chunk // _CHUNKS_PER_SLICE) or part
        if chunk in self._claimed or not lockable.try_lock_chunks(range(chunk, chunk + 1)):
            return False
        try:
            if not still(chunk):
                return False
            part.map.lose(chunk)
        finally:
            lockable.unlock_chunks(range(chunk, chunk + 1))
        return True

    def _shelf(self, part: Part) -> Shelf:
        return self._disks.shelf_of(part.disk)

    # --- filling ------------------------------------------------------------------------------------------------

    def try_claim(self, span: Span) -> AbstractAsyncContextManager[SpanWriter] | None:
        """The right to fill chunk-aligned `span` (inside one slice); None while another task or worker fills part of it
        (or, for a moment, while a part is being opened on another disk). Enter it at once.

        Raises ValueError for a span that is not aligned or crosses slices."""
        chunks = self._aligned_chunks(span)
        if not self._claimed.isdisjoint(chunks):
            return None
        ranked = self._disks.ranked(self.record, span.start // SLICE)
        if not ranked:
            return NoClaim()
        anchor = self._anchor(span.start // SLICE)
        if anchor is None:
            self._open_in_background(ranked[:1])
            return None
        if not anchor.try_lock_chunks(chunks):
            return None
        self._claimed.update(chunks)
        self._disks.hold(self)
        return Claim(
            span,
            self._disks.tasks,
            obtain=self._obtain,
            settle=self._settle,
            unlock=lambda: self._unlock(anchor, chunks),
            wrote=self._wrote,
        )

    def _aligned_chunks(self, span: Span) -> range:
        chunks = span.units(CHUNK)
        if not span or span.stop > self.record.size or span.aligned(CHUNK, self.record.size) != span:
            raise ValueError(f"a claim is for whole chunks of the blob, not {span}")
        if len(span.units(SLICE)) > 1:
            raise ValueError(f"a claim lies inside one slice, not {span}")
        return chunks

    def _anchor(self, slice_index: int) -> Part | None:
        """The part on which all workers lock the chunks of a slice, wherever their bytes go: the first in rank."""
        ranked = self._disks.ranked(self.record, slice_index)
        return next((part for shelf in ranked if (part := self._writable_part(shelf))), None)

    def _writable_part(self, shelf: Shelf) -> Part | None:
        part = self._parts.get(shelf.disk.name)
        return part if part is not None and part.writable else None

    def _unlock(self, anchor: Part, chunks: range) -> None:
        anchor.unlock_chunks(chunks)
        self._claimed.difference_update(chunks)
        self.step()
        self._disks.release(self)

    async def _obtain(self, span: Span) -> Grant:
        """Room on the disk that has the slice already, else on the first in rank that has room. Raises NoDisk."""
        reasons: list[str] = []
        for shelf in self._by_holding(span):
            try:
                grant = await self._obtain_on(shelf, span)
            except StoreError as error:
                reasons.append(str(error))
                continue
            if grant is not None:
                return grant
            reasons.append(f"disk {shelf.disk.name} is full")
        if self.dropped:
            raise BlobDropped(f"{self.record.key} was dropped")
        raise NoDisk("; ".join(reasons) or "no healthy disk is left")

    def _by_holding(self, span: Span) -> list[Shelf]:
        """Disks in rank, those that hold some of the slice first."""
        index = span.start // SLICE
        first, stop = index * _CHUNKS_PER_SLICE, min(self.chunks, (index + 1) * _CHUNKS_PER_SLICE)

        def holds_none(shelf: Shelf) -> bool:
            part = self._parts.get(shelf.disk.name)
            return part is None or 1 not in part.map.complete(first, stop)

        return sorted(self._disks.ranked(self.record, index), key=holds_none)

    async def _obtain_on(self, shelf: Shelf, span: Span) -> Grant | None:
        part = self._writable_part(shelf)
        if part is None:
            if (error := await self._join(shelf, make=True)) is not None:
                raise error
            part = self._parts[shelf.disk.name]
        if part.map.dropped:
            raise BlobDropped(f"{self.record.key} was dropped")
        # Look again now that we hold the lock: between the caller's look at the map and the lock
        #   1. A sees chunk 7 missing   2. B claims it, fills it, leaves   3. A claims it
        # without this, A would write over what B's readers are being sent.
        chunks = span.units(CHUNK)
        flags = self.complete(chunks.start, chunks.stop)
        absent = [chunk for chunk, flag in zip(chunks, flags, strict=True) if not flag]
        promise = self._promise(shelf, part, absent)
        booked = await self._disks.reserve(shelf, promise)
        return None if booked is None else Grant(part, booked, frozenset(absent))

    def _promise(self, shelf: Shelf, part: Part, chunks: list[int]) -> Promise:
        first = chunks[0] if chunks else 0
        mask = sum(1 << (chunk - first) for chunk in chunks)
        size = sum(part.map.length(chunk) for chunk in chunks)
        entry = Entry(self.record.key, small=False)
        return Promise(0, shelf.worker, entry, part.map.generation, first, mask, size)

    async def _settle(self, grant: Grant) -> None:
        self._unsynced.setdefault(grant.part.disk.name, set()).update(grant.finished())
        await self._disks.settle(self._shelf(grant.part), grant.promise, grant.gained)

    def _wrote(self, part: Part, size: int, finished: list[int]) -> None:
        self._disks.observer.written(part.disk.name, size)
        unsynced = self._unsynced.setdefault(part.disk.name, set())
        unsynced.update(finished)
        if finished and len(unsynced) * CHUNK >= self._disks.durable_every:
            self._disks.hold(self)
            self._disks.tasks.start(self._sync_in_background(part.disk.name), "fdatasync")
        self.step()

    async def _sync_in_background(self, name: str) -> None:
        with suppress(StoreError):
            await self._make_durable(name)
        self._disks.release(self)

    async def _make_durable(self, name: str) -> None:
        """Bring what this process wrote to the disk itself. When that fails the chunks are lost. Raises DiskFailed."""
        part, chunks = self._parts[name], self._unsynced.pop(name, set())
        if chunks and not part.map.dropped:
            await self._durably(part, lambda: part.make_durable(sorted(chunks)))

    async def _durably(self, part: Part, sync: Callable[[], None]) -> None:
        """Run `sync` in the disk's threads; when it fails chunks were lost, and are booked so. Raises StoreError."""
        try:
            await part.disk.run(sync)
        except StoreError:
            self.step()
            with suppress(StoreError):
                await part.disk.run(self._shelf(part).recount, part)
            raise

    # --- sealing and dropping -----------------------------------------------------------------------------------

    async def seal(self) -> bool:
        """Verify the whole blob and mark it sealed; True when it is, also when it was before or by another task's call.

        Follows a fill under way. False when another worker seals it (watch `sealed`), or when bytes are missing and for
        a second nobody has held a claim or made progress: call it again once somebody fills.
        Raises DigestMismatch, after which the blob is dropped; BlobDropped; DiskFailed."""
        if self.sealed:
            return True
        return await self._sealing.run()

    async def seal_parts(self) -> None:
        """Every byte was found right: say so on every disk."""
        for part in self._healthy():
            if 1 in part.map.complete(0, self.chunks):
                await self._durably(part, part.seal)
                self._unsynced.pop(part.disk.name, None)
        self._disks.observer.sealed(self.record.size)
        self.step()

    def sealer_part(self) -> Part | None:
        """The part whose sealer byte all workers lock: on the first in rank of those that are open."""
        for shelf in self._disks.ranked(self.record, 0):
            if (part := self._writable_part(shelf)) is not None:
                return part
        return None

    def filling(self) -> bool:
        """Whether anybody on this node holds a claim."""
        return bool(self._claimed) or any(part.others_fill() for part in self._healthy())

    def others_seal(self) -> bool:
        """Whether another worker verifies the blob just now."""
        part = self.sealer_part()
        return part is not None and held_by_another(part.map_fd, SEALER_BYTE)

    async def drop(self, reason: str) -> None:
        """Forget all bytes; open readers keep what they have open and find `dropped` set."""
        already, self._dropped = self._dropped, True
        for part in self._parts.values():
            part.map.drop()
        self.step()
        if already:
            return
        self._disks.observer.dropped(reason)
        for part in self._healthy():
            with suppress(StoreError):
                await part.disk.run(self._shelf(part).drop, part)


async def _close_late(finished: asyncio.Future[None], result: asyncio.Future[Part | None]) -> None:
    """The opener was cancelled: close what its thread has opened all the same."""
    await finished
    if not result.cancelled() and result.exception() is None and (part := result.result()) is not None:
        part.close()
