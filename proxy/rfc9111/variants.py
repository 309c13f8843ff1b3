"""Vary: which of several responses to one target is for this request (RFC 9111 §4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .fields import Fields, members, values
from .stored import StoredResponse

ANYTHING: Final = "*"
"""A response that varies on more than the request says: it is for one request alone."""
_SPACE: Final = re.compile(r"[ \t]+")


def selecting(request: Fields, names: Iterable[str]) -> Fields:
    """The fields `names` of the request in a form in which two that mean the same are the same: members parted by one
    comma, white space made one blank. A field that is not there is not in it."""
    return tuple(
        (name, ",".join(_SPACE.sub(" ", part) for line in lines for part in members(line)))
        for name in sorted(set(names))
        if (lines := values(request, name))
    )


def is_for(stored: StoredResponse, request: Fields) -> bool:
    """Whether the request would have selected it."""
    names = stored.varies_on
    return ANYTHING not in names and selecting(request, names) == stored.selecting


def select(candidates: Iterable[StoredResponse], request: Fields) -> StoredResponse | None:
    """The most recent of those that are for the request."""
    return max(
        (stored for stored in candidates if is_for(stored, request)),
        key=lambda stored: stored.received_at,
        default=None,
    )
