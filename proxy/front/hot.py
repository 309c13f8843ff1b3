"""Answers that can be given again: kept as the bytes they were sent as, for a second at most.

An answer is a *copy* of one that the full lane has just given, so whatever it decides by has been looked at then: the
right, the commit, the facts, the bytes. A copy is given until the first of

    HOLD seconds after that                    what this process cannot see (another worker's purge, an eviction)
    the right or the branch's commit is due    `Located.fresh_for`
    anything was taken back (`Changes`)        a right, a commit, a file, a blob
    another answer was kept (`PlaceChanges`)   of a generic origin; or this one dropped, by any worker
    it is fresh no more                        of a generic origin

and from half of that time on one request goes the long way, to make a new copy while the others get the old one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final

from proxy.core.changes import Noted

from .observer import Exchange
from .plainhead import Key

HOLD: Final = 1.0
"""Seconds for which an answer is given again before its request goes through the full lane anew."""
_OVERHEAD: Final = 2048
"""Bytes of memory that a copy costs besides its text: the objects around it."""


@dataclass(frozen=True, slots=True)
class OurDate:
    """An answer of the mirror's own: its Date is when it is given."""

    made_at: float
    """Wall clock."""
    age: int | None
    """What Age said at first; None when it stays as it is."""

    def at(self, now: float, wall: float) -> tuple[Mapping[str, str], float]:
        """The fields that are another from one second to the next, and until when (monotonic) they are these."""
        second = int(wall)
        changed = {"date": formatdate(second, usegmt=True)}
        if self.age is not None:
            changed["age"] = str(self.age + max(0, second - int(self.made_at)))
        return changed, now + 1.0 - (wall - second)


@dataclass(frozen=True, slots=True)
class TheirDate:
    """A kept answer of a generic origin: its Date stays, its Age grows. Times in seconds, `since` monotonic."""

    age: float
    fresh_for: float
    since: float
    """When they were so."""
    status: str
    """Cache-Status up to the number of its ttl, which ends it."""

    def at(self, now: float, wall: float) -> tuple[Mapping[str, str], float]:
        """As `OurDate.at`."""
        older = now - self.since
        age, left = int(self.age + older), int(self.fresh_for - older)
        until = self.since + min(age + 1 - self.age, self.fresh_for - left)
        return {"age": str(age), "cache-status": f"{self.status}{left}"}, max(until, math.nextafter(now, math.inf))


@dataclass(frozen=True, slots=True)
class Template:
    """An answer but for its request id and its time."""

    status_line: str
    fields: tuple[tuple[str, str], ...]
    """As they were sent, in their order; exactly one is X-Request-Id."""
    body: bytes

    def rendered(self, changed: Mapping[str, str]) -> tuple[bytes, bytes]:
        """What is sent before and after the request id, with the fields `changed` (names in lower case)."""
        names = [name.lower() for name, _ in self.fields]
        lines = [f"{name}: {changed.get(low, text)}" for low, (name, text) in zip(names, self.fields, strict=True)]
        at = names.index("x-request-id")
        head = "\r\n".join([self.status_line, *lines[:at], f"{self.fields[at][0]}: "])
        return _encoded(head), _encoded("\r\n".join(["", *lines[at + 1 :], "", ""])) + self.body


@dataclass(slots=True)
class Hot:
    """A copy of an answer, and how often it was given since that was last booked."""

    like: Exchange
    """The account of a request that is answered with it."""
    template: Template
    time: OurDate | TheirDate
    noted: Noted
    """Before its facts were looked up."""
    refresh_at: float
    until: float
    """Monotonic."""
    refreshing: bool = False
    rendered_until: float = -math.inf
    """Monotonic."""
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

    def render(self, now: float, wall: float) -> None:
        """Make it the answer of this moment."""
        changed, self.rendered_until = self.time.at(now, wall)
        self.before, self.after = self.template.rendered(changed)


class HotAnswers:
    """At most `entries` copies of at most `memory` bytes together; the one made first goes first."""

    def __init__(self, *, entries: int, memory: int) -> None:
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
        if now >= hot.until or not hot.noted.holds:
            self._drop(key)
            return None
        if now >= hot.refresh_at and not hot.refreshing:
            hot.refreshing = True
            return None
        return hot

    def put(self, key: Key, hot: Hot) -> None:
        """Keep `hot`; not when it is outdated already, or larger than all that may be kept."""
        weight = hot.weight
        if weight > self._memory or not hot.noted.holds:
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


def _encoded(text: str) -> bytes:
    """As aiohttp writes heads."""
    return text.encode("utf-8", "surrogateescape")
