"""Answers that can be given again: kept as the bytes they were sent as, for a second at most.

An answer is a *copy* of one that the full lane has just given, so whatever it decides by has been looked at then: the
right, the commit, the facts, the bytes. A copy is given until the first of

    HOLD seconds after that                    what this process cannot see (another worker's purge, an eviction)
    the right or the branch's commit is due    `Located.fresh_for`
    anything was taken back (`Changes`)        a right, a commit, a file, a blob

and from half of that time on one request goes the long way, to make a new copy while the others get the old one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from proxy.core.changes import Changes

from .observer import Exchange
from .plainhead import Key

HOLD: Final = 1.0
"""Seconds for which an answer is given again before its request goes through the full lane anew."""
_OVERHEAD: Final = 2048
"""Bytes of memory that a copy costs besides its text: the objects around it."""


@dataclass(frozen=True, slots=True)
class Template:
    """An answer but for its request id and its time."""

    status_line: str
    fields: tuple[tuple[str, str], ...]
    """As they were sent, in their order; exactly one is X-Request-Id."""
    body: bytes
    age: int | None
    """What Age said at first; None when it stays as it is."""

    def rendered(self, date: str, older: int) -> tuple[bytes, bytes]:
        """What is sent before and after the request id, `older` seconds after the first time."""
        changed = {"Date": date}
        if self.age is not None:
            changed["Age"] = str(self.age + older)
        lines = [self.status_line]
        lines += [f"{name}: {changed.get(name, text)}" for name, text in self.fields if name != "X-Request-Id"]
        at = 1 + [name for name, _ in self.fields].index("X-Request-Id")
        before, after = lines[:at], lines[at:]
        head = "\r\n".join([*before, "X-Request-Id: "])
        return head.encode("latin-1"), "\r\n".join(["", *after, "", ""]).encode("latin-1") + self.body


@dataclass(slots=True)
class Hot:
    """A copy of an answer, and how often it was given since that was last booked."""

    like: Exchange
    """The account of a request that is answered with it."""
    template: Template
    changes: int
    """`Changes.count` before its facts were looked up."""
    refresh_at: float
    until: float
    """Monotonic."""
    made_at: float
    """Wall clock."""
    refreshing: bool = False
    second: int = -1
    """The wall clock's second that it is rendered for."""
    before: bytes = b""
    after: bytes = b""
    count: int = field(default=0)
    seconds: float = 0.0

    @property
    def weight(self) -> int:
        """Bytes of memory, about."""
        text = sum(len(name) + len(value) for name, value in self.template.fields)
        # the template and what is rendered of it; two bodies
        return 2 * (text + len(self.template.body)) + len(self.like.target) + _OVERHEAD


class HotAnswers:
    """At most `entries` copies of at most `memory` bytes together; the one made first goes first."""

    def __init__(self, changes: Changes, *, entries: int, memory: int) -> None:
        self._changes = changes
        self._entries = entries
        self._memory = memory
        self._kept: dict[Key, Hot] = {}
        self._weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def weight(self) -> int:
        return self._weight

    def get(self, key: Key, now: float) -> Hot | None:
        """The copy, if it may be given at `now` (monotonic); None too for the one who has to make the next."""
        hot = self._kept.get(key)
        if hot is None:
            return None
        if hot.changes != self._changes.count or now >= hot.until:
            self._drop(key)
            return None
        if now >= hot.refresh_at and not hot.refreshing:
            hot.refreshing = True
            return None
        return hot

    def put(self, key: Key, hot: Hot) -> None:
        """Keep `hot`; not when it is outdated already, or larger than all that may be kept."""
        weight = hot.weight
        if hot.changes != self._changes.count or weight > self._memory:
            return
        self._drop(key)
        self._kept[key] = hot
        self._weight += weight
        while len(self._kept) > self._entries or self._weight > self._memory:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        hot = self._kept.pop(key, None)
        if hot is not None:
            self._weight -= hot.weight
