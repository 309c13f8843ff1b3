"""Bounded memory for rows: the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `entries` values that weigh at most `weight` together, by `weigh` (1 each when not given)."""

    def __init__(self, entries: int, weight: int | None = None, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._entries = entries
        self._most = weight
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self.drop(key)
        self._kept[key] = value
        self._weight += self._weigh(value)
        while len(self._kept) > self._entries or (self._most is not None and self._weight > self._most):
            _, old = self._kept.popitem(last=False)
            self._weight -= self._weigh(old)

    def drop(self, key: K) -> None:
        if key in self._kept:
            self._weight -= self._weigh(self._kept.pop(key))

    def drop_where(self, unwanted: Callable[[K], bool]) -> None:
        """Looks at every key: for rare events."""
        for key in [key for key in self._kept if unwanted(key)]:
            self.drop(key)

    def clear(self) -> None:
        self._kept.clear()
        self._weight = 0
