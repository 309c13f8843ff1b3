"""Small files: fetched whole, proven, kept as one file under their own sha256."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from proxy.core.blob import BlobKey, Extent
from proxy.core.caller import Caller
from proxy.core.errors import DigestMismatch, DiskFailed, SourceChanged
from proxy.core.spans import Span, whole
from proxy.core.tasks import TaskSet
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, ObjectTarget

from .coordinator import CacheOutcome
from .fleet import OncePerFleet
from .node import counted
from .ports import BlobStore, Catalogue, FillObserver, Source
from .reading import ByteSource, FilePiece, MemoryPiece, Piece
from .shared import SharedCalls


@dataclass(frozen=True, slots=True)
class Stored:
    """It is a file of the store."""

    extent: Extent


@dataclass(frozen=True, slots=True)
class Held:
    """It has just come."""

    content: bytes


Failed = Callable[[str, OSError], Awaitable[None]]
"""Is told of the disk that could not read a small file."""


def forgetting(store: BlobStore, key: Callable[[], BlobKey | None]) -> Failed:
    """Blames the disk, and drops what is called `key` by then."""

    async def failed(disk: str, error: OSError) -> None:
        store.disk_failed(disk, error)
        if (bad := key()) is not None:
            await store.drop(bad, "unreadable")

    return failed


class SmallReading:
    """One reader of a small file that is at hand (see `coordinator.Reading`)."""

    verified = True

    def __init__(self, span: Span, held: Stored | Held, cache: CacheOutcome, failed: Failed) -> None:
        self._failed = failed
        self._span = span
        self._held = held
        self.cache = cache

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        """A small file is read in one go or not at all: it is forgotten, and the next request fetches it."""
        await self._failed(piece.disk, error)
        raise DiskFailed(f"disk {piece.disk} could not read the file; ask again") from error

    async def pieces(self) -> AsyncIterator[Piece]:
        match self._held:
            case Stored(extent):
                source = ByteSource.DISK if self.cache is CacheOutcome.HIT else ByteSource.FILL
                yield FilePiece(extent.fd, extent.offset + self._span.start, len(self._span), extent.disk, source)
            case Held(content):
                yield MemoryPiece(content[self._span.start : self._span.stop], ByteSource.FILL)


class SmallFiles:
    """Reads small files; fetches each once per node, whoever asks."""

    def __init__(
        self,
        store: BlobStore,
        catalogue: Catalogue,
        tasks: TaskSet,
        observer: FillObserver,
        *,
        ring: OncePerFleet | None = None,
    ) -> None:
        """`ring`, in a fleet, is told of what was fetched and kept, and of what was wrong."""
        self._ring = ring
        self._store = store
        self._catalogue = catalogue
        self._observer = observer
        self._calls: SharedCalls[bytes | None] = SharedCalls(tasks)

    @asynccontextmanager
    async def read(
        self, caller: Caller, target: FileTarget | ObjectTarget, facts: FileFacts, span: Span, source: Source
    ) -> AsyncIterator[SmallReading]:
        """`span` of the file. Entering fetches it when it is not here; raises what fetching raises."""
        failed = forgetting(self._store, lambda: self._key(target, facts))
        async with AsyncExitStack() as stack:
            key = self._key(target, facts)
            extent = await self._open(stack, key)
            if extent is not None:
                if extent.length != facts.size:
                    raise SourceChanged(f"the file is {extent.length} bytes long, and the origin said {facts.size}")
                yield SmallReading(span, Stored(extent), CacheOutcome.HIT, failed)
                return
            name = ("small", target.repo, facts.etag, facts.size, caller.identity)
            joined = self._calls.is_under_way(name)
            content = await self._calls.run(name, lambda: self._fetch(target, facts, source), f"fetch {target.path}")
            cache = CacheOutcome.COALESCED if joined else CacheOutcome.MISS
            if content is not None:
                yield SmallReading(span, Held(content), cache, failed)
                return
            extent = await self._open(stack, self._key(target, facts))
            if extent is None:
                raise SourceChanged("the file left the cache as soon as it had come; ask again")
            yield SmallReading(span, Stored(extent), cache, failed)

    @asynccontextmanager
    async def stored(
        self, target: FileTarget | ObjectTarget, facts: FileFacts, span: Span
    ) -> AsyncIterator[SmallReading | None]:
        """`span` of the file if it is here, else None."""
        async with AsyncExitStack() as stack:
            extent = await self._open(stack, key := self._key(target, facts))
            if extent is None:
                yield None
                return
            yield SmallReading(span, Stored(extent), CacheOutcome.HIT, forgetting(self._store, lambda: key))

    def _key(self, target: FileTarget | ObjectTarget, facts: FileFacts) -> BlobKey | None:
        if facts.key is not None:
            return facts.key
        assert isinstance(target, FileTarget), "an object's key is its digest"
        kept = self._catalogue.resolution(target)
        return kept.key if isinstance(kept, FileFacts) and kept.etag == facts.etag else None

    async def _open(self, stack: AsyncExitStack, key: BlobKey | None) -> Extent | None:
        return None if key is None else await stack.enter_async_context(self._store.open_small(key))

    async def _fetch(self, target: FileTarget | ObjectTarget, facts: FileFacts, source: Source) -> bytes | None:
        """Fetch, prove, keep. None when another worker did so meanwhile."""
        async with self._store.once(f"small:{target.repo}:{facts.etag}"):
            # Look again now that we are inside: another worker may have fetched it while we waited for the lock.
            async with AsyncExitStack() as stack:
                if await self._open(stack, self._key(target, facts)) is not None:
                    return None
            with counted(self._observer):
                content = await self._proven(target, facts, source)
            key = BlobKey.sha256(hashlib.sha256(content).hexdigest())
            if await self._store.put_small(key, content):
                if isinstance(target, FileTarget):
                    await self._catalogue.keep_resolution(target, replace(facts, key=key))
                if self._ring is not None:
                    self._ring.completed(facts.shared_name(target.repo), 0)
            return content

    async def _proven(self, target: FileTarget | ObjectTarget, facts: FileFacts, source: Source) -> bytes:
        """The bytes; from somebody else when a peer gave wrong ones."""
        try:
            return await self._received(facts, source)
        except DigestMismatch:
            if self._ring is None or not self._ring.givers.was_misled(facts.shared_name(target.repo)):
                raise
            return await self._received(facts, source)

    async def _received(self, facts: FileFacts, source: Source) -> bytes:
        content = bytearray()
        async with aclosing(source.read(whole(facts.size))) as pieces:
            async for piece in pieces:
                content += piece
                self._observer.fill_bytes(len(piece))
        if not facts.digest.matches(content):
            raise DigestMismatch("the bytes that the origin sent are not those it announced")
        return bytes(content)
