"""The one strict grammar of the fast lane. Pure.

    request   = method SP target SP "HTTP/1.1" CRLF 1*( field CRLF ) CRLF      and nothing behind it
    method    = "GET" / "HEAD"
    target    = "/" *( visible ASCII but "#" )
    field     = name ":" *SP [ text ] *SP                    printable ASCII, no line folding, no blank before ":"

with a name from the lists below: those that the full lane reads, which make up the answer or its account, and those
that it does not look at. Of the former each comes once at most. Everything else, and whatever else there may be to
HTTP, is aiohttp's to judge: a head that is not plain is not wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from .request_ids import is_sane
from .strictness import READS, valid_host

MOST: Final = 4096
"""Bytes of a plain head."""
MOST_FIELDS: Final = 32
"""Of one; aiohttp refuses more than `wire.MOST_HEADERS`."""

Fields = tuple[tuple[str, str], ...]
Key = tuple[str, str, str, str | None, Fields]
"""What an answer for nobody in particular depends on: method, Host, raw target, If-None-Match, and, of a generic
origin, the fields that it may vary on (`VARIED`)."""

IGNORED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "baggage",
        "cache-control",
        "dnt",
        "forwarded",
        "origin",
        "pragma",
        "priority",
        "referer",
        "traceparent",
        "tracestate",
        "via",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
"""Fields that nothing in `front` reads when it answers for a file."""

VARIED: Final = frozenset({"accept", "accept-encoding", "accept-language", "dnt", "origin", "x-forwarded-proto"})
"""Of those, what the answers of generic origins often vary on, or always (`rfc9111.stored.IMPLIED`)."""
_WISHES: Final = frozenset({"cache-control", "pragma"})
"""Of those, what says how fresh an answer has to be: a generic origin's clients are heard."""

_READ: Final = frozenset(
    {"host", "user-agent", "connection", "x-request-id", "if-none-match", "authorization", "range"}
)
_BEARER: Final = re.compile(r"[Bb]earer [!-~]{1,1024}")
"""Credentials that `caller_of` would take. What everybody may read is given to their bearer as to everybody."""
_END: Final = b"\r\n\r\n"
_PRINTABLE: Final = bytes(range(0x20, 0x7F))


@dataclass(frozen=True, slots=True)
class PlainHead:
    """A request for something, or a part of it, that everybody may make."""

    key: Key
    host: str
    agent: str | None
    request_id: str | None
    """The client's own, if it is fit for a log."""
    may_be_remembered: bool
    """It holds no secret, and nothing that is never said again."""
    ignored: Fields = ()
    """Fields that nothing reads when it is for a file, names in lower case."""
    has_credentials: bool = False
    range: str | None = None
    """The Range field as it came."""


def of_generic_origin(head: PlainHead) -> PlainHead | None:
    """`head` as it is to a shared cache of what any server answers; None where the full lane has to judge."""
    if head.has_credentials or head.range is not None or any(name in _WISHES for name, _ in head.ignored):
        return None
    method, host, target, tag, _ = head.key
    varied = tuple(field for field in head.ignored if field[0] in VARIED)
    return replace(head, key=(method, host, target, tag, varied))


def is_settled_by_key(names: Iterable[str]) -> bool:
    """Whether heads `of_generic_origin` with one key agree in the fields `names` (lower case): what Vary lists.

    They do too where such a head has no such field at all."""
    return all(name in VARIED or name == "host" or (name not in IGNORED and name not in _READ) for name in names)


def plain(head: bytes) -> PlainHead | None:
    """What `head`, all that has arrived, asks for; None when it is not one whole plain head."""
    if len(head) > MOST or not head.endswith(_END):
        return None
    # Without its printable bytes a plain head is line ends and nothing else, one for each line and the last.
    if head.translate(None, _PRINTABLE) != b"\r\n" * (head.count(b"\n")):
        return None
    first, *lines = head[: -len(_END)].decode("ascii").split("\r\n")
    words = first.split(" ")
    if (
        len(lines) > MOST_FIELDS
        or len(words) != 3
        or words[0] not in READS
        or words[2] != "HTTP/1.1"
        or not _is_path(words[1])
    ):
        return None
    ignored: list[tuple[str, str]] = []
    fields = _fields(lines, ignored)
    return None if fields is None else _asked(words[0], words[1], fields, tuple(ignored))


def _is_path(target: str) -> bool:
    return target.startswith("/") and "#" not in target


def _fields(lines: list[str], ignored: list[tuple[str, str]]) -> dict[str, str] | None:
    """Those that count, by lower-case name; None when there is anything that is not plain. The others go to
    `ignored`."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, text = line.partition(":")
        name = name.lower()
        if not colon:
            return None
        if name in IGNORED:
            ignored.append((name, text.strip(" ")))
            continue
        if name not in _READ or name in fields:
            return None
        fields[name] = text.strip(" ")
    return fields


def _asked(method: str, target: str, fields: dict[str, str], ignored: Fields) -> PlainHead | None:
    host, tag = fields.get("host"), fields.get("if-none-match")
    if (
        host is None
        or not valid_host(host)
        or tag == ""
        or fields.get("connection", "keep-alive").lower() != "keep-alive"
    ):
        return None
    offered, token = fields.get("x-request-id"), fields.get("authorization")
    if token is not None and not _BEARER.fullmatch(token):
        return None
    sane = offered if offered is not None and is_sane(offered) else None
    part = fields.get("range")
    is_plain = token is None and sane is None and part is None
    key, agent = (method, host, target, tag, ()), fields.get("user-agent")
    return PlainHead(key, host, agent, sane, is_plain, ignored, has_credentials=token is not None, range=part)
