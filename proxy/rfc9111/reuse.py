"""What to do with a request, given what is kept (RFC 9111 §4, RFC 5861)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from .directives import Directives, policy
from .fields import Fields, joined
from .freshness import age, is_explicit, remaining
from .stored import StoredResponse

_ERRORS: Final = frozenset({500, 502, 503, 504})
"""What counts as an error of the origin (RFC 5861 §4)."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer with it; nobody is asked."""

    stored: StoredResponse
    rule: str


@dataclass(frozen=True, slots=True)
class ServeAndRevalidate:
    """Answer with it, and have it confirmed behind the client's back."""

    stored: StoredResponse


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask the origin whether it still holds; `rule` says why."""

    stored: StoredResponse
    rule: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Nothing here is for this request."""

    rule: str


@dataclass(frozen=True, slots=True)
class NotCached:
    """The client wants nothing but what is kept, and there is nothing: 504 (§5.2.1.7)."""


Decision = Serve | ServeAndRevalidate | Revalidate | Forward | NotCached


def wishes(request: Fields) -> Directives:
    """What the request says of caching; Pragma counts where Cache-Control is not there (§5.4)."""
    text = joined(request, "cache-control")
    if text is None and "no-cache" in Directives.read(joined(request, "pragma")):
        return Directives((("no-cache", None),))
    return Directives.read(text)


def decide(request: Fields, stored: StoredResponse | None, now: float) -> Decision:
    """`stored` is the response that the request has selected, if any."""
    asked = wishes(request)
    if stored is None:
        return NotCached() if "only-if-cached" in asked else Forward("uri-miss")
    decision = _reuse(asked, stored, now)
    if isinstance(decision, Revalidate) and "only-if-cached" in asked:
        return NotCached()
    return decision


def _reuse(asked: Directives, stored: StoredResponse, now: float) -> Decision:
    if stored.invalid:
        return Revalidate(stored, "invalidated")
    if "no-cache" in asked:
        return Revalidate(stored, "request")
    said = policy(stored.fields).directives
    if said.is_unqualified("no-cache"):
        return Revalidate(stored, "no-cache")
    old, left = age(stored, now), remaining(stored, now)
    longest, least = asked.seconds("max-age"), asked.seconds("min-fresh")
    if longest is not None and old > longest:
        return Revalidate(stored, "request")
    if left > 0 and (least is None or left >= least):
        return Serve(stored, "fresh")
    if left > 0:
        return Revalidate(stored, "request")
    return _stale(asked, said, stored, -left)


def _stale(asked: Directives, said: Directives, stored: StoredResponse, staleness: float) -> Decision:
    if _must_be_confirmed(said):
        return Revalidate(stored, "stale")
    if "max-stale" in asked and (asked.argument("max-stale") is None or staleness <= (asked.seconds("max-stale") or 0)):
        return Serve(stored, "max-stale")
    window = said.seconds("stale-while-revalidate")
    if window is not None and staleness <= window:
        return ServeAndRevalidate(stored)
    return Revalidate(stored, "stale")


def may_stand_in(request: Fields, stored: StoredResponse, now: float) -> bool:
    """Whether it may be served now that the origin has failed (RFC 5861 §4): by its own word, or the request's."""
    said, asked = policy(stored.fields).directives, wishes(request)
    if stored.invalid or _must_be_confirmed(said) or said.is_unqualified("no-cache"):
        return False
    left = remaining(stored, now)
    if left > 0:
        return True
    windows = (said.seconds("stale-if-error"), asked.seconds("stale-if-error"))
    return any(window is not None and -left <= window for window in windows)


def is_error(status: int) -> bool:
    """Whether a stored response may stand in for this answer."""
    return status in _ERRORS


def may_be_shared(request: Fields, stored: StoredResponse, now: float) -> bool:
    """Whether a request that waited while `stored` was fetched for another may be answered with it (§4)."""
    match decide(request, stored, now):
        case Serve() | ServeAndRevalidate():
            return True
        case Revalidate(_, rule):
            return rule == "stale" and _is_mere_error(stored)
        case Forward() | NotCached():
            return False
        case other:
            assert_never(other)


def _is_mere_error(stored: StoredResponse) -> bool:
    """Whether it is an error that may be kept, and of which the origin says nothing: stale at once, and yet what each
    who waited would be told."""
    said = policy(stored.fields).directives
    is_silent = not is_explicit(stored.fields) and not _must_be_confirmed(said)
    return stored.status >= 400 and is_silent and stored.ended is None


def _must_be_confirmed(said: Directives) -> bool:
    return any(name in said for name in ("must-revalidate", "proxy-revalidate", "s-maxage"))
