"""What a walk is: the alerts it is about, in words what is broken and what is done, and the walking itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from .ground import Ground

Walking = Callable[[Ground], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Path:
    """`broken` and `done` are what the table in docs/operations.md says. `has_mount`: it needs a file system of its
    own, and so root."""

    alerts: tuple[str, ...]
    broken: str
    done: str
    walk: Walking
    has_mount: bool = False


PATHS: Final[list[Path]] = []
"""All of them; `deploy.walk.paths` fills it."""


def path(*alerts: str, broken: str, done: str, has_mount: bool = False) -> Callable[[Walking], Walking]:
    """The decorated function is the walk of these alerts: it breaks, waits until they fire, acts, and waits until they
    are over. It raises AssertionError when something is not as the page says."""

    def known(walk: Walking) -> Walking:
        PATHS.append(Path(alerts, broken, done, walk, has_mount))
        return walk

    return known
