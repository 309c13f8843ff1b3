"""What a reader gets: pieces of a blob, in order, each already readable."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ByteSource(Enum):
    """Where delivered bytes came from; the label `source` of `penstock_response_bytes_total`."""

    DISK = "disk"
    """They were on a disk of this node before the request."""
    FILL = "fill"
    """They arrived on disk while the request waited for them, from the origin as far as is known."""
    PEER = "peer"
    """Likewise, in a slice of which other nodes gave all that has come here."""
    MEMORY = "memory"
    """They were held in memory (small answers, listings)."""
    RELAY = "relay"
    """They were passed on from the origin without being stored."""


@dataclass(frozen=True, slots=True)
class FilePiece:
    """`length` bytes of the open file `fd` from `offset` on; `disk` names the disk, for its thread pool.

    The descriptor stays valid until the next piece is asked for, or the iteration ends.
    """

    fd: int
    offset: int
    length: int
    disk: str
    source: ByteSource


@dataclass(frozen=True, slots=True)
class MemoryPiece:
    """Bytes held in memory."""

    content: bytes
    source: ByteSource


Piece = FilePiece | MemoryPiece
