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
STEERING: Final = frozenset(
    {
        *("forwarded", "x-forwarded-host", "x-forwarded-server", "x-forwarded-port", "x-forwarded-prefix"),
        *("x-forwarded-path", "x-forwarded-uri", "x-forwarded-scheme", "x-forwarded-ssl", "x-host", "x-original-host"),
        *("x-original-url", "x-original-uri", "x-rewrite-url", "x-override-url", "x-http-host-override"),
        *("x-http-method", "x-http-method-override", "x-method-override", "x-scheme", "x-url-scheme"),
        *("front-end-https", "x-envoy-original-path", "x-envoy-original-host"),
    }
)
"""Fields by which a client tells some origins that another host, target, scheme or method was meant. What they answer
is kept under the target that was asked for, and few of them say Vary: one client would choose what all others get."""
_SCHEMES: Final = ("http", "https")


def unsteered(fields: Fields) -> Fields:
    """The fields of a request whose answer may be given to others. Of X-Forwarded-Proto, which proxies before us set
    and origins redirect by, there are two values; every answer varies on it (`stored.IMPLIED`)."""
    return tuple(
        (name, value.lower() if name == "x-forwarded-proto" else value)
        for name, value in fields
        if name not in STEERING and (name != "x-forwarded-proto" or value.lower() in _SCHEMES)
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
