"""The budget: what the origin still lets us ask, learnt from its own headers.

The Hub counts per account (or per address, for the anonymous) and per kind of request, and says in every answer what
is left: `RateLimit: "api";r=12;t=180`. A 429 says when to come back in `Retry-After`. Asking in between would only
prolong it, so we refuse on our own until then.

The last requests of a window are a reserve for questions that somebody waits for and nothing here can answer. A
question that can wait (what is kept is merely due to be confirmed) is put off until the next window:

    left > reserve      ask
    left <= reserve     ask only what cannot wait
    left = 0, or 429    ask nothing

The anonymous, and the mirror with a token of its own, are one account for a whole fleet: what a node learns of theirs
it tells (`Windows`), and it hears (`hear`) what others learnt. Other accounts are a caller's; nobody is told of them.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from proxy.core.clock import Clock
from proxy.core.rights import Plane

from .head import Head

LONGEST: Final = 600.0
"""Seconds: no origin makes us wait longer than this without being asked again."""
UNSAID: Final = 10
"""Seconds to wait after a 429 that says nothing."""
ACCOUNTS: Final = 10_000
SAME_WINDOW: Final = 5.0
"""Seconds by which two nodes may differ about the end of one window."""

RESERVE: Final = 0.1
"""Share of a window's quota that is kept for what cannot wait."""
SMALLEST_RESERVE: Final = 10
LARGEST_RESERVE: Final = 200

_QUOTA: Final = re.compile(r"[;\s]q=(\d{1,9})\b", re.ASCII)
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


def reserve(head: Head) -> int:
    """The requests kept for what cannot wait: a tenth of the smallest quota in `RateLimit-Policy` (10 to 200)."""
    quotas = [int(quota) for quota in _QUOTA.findall(head.first("ratelimit-policy") or "")]
    return min(LARGEST_RESERVE, max(SMALLEST_RESERVE, int(min(quotas) * RESERVE))) if quotas else SMALLEST_RESERVE


@dataclass(slots=True)
class _Window:
    """What is left until `until` (monotonic). Nothing, or only what must not be spent lightly, once it is low."""

    left: int
    reserve: int
    until: float
    shut: bool
    """The origin said that nothing is left: an answer that was under way meanwhile does not open it again."""


class Windows(Protocol):
    """Who tells the other nodes of a fleet what the origin says of the accounts that they share."""

    def learnt(self, account: str, left: int, reserve: int, seconds: float) -> None:
        """`account` has `left` requests for `seconds` from now. Returns at once."""
        ...


SHARED: Final = {b"": "anonymous", b"mirror": "mirror"}
"""Identities that mean the same on all nodes, by the name of the account."""


class Budget:
    """What each account may still ask. In memory, at most 10,000 accounts, oldest forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[bytes, Plane], _Window] = OrderedDict()
        self._fleet: Windows | None = None

    def share_with(self, fleet: Windows) -> None:
        """From now on tell `fleet` of the accounts that all nodes share."""
        self._fleet = fleet

    def hear(self, account: str, left: int, reserve: int, seconds: float) -> None:
        """Another node learnt that a shared account has `left` requests for `seconds` from now."""
        name, _, plane = account.partition(":")
        for identity, shared in SHARED.items():
            if shared == name and plane in {known.value for known in Plane} and 0 < seconds <= LONGEST:
                self._heard((identity, Plane(plane)), left, reserve, seconds)

    def _heard(self, key: tuple[bytes, Plane], left: int, reserve: int, seconds: float) -> None:
        until, known = self._clock.monotonic() + seconds, self._windows.get(key)
        if known is None or known.until <= self._clock.monotonic():
            self._keep(*key, left, reserve, seconds)
        elif abs(known.until - until) <= SAME_WINDOW:
            known.left = min(known.left, left)
            known.shut = known.shut or left == 0
        elif until > known.until and (left == 0 or not known.shut):
            self._keep(*key, left, reserve, seconds)

    def refusal(self, identity: bytes, plane: Plane, *, can_wait: bool = False) -> int | None:
        """Seconds (>= 1) this account has to wait before it asks on `plane`; None when it may.

        `can_wait`: the question is not worth one of the last requests of the window."""
        window = self._windows.get((identity, plane))
        if window is None:
            return None
        seconds = window.until - self._clock.monotonic()
        if seconds <= 0:
            del self._windows[identity, plane]
            return None
        return math.ceil(seconds) if window.left <= (window.reserve if can_wait else 0) else None

    def spend(self, identity: bytes, plane: Plane) -> None:
        """A request is sent now; its answer will say what is left, others may ask before that."""
        window = self._windows.get((identity, plane))
        if window is not None:
            window.left -= 1

    def learn(self, identity: bytes, plane: Plane, head: Head) -> int | None:
        """Take in what an answer says; gives the requests left, when it said so."""
        said = allowance(head)
        if head.status == 429:
            self._learnt(identity, plane, 0, 0, float(retry_after(head, self._clock.wall()) or UNSAID))
        elif said.remaining is not None and said.reset and not self._is_shut(identity, plane):
            self._learnt(identity, plane, said.remaining, reserve(head), min(LONGEST, said.reset))
        return said.remaining

    def _learnt(self, identity: bytes, plane: Plane, left: int, kept_back: int, seconds: float) -> None:
        self._keep(identity, plane, left, kept_back, seconds)
        if self._fleet is not None and (account := SHARED.get(identity)) is not None:
            self._fleet.learnt(f"{account}:{plane.value}", left, kept_back, seconds)

    def _is_shut(self, identity: bytes, plane: Plane) -> bool:
        window = self._windows.get((identity, plane))
        return window is not None and window.shut and window.until > self._clock.monotonic()

    def _keep(self, identity: bytes, plane: Plane, left: int, kept_back: int, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        self._windows[identity, plane] = _Window(left, kept_back, until, shut=left == 0)
        self._windows.move_to_end((identity, plane))
        if len(self._windows) > ACCOUNTS:
            self._windows.popitem(last=False)


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
