"""The door of `fetch`: what the front asks for, answered by the rooms below.

locate    who asks, for which file: the right, the commit, the facts
read      the bytes of a located file, span by span, as they come
metadata  a listing of the Hub, kept where it may be kept
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from proxy.core.caller import Caller
from proxy.core.spans import Span
from proxy.hub.facts import FileFacts
from proxy.hub.lfs_batch import LfsMissing, LfsPointer
from proxy.hub.names import FileTarget, ObjectTarget, RepoId, Revision
from proxy.hub.oci import Agent
from proxy.hub.peering import PeerQuestion
from proxy.hub.targets import GitPack, GitRefs, LfsBatch, OciBlob, OciManifest, RepoListing

from .reading import FilePiece, Piece


class CacheOutcome(Enum):
    """How an answer came about: the label `cache`, and the base of the Cache-Status field (RFC 9211)."""

    HIT = "hit"
    STALE = "stale"
    REVALIDATED = "revalidated"
    MISS = "miss"
    COALESCED = "coalesced"
    BYPASS = "bypass"
    NEGATIVE = "negative"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Located:
    """A file the caller may read. `target` is at a commit; `cache` tells how commit, right and facts were known.

    `age` is how long ago (seconds) the origin last confirmed a mutable revision; 0 for a pinned commit. `fresh_for` is
    for how many seconds commit and facts hold without anybody's being asked, unless they are taken back meanwhile
    (`core.changes`); 0 when they were asked for just now, or are stale."""

    target: FileTarget
    facts: FileFacts
    cache: CacheOutcome
    age: int
    fresh_for: float = 0.0

    @property
    def commit(self) -> str:
        return self.target.revision.text


@dataclass(frozen=True, slots=True)
class Granted:
    """A caller's right to the files of `repo` at `commit`, just proven; `everybody`'s when nobody's token is needed."""

    repo: RepoId
    commit: str
    everybody: bool


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The repo goes by another name; answer with a relative 307 to `target`."""

    target: FileTarget


@dataclass(frozen=True, slots=True)
class LocatedObject:
    """An object of a repo the caller may read. `everybody` may when the repo is known to be public."""

    target: ObjectTarget
    facts: FileFacts
    cache: CacheOutcome
    everybody: bool
    age: int = 0


Readable = Located | LocatedObject
"""What can be read: a file at a commit, or an object by its digest."""


@dataclass(frozen=True, slots=True)
class MovedTo:
    """The repo goes by another name: the raw target there, None when the origin names no place of its own."""

    raw_target: str | None


@dataclass(frozen=True, slots=True)
class LfsAnswer:
    """Of the objects asked for those that the repo has not, by oid; the caller may have the others."""

    missing: dict[str, LfsMissing]
    everybody: bool
    cache: CacheOutcome


class Reading(Protocol):
    """The bytes of one located file for one reader."""

    @property
    def cache(self) -> CacheOutcome:
        """HIT when all bytes of the span were present, COALESCED when others were fetching them, else MISS."""
        ...

    @property
    def verified(self) -> bool:
        """Whether the bytes had been proven by their digest when reading began."""
        ...

    def pieces(self) -> AsyncIterator[Piece]:
        """The span's bytes, in order, exactly; each piece readable when it is given.

        Raises any PenstockError. Before the first piece: answer with an error. After it: break the connection."""
        ...

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        """The disk failed to give `piece` beyond its first `sent` bytes. What it could not give is forgotten and its
        disk blamed; a new `pieces()` goes on from there, fetching anew. Raises DiskFailed when it cannot."""
        ...


class HeldFile(Protocol):
    """A large file of which all bytes were here and proven, kept open. Nothing here waits or asks anybody."""

    @property
    def dropped(self) -> bool:
        """Whether the bytes were taken back meanwhile: what has not been sent of them must not be."""
        ...

    def piece(self, offset: int, stop: int) -> FilePiece | None:
        """The longest piece from `offset` on, at most to `stop`, that one disk has; good for as long as the file is
        held. None when that is not so simple any more: `Coordinator.read` says why, or what else there is."""
        ...

    def hold(self) -> None:
        """Keep it open until `release`."""
        ...

    def release(self) -> None:
        """Let go; once for each time it was held."""
        ...


@dataclass(frozen=True, slots=True)
class Metadata:
    """An answer of the metadata plane, Xet stripped. `headers` are lower-case and safe to pass on.

    `next_target` is the raw path and query of the next page (the front makes it absolute), from `Link: rel="next"`.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    next_target: str | None
    cache: CacheOutcome
    age: int


class Streaming(Protocol):
    """An answer of the origin that is passed on while it comes. `headers` are lower-case and safe to pass on."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises OriginAway when it is cut, OriginLied."""
        ...


class Coordinator(Protocol):
    """What the front needs of this room."""

    async def locate(self, caller: Caller, target: FileTarget) -> Located | Elsewhere:
        """Right, commit and facts of `target`. Raises OriginRefused (answer it as the Hub would), OriginAway, …"""
        ...

    def open_for(self, target: FileTarget) -> float:
        """For how many seconds everybody may read the file still; 0 when that is not known. Asks nobody."""
        ...

    def read(self, caller: Caller, located: Readable, span: Span) -> AbstractAsyncContextManager[Reading]:
        """Open the bytes of `span` (inside the file; not empty) for one reader. Entering waits for the first byte to be
        readable, so that errors come before any header is sent."""
        ...

    def lend(self, located: Located) -> HeldFile | None:
        """The file, held once for the caller, if it is a large one that is being read just now and all of it is here
        and proven. Opens nothing, asks nobody."""
        ...

    def read_for_peer(
        self, caller: Caller, question: PeerQuestion, span: Span, hops: int
    ) -> AbstractAsyncContextManager[Reading]:
        """As `read`, for another node of the fleet that has proven the caller's right. `span` is inside one slice;
        `hops` is how many nodes the question has come through. Raises AskAnother too."""
        ...

    async def manifest_for_peer(self, question: PeerQuestion) -> bytes:
        """The stamped manifest of the blob in `question`, as far as this node knows or finds it out. Raises AskAnother
        when it does not (yet), FoundWrong."""
        ...

    async def grant(self, caller: Caller, repo: RepoId, revision: Revision) -> Granted:
        """Prove the right of `caller` to the files of `repo`, and learn their Xet hashes. Raises OriginRefused, …"""
        ...

    def located_by_xet(self, repo: RepoId, commit: str, xet: str) -> Located | None:
        """The file of that Xet hash in `repo` at `commit`, for whom it was granted; None when there is none."""
        ...

    async def metadata(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        """A kept (or now asked) listing. `body` is the normalised JSON body of paths-info. Statuses other than 2xx are
        raised as OriginRefused."""
        ...

    async def pass_through(
        self, caller: Caller, method: str, raw_target: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> Metadata:
        """An answer of the origin that is not kept, whatever its status (Xet stripped, links as in `metadata`)."""
        ...

    async def git_refs(self, caller: Caller, target: GitRefs, protocol: str) -> Metadata:
        """Git's overture, in the version of its protocol that the Git-Protocol field `protocol` asks for."""
        ...

    def git_pack(
        self,
        caller: Caller,
        target: GitPack,
        headers: tuple[tuple[str, str], ...],
        body: bytes | AsyncIterable[bytes],
        patience: float,
    ) -> AbstractAsyncContextManager[Streaming]:
        """Git's pack, as the origin makes it. `body` has `patience` seconds to come; what it raises is raised here."""
        ...

    async def lfs_batch(self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer]) -> LfsAnswer | MovedTo:
        """Prove the right of `caller` to the files of the repo, and say which of the objects it has not."""
        ...

    async def manifest(self, caller: Caller, target: OciManifest, agent: Agent) -> Metadata | MovedTo:
        """The registry's manifest for that class of clients, the right of `caller` proven."""
        ...

    async def layer(self, caller: Caller, target: OciBlob) -> LocatedObject | MovedTo:
        """A blob that a manifest of the repo has named, the right of `caller` proven."""
        ...

    async def vouch_for_file(self, caller: Caller, target: FileTarget) -> Located:
        """A file at a commit whose address `caller` was given before, if it may still have it: by the right that is
        known, else by the origin's word. Raises OriginRefused, OriginAway, OriginLied."""
        ...

    async def vouch_for_object(self, caller: Caller, target: ObjectTarget, size: int) -> LocatedObject:
        """Likewise an object, of `size` bytes."""
        ...
