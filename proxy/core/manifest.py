"""The manifest of a blob: the sha256 of each of its slices. Pure.

A node of a fleet may hold slices of a blob and never the whole, whose digest is the only proof the origin gives. So one
that has read the whole and found it right writes down what each slice is; against that the others prove theirs.

In bytes (little-endian): magic, format version, bytes of a slice, bytes of the blob, 32 of its key's hash with one for
the key's kind before them, then 32 for each slice. Who vouches for it is not said here: see `cluster.signing`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .blob import BlobKey, KeyScheme
from .sizes import SLICE

FORMAT: Final = 1
LARGEST: Final = 4 << 20
"""Bytes of a manifest: eight terabytes in slices."""

_MAGIC: Final = b"PENSTKMF"
_HEAD: Final = struct.Struct("<8sIQQB32s")
_KINDS: Final = (KeyScheme.SHA256, KeyScheme.ETAG)
_HEX64: Final = re.compile(r"[0-9a-f]{64}")


class NoManifest(ValueError):
    """Bytes that are no manifest of this format."""


class Found(Enum):
    """What became of a slice that was compared with its manifest."""

    RIGHT = "right"
    WRONG = "wrong"
    """Its chunks are missing from now on."""
    INCOMPLETE = "incomplete"
    """Some of it is not here, or was just changed: nothing is known of it."""


def slice_count(size: int) -> int:
    return -(-size // SLICE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`slices`: the sha256, hexadecimal, of each slice of the blob `key` of `size` bytes, in order."""

    key: BlobKey
    size: int
    slices: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.size < 1 or len(self.slices) != slice_count(self.size):
            raise ValueError(f"{len(self.slices)} slices are not {self.size} bytes")
        if not all(_HEX64.fullmatch(digest) for digest in self.slices):
            raise ValueError("a slice's digest is 64 hexadecimal digits")

    def encoded(self) -> bytes:
        kind = _KINDS.index(self.key.scheme)
        head = _HEAD.pack(_MAGIC, FORMAT, SLICE, self.size, kind, bytes.fromhex(self.key.hex))
        return head + b"".join(map(bytes.fromhex, self.slices))

    @classmethod
    def decoded(cls, content: bytes) -> Manifest:
        """Raises NoManifest."""
        try:
            magic, version, unit, size, kind, key = _HEAD.unpack_from(content)
            if (magic, version, unit) != (_MAGIC, FORMAT, SLICE):
                raise NoManifest(f"not a manifest of format {FORMAT}")
            digests = content[_HEAD.size :]
            if len(digests) != 32 * slice_count(size):
                raise NoManifest("its length is not that of its slices")
            slices = tuple(digests[at : at + 32].hex() for at in range(0, len(digests), 32))
            return cls(BlobKey(_KINDS[kind].value, key.hex()), size, slices)
        except (struct.error, ValueError, IndexError) as error:
            raise NoManifest(str(error)) from None

    def wrong_in(self, found: Sequence[str]) -> frozenset[int]:
        """The indexes of the slices of which another digest was `found`."""
        assert len(found) == len(self.slices), "digests of all slices"
        return frozenset(index for index, digest in enumerate(found) if digest != self.slices[index])
