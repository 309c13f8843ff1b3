"""What is answered from the cache of a generic origin: conditions and ranges of what is kept. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from proxy.core.byterange import Ignored, Multi, Single, Unsatisfiable, unsatisfied_range, wanted
from proxy.core.conditional import (
    Conditions,
    NotModified,
    PreconditionFailed,
    Validators,
    format_date,
    judge,
    parse_etag,
)
from proxy.fetch.web.answers import Kept
from proxy.rfc9111.dates import seconds_of
from proxy.rfc9111.fields import Fields, joined
from proxy.rfc9111.relaying import contentless_fields, part_fields, served_fields
from proxy.rfc9111.stored import StoredResponse

from .answers import Answer, FilePart, HeldBody, Small

NO_CONTENT = frozenset({204, 304})


Again = Callable[[], Awaitable[Answer]] | None


def answer_kept(
    kept: Kept, size: int, conditions: Conditions, range_field: str | None, method: str, again: Again = None
) -> Small | FilePart:
    """200, 206, 304, 412, 416, or whatever status is kept, with `size` bytes of body (RFC 9110 §13.2.2, §14.2)."""
    stored = kept.stored
    fields = served_fields(stored, kept.age, confirmed=kept.confirmed)
    if stored.status != 200:
        return _entire(kept, size, fields, again)
    validators = validators_of(stored)
    judgement = judge(_in_todays_form(conditions, stored.received_at), validators, method)
    if isinstance(judgement, NotModified):
        return Small(304, contentless_fields(fields), cache=kept.outcome)
    if isinstance(judgement, PreconditionFailed):
        return Small(412, contentless_fields(fields), cache=kept.outcome)
    match wanted(range_field if judgement.range_holds else None, size):
        case Unsatisfiable():
            headers = (*contentless_fields(fields), ("Content-Range", unsatisfied_range(size)))
            return Small(416, headers, cache=kept.outcome)
        case Single() | Multi() as part:
            return FilePart(HeldBody(kept.body, again), size, _titled(part_fields(fields)), part)
        case Ignored():
            return _entire(kept, size, fields, again)


def validators_of(stored: StoredResponse) -> Validators:
    """What a condition of a client is compared with."""
    tag = parse_etag(stored.field("etag") or "")
    strong = frozenset({tag.opaque}) if tag is not None and not tag.weak else frozenset()
    weak = frozenset({tag.opaque}) if tag is not None and tag.weak else frozenset()
    modified = seconds_of(stored.field("last-modified"), stored.received_at)
    return Validators(strong, None if modified is None else int(modified), weak)


def _in_todays_form(conditions: Conditions, now: float) -> Conditions:
    """The dates of the conditions as they are written today: two older forms have to be understood (RFC 9110
    §5.6.7)."""
    return replace(
        conditions,
        if_modified_since=_today(conditions.if_modified_since, now),
        if_unmodified_since=_today(conditions.if_unmodified_since, now),
    )


def _today(text: str | None, now: float) -> str | None:
    seconds = seconds_of(text, now)
    return text if seconds is None else format_date(int(seconds))


def needs_size(stored: StoredResponse, range_field: str | None, method: str) -> bool:
    """Whether nothing can be said before the length of the body is known."""
    return method == "GET" and stored.status == 200 and range_field is not None


def _entire(kept: Kept, size: int, fields: Fields, again: Again) -> Small | FilePart:
    if stored_without_content(kept.stored):
        return Small(kept.stored.status, fields, cache=kept.outcome)
    headers = _titled(fields)
    if kept.stored.status == 200 and joined(fields, "accept-ranges") is None:
        headers = (*headers, ("Accept-Ranges", "bytes"))
    return FilePart(HeldBody(kept.body, again), size, headers, Ignored(), status=kept.stored.status)


def stored_without_content(stored: StoredResponse) -> bool:
    """Whether it is of a status that has no content."""
    return stored.status in NO_CONTENT


def _titled(fields: Fields) -> Fields:
    """Content-Type by the name that multipart bodies look for."""
    return tuple(("Content-Type", text) if name == "content-type" else (name, text) for name, text in fields)
