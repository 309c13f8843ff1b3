"""Whether what is kept still holds, what the answer to that changes, what a write makes void (RFC 9111 §4.3, §4.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from .fields import Fields, end_to_end, joined, values
from .stored import StoredResponse

CONDITIONS: Final = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OF_THE_BODY: Final = frozenset(
    {"content-length", "content-encoding", "content-range", "content-digest", "content-md5", "transfer-encoding"}
)
"""Fields that a 304 does not change: they describe the bytes that we keep (§3.2)."""
_HERE: Final = "here.invalid"


def questions(stored: StoredResponse) -> Fields:
    """The conditions that ask the origin whether `stored` holds (§4.3.1); none when it cannot be asked."""
    tag, changed = stored.field("etag"), stored.field("last-modified")
    conditions = () if tag is None else (("If-None-Match", tag),)
    return conditions if changed is None else (*conditions, ("If-Modified-Since", changed))


def is_confirmed(stored: StoredResponse, response: Fields) -> bool:
    """Whether a 304 with these fields is about `stored` (§4.3.4): a validator that it names has to be the one kept."""
    tag = joined(response, "etag")
    if tag is None:
        return True
    kept = stored.field("etag")
    return kept is not None and tag.removeprefix("W/") == kept.removeprefix("W/")


def refreshed(stored: StoredResponse, response: Fields, requested_at: float, received_at: float) -> StoredResponse:
    """`stored` with the fields of the 304 (§3.2), and its times."""
    brought = tuple(field for field in end_to_end(response) if field[0] not in _OF_THE_BODY)
    names = {name for name, _ in brought} | {"age"}
    if joined(brought, "etag") is not None and (joined(brought, "etag") or "").startswith("W/"):
        brought = tuple(field for field in brought if field[0] != "etag")
        names.discard("etag")  # the kept one, which may be strong, is as true
    fields = (*(field for field in stored.fields if field[0] not in names), *brought)
    return replace(stored, fields=fields, requested_at=requested_at, received_at=received_at, invalid=False, ended=None)


def made_void(method: str, status: int, target: str, response: Fields, sites: frozenset[str]) -> tuple[str, ...]:
    """The targets (path and query) of which nothing kept may be served unasked after this exchange (§4.4): the target
    itself, and what Location and Content-Location name on the same site (`sites`: what it is called, host and port)."""
    if method in SAFE or not 200 <= status < 400:
        return ()
    references = [*values(response, "location"), *values(response, "content-location")]
    named = [place for reference in references if (place := _on_this_site(target, reference, sites)) is not None]
    return tuple(dict.fromkeys((target, *named)))


def _on_this_site(target: str, reference: str, sites: frozenset[str]) -> str | None:
    """Path and query that `reference` names, seen from `target`; None for another site, and for what is no address."""
    try:
        parts = urlsplit(urljoin(f"http://{_HERE}{target}", reference))
    except ValueError:
        return None
    if parts.netloc.lower() not in (_HERE, *sites):
        return None
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
