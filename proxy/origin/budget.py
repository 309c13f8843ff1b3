"""The budget: what the origin still lets us ask, learnt from its own headers.

The Hub counts per account (or per address, for the anonymous) and per kind of request, and says in every answer what
is left: `RateLimit: "api";r=12;t=180`. A 429 says when to come back in `Retry-After`. Asking in between would only
prolong it, so we refuse on our own until then.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from proxy.core.clock import Clock
from proxy.core.rights import Plane

from .head import Head

LONGEST: Final = 600.0
"""Seconds: no origin makes us wait longer than this without being asked again."""
UNSAID: Final = 10
"""Seconds to wait after a 429 that says nothing."""
ACCOUNTS: Final = 10_000

_REMAINING: Final = re.compile(r"[;\s]r=(\d{1,9})\b", re.ASCII)
_RESET: Final = re.compile(r"[;\s]t=(\d{1,9})\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one answer said: requests left (None: nothing said) and seconds until the window starts anew."""

    remaining: int | None
    reset: float | None


def allowance(head: Head) -> Allowance:
    """Read `RateLimit` (draft-ietf-httpapi-ratelimit-headers); several policies: the scarcest counts."""
    scarcest = Allowance(None, None)
    for policy in (head.first("ratelimit") or "").split(","):
        remaining, reset = _REMAINING.search(policy), _RESET.search(policy)
        if remaining and (scarcest.remaining is None or int(remaining[1]) < scarcest.remaining):
            scarcest = Allowance(int(remaining[1]), float(reset[1]) if reset else None)
    return scarcest


def retry_after(head: Head, wall: float) -> int | None:
    """Seconds (1 to 600) a refusal asks us to wait: `Retry-After` as seconds or date, else the reset of `RateLimit`.

    `wall` is the time now, for a date. None when nothing is said."""
    seconds = _seconds(head.first("retry-after"), wall)
    if seconds is None:
        seconds = allowance(head).reset
    return None if seconds is None else int(min(LONGEST, max(1.0, math.ceil(seconds))))


class Budget:
    """Until when each account must not ask. In memory, at most 10,000 accounts, oldest forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed_until: OrderedDict[tuple[bytes, Plane], float] = OrderedDict()

    def refusal(self, identity: bytes, plane: Plane) -> int | None:
        """Seconds (>= 1) this account has to wait before it asks on `plane`; None when it may."""
        until = self._closed_until.get((identity, plane))
        if until is None:
            return None
        left = until - self._clock.monotonic()
        if left > 0:
            return math.ceil(left)
        del self._closed_until[identity, plane]
        return None

    def learn(self, identity: bytes, plane: Plane, head: Head) -> int | None:
        """Take in what an answer says; gives the requests left, when it said so."""
        said = allowance(head)
        if head.status == 429:
            self._close(identity, plane, retry_after(head, self._clock.wall()) or UNSAID)
        elif said.remaining == 0 and said.reset:
            self._close(identity, plane, min(LONGEST, said.reset))
        return said.remaining

    def _close(self, identity: bytes, plane: Plane, seconds: float) -> None:
        self._closed_until[identity, plane] = self._clock.monotonic() + seconds
        self._closed_until.move_to_end((identity, plane))
        if len(self._closed_until) > ACCOUNTS:
            self._closed_until.popitem(last=False)


def _seconds(text: str | None, wall: float) -> float | None:
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdecimal():
        return float(text.strip()[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - wall
