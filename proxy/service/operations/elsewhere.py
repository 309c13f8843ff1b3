"""What the other nodes of the fleet have of a blob, each asked now: for `explain`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, Protocol

from proxy.core.blob import BlobKey
from proxy.core.errors import PeerError
from proxy.core.sizes import SLICE
from proxy.core.spans import Span, whole
from proxy.hub.peering import PeerQuestion

MOST_SLICES: Final = 16
"""Slices, from the first on, that are told of."""
MOST_NODES: Final = 32
"""Nodes that are asked, best in rank for the first slice first."""


class FleetView(Protocol):
    """The fleet as this node sees it."""

    @property
    def us(self) -> str: ...

    def ranked(self, name: BlobKey, index: int) -> tuple[str, ...]:
        """The nodes in rank for a slice, best first."""
        ...

    async def has(self, peer: str, question: PeerQuestion, span: Span) -> bool:
        """Whether `peer` has all of `span` (inside one slice) now. Raises PeerError when it does not say."""
        ...


async def held_elsewhere(fleet: FleetView, question: PeerQuestion) -> dict[str, list[int] | None]:
    """By node the slices, of the first `MOST_SLICES`, that it has whole; None for one that does not say."""
    peers = [peer for peer in fleet.ranked(question.name, 0) if peer != fleet.us][:MOST_NODES]
    found = await asyncio.gather(*(_held_by(fleet, peer, question) for peer in peers))
    return dict(zip(peers, found, strict=True))


async def _held_by(fleet: FleetView, peer: str, question: PeerQuestion) -> list[int] | None:
    # One after another: a node that hangs costs one timeout, and none is asked sixteen things at once.
    held = []
    for index, span in zip(range(MOST_SLICES), whole(question.size).split(SLICE), strict=False):
        try:
            if await fleet.has(peer, question, span):
                held.append(index)
        except PeerError:
            return None
    return held


def in_words(held: dict[str, list[int] | None], slices: int) -> str:
    """`n1: all; n2: slices 0-2, 5; n3: no whole slice; n4: does not answer`, of `slices` that were asked for."""
    return "; ".join(f"{node}: {_words(has, slices)}" for node, has in held.items()) or "there is no other node"


def _words(has: list[int] | None, slices: int) -> str:
    if has is None:
        return "does not answer"
    if not has:
        return "nothing" if slices == 1 else "no whole slice"
    return "all" if len(has) == slices else f"slices {', '.join(_runs(has))}"


def _runs(indices: Iterable[int]) -> list[str]:
    """`0-2`, `5` of ascending indices."""
    ordered = list(indices)
    breaks = [at for at, (one, next_one) in enumerate(pairwise(ordered), 1) if next_one != one + 1]
    parts = [ordered[start:stop] for start, stop in pairwise([0, *breaks, len(ordered)])]
    return [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
