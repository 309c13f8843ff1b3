"""Words about slices that many nodes share: whom to ask for one, and who fetches it. Nodes go by their names here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ask:
    """A peer to be asked for a slice; `stored_only`: for what it has or is getting, it is not the one to fetch more."""

    peer: str
    stored_only: bool = False


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Ours:
    """We are the one to fetch it, unless `is_taken` says that another has become so meanwhile. Those in `have` said, or
    are likely, to have it."""

    have: tuple[str, ...] = ()
    is_taken: Callable[[], bool] = field(default=_never, compare=False)


@dataclass(frozen=True, slots=True)
class Theirs:
    """`peer` is fetching it just now."""

    peer: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nobody could say who fetches it, so whoever needs it does; `have` as in `Ours`."""

    have: tuple[str, ...] = ()


Standing = Ours | Theirs | Unsure
