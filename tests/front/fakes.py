"""A coordinator that keeps the contract of `fetch.coordinator.Coordinator` over real files, with switches to fail."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from proxy.core.blob import BlobKey
from proxy.core.caller import Caller
from proxy.core.errors import DiskFailed, OriginRefused
from proxy.core.sizes import MIB
from proxy.core.spans import Span
from proxy.fetch.coordinator import CacheOutcome, Elsewhere, Granted, Located, Metadata, Streaming
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece, Piece
from proxy.hub.facts import FileFacts
from proxy.hub.lfs import git_sha1
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.peering import PeerQuestion
from proxy.hub.targets import GitPack, GitRefs, RepoListing

COMMIT = "c" * 40
REPO = RepoId(RepoKind.MODEL, "acme/tiny")


def at_commit(path: str) -> str:
    """The raw path of a file of the one repo there is."""
    return f"/acme/tiny/resolve/{COMMIT}/{path}"


@dataclass
class FakeReading:
    """Pieces of a real file, `step` bytes each."""

    cache: CacheOutcome
    verified: bool
    make: Callable[[], AsyncIterator[Piece]]

    def pieces(self) -> AsyncIterator[Piece]:
        return self.make()

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        raise DiskFailed(f"disk {piece.disk} could not give its bytes") from error


@dataclass
class FakeHeld:
    """A real file, kept open; closed when the last has let go."""

    fd: int
    holders: int = 1
    dropped: bool = False
    is_plain: bool = True
    """Whether pieces are to be had."""
    most: int = 8 * MIB
    """Bytes of one piece."""

    def piece(self, offset: int, stop: int) -> FilePiece | None:
        assert self.holders, "whoever reads holds"
        if self.dropped or not self.is_plain:
            return None
        return FilePiece(self.fd, offset, min(stop - offset, self.most), "disk0", ByteSource.DISK)

    def hold(self) -> None:
        self.holders += 1

    def release(self) -> None:
        self.holders -= 1
        assert self.holders >= 0, "let go as often as held"
        if not self.holders:
            os.close(self.fd)


@dataclass
class FakeCoordinator:
    """One repo at one commit; `main` is its branch. `add` puts a file there."""

    folder: Path
    step: int = 4 * MIB
    cache: CacheOutcome = CacheOutcome.HIT
    verified: bool = True
    in_memory: bool = False
    fresh_for: float = 0.0
    """For how long what `locate` says holds."""
    is_open: bool = True
    """Whether everybody may read."""
    refuse: BaseException | None = None
    """Raised by every call."""
    lends: bool = True
    """Whether large files are kept open."""
    lent: list[FakeHeld] = field(default_factory=list)
    fail_entering: BaseException | None = None
    fail_after: tuple[int, BaseException] | None = None
    """Raise when this many bytes of a reading were given."""
    stall_after: int | None = None
    """Give no further piece once this many bytes of a reading were given."""
    end_after: int | None = None
    """Lie: end the reading here."""
    listing: Metadata = field(
        default_factory=lambda: Metadata(
            200, (("content-type", "application/json"),), b'{"id":"acme/tiny"}', None, CacheOutcome.HIT, 0
        )
    )
    calls: list[tuple[object, ...]] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    readers: list[Caller] = field(default_factory=list)
    """On whose behalf bytes were read."""
    given: Counter[ByteSource] = field(default_factory=Counter)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a reading's iteration has ended, however it did."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a reading was left."""
    _files: dict[str, tuple[FileFacts, Path]] = field(default_factory=dict)

    def add(self, path: str, content: bytes, *, linked: bool = True, xet: str | None = None) -> FileFacts:
        sha = hashlib.sha256(content).hexdigest()
        place = self.folder / sha
        place.write_bytes(content)
        facts = FileFacts(sha if linked else git_sha1(content), len(content), linked, BlobKey.sha256(sha), xet)
        self._files[path] = (facts, place)
        return facts

    async def locate(self, caller: Caller, target: FileTarget) -> Located | Elsewhere:
        self.calls.append(("locate", target))
        self.callers.append(caller)
        if self.refuse is not None:
            raise self.refuse
        if target.repo.name == "acme/old-name":
            return Elsewhere(replace(target, repo=REPO))
        if target.path not in self._files:
            raise OriginRefused(404, "Entry not found", code="EntryNotFound", commit=COMMIT)
        facts, _ = self._files[target.path]
        age = 0 if target.revision.is_commit else 7
        return Located(target.at(COMMIT), facts, CacheOutcome.HIT, age, self.fresh_for)

    def open_for(self, target: FileTarget) -> float:
        return 3600.0 if self.is_open else 0.0

    async def vouch_for_file(self, caller: Caller, target: FileTarget) -> Located:
        found = await self.locate(caller, target)
        assert isinstance(found, Located), "the one repo has one name"
        return found

    @contextlib.asynccontextmanager
    async def read(self, caller: Caller, located: Located, span: Span) -> AsyncIterator[FakeReading]:
        assert span, "an empty span is never read"
        self.calls.append(("read", located.target, span))
        self.readers.append(caller)
        if self.fail_entering is not None:
            raise self.fail_entering
        fd = os.open(self._files[located.target.path][1], os.O_RDONLY)
        try:
            yield FakeReading(self.cache, self.verified, lambda: self._pieces(fd, span))
        finally:
            os.close(fd)
            self.left.set()

    def lend(self, located: Located) -> FakeHeld | None:
        facts, place = self._files[located.target.path]
        if facts.is_small or not self.lends:
            return None
        held = FakeHeld(os.open(place, os.O_RDONLY))
        self.lent.append(held)
        return held

    manifest: bytes = b""

    async def manifest_for_peer(self, question: PeerQuestion) -> bytes:
        self.calls.append(("manifest", question))
        if self.fail_entering is not None:
            raise self.fail_entering
        return self.manifest

    @contextlib.asynccontextmanager
    async def read_for_peer(
        self, caller: Caller, question: PeerQuestion, span: Span, hops: int
    ) -> AsyncIterator[FakeReading]:
        self.calls.append(("read_for_peer", question, hops))
        located = Located(question.target, question.facts, CacheOutcome.HIT, 0)
        async with self.read(caller, located, span) as reading:
            yield reading

    async def _pieces(self, fd: int, span: Span) -> AsyncIterator[Piece]:
        source = ByteSource.DISK if self.cache is CacheOutcome.HIT else ByteSource.FILL
        given = 0
        try:
            for part in span.split(self.step):
                if self.fail_after is not None and given >= self.fail_after[0]:
                    raise self.fail_after[1]
                if self.stall_after is not None and given >= self.stall_after:
                    self.stalled.set()
                    await asyncio.Event().wait()
                if self.end_after is not None and given >= self.end_after:
                    return
                given += len(part)
                self.given[source] += len(part)
                if self.in_memory:
                    yield MemoryPiece(os.pread(fd, len(part), part.start), source)
                else:
                    yield FilePiece(fd, part.start, len(part), "disk0", source)
        finally:
            self.closed.set()

    async def grant(self, caller: Caller, repo: RepoId, revision: Revision) -> Granted:
        self.calls.append(("grant", repo, revision))
        self.callers.append(caller)
        if self.refuse is not None:
            raise self.refuse
        return Granted(repo, COMMIT, everybody=caller.is_anonymous)

    def located_by_xet(self, repo: RepoId, commit: str, xet: str) -> Located | None:
        self.calls.append(("located_by_xet", repo, commit, xet))
        for path, (facts, _) in self._files.items():
            if facts.xet == xet:
                return Located(FileTarget(repo, Revision(commit), path), facts, CacheOutcome.HIT, 0)
        return None

    async def metadata(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        self.calls.append(("metadata", target, body))
        self.callers.append(caller)
        if self.refuse is not None:
            raise self.refuse
        return self.listing

    async def pass_through(
        self, caller: Caller, method: str, raw_target: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> Metadata:
        self.calls.append(("pass_through", method, raw_target, headers))
        self.callers.append(caller)
        if self.refuse is not None:
            raise self.refuse
        return self.listing

    async def git_refs(self, caller: Caller, target: GitRefs, protocol: str) -> Metadata:
        self.calls.append(("git_refs", target, protocol))
        self.callers.append(caller)
        if self.refuse is not None:
            raise self.refuse
        return self.listing

    @contextlib.asynccontextmanager
    async def git_pack(
        self,
        caller: Caller,
        target: GitPack,
        headers: tuple[tuple[str, str], ...],
        body: bytes | AsyncIterable[bytes],
        patience: float,
    ) -> AsyncIterator[Streaming]:
        """Says back what was asked, a piece at a time."""
        self.callers.append(caller)
        question = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
        self.calls.append(("git_pack", target, headers, question))
        if self.refuse is not None:
            raise self.refuse
        yield Echo(question)


@dataclass
class Echo:
    """An answer of the origin to git: what it was asked."""

    question: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/x-git-upload-pack-result"),)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self.question), 1000):
            yield self.question[start : start + 1000]


MAIN = Revision("main")
