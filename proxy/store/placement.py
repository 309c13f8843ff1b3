"""Which disk a slice belongs on: weighted rendezvous hashing. Pure.

Every (blob, slice, disk) draws a number; the best draw wins, a disk of twice the weight wins twice as often, and when a
disk comes or goes only the slices that it wins move (Schindelhauer and Schomaker 2005, weighted by -w / ln u).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import xxhash

from proxy.core.blob import BlobKey

_DRAWS: Final = float(1 << 53)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A disk in the ranking: its own id, which moves with it, and its weight (bytes it may keep, > 0)."""

    id: str
    weight: int


def _score(candidate: Candidate, name: bytes) -> float:
    draw = xxhash.xxh3_64_intdigest(name + candidate.id.encode()) >> 11
    return -candidate.weight / math.log((draw + 0.5) / _DRAWS)


def rank(key: BlobKey, slice_index: int, disks: Sequence[Candidate]) -> tuple[str, ...]:
    """The ids of `disks`, the home of the slice first, then where it goes when that one is full or gone."""
    name = f"{key}/{slice_index}/".encode()
    if len(disks) == 1:
        return (disks[0].id,)
    return tuple(disk.id for disk in sorted(disks, key=lambda disk: (-_score(disk, name), disk.id)))


def homes(key: BlobKey, slices: int, disks: Sequence[Candidate]) -> frozenset[str]:
    """The ids of the disks that are first in rank for at least one of the blob's `slices`."""
    found: set[str] = set()
    for index in range(slices):
        if len(found) == len(disks):
            break
        found.add(rank(key, index, disks)[0])
    return frozenset(found)
