"""Words about slices that many nodes share: what is known of who fetches one. Nodes go by their names here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ours:
    """We are the one to fetch it. `holders` said that they have the whole slice: they may still."""

    holders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Theirs:
    """`peer` is fetching it just now."""

    peer: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nobody could be asked; whoever needs it fetches it."""


Standing = Ours | Theirs | Unsure
