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
    """Whether a 304 with these fields, answered to `questions(stored)`, is about `stored` (§4.3.4).

    Asked about one tag, an origin that says "not modified" means that one, whatever else it puts into its ETag field;
    that field is then not taken over (see `refreshed`). Without a tag of ours a tag in the answer is about another."""
    return stored.field("etag") is not None or joined(response, "etag") is None


def is_same(stored: StoredResponse, size: int, response: Fields, length: int | None) -> bool:
    """Whether the 200 to a HEAD, with `length`, is of what is kept with `size` bytes (§4.3.5)."""
    agree = all(stored.field(name) == joined(response, name) for name in ("etag", "last-modified"))
    return agree and length in (None, size)


def refreshed(stored: StoredResponse, response: Fields, requested_at: float, received_at: float) -> StoredResponse:
    """`stored` with the fields of the 304 (§3.2), and its times."""
    brought = tuple(field for field in end_to_end(response) if field[0] not in _OF_THE_BODY)
    names = {name for name, _ in brought} | {"age"}
    if stored.field("etag") is not None:
        # The kept one is what these bytes were given under; what is completed by range is asked for under it.
        brought = tuple(field for field in brought if field[0] != "etag")
        names.discard("etag")
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
