"""How old a response is, and how old it may become (RFC 9111 §4.2). All times in seconds of the wall clock."""

from __future__ import annotations

from typing import Final

from .dates import seconds_of
from .directives import LONGEST, policy
from .fields import Fields, joined, members
from .stored import StoredResponse

HEURISTIC_SHARE: Final = 0.1
"""Of the time since the last change (§4.2.2)."""
HEURISTIC_LONGEST: Final = 86_400.0
HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Those that may be kept without a word about it (RFC 9110 §15.1), but for 206."""


def lifetime(status: int, fields: Fields, received_at: float) -> float:
    """For how long the response is fresh, from its making on."""
    said = policy(fields)
    for name in ("s-maxage", "max-age"):
        if (seconds := said.directives.seconds(name)) is not None:
            return float(seconds)
    date = seconds_of(joined(fields, "date"), received_at)
    made = received_at if date is None else date
    expires = joined(fields, "expires")
    if expires is not None and not said.targeted:
        until = seconds_of(expires, received_at)
        return 0.0 if until is None else max(0.0, until - made)
    if status not in HEURISTIC_STATUSES and "public" not in said.directives:
        return 0.0
    changed = seconds_of(joined(fields, "last-modified"), received_at)
    return 0.0 if changed is None else min(HEURISTIC_LONGEST, max(0.0, HEURISTIC_SHARE * (made - changed)))


def is_explicit(fields: Fields) -> bool:
    """Whether the origin itself says how long the response is fresh."""
    said = policy(fields)
    named = any(name in said.directives for name in ("s-maxage", "max-age"))
    return named or (not said.targeted and joined(fields, "expires") is not None)


def age(stored: StoredResponse, now: float) -> float:
    """How long ago the origin made or confirmed it (§4.2.3)."""
    date = seconds_of(stored.field("date"), stored.received_at)
    apparent = 0.0 if date is None else max(0.0, stored.received_at - date)
    corrected = _age_field(stored.fields) + max(0.0, stored.received_at - stored.requested_at)
    return max(apparent, corrected) + max(0.0, now - stored.received_at)


def remaining(stored: StoredResponse, now: float) -> float:
    """Seconds for which it stays fresh; negative when it is stale for so long."""
    left = lifetime(stored.status, stored.fields, stored.received_at) - age(stored, now)
    return left if stored.ended is None else min(left, stored.ended - now)


def _age_field(fields: Fields) -> float:
    """The first number of Age; one that is none is not there (§5.1)."""
    text = next(iter(members(joined(fields, "age"))), "")
    return float(min(int(text[:20]), LONGEST)) if text.isascii() and text.isdecimal() else 0.0
