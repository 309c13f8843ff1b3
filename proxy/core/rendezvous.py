"""Who is responsible for a name: weighted rendezvous hashing. Pure.

Every (name, candidate) draws a number; the best draw wins, a candidate of twice the weight wins twice as often; when
one comes or goes only the names that it wins move (Schindelhauer and Schomaker 2005, weighted by -w / ln u). Disks of a
node and nodes of a fleet are ranked so; nobody has to be asked, everybody who knows the candidates gets the same order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import xxhash

_DRAWS: Final = float(1 << 53)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One in the ranking: its own id, which stays with it, and its weight (> 0; only ratios count)."""

    id: str
    weight: int


def rank(name: bytes, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """The ids of `candidates`, the home of `name` first, then where it goes when that one is full or gone.

    Which order follows from which name is part of the disk format: it must never change."""
    if len(candidates) == 1:
        return (candidates[0].id,)
    return tuple(one.id for one in sorted(candidates, key=lambda one: (-_score(one, name), one.id)))


def _score(candidate: Candidate, name: bytes) -> float:
    draw = xxhash.xxh3_64_intdigest(name + candidate.id.encode()) >> 11
    return -candidate.weight / math.log((draw + 0.5) / _DRAWS)
