"""Who fills an open blob in this process: claims, the room they are granted, and what is on the disk for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Final, TypeVar

from proxy.core.errors import BlobDropped, NoDisk, StoreError
from proxy.core.sizes import CHUNK, SLICE
from proxy.core.spans import Span

from .claim import Claim, Grant, NoClaim, SpanWriter
from .index import Promise
from .layout import Entry
from .part import Part
from .parts import Parts
from .shelf import Shelf

T = TypeVar("T")

CHUNKS_PER_SLICE: Final = SLICE // CHUNK


class Filling:
    """The claims of this process on the blob of `parts`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rack = parts.rack
        self._record = parts.record
        self._claimed: set[int] = set()
        self._unsynced: dict[str, set[int]] = {}

    # --- claims -------------------------------------------------------------------------------------------------

    def try_claim(self, span: Span) -> AbstractAsyncContextManager[SpanWriter] | None:
        """As `OpenBlob.try_claim`."""
        chunks = self._aligned_chunks(span)
        if not self._claimed.isdisjoint(chunks):
            return None
        ranked = self._parts.ranked(span.start // SLICE)
        if not ranked:
            return NoClaim()
        anchor = self._parts.anchor(span.start // SLICE)
        if anchor is None:
            self._parts.open_in_background(ranked[:1])
            return None
        if not anchor.try_lock_chunks(chunks):
            return None
        self._claimed.update(chunks)
        self._parts.hold()
        return Claim(
            span,
            self._rack.tasks,
            obtain=self._obtain,
            settle=self._settle,
            unlock=lambda: self._unlock(chunks),
            wrote=self._wrote,
        )

    @contextmanager
    def kept_from_claims(self, chunks: Iterable[int]) -> Iterator[list[int]]:
        """Those of `chunks` that this process does not fill; nor can it claim them meanwhile."""
        ours = [chunk for chunk in chunks if chunk not in self._claimed]
        self._claimed.update(ours)
        try:
            yield ours
        finally:
            self._claimed.difference_update(ours)

    def under_way(self) -> bool:
        """Whether anybody on this node holds a claim."""
        return bool(self._claimed) or any(part.others_fill() for part in self._parts.healthy())

    def _aligned_chunks(self, span: Span) -> range:
        chunks = span.units(CHUNK)
        if not span or span.stop > self._record.size or span.aligned(CHUNK, self._record.size) != span:
            raise ValueError(f"a claim is for whole chunks of the blob, not {span}")
        if len(span.units(SLICE)) > 1:
            raise ValueError(f"a claim lies inside one slice, not {span}")
        return chunks

    def _unlock(self, chunks: range) -> None:
        for part in self._parts:
            part.unlock_chunks(chunks)
        self._claimed.difference_update(chunks)
        self._parts.step()
        self._parts.release()

    # --- room ---------------------------------------------------------------------------------------------------

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
        if any(part.map.dropped for part in self._parts):
            raise BlobDropped(f"{self._record.key} was dropped")
        raise NoDisk("; ".join(reasons) or "no healthy disk is left")

    def _by_holding(self, span: Span) -> list[Shelf]:
        """Disks in rank, those that hold some of the slice first."""
        index = span.start // SLICE
        first, stop = index * CHUNKS_PER_SLICE, min(self._parts.chunks, (index + 1) * CHUNKS_PER_SLICE)

        def holds_none(shelf: Shelf) -> bool:
            part = self._parts.on(shelf.disk.name)
            return part is None or 1 not in part.map.complete(first, stop)

        return sorted(self._parts.ranked(index), key=holds_none)

    async def _obtain_on(self, shelf: Shelf, span: Span) -> Grant | None:
        part = self._parts.writable_on(shelf)
        if part is None:
            if (error := await self._parts.join(shelf, make=True)) is not None:
                raise error
            part = self._parts.on(shelf.disk.name)
            assert part is not None, "a part that was joined is there"
        if part.map.dropped:
            raise BlobDropped(f"{self._record.key} was dropped")
        chunks = span.units(CHUNK)
        # Locked where it is written as well, for workers that do not agree which disks work:
        #   1. A, for whom disk 1 is full, locks there, writes to disk 2   2. B, for whom disk 1 is out, locks on disk 2
        # without this both would write the same bytes of the same file.
        if not part.try_lock_chunks(chunks):
            raise NoDisk(f"another worker fills it on disk {shelf.disk.name}")
        # Look again now that we hold the lock: between the caller's look at the map and the lock
        #   1. A sees chunk 7 missing   2. B claims it, fills it, leaves   3. A claims it
        # without this, A would write over what B's readers are being sent.
        flags = self._parts.complete(chunks.start, chunks.stop)
        absent = [chunk for chunk, flag in zip(chunks, flags, strict=True) if not flag]
        promise = self._promise(shelf, part, absent)
        booked = await self._rack.reserve(shelf, promise)
        return None if booked is None else Grant(part, booked, frozenset(absent))

    def _promise(self, shelf: Shelf, part: Part, chunks: list[int]) -> Promise:
        first = chunks[0] if chunks else 0
        mask = sum(1 << (chunk - first) for chunk in chunks)
        size = sum(part.map.length(chunk) for chunk in chunks)
        entry = Entry(self._record.key, small=False)
        return Promise(0, shelf.worker, entry, part.map.generation, first, mask, size)

    async def _settle(self, grant: Grant) -> None:
        self._unsynced.setdefault(grant.part.disk.name, set()).update(grant.finished())
        await self._rack.settle(self._parts.shelf_of(grant.part), grant.promise, grant.gained)

    # --- durability ---------------------------------------------------------------------------------------------

    def _wrote(self, part: Part, size: int, finished: list[int]) -> None:
        self._rack.observer.written(part.disk.name, size)
        unsynced = self._unsynced.setdefault(part.disk.name, set())
        unsynced.update(finished)
        if finished and len(unsynced) * CHUNK >= self._rack.durable_every:
            self._parts.hold()
            self._rack.tasks.start(self._sync_in_background(part), "fdatasync")
        self._parts.step()

    async def _sync_in_background(self, part: Part) -> None:
        with suppress(StoreError):
            await self._make_durable(part)
        self._parts.release()

    @property
    def all_durable(self) -> bool:
        """Whether everything this process wrote is on its disk."""
        return not any(self._unsynced.values())

    async def make_all_durable(self) -> None:
        """Bring what this process wrote to the disks themselves; what a disk fails to take is lost."""
        for part in list(self._parts):
            with suppress(StoreError):
                await self._make_durable(part)

    async def _make_durable(self, part: Part) -> None:
        """Raises DiskFailed: the chunks are lost."""
        chunks = self._unsynced.pop(part.disk.name, set())
        if chunks and not part.map.dropped:
            await self._durably(part, lambda: part.make_durable(sorted(chunks)))

    async def seal(self, part: Part, crcs: Sequence[int]) -> dict[int, int]:
        """Make what the part has durable, and mark it as verified; as `Part.seal`. Raises DiskFailed."""
        others = await self._durably(part, lambda: part.seal(crcs))
        self._unsynced.pop(part.disk.name, None)
        return others

    async def _durably(self, part: Part, sync: Callable[[], T]) -> T:
        """Run `sync` in the disk's threads; when it fails chunks were lost, and are booked so. Raises StoreError."""
        try:
            return await part.disk.run(sync)
        except StoreError:
            self._parts.step()
            with suppress(StoreError):
                await part.disk.run(self._parts.shelf_of(part).recount, part)
            raise
