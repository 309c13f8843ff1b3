"""What `fetch` needs of its neighbours, in its own words.

`service/assembly.py` puts the real ones in, and mypy checks the fit there.
The store's door gives blobs, the catalogue's facts, the gatekeeper's rights, the origin's answers and bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.core.blob import BlobKey, BlobRecord, Extent
from proxy.core.caller import Caller
from proxy.core.errors import OriginRefused, SlowDown
from proxy.core.fleet import Ask, Standing
from proxy.core.manifest import Found, Manifest
from proxy.core.rights import Denied, Plane
from proxy.core.spans import Span
from proxy.hub.facts import Absent, FileFacts, FoundFile, Listing, ListingKey, Moved, OriginReply, RefEntry
from proxy.hub.names import FileTarget, ObjectTarget, RepoId, Revision
from proxy.hub.notices import Notice
from proxy.hub.peering import PeerQuestion, Question

# --- store ------------------------------------------------------------------------------------------------------


class ChunkWriter(Protocol):
    """Writes one span of a blob, front to back, while holding the right to do so."""

    async def write(self, pieces: list[bytes]) -> None:
        """Append `pieces`. When it returns they are in the file and readers may have them.

        Raises DiskFailed, NoDisk, BlobDropped."""
        ...


class Blob(Protocol):
    """An open blob of this process; shared by its readers, closed when the last has let go.

    While it is open no worker of the node evicts it.
    """

    @property
    def record(self) -> BlobRecord: ...

    @property
    def sealed(self) -> bool:
        """Whether all bytes are present and their digest has been found right."""
        ...

    @property
    def is_right(self) -> bool:
        """As `sealed`, but a moment earlier: the disks may not have been told yet."""
        ...

    @property
    def dropped(self) -> bool:
        """Whether the blob was dropped meanwhile (corrupt, changed, purged), by this process or another."""
        ...

    def missing(self, span: Span) -> tuple[Span, ...]:
        """The chunk-aligned parts of `span` (clipped to the blob) that no disk holds whole, in order. No I/O."""
        ...

    def readable(self, offset: int, stop: int) -> Extent | None:
        """The longest readable extent from `offset` on, at most to `stop`; None when that byte is not there yet.

        Counts the bytes of a chunk that is still being written, by any worker. No I/O."""
        ...

    async def checked(self, span: Span) -> None:
        """Make sure that chunks of `span` of doubtful past (unclean boot) were compared with their CRC since; bad ones
        are dropped and so become missing. Returns at once in the ordinary case."""
        ...

    def progress(self) -> asyncio.Future[None]:
        """A future that is done when this process next writes, seals or drops something of the blob."""
        ...

    def try_claim(self, span: Span) -> AbstractAsyncContextManager[ChunkWriter] | None:
        """The right to fill chunk-aligned `span` (inside one slice), or None when another worker, or another task of
        this one, fills part of it.

        Entering reserves the room (evicting if need be); raises NoDisk. Leaving gives back what was not used and frees
        the claim. The kernel frees it if the process dies."""
        ...

    async def seal(self) -> bool:
        """Verify the whole blob and mark it sealed; True when it is (also when it was before).

        False when bytes are missing, or when another worker is at it (watch `sealed`). Called while a fill is under way
        it hashes what is there and follows, so that the end comes soon after the last byte.
        Raises DigestMismatch, after which the blob is dropped."""
        ...

    def is_proven(self, span: Span) -> bool:
        """Whether the bytes of `span` were found right, as part of the whole or of their slices."""
        ...

    async def prove(self, span: Span, sha256: str) -> Found:
        """Compare a whole slice with its digest: its chunks are verified from now on, or missing. With the last slice
        the blob is sealed. Raises DiskFailed, NoDisk."""
        ...

    async def manifest(self) -> bytes | None:
        """What `keep_manifest` kept, if anything; whether it is what it should be, is for the caller to see."""
        ...

    async def keep_manifest(self, content: bytes) -> None:
        """Keep `content` with the blob, for as long as that is here. Never fails."""
        ...

    async def content(self, span: Span) -> bytes:
        """The bytes of complete chunks, also after the blob was dropped. Raises DiskFailed, NoDisk."""
        ...

    async def digest(self, span: Span) -> str:
        """The sha256 (hexadecimal) of complete chunks, also after the blob was dropped. Raises DiskFailed, NoDisk."""
        ...

    async def lose(self, span: Span, disk: str) -> None:
        """The disk named `disk` could not read some of `span`: its chunks there become missing."""
        ...

    async def drop(self, reason: str) -> None:
        """Forget all bytes; open readers keep what they have open and find `dropped` set."""
        ...

    def pending_seal(self) -> bool:
        """Whether a seal is needed (a digest is known and not all is verified)."""
        ...


class LentBlob(Blob, Protocol):
    """A blob that is held without a block around it."""

    def hold(self) -> None:
        """Keep it open until `release`."""
        ...

    def release(self) -> None:
        """Let go; once for each time it was held."""
        ...


class BlobStore(Protocol):
    """The door of the store."""

    @property
    def capacity(self) -> int:
        """Bytes that the usable disks together may hold."""
        ...

    def open_kept(self, record: BlobRecord) -> AbstractAsyncContextManager[Blob]:
        """The blob of `record` if something of it is here; makes nothing, and counts as no use of it. Raises NoDisk."""
        ...

    def lend(self, record: BlobRecord) -> LentBlob | None:
        """The blob of `record` if it is open just now, held once for the caller."""
        ...

    def open_blob(self, record: BlobRecord) -> AbstractAsyncContextManager[Blob]:
        """The blob of `record`, made if it does not exist; for blobs of more than one chunk. Raises NoDisk.

        If the store holds another generation (validator or length differs) under that key it is dropped first."""
        ...

    def open_small(self, key: BlobKey) -> AbstractAsyncContextManager[Extent | None]:
        """The one-file blob of at most one chunk, or None when it is not here."""
        ...

    async def put_small(self, key: BlobKey, content: bytes) -> bool:
        """Publish verified `content` (at most one chunk) under its sha256 key. False when no disk takes it."""
        ...

    async def drop(self, key: BlobKey, reason: str) -> None:
        """Forget the blob of `key`, small or large."""
        ...

    async def holds(self, key: BlobKey) -> bool:
        """Whether something is kept under `key`; opens and makes nothing."""
        ...

    def disk_failed(self, disk_name: str, error: OSError) -> None:
        """Count an I/O error that a reader of an extent met against its disk."""
        ...

    def once(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold the node-wide lock called `name`: one holder among all tasks and workers; it dies with its holder."""
        ...


# --- catalogue --------------------------------------------------------------------------------------------------


class Catalogue(Protocol):
    """What is where. Look-ups are quick and synchronous; writes return when other workers can see them."""

    def ref(self, repo: RepoId, revision: Revision) -> RefEntry | None: ...

    async def keep_ref(self, repo: RepoId, revision: Revision, commit: str, asked_at: float | None = None) -> None:
        """`revision` was at `commit` when the origin was asked. The answer to the later question stands."""
        ...

    async def drop_ref(self, repo: RepoId, revision: Revision) -> None: ...

    def resolution(self, target: FileTarget) -> FileFacts | Absent | None:
        """What the file at the commit is, or that it is not there; None when unknown. `target` is at a commit."""
        ...

    async def keep_resolution(self, target: FileTarget, facts: FileFacts | Absent) -> None: ...

    async def keep_resolutions(self, repo: RepoId, commit: str, files: Iterable[tuple[str, FileFacts]]) -> None:
        """Keep the facts of many files (path, facts) of a repo at a commit; a key known already stays known."""
        ...

    async def drop_resolution(self, target: FileTarget) -> None:
        """What was kept of the file at the commit was found wrong."""
        ...

    async def drop_listings(self, repo: RepoId, commit: str) -> None:
        """What was kept of the repo at the commit was found wrong in places."""
        ...

    def path_of_xet(self, repo: RepoId, commit: str, xet: str) -> str | None:
        """Where in the repo at the commit a file of that Xet hash is; None when unknown."""
        ...

    def xet_above(self, repo: RepoId, commit: str, size: int, *, most: int = ...) -> dict[str, str]:
        """Xet hash by path of the files of more than `size` bytes that are known to have one, at most `most`."""
        ...

    def listing(self, key: ListingKey) -> Listing | None: ...

    async def keep_listing(self, key: ListingKey, listing: Listing) -> None: ...

    def public_since(self, repo: RepoId, plane: Plane) -> float | None:
        """When (wall clock) an anonymous caller was last seen to be allowed; None when not known to be public."""
        ...

    async def keep_public(self, repo: RepoId, plane: Plane) -> None: ...

    async def drop_public(self, repo: RepoId, plane: Plane) -> None: ...

    def is_purged(self, key: BlobKey, at: float) -> bool:
        """Whether the purge of the blob that was ordered at `at` (wall clock) was carried out on this node."""
        ...

    async def keep_purged(self, key: BlobKey, at: float) -> None:
        """It was carried out."""
        ...


# --- telemetry --------------------------------------------------------------------------------------------------


class FillObserver(Protocol):
    """Who counts downloads. Called on the loop; returns at once."""

    def fill_started(self) -> None: ...

    def fill_bytes(self, count: int) -> None:
        """`count` bytes arrived for the store."""
        ...

    def fill_ended(self, result: str) -> None:
        """`result`: ok, checksum, upstream_error, put_off, aborted, disk. Once for each `fill_started`."""
        ...

    def waiters(self, change: int) -> None:
        """`change` (+1, -1) readers follow a download that somebody else caused."""
        ...


# --- access -----------------------------------------------------------------------------------------------------


class Gatekeeper(Protocol):
    """Rights of callers, each learnt from the origin by that caller's own token; in memory, short-lived."""

    def standing(self, caller: Caller, repo: RepoId, plane: Plane) -> bool | Denied:
        """True: allowed and fresh. False: not known, ask the origin. Denied: refused a moment ago."""
        ...

    def left(self, repo: RepoId, plane: Plane) -> float:
        """For how many seconds everybody is allowed still; 0 when nobody in particular is known to be."""
        ...

    def allow(self, caller: Caller, repo: RepoId, plane: Plane) -> None: ...

    def deny(self, caller: Caller, repo: RepoId, plane: Plane, refusal: OriginRefused) -> None: ...

    def close(self, repo: RepoId, plane: Plane) -> None:
        """The repo is not for everybody any more: what anonymous callers were allowed is void."""
        ...


# --- cluster ----------------------------------------------------------------------------------------------------


class Fleet(Protocol):
    """The other nodes, by their names. A slice is given by the name that all nodes know its blob by, and its index."""

    def route(self, name: BlobKey, index: int, part: float) -> tuple[Ask, ...]:
        """Whom to ask for `part` (0 to 1) of the slice before we fetch it ourselves, best first; nobody when it is ours
        to fetch."""
        ...

    def read(
        self, peer: str, question: Question, span: Span, *, hops: int, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of `span` (inside one slice) from `peer`, exactly, in order; to be closed as a `Source` is.

        `hops` is how many nodes the question has come through when it gets there; `follow`: it holds the lease, and is
        given more time. Raises PeerFailed, AskAnother; OriginRefused, OriginBusy, AddressRefused: what it was told."""
        ...

    def lease(self, name: BlobKey, index: int) -> AbstractAsyncContextManager[Standing]:
        """Who is to fetch the slice; while it is ours, others are told so. Never waits long, never fails."""
        ...

    def ranks_before_us(self, url: str, name: BlobKey, index: int) -> bool:
        """Whether we would ask the member at `url` for the slice before we fetch it."""
        ...

    @property
    def is_leaving(self) -> bool:
        """Whether this node hands its slices over to the others."""
        ...

    @property
    def us(self) -> str:
        """Our own name."""
        ...

    def ranked(self, name: BlobKey, index: int) -> tuple[str, ...]:
        """All nodes that may be asked, and us, in rank for the slice."""
        ...

    async def manifest(self, peer: str, question: PeerQuestion) -> Manifest:
        """The manifest of the blob in `question`, as `peer` has it; `stored_only`: and reads nothing for it.

        Raises AskAnother, PeerFailed, FoundWrong."""
        ...

    def stamped(self, manifest: Manifest) -> bytes:
        """The manifest with the sign that a node of this fleet made it."""
        ...

    def unstamped(self, stamped: bytes, record: BlobRecord) -> Manifest | None:
        """The manifest of `record` that a node of this fleet has stamped; None for anything else."""
        ...

    def lied(self, peer: str) -> None:
        """The peer gave bytes that are not those of the file."""
        ...

    def completed(self, name: BlobKey, index: int) -> None:
        """All of the slice is here: whoever is to fetch it later may be told to ask us."""
        ...


class Turn(Protocol):
    """A question that one node of the fleet asks for all; what another has found of it already, if anything."""

    @property
    def ref(self) -> RefEntry | None: ...

    @property
    def refusal(self) -> OriginRefused | SlowDown | None:
        """What the origin said a moment ago to another who asked this."""
        ...

    def tell_ref(self, entry: RefEntry, ttl: float) -> None:
        """The revision means that commit, for `ttl` seconds from when it was asked. Told when the turn ends."""
        ...

    def tell_refusal(self, refusal: OriginRefused | SlowDown) -> None:
        """The origin does not answer. Told when the turn ends."""
        ...


class FileTurn(Turn, Protocol):
    """A question about a file."""

    @property
    def facts(self) -> FileFacts | Absent | None: ...

    def tell_facts(self, commit: str, facts: FileFacts | Absent) -> None:
        """The file at `commit` is that. Told when the turn ends."""
        ...


class ListingTurn(Turn, Protocol):
    """A question about a listing."""

    @property
    def listing(self) -> Listing | None: ...

    def tell_listing(self, commit: str, listing: Listing, ttl: float) -> None:
        """The listing at `commit` ("" where it names no revision) is that, for `ttl` seconds from when it was stored.
        Told when the turn ends."""
        ...


class Commons(Protocol):
    """What the nodes of a fleet know together. Only for repos that everybody is known here to be allowed to read."""

    def file(self, target: FileTarget) -> AbstractAsyncContextManager[FileTurn]:
        """Ask what the file is, and what its revision means. Waits a moment while another node asks the same. Never
        fails."""
        ...

    def listing(
        self, asked: ListingKey, revision: Revision | None, at: Callable[[str], ListingKey]
    ) -> AbstractAsyncContextManager[ListingTurn]:
        """As `file`, for a listing: the question as it came, the revision it names, what it is called at a commit."""
        ...


class Notices(Protocol):
    """What the other nodes have to know."""

    def tell(self, notice: Notice) -> None:
        """Tell all other workers of all nodes; returns at once."""
        ...


# --- origin -----------------------------------------------------------------------------------------------------


class Source(Protocol):
    """Where the bytes of one record come from."""

    def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """The bytes of `span`, exactly, in order; cuts are healed inside, expired URLs renewed. Who leaves early closes
        it (`contextlib.aclosing`), which closes the connection.

        `can_wait`: nobody waits for them; not worth one of the last requests the origin allows (OriginBusy then).

        Raises OriginRefused, OriginAway, OriginLied (SourceChanged, RangeMangled)."""
        ...


class OriginStream(Protocol):
    """An answer of the origin that is read while it lasts. `headers` are as those of an `OriginReply`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises OriginUnreachable when it is cut, OriginLied."""
        ...


class Origin(Protocol):
    """The door of the origin."""

    async def head_file(self, target: FileTarget, caller: Caller, *, can_wait: bool = False) -> FoundFile | Moved:
        """HEAD of the very file with the caller's own token. Raises OriginRefused, OriginAway, OriginLied.

        `can_wait`: what is kept will do; not worth one of the last requests the origin allows (OriginBusy then)."""
        ...

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
        """One request to the origin itself, answered whole (at most 32 MiB), redirects not followed.

        Any status but 429 and 5xx is returned. Raises OriginAway, OriginLied (too large)."""
        ...

    def stream(
        self,
        method: str,
        raw_target: str,
        caller: Caller,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | AsyncIterable[bytes] | None = None,
        patience: float = 0.0,
    ) -> AbstractAsyncContextManager[OriginStream]:
        """As `call`, but the answer is read while it comes, and so may the body be: it has `patience` seconds for that,
        and what it raises is raised here."""
        ...

    def source(self, target: FileTarget, facts: FileFacts, caller: Caller, *, lend: bool = False) -> Source:
        """The bytes of a file at a commit, fetched with the caller's token.

        `lend`: the caller has none and was just proven to be allowed; the mirror may use a token of its own."""
        ...

    def object_source(self, target: ObjectTarget, facts: FileFacts, caller: Caller, *, lend: bool = False) -> Source:
        """The bytes of an object, fetched over the counter it names, with the caller's token; `lend` as for files."""
        ...
