"""Whether a response may be kept by a shared cache (RFC 9111 §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .directives import Directives, policy
from .fields import Fields, end_to_end, joined, without
from .freshness import HEURISTIC_STATUSES, is_explicit
from .variants import ANYTHING

UNDERSTOOD: Final = frozenset(
    {
        *(200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413),
        *(414, 415, 416, 417, 421, 422, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 511),
    }
)
"""Final statuses whose caching we know (must-understand, §5.2.2.3)."""
OF_ONE_REQUEST: Final = frozenset({206, 304, 412, 416})
"""Statuses that are never kept as they are: a part is kept by its own rules, the others answer the conditions or the
range of one client, and say nothing of what another would get."""


@dataclass(frozen=True, slots=True)
class Storable:
    """It may be kept."""


@dataclass(frozen=True, slots=True)
class NotStorable:
    """It may not; `rule` is why, in a word or two."""

    rule: str


def storable(method: str, request: Fields, status: int, response: Fields) -> Storable | NotStorable:
    """Judge a complete final response to `method` with the fields of request and response."""
    said = policy(response).directives
    if method != "GET":
        return NotStorable("method")
    if not 200 <= status <= 599 or status in OF_ONE_REQUEST:
        return NotStorable("status")
    if "no-store" in Directives.read(joined(request, "cache-control")):
        return NotStorable("request no-store")
    if "must-understand" in said:
        if status not in UNDERSTOOD:
            return NotStorable("must-understand")
    elif "no-store" in said:
        return NotStorable("no-store")
    if said.is_unqualified("private"):
        return NotStorable("private")
    if ANYTHING in {name.strip() for name in (joined(response, "vary") or "").split(",")}:
        return NotStorable("vary *")
    return _permitted(request, status, response, said)


def _permitted(request: Fields, status: int, response: Fields, said: Directives) -> Storable | NotStorable:
    if joined(request, "authorization") is not None and not _for_everybody(said):
        return NotStorable("authorization")
    if "public" in said or is_explicit(response):
        return Storable()
    if status not in HEURISTIC_STATUSES:
        return NotStorable("no freshness")
    if joined(response, "set-cookie") is not None:
        return NotStorable("set-cookie without freshness")
    return Storable()


def _for_everybody(said: Directives) -> bool:
    """Whether an answer to somebody with credentials may be given to others (§3.5)."""
    return any(name in said for name in ("public", "must-revalidate", "s-maxage"))


def kept_fields(response: Fields) -> Fields:
    """The fields of the response that are kept: end-to-end, none that is for one user (§3.1, private="...")."""
    private = policy(response).directives.listed("private")
    return without(end_to_end(response), {"content-length", *private})
