"""Which disk a slice belongs on: `core.rendezvous` over the disks of the node. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core import rendezvous
from proxy.core.blob import BlobKey
from proxy.core.rendezvous import Candidate


def rank(key: BlobKey, slice_index: int, disks: Sequence[Candidate]) -> tuple[str, ...]:
    """The ids of `disks` (weighed by the bytes they may keep), the home of the slice first, then where it goes when
    that one is full or gone."""
    return rendezvous.rank(f"{key}/{slice_index}/".encode(), disks)


def homes(key: BlobKey, slices: int, disks: Sequence[Candidate]) -> frozenset[str]:
    """The ids of the disks that are first in rank for at least one of the blob's `slices`."""
    found: set[str] = set()
    for index in range(slices):
        if len(found) == len(disks):
            break
        found.add(rank(key, index, disks)[0])
    return frozenset(found)
