"""An origin that a test steers, and a mirror in front of it with a real store, catalogue and gatekeeper."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from proxy.access.gatekeeper import Gatekeeper
from proxy.catalogue.catalogue import Catalogue
from proxy.config.schema import FreshnessSection
from proxy.core.blob import BlobKey
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.changes import Changes
from proxy.core.clock import ManualClock
from proxy.core.errors import OriginBusy, OriginRefused, PenstockError, RangeMangled
from proxy.core.sizes import KIB, MIB
from proxy.core.spans import Span, whole
from proxy.core.tasks import TaskSet
from proxy.fetch.coordinator import CacheOutcome, Located
from proxy.fetch.fleet import OncePerFleet
from proxy.fetch.flight import FlightLimits
from proxy.fetch.mirror import Mirror
from proxy.fetch.ports import Commons, Notices
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece
from proxy.fetch.rights import Freshness
from proxy.hub.facts import FileFacts, FoundFile, Moved, OriginReply
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.store.blobstore import BlobStore

COMMIT = "c" * 40
REPO = RepoId(RepoKind.MODEL, "acme/tiny")


def content(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class SteeredOrigin:
    """Answers from memory, counts what it is asked, and does what a test tells it to."""

    files: dict[str, bytes] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    git_files: set[str] = field(default_factory=set)
    replies: dict[str, OriginReply] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    askers: list[Caller] = field(default_factory=list)
    """Who asked, but for the anonymous."""
    sent: int = 0
    spans: list[Span] = field(default_factory=list)
    away: PenstockError | None = None
    is_scarce: bool = False
    """Only what cannot wait may be asked."""
    scarce_for: int = 30
    refuse: Callable[[Caller], OriginRefused | None] = lambda caller: None
    before_piece: Callable[[int], AsyncIterator[None]] | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    hold_at: int | None = None
    """Offset before which every transfer waits for `gate`."""
    fail_at: tuple[int, PenstockError] | None = None
    spoil_at: int | None = None
    mangle_next: int = 0
    """So many of the next transfers are found to be another range than asked for."""
    piece: int = 64 * KIB

    def facts(self, path: str) -> FileFacts:
        body = self.files[path]
        if path in self.git_files:
            sha1 = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            return FileFacts(sha1, len(body), linked=False, key=None)
        sha256 = hashlib.sha256(body).hexdigest()
        return FileFacts(sha256, len(body), linked=True, key=BlobKey.sha256(sha256))

    async def head_file(self, target: FileTarget, caller: Caller, *, can_wait: bool = False) -> FoundFile | Moved:
        self.asked["head"] += 1
        await asyncio.sleep(0)
        self._may(caller, can_wait)
        commit = self.commits.get(target.revision.text, target.revision.text)
        if not Revision(commit).is_commit:
            raise OriginRefused(404, "no such revision", code="RevisionNotFound")
        if target.path not in self.files:
            raise OriginRefused(404, "no such file", code="EntryNotFound", commit=commit)
        return FoundFile(commit, self.facts(target.path))

    async def call(
        self,
        method: str,
        raw_target: str,
        caller: Caller,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
        can_wait: bool = False,
    ) -> OriginReply:
        self.asked[f"{method} {raw_target}"] += 1
        await asyncio.sleep(0)
        self._may(caller, can_wait)
        missing = OriginReply(404, (("x-error-code", "RepoNotFound"),), b"{}")
        return self.replies.get(raw_target, missing)

    def source(self, target: FileTarget, facts: FileFacts, caller: Caller, *, lend: bool = False) -> SteeredSource:
        return SteeredSource(self, target.path, caller)

    def _may(self, caller: Caller, can_wait: bool = False) -> None:
        if not caller.is_anonymous:
            self.askers.append(caller)
        if can_wait and self.is_scarce:
            raise OriginBusy("the last requests are for what cannot wait", self.scarce_for)
        if self.away is not None:
            raise self.away
        if (refusal := self.refuse(caller)) is not None:
            raise refusal


class SteeredSource:
    def __init__(self, origin: SteeredOrigin, path: str, caller: Caller) -> None:
        self._origin = origin
        self._path = path
        self._caller = caller

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        origin = self._origin
        origin._may(self._caller, can_wait)
        origin.asked["body"] += 1
        origin.spans.append(span)
        if origin.mangle_next:
            origin.mangle_next -= 1
            raise RangeMangled("not the range asked for")
        for offset in range(span.start, span.stop, origin.piece):
            piece = bytearray(origin.files[self._path][offset : min(offset + origin.piece, span.stop)])
            if origin.fail_at is not None and offset + len(piece) > origin.fail_at[0]:
                raise origin.fail_at[1]
            if origin.hold_at is not None and offset + len(piece) > origin.hold_at:
                await origin.gate.wait()
            if origin.spoil_at is not None and offset <= origin.spoil_at < offset + len(piece):
                piece[origin.spoil_at - offset] ^= 0xFF
            origin.sent += len(piece)
            yield bytes(piece)
            await asyncio.sleep(0)


class Counts:
    """Counts fills (`ports.FillObserver`)."""

    def __init__(self) -> None:
        self.began = 0
        self.results: Counter[str] = Counter()
        self.received = 0
        self.waiting = 0

    def fill_started(self) -> None:
        self.began += 1

    def fill_bytes(self, count: int) -> None:
        self.received += count

    def fill_ended(self, result: str) -> None:
        self.results[result] += 1

    def waiters(self, change: int) -> None:
        self.waiting += change


@dataclass
class Read:
    """What a reader got."""

    body: bytes
    sources: Counter[ByteSource]
    cache: CacheOutcome
    verified: bool


@dataclass
class Rig:
    origin: SteeredOrigin
    mirror: Mirror
    store: BlobStore
    catalogue: Catalogue
    clock: ManualClock
    tasks: TaskSet
    counts: Counts
    changes: Changes
    """What catalogue and gatekeeper took back."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        store: BlobStore,
        state: Path,
        *,
        first_byte: float = 8.0,
        finish_below: int = MIB,
        origin: SteeredOrigin | None = None,
        commons: Commons | None = None,
        notices: Notices | None = None,
        ring: OncePerFleet | None = None,
    ) -> AsyncIterator[Self]:
        clock, origin, counts = ManualClock(), origin or SteeredOrigin(), Counts()
        section = FreshnessSection()
        changes = Changes()
        async with Catalogue.open(state, clock=clock, changes=changes) as catalogue, TaskSet("rig") as tasks:
            mirror = Mirror(
                store=store,
                catalogue=catalogue,
                gatekeeper=Gatekeeper(section, clock=clock, changes=changes),
                origin=origin,
                tasks=tasks,
                clock=clock,
                freshness=Freshness(30.0, 300.0, 7 * 86400.0, 86400.0),
                limits=FlightLimits(
                    span=2 * MIB, parallel=2, finish_below=finish_below, progress_timeout=5.0, first_byte=first_byte
                ),
                read_ahead=4 * MIB,
                observer=counts,
                commons=commons,
                notices=notices,
                ring=ring,
            )
            yield cls(origin, mirror, store, catalogue, clock, tasks, counts, changes)

    def located(self, path: str) -> Located:
        target = FileTarget(REPO, Revision(COMMIT), path)
        return Located(target, self.origin.facts(path), CacheOutcome.HIT, 0)

    async def read(self, path: str, span: Span | None = None, caller: Caller = ANONYMOUS) -> Read:
        span = span or whole(len(self.origin.files[path]))
        async with self.mirror.read(caller, self.located(path), span) as reading:
            body, sources = bytearray(), Counter[ByteSource]()
            async for piece in reading.pieces():
                match piece:
                    case FilePiece():
                        chunk = os.pread(piece.fd, piece.length, piece.offset)
                        assert len(chunk) == piece.length
                    case MemoryPiece():
                        chunk = piece.content
                body += chunk
                sources[piece.source] += len(chunk)
            return Read(bytes(body), sources, reading.cache, reading.verified)
