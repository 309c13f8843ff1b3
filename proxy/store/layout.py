"""Where things lie on a disk of the store, and what names them. Pure.

    <disk>/disk.json            format version and the disk's own id (it moves with the disk)
    <disk>/owner                whose disk it is just now: a lock, and the node's name
    <disk>/workers              one lock byte per live worker
    <disk>/lock                 locks by name: byte hash(name)
    <disk>/index.sqlite         the index, rebuildable
    <disk>/blobs/ab/<scheme>-<hex>/{bytes,map}   a blob of more than one chunk, or its slices that live here
    <disk>/small/ab/<hex>       a blob of at most one chunk
    <disk>/tmp/<worker>-<token>                 not yet published
    <disk>/trash/<worker>-<entry>-<token>       no longer published, not yet deleted

What lies in `blobs` and `small` got there by one rename, and leaves by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import xxhash

from proxy.core.blob import BlobKey, KeyScheme

FORMAT: Final = 1
"""Version of everything on a disk; another version is refused, never guessed at."""

_TAGS: Final = {(KeyScheme.SHA256, False): b"c", (KeyScheme.ETAG, False): b"e", (KeyScheme.SHA256, True): b"s"}
_BY_TAG: Final = {tag: what for what, tag in _TAGS.items()}
TAGS: Final = ("c", "e", "s")
"""The first letters of entries: chunked under sha256, chunked under etag, small."""
_LOCK_MASK: Final = (1 << 61) - 1


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """What a disk keeps under one name: a small blob, or its share of a larger one."""

    key: BlobKey
    small: bool

    def __post_init__(self) -> None:
        if (self.key.scheme, self.small) not in _TAGS:
            raise ValueError(f"a small blob is kept under its sha256, not as {self.key}")

    def pack(self) -> bytes:
        """33 bytes for the index: one for the kind, 32 for the hash."""
        return _TAGS[self.key.scheme, self.small] + bytes.fromhex(self.key.hex)

    @classmethod
    def unpack(cls, packed: bytes) -> Entry:
        scheme, small = _BY_TAG[packed[:1]]
        return cls(BlobKey(scheme.value, packed[1:].hex()), small)

    @property
    def text(self) -> str:
        """A file-name-safe spelling: the kind's letter and the hash."""
        return self.pack()[:1].decode() + self.key.hex

    @classmethod
    def parse(cls, text: str) -> Entry:
        """The entry that `text` spelled. Raises ValueError."""
        if text[:1].encode() not in _BY_TAG:
            raise ValueError(f"not an entry: {text!r}")
        return cls.unpack(text[:1].encode() + bytes.fromhex(text[1:]))


def entries_of(key: BlobKey) -> list[Entry]:
    """Under which names a blob may be kept."""
    return [Entry(key, small) for scheme, small in _TAGS if scheme is key.scheme]


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one disk."""

    root: str

    @property
    def identity(self) -> str:
        return f"{self.root}/disk.json"

    @property
    def owner(self) -> str:
        return f"{self.root}/owner"

    @property
    def workers(self) -> str:
        return f"{self.root}/workers"

    @property
    def lock(self) -> str:
        return f"{self.root}/lock"

    @property
    def index(self) -> str:
        return f"{self.root}/index.sqlite"

    @property
    def folders(self) -> tuple[str, ...]:
        return (f"{self.root}/blobs", f"{self.root}/small", f"{self.root}/tmp", f"{self.root}/trash")

    def place(self, entry: Entry) -> str:
        """The directory of a large blob, or the file of a small one."""
        key = entry.key
        if entry.small:
            return f"{self.root}/small/{key.hex[:2]}/{key.hex}"
        return f"{self.root}/blobs/{key.hex[:2]}/{key.scheme_name}-{key.hex}"

    def temporary(self, worker: int, token: str) -> str:
        return f"{self.root}/tmp/{worker}-{token}"

    def trash(self, worker: int, entry: Entry, token: str) -> str:
        return f"{self.root}/trash/{worker}-{entry.text}-{token}"


def worker_of(name: str) -> int | None:
    """The worker that made the file called `name` in `tmp` or `trash`; None when it is not ours."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else None


def entry_of_trash(name: str) -> Entry | None:
    """What the file called `name` in `trash` was."""
    try:
        return Entry.parse(name.split("-")[1])
    except (IndexError, ValueError):
        return None


def entry_of_place(folder: str, name: str) -> Entry | None:
    """The entry published as `name` under `folder` ("blobs" or "small"); None for a name that is not ours."""
    try:
        if folder == "small":
            return Entry(BlobKey.sha256(name), small=True)
        scheme, _, digits = name.partition("-")
        return Entry(BlobKey(scheme, digits), small=False)
    except ValueError:
        return None


def name_byte(name: str) -> int:
    """The byte of the lock file that stands for the node-wide lock called `name`."""
    return xxhash.xxh3_64_intdigest(name.encode()) & _LOCK_MASK


def entry_byte(entry: Entry) -> int:
    """The byte of the lock file that stands for the publishing and unpublishing of `entry` (upper half)."""
    return (xxhash.xxh3_64_intdigest(entry.pack()) & _LOCK_MASK) | (1 << 61)
