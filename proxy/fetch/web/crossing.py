"""What is asked of the node that owns a place, and what is not. Pure."""

from __future__ import annotations

from typing import Final

from proxy.core.blob import BlobKey
from proxy.hub.web_asking import AnswerQuestion
from proxy.hub.web_peering import CREDENTIALS, NoQuestion, checked_fields
from proxy.rfc9111.directives import Directives
from proxy.rfc9111.fields import Fields, end_to_end, without
from proxy.rfc9111.stored import StoredResponse
from proxy.rfc9111.validation import CONDITIONS

from .answers import WebRequest

_STAY: Final = CREDENTIALS | CONDITIONS | {"host", "content-length", "expect", "x-request-id"}
"""Fields that do not cross: who somebody is, what one client has already, and what is of one connection."""
_FOR_ONE: Final = ("authorization", "if-match", "if-unmodified-since")
"""Who sends these is answered by the origin itself."""


def place_key(origin: str, target: str) -> BlobKey:
    """What is ranked, to find who owns the answers to `target` of the origin of that name: all variants together."""
    return BlobKey.of_place(f"{origin} {target}", "answers", 0)


def question(
    origin: str,
    request: WebRequest,
    stored: StoredResponse | None,
    *,
    is_shared: bool,
    is_behind: bool,
    void_ago: float | None = None,
) -> AnswerQuestion | None:
    """What to ask of the owner for `request`, with `stored` at hand; None for what is asked of the origin at once.

    `is_shared`: others may wait for the answer. What is asked with a cookie, or for a client that has an answer
    already, may be answered with what the owner has; but it does not ask the origin for that, in nobody's name."""
    if "no-store" in Directives.read(request.field("cache-control")):
        return None
    if any(request.field(name) is not None for name in _FOR_ONE):
        return None
    is_conditional = any(request.field(name) is not None for name in ("if-none-match", "if-modified-since"))
    if not is_shared and not is_conditional:
        return None
    fields = _crossing(request.fields)
    if fields is None:
        return None
    stored_only = not is_shared or request.field("cookie") is not None
    etag = "" if stored is None else stored.field("etag") or ""
    etag = etag if etag.isascii() else ""
    return AnswerQuestion(origin, request.target, fields, stored_only, is_behind, etag, void_ago)


def _crossing(fields: Fields) -> Fields | None:
    """None when there is one that cannot cross."""
    try:
        return checked_fields(without(end_to_end(fields), _STAY))
    except NoQuestion:
        return None


def as_request(asked: AnswerQuestion) -> WebRequest:
    """The question as the cache of the owner is asked it."""
    return WebRequest("GET", asked.target, asked.fields, from_peer=True, is_behind=asked.is_behind)
