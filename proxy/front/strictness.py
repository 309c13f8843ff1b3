"""What we do not take, judged before anything else looks at a request. Pure.

aiohttp's C parser refuses what cannot be framed; it leaves through what two parsers could read in two ways, and what
no client of ours sends (RELIABILITY §3.2). Those are refused here, and the connection is closed: after a request that
means two things nobody knows where the next one begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDictProxy

from proxy.core.errors import RequestRefused

READS: Final = ("GET", "HEAD")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"})
"""What a route may see; all but GET, HEAD and paths-info's POST end in a clear refusal of writes."""

MOST_TARGET: Final = 16 * 1024
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_OFFERED: Final = "h2c"
"""The one Upgrade that is not refused but ignored (RFC 9110 §7.8): Java's HttpClient, and curl --http2, offer it in
every first request. Nothing of it is passed on, and no connection of ours ever changes its protocol: one
on which it was offered ends with the answer."""
_SINGLE: Final = ("Host", "Range", "If-Range", "Authorization", "Content-Length", "Content-Type", "Transfer-Encoding")


class MethodRefused(RequestRefused):
    """A method that this target does not take; `allow` is what it does."""

    def __init__(self, reason: str, allow: tuple[str, ...] = READS) -> None:
        super().__init__(reason)
        self.allow = allow


class BodyTooLong(RequestRefused):
    """A request body beyond the limit."""


class BodyTooSlow(RequestRefused):
    """A request body that was not complete in time."""


class ExpectationFailed(RequestRefused):
    """An Expect field other than 100-continue."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head, as it came."""

    method: str
    raw_target: str
    version: tuple[int, int]
    fields: CIMultiDictProxy[str]
    has_body: bool


def refusal(head: Head, *, any_method: bool = False) -> RequestRefused | None:
    """Why the request is refused before it is routed; None when it is not. `any_method`: even those nobody knows go on
    to a generic origin."""
    if (method := _method(head, any_method=any_method)) is not None:
        return method
    reason = _target(head) or _duplicates(head) or _host(head) or _framing(head)
    if reason is not None:
        return RequestRefused(reason)
    if any(expected.strip().lower() != "100-continue" for expected in head.fields.getall("Expect", ())):
        return ExpectationFailed("the only expectation met here is 100-continue")
    return None


def valid_host(host: str) -> bool:
    """Whether `host` is a name or address with, perhaps, a port: fit to build a link with."""
    match = _HOST.fullmatch(host)
    return match is not None and (match[1] is None or 0 < int(match[1]) <= 65535)


def _method(head: Head, *, any_method: bool) -> RequestRefused | None:
    if head.method == "CONNECT":
        return RequestRefused("this is no forward proxy: CONNECT is not taken")
    if head.method not in METHODS and (not any_method or head.method == "TRACE"):
        return MethodRefused("this method is not taken here; GET and HEAD are")
    return None


def _target(head: Head) -> str | None:
    target = head.raw_target
    if not target.startswith("/"):
        return "the request target must be a path; this is no forward proxy"
    if "#" in target:
        return "a request target has no fragment; write # in a name as %23"
    if len(target) > MOST_TARGET:
        return f"the request target is longer than {MOST_TARGET} bytes"
    return None


def _duplicates(head: Head) -> str | None:
    for name in _SINGLE:
        if len(head.fields.getall(name, ())) > 1:
            return f"the {name} field came more than once"
    return None


def _host(head: Head) -> str | None:
    host = head.fields.get("Host")
    if host is None:
        return "the Host field is missing" if head.version >= (1, 1) else None
    return None if valid_host(host) else "the Host field is no host"


def _framing(head: Head) -> str | None:
    if head.version not in ((1, 0), (1, 1)):
        return "HTTP/1.1 is spoken here"
    if head.fields.get("Upgrade", _OFFERED).strip().lower() != _OFFERED:
        return "no other protocol is spoken here: leave Upgrade away"
    coding = head.fields.get("Transfer-Encoding")
    chunked = coding is not None
    if chunked and head.version < (1, 1):
        return "HTTP/1.0 has no Transfer-Encoding"
    if chunked and "Content-Length" in head.fields:
        return "Transfer-Encoding and Content-Length contradict each other"
    if coding is not None and coding.strip().lower() != "chunked":
        return "the only transfer coding taken here is chunked, by itself"
    if head.method in READS and head.has_body:
        return f"a {head.method} has no body here"
    return None
