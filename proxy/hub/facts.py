"""What the Hub says about a file or a listing, in values that may be kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from proxy.core.blob import BlobKey, BlobRecord, Digest, DigestKind
from proxy.core.sizes import CHUNK

from .names import FileTarget, RepoId

_EMPTY: Final = frozenset(
    {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    }
)
"""The sha256 of no bytes, and git's sha1 of them."""
_XET_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file at a commit: immutable.

    `etag` is what clients use as the blob's name: 64 hexadecimal digits (sha256) for LFS and Xet files, 40 (git blob
    sha1) for small git files. `key` is None for a git file whose own sha256 is not known yet (it never was here).
    """

    etag: str
    size: int
    linked: bool
    """Whether the Hub keeps it outside git (LFS or Xet)."""
    key: BlobKey | None
    xet: str | None = None
    """The name that Xet clients know it by (64 hexadecimal digits), where the Hub told us."""

    @property
    def can_be(self) -> bool:
        """False for what no file is: empty with another digest than that of nothing, or the other way round. Nothing
        is fetched of an empty file, so this is all its proof."""
        return (self.size == 0) == (self.etag in _EMPTY)

    @property
    def digest(self) -> Digest:
        return Digest(DigestKind.SHA256 if self.linked else DigestKind.GIT_SHA1, self.etag)

    @property
    def is_small(self) -> bool:
        """Whether it is kept as one file rather than in chunks."""
        return self.size <= CHUNK

    def record(self, repo: RepoId) -> BlobRecord:
        """The record its bytes are kept under. Git blobs larger than a chunk belong to their repo alone: sha1 is not
        a name to share by."""
        key = self.key or BlobKey.of_place(f"git:{repo}", self.etag, self.size)
        return BlobRecord(key, self.size, self.etag, self.digest)

    def shared_name(self, repo: RepoId) -> BlobKey:
        """What every node of a fleet calls it, whether or not it has learnt its sha256 yet."""
        return BlobKey.sha256(self.etag) if self.linked else BlobKey.of_place(f"git:{repo}", self.etag, self.size)


def facts_fields(facts: FileFacts) -> list[object]:
    """`facts` as they go from node to node."""
    return [facts.etag, facts.size, facts.linked, None if facts.key is None else str(facts.key), facts.xet]


def facts_of(fields: list[Any]) -> FileFacts:
    """The facts that `fields` are. Raises ValueError, TypeError, AttributeError for fields that are none."""
    etag, size, linked, key, xet = fields
    facts = FileFacts(etag, size, linked, None if key is None else BlobKey.parse(key), xet)
    if not facts.can_be:
        raise ValueError("no file has this length and this digest")
    _ = BlobRecord(facts.key or BlobKey.sha256("0" * 64), size, etag, facts.digest)  # refuses what can be no file
    return facts


def xet_hash(said: object) -> str | None:
    """The Xet hash that the Hub told us; None for anything that is none."""
    return said if isinstance(said, str) and _XET_HASH.fullmatch(said) else None


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such file at that commit: as immutable as a file."""

    commit: str


@dataclass(frozen=True, slots=True)
class ListingKey:
    """A metadata answer: the repo, and the rendered target with its normalised query (and body, for paths-info)."""

    repo: RepoId
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A kept metadata answer of the origin, as it came but for Xet hints, which are stripped.

    `headers` are lower-case and allow-listed; `stored_at` is wall-clock seconds; `immutable` when it can never change.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    stored_at: float
    immutable: bool


@dataclass(frozen=True, slots=True)
class RefEntry:
    """A mutable revision and the commit it meant at `checked_at` (wall clock, seconds)."""

    commit: str
    checked_at: float


@dataclass(frozen=True, slots=True)
class Moved:
    """The repo has another name (renamed, or spelt in another case); `target` is where the file is now."""

    target: FileTarget


@dataclass(frozen=True, slots=True)
class FoundFile:
    """The origin's answer to a HEAD of a file: where the revision points, and what the file is."""

    commit: str
    facts: FileFacts


@dataclass(frozen=True, slots=True)
class OriginReply:
    """A whole small answer of the origin; header names are lower-case, hop-by-hop ones removed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)
