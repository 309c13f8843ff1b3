"""When what was wrong: what explains a failure. Pure, but for the clock it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LASTS = 8.0
"""Seconds for which a cause explains failures after it is over: breakers are open, nodes ejected, disks tried again."""


@dataclass(slots=True)
class Cause:
    """Something that was done, from when to when (the loop's seconds; None: still)."""

    kind: str
    about: str
    began: float
    ended: float | None = None

    def __str__(self) -> str:
        return f"{self.began:8.2f} {self.kind} {self.about}"


@dataclass
class Weather:
    """The story so far. `now` is the loop's clock."""

    now: Callable[[], float]
    causes: list[Cause] = field(default_factory=list)

    @contextmanager
    def while_(self, kind: str, about: str = "") -> Iterator[Cause]:
        """A cause that lasts as long as the block."""
        cause = Cause(kind, about, self.now())
        self.causes.append(cause)
        try:
            yield cause
        finally:
            cause.ended = self.now()

    def happened(self, kind: str, about: str = "") -> None:
        """A cause that takes no time."""
        with self.while_(kind, about):
            pass

    def explain(self, kinds: frozenset[str], began: float, ended: float, about: str = "") -> bool:
        """Whether one of `kinds` was so, or lasted, between the two moments; about this, if both say about what."""
        return any(
            cause.kind in kinds
            and cause.began <= ended
            and (cause.ended is None or cause.ended + LASTS >= began)
            and (not about or not cause.about or about in cause.about.split())
            for cause in self.causes
        )

    def ever(self, *kinds: str) -> bool:
        return any(cause.kind in kinds for cause in self.causes)

    def latest(self, count: int = 30) -> str:
        return "\n".join(str(cause) for cause in self.causes[-count:])
