"""What is this node's own to keep: the store is told which slices are, and knows nothing of other nodes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from proxy.core.blob import BlobKey
from proxy.core.sizes import CHUNK, SLICE

from .chunkmap import ChunkMap, MapDamaged
from .disk import Disk
from .part import open_part

Owns = Callable[[BlobKey, int], bool]
"""Whether a slice is this node's to fetch for others too, by the blob's key and the slice's index. Asked by any thread;
answers at once."""

_CHUNKS = SLICE // CHUNK


def holds_mostly_own(disk: Disk, place: str, boot: bytes, owns: Owns) -> bool:
    """Whether more than half of the slices of which the part at `place` has bytes are this node's own. Blobs leave a
    disk as a whole: a copy of all that others own may take a slice of ours along. Raises OSError."""
    try:
        part = open_part(disk, place, boot)
    except MapDamaged:
        return False
    if part is None:
        return False
    with closing(part):
        here = _slices_of(part.map)
        return 2 * sum(owns(part.map.record.key, index) for index in here) > len(here)


def _slices_of(chunks: ChunkMap) -> list[int]:
    count = -(-chunks.chunks // _CHUNKS)
    return [index for index in range(count) if any(chunks.complete(index * _CHUNKS, (index + 1) * _CHUNKS))]
