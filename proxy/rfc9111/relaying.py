"""Which fields go on, to the origin and to the client (RFC 9110 §7.6, 9111 §5.1, 9211)."""

from __future__ import annotations

from typing import Final

from .directives import policy
from .fields import Fields, end_to_end, joined, without
from .stored import StoredResponse

PSEUDONYM: Final = "penstock"
_OURS: Final = frozenset({"host", "content-length", "expect", "via", "x-request-id"})
_OF_A_WHOLE: Final = frozenset({"content-digest", "digest", "content-md5", "content-range"})
"""Digests of the message's content: false on a part of it, and on one put together from parts (RFC 9530 §2); and what
a whole answer said of ranges, which means nothing there (RFC 9110 §14.4)."""
_NO_CONTENT: Final = frozenset(
    {"content-type", "content-encoding", "content-language", "content-digest", "content-md5", "content-range"}
)


def request_fields(fields: Fields, version: str, *, leaving: frozenset[str] = frozenset()) -> Fields:
    """The end-to-end fields of a request on its way to the origin, Via added; `leaving` stay behind."""
    kept = without(end_to_end(fields), _OURS | leaving)
    return (*kept, ("Via", via(joined(fields, "via"), version)))


def response_fields(fields: Fields) -> Fields:
    """The end-to-end fields of a response on its way to the client, Via added."""
    return (*without(end_to_end(fields), {"content-length", "via"}), ("Via", via(joined(fields, "via"), "1.1")))


def via(before: str | None, version: str) -> str:
    """The Via field with us at its end; `version` is that of the message we were sent."""
    ours = f"{version} {PSEUDONYM}"
    return ours if before is None else f"{before}, {ours}"


def served_fields(stored: StoredResponse, age: float, *, confirmed: bool) -> Fields:
    """The fields of a kept response as it is served: Age, and none that has to be confirmed first (no-cache="...")."""
    doubtful = policy(stored.fields).directives.listed("no-cache")
    leaving = {"age"} if confirmed else {"age", *doubtful}
    return (*response_fields(without(stored.fields, leaving)), ("Age", str(int(age))))


def part_fields(fields: Fields) -> Fields:
    """The fields for a part of a representation."""
    return tuple(field for field in fields if field[0].lower() not in _OF_A_WHOLE)


def contentless_fields(fields: Fields) -> Fields:
    """The fields for an answer about a representation that is not sent (304, 412, 416)."""
    return tuple(field for field in fields if field[0].lower() not in _NO_CONTENT)
