"""Blobs: immutable bytes, what names them, and what proves them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_HEX40: Final = re.compile(r"[0-9a-f]{40}")


class KeyScheme(Enum):
    """How a blob's key was made."""

    SHA256 = "sha256"
    """The sha256 of the bytes: shared by every repo that holds them."""
    ETAG = "etag"
    """A hash of URL, strong validator and length: bytes of one place only, their own hash unknown so far."""


@dataclass(frozen=True, slots=True, order=True)
class BlobKey:
    """The name of a blob; `hex` is 64 lower-case hexadecimal digits."""

    scheme_name: str
    hex: str

    def __post_init__(self) -> None:
        KeyScheme(self.scheme_name)
        if not _HEX64.fullmatch(self.hex):
            raise ValueError(f"not 64 hexadecimal digits: {self.hex!r}")

    def __str__(self) -> str:
        return f"{self.scheme_name}:{self.hex}"

    @property
    def scheme(self) -> KeyScheme:
        return KeyScheme(self.scheme_name)

    @classmethod
    def sha256(cls, hexdigest: str) -> BlobKey:
        return cls(KeyScheme.SHA256.value, hexdigest)

    @classmethod
    def of_place(cls, url: str, validator: str, size: int) -> BlobKey:
        """The key of bytes known only by where they are: `url`, strong `validator`, length in bytes."""
        text = f"{url}\n{validator}\n{size}".encode()
        return cls(KeyScheme.ETAG.value, hashlib.sha256(text).hexdigest())

    @classmethod
    def parse(cls, text: str) -> BlobKey:
        """The key that `str(key)` spelled. Raises ValueError."""
        scheme, _, digits = text.partition(":")
        return cls(scheme, digits)


class DigestKind(Enum):
    """A hash the origin announces for a file."""

    SHA256 = "sha256"
    GIT_SHA1 = "git-sha1"
    """The sha1 of `blob <length>\\0` and the bytes: git's own object id."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What the bytes must hash to before they count as sealed."""

    kind: DigestKind
    hex: str

    def __post_init__(self) -> None:
        pattern = _HEX64 if self.kind is DigestKind.SHA256 else _HEX40
        if not pattern.fullmatch(self.hex):
            raise ValueError(f"not a {self.kind.value} digest: {self.hex!r}")

    def hasher(self, size: int) -> hashlib._Hash:
        """A fresh hash object to feed `size` bytes; it has to end at `hex`."""
        if self.kind is DigestKind.SHA256:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def matches(self, content: bytes | bytearray) -> bool:
        hasher = self.hasher(len(content))
        hasher.update(content)
        return hasher.hexdigest() == self.hex


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """One generation of a blob: key, strong validator, length. Bytes of two records are never mixed.

    `validator` is the opaque tag without quotes (1 to 512 visible ASCII characters), `size` is in bytes.
    `digest` is None where the origin announces none (a generic origin).
    """

    key: BlobKey
    size: int
    validator: str
    digest: Digest | None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"a blob has no negative length: {self.size}")
        if not 0 < len(self.validator) <= 512 or not self.validator.isascii() or '"' in self.validator:
            raise ValueError(f"not a strong validator: {self.validator!r}")

    def contradicts(self, other: BlobRecord) -> bool:
        """Whether only one of the two can be true: bytes of one sha256 have one length."""
        return self.key == other.key and self.key.scheme is KeyScheme.SHA256 and self.size != other.size


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` readable bytes of the open file `fd` from `offset` on, on the disk named `disk`."""

    fd: int
    offset: int
    length: int
    disk: str
