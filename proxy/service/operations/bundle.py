"""The bundle: files of repos, their listings and branches, in one signed tar for a place without a network.

    penstock-bundle.json     the manifest: repos, files, listings, branches
    blobs/sha256-<hex>       bytes, each once, in the order of the manifest
    blobs/git-<hex>          the same for files kept in git, under git's own sha1
    penstock-bundle.sig      sha256 of every byte before it, signed (Ed25519)

Any tar can look into it. Nothing in it is believed before the signature over all of it was found right, and its last
member is spelt in one way only: a bundle changed in any byte is refused. The functions here block.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field, ValidationError

from proxy.core.sizes import MIB

from .shape import Told

FORMAT: Final = 1
MANIFEST: Final = "penstock-bundle.json"
SIGNATURE: Final = "penstock-bundle.sig"
LARGEST_MANIFEST: Final = 512 * MIB
_BLOCK: Final = tarfile.BLOCKSIZE
_SAYS: Final = b"penstock bundle 1\n"


class BundleRefused(Exception):
    """The bundle is not what it should be; the message is for people."""


class BundledFile(Told):
    """A file of a repo; its bytes are the member called `member`."""

    path: str
    etag: str = Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")
    size: int = Field(ge=0)
    xet: str | None = None

    @property
    def linked(self) -> bool:
        return len(self.etag) == 64

    @property
    def member(self) -> str:
        return f"blobs/{'sha256' if self.linked else 'git'}-{self.etag}"


class BundledListing(Told):
    """An answer of the Hub about a repo, as it was kept; `body` is base64."""

    text: str
    status: int
    headers: list[tuple[str, str]]
    body: str
    immutable: bool


class BundledRepo(Told):
    """A repo at a commit."""

    repo: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    refs: list[str] = Field(description="Branches and tags that mean that commit.")
    public: list[str] = Field(description="On which planes everybody was seen to be allowed.")
    files: list[BundledFile]
    listings: list[BundledListing]


class Manifest(Told):
    """What a bundle holds."""

    format: int
    made: int = Field(description="When, in seconds since 1970.")
    repos: list[BundledRepo]

    def blobs(self) -> list[BundledFile]:
        """Each blob once, in the order of the members; empty files have none."""
        found = {file.member: file for repo in self.repos for file in repo.files if file.size}
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle that was found right: its manifest, and where in the file the bytes of each member begin."""

    manifest: Manifest
    offsets: dict[str, int]
    signer: str


class BundleWriter:
    """Writes a bundle front to back, hashing as it goes."""

    def __init__(self, file: BinaryIO, made: int) -> None:
        self._file = file
        self._made = made
        self._hasher = hashlib.sha256()

    def manifest(self, manifest: Manifest) -> None:
        content = manifest.model_dump_json().encode()
        self.begin(MANIFEST, len(content))
        self.write(content)
        self.end(len(content))

    def begin(self, name: str, size: int) -> None:
        self.write(_header(name, size, self._made))

    def write(self, piece: bytes) -> None:
        self._hasher.update(piece)
        self._file.write(piece)

    def end(self, size: int) -> None:
        self.write(b"\0" * (-size % _BLOCK))

    def sign(self, key: Ed25519PrivateKey) -> None:
        """The last member, and the end of the tar."""
        digest = self._hasher.digest()
        self._file.write(_tail(digest, key_text(key.public_key()), key.sign(_SAYS + digest), self._made))


def opened(path: Path, trusted: set[str], progress: Callable[[int], None]) -> Opened:
    """The bundle in the file, every byte of it found right and signed by one of `trusted`; `progress` is told of bytes
    that were read. Raises BundleRefused, OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        end = size - _TAIL
        if end < _BLOCK:
            raise BundleRefused("it is too short to be a bundle")
        tail = os.pread(file.fileno(), _TAIL, end)
        made = _made_of(os.pread(file.fileno(), _BLOCK, 0))
        signer, claimed, signature = _read_tail(tail, made)
        digest = _digest(file, end, progress)
        if digest != claimed:
            raise BundleRefused("it was changed or cut since it was signed: its sha256 is not the one that was signed")
        _check(signer, signature, digest)
        if signer not in trusted:
            raise BundleRefused(
                f"it is whole and signed by {signer}, a key that this node was not told to trust; if that is what "
                f"penstock export printed on the other side, import with: --trust {signer}"
            )
        return _laid_out(file, made, end, signer)


def key_text(key: Ed25519PublicKey) -> str:
    """A public key as people pass it on: 44 characters."""
    return base64.urlsafe_b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _header(name: str, size: int, made: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, made, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _tail(digest: bytes, signer: str, signature: bytes, made: int) -> bytes:
    """The signature's member and the end of the tar: always of the same length, and spelt in one way only."""
    content = orjson.dumps(
        {"sha256": digest.hex(), "key": signer, "signature": base64.urlsafe_b64encode(signature).decode()}
    )
    return _header(SIGNATURE, len(content), made) + content + b"\0" * (-len(content) % _BLOCK) + b"\0" * 2 * _BLOCK


_TAIL: Final = len(_tail(bytes(32), "k" * 44, bytes(64), 0))


def _made_of(header: bytes) -> int:
    try:
        entry = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeError, ValueError):
        entry = tarfile.TarInfo()
    if entry.name != MANIFEST:
        raise BundleRefused("it is no bundle: it does not begin with a manifest")
    return int(entry.mtime)


def _read_tail(tail: bytes, made: int) -> tuple[str, bytes, bytes]:
    """Signer, digest and signature. Raises BundleRefused unless it is the one spelling of them."""
    try:
        said = orjson.loads(tail[_BLOCK:].rstrip(b"\0"))
        signer = str(said["key"])
        digest, signature = bytes.fromhex(said["sha256"]), base64.urlsafe_b64decode(said["signature"])
        if tail == _tail(digest, signer, signature, made):
            return signer, digest, signature
    except (ValueError, KeyError, TypeError):
        pass
    raise BundleRefused("its end is not a signature: it was cut or changed")


def _digest(file: BinaryIO, end: int, progress: Callable[[int], None]) -> bytes:
    hasher, position = hashlib.sha256(), 0
    file.seek(0)
    while position < end and (piece := file.read(min(4 * MIB, end - position))):
        hasher.update(piece)
        position += len(piece)
        progress(len(piece))
    return hasher.digest()


def _check(signer: str, signature: bytes, digest: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(signer)).verify(signature, _SAYS + digest)
    except (InvalidSignature, ValueError):
        raise BundleRefused("its signature is wrong") from None


def _laid_out(file: BinaryIO, made: int, end: int, signer: str) -> Opened:
    """The manifest, and where everything is: members lie as the manifest says, one after the other."""
    size = tarfile.TarInfo.frombuf(os.pread(file.fileno(), _BLOCK, 0), "ascii", "strict").size
    if size > LARGEST_MANIFEST:
        raise BundleRefused(f"its manifest is larger than {LARGEST_MANIFEST} bytes")
    try:
        manifest = Manifest.model_validate_json(os.pread(file.fileno(), size, _BLOCK))
    except ValidationError as error:
        raise BundleRefused(f"its manifest makes no sense: {error.errors()[0]['msg']}") from None
    if manifest.format != FORMAT:
        raise BundleRefused(f"it has format {manifest.format}, this version reads {FORMAT}")
    offsets = dict(_places(manifest, _BLOCK + _padded(size)))
    blobs = manifest.blobs()
    last = offsets[blobs[-1].member] + _padded(blobs[-1].size) if blobs else _BLOCK + _padded(size)
    if last != end:
        raise BundleRefused("it does not hold what its manifest says")
    return Opened(manifest, offsets, signer)


def _places(manifest: Manifest, begin: int) -> Iterator[tuple[str, int]]:
    for blob in manifest.blobs():
        yield blob.member, begin + _BLOCK
        begin += _BLOCK + _padded(blob.size)


def _padded(size: int) -> int:
    return size + -size % _BLOCK
