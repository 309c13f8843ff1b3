"""Counts of what was taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Counter(Protocol):
    """A number that is another one after whatever it counts has happened."""

    @property
    def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Noted:
    """A count as it was *before* the facts behind an answer were looked up."""

    counter: Counter
    count: int

    @classmethod
    def now(cls, counter: Counter) -> Noted:
        return cls(counter, counter.count)

    @property
    def holds(self) -> bool:
        """Whether nothing was taken back since."""
        return self.counter.count == self.count


class Changes:
    """How often something that was told here turned out to be no longer so.

    Who keeps a fact counts when it takes one back: a right, where a branch points, what a file is, a blob. Who keeps a
    copy of an answer notes `count` *before* the facts behind it are looked up, and gives the copy only while the count
    is still the same. New facts are not counted, only those that contradict what was told before.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def __repr__(self) -> str:
        return f"<Changes {self.count}>"

    def happened(self) -> None:
        """Something that was told is no longer so: call it as soon as nobody would be told it anew."""
        self.count += 1
