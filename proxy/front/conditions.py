"""The conditional fields of a request (RFC 9110 §13.1)."""

from __future__ import annotations

from proxy.core.conditional import Conditions

from .visit import Visit


def conditions_of(visit: Visit) -> Conditions:
    return Conditions(
        visit.field("If-Match"),
        visit.field("If-None-Match"),
        visit.field("If-Modified-Since"),
        visit.field("If-Unmodified-Since"),
        visit.field("If-Range"),
    )
