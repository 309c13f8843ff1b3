"""What one node tells another of an answer that a shared cache may keep, as bytes and back. Pure.

Times are told as how long they were before the question came, so that the clocks of two nodes need not agree: whoever
takes the answer over counts back from the moment at which it asked. What it makes of that is an age that holds the time
on the way between the nodes too (RFC 9111 §4.2.3), and a time of asking that purges can be compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from proxy.core.conditional import parse_etag
from proxy.hub.web_peering import CREDENTIALS, record_of
from proxy.rfc9111.directives import policy
from proxy.rfc9111.fields import Fields, members, without
from proxy.rfc9111.stored import NOTHING, LargeBody, SmallBody, StoredResponse

from .answers import Kept


class NoAnswer(ValueError):
    """Bytes that tell of no answer."""


@dataclass(frozen=True, slots=True)
class Follows:
    """The body comes behind the head."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """It is the body that the node that asks has already."""


@dataclass(frozen=True, slots=True)
class InSlices:
    """The body is had slice by slice from who owns each, under this strong validator."""

    validator: str
    size: int


HowBody = Follows | Unchanged | InSlices


@dataclass(frozen=True, slots=True)
class SharedResponse:
    """A response that is kept, or comes. Seconds before the question; `told` are the parameters of the Cache-Status of
    who tells."""

    status: int
    fields: Fields
    selecting: Fields
    asked_ago: float
    ended_ago: float | None
    body: HowBody
    told: str

    def at(self, asked_at: float, received_at: float, body: SmallBody | LargeBody) -> StoredResponse:
        """As it is kept by the node that has asked for it at that time of its clock."""
        ended = None if self.ended_ago is None else asked_at - self.ended_ago
        asked = asked_at - max(0.0, self.asked_ago)
        return StoredResponse(self.status, self.fields, self.selecting, asked, received_at, body, ended=ended)


@dataclass(frozen=True, slots=True)
class SharedError:
    """The origin's short error, for all who waited for it; its body comes behind."""

    status: int
    fields: Fields
    told: str


Shared = SharedResponse | SharedError


def shared(kept: Kept, came_at: float, etag: str, *, is_part: bool) -> SharedResponse | None:
    """What to tell of `kept` to a node whose question came at `came_at`, which has what has this `etag` (empty:
    nothing) and may want a part of it only; None when it is not to be told: it was selected by what is told to no
    other node."""
    stored = kept.stored
    if CREDENTIALS & set(stored.varies_on):
        return None
    fields = stored.fields
    if not kept.confirmed:
        fields = without(fields, policy(fields).directives.listed("no-cache") or frozenset())
    ended = None if stored.ended is None else came_at - stored.ended
    asked = max(0.0, came_at - stored.requested_at)  # none: the origin was asked after that, which is soon enough
    body = _body(stored, etag, is_part=is_part)
    return SharedResponse(stored.status, fields, stored.selecting, asked, ended, body, kept.told)


def _body(stored: StoredResponse, etag: str, *, is_part: bool) -> HowBody:
    tag = parse_etag(etag)
    if tag is not None and tag == parse_etag(stored.field("etag") or ""):
        return Unchanged()
    # Who asks fetches from the origin what it does not fetch from peers: all of it, if that knows no ranges.
    if isinstance(stored.body, LargeBody) and stored.body.strong and (is_part or has_slices(stored)):
        return InSlices(stored.body.record.validator, stored.body.size)
    return Follows()


def has_slices(stored: StoredResponse) -> bool:
    """Whether nodes can share the work of fetching a long body: an origin that ignores ranges would send each all that
    stands before its slices."""
    return "bytes" in members(stored.field("accept-ranges"))


def taken_over(
    shared: SharedResponse, origin: str, target: str, have: StoredResponse | None, asked_at: float, received_at: float
) -> StoredResponse | None:
    """The response as the node that asked keeps it; `have` is what it has. An empty body stands for one that follows.

    None for a body that is said to be what we have, while we have nothing."""
    body: SmallBody | LargeBody
    match shared.body:
        case Follows():
            body = NOTHING
        case Unchanged():
            if have is None:
                return None
            body = have.body
        case InSlices(validator, size):
            body = LargeBody(record_of(origin, target, validator, size), strong=True)
        case _:
            assert_never(shared.body)
    return shared.at(asked_at, received_at, body)


def encoded(told: Shared) -> bytes:
    """For the wire."""
    match told:
        case SharedError(status, fields, words):
            return orjson.dumps({"kind": "error", "status": status, "fields": fields, "told": words})
        case SharedResponse():
            return orjson.dumps(
                {
                    "kind": "response",
                    "status": told.status,
                    "fields": told.fields,
                    "selecting": told.selecting,
                    "asked": told.asked_ago,
                    "ended": told.ended_ago,
                    "body": _spelt(told.body),
                    "told": told.told,
                }
            )
        case _:
            assert_never(told)


def decoded(said: bytes) -> Shared:
    """What `encoded` wrote. Raises NoAnswer."""
    try:
        told: dict[str, Any] = orjson.loads(said)
        status, fields, words = int(told["status"]), _fields(told["fields"]), str(told["told"])
        if not 200 <= status <= 599 or not words.isascii() or not words.isprintable():
            raise NoAnswer("no final answer")
        if told["kind"] == "error":
            return SharedError(status, fields, words)
        ended = None if told["ended"] is None else float(told["ended"])
        body, asked = _spelled(told["body"]), float(told["asked"])
        return SharedResponse(status, fields, _fields(told["selecting"]), asked, ended, body, words)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoAnswer("these bytes tell of no answer") from None


def _spelt(body: HowBody) -> list[Any]:
    match body:
        case Follows():
            return ["follows"]
        case Unchanged():
            return ["unchanged"]
        case InSlices(validator, size):
            return ["slices", validator, size]
        case _:
            assert_never(body)


def _spelled(said: Any) -> HowBody:
    match said:
        case ["follows"]:
            return Follows()
        case ["unchanged"]:
            return Unchanged()
        case ["slices", str(validator), int(size)]:
            _ = record_of("", "/", validator, size)  # which refuses lengths and validators that are none
            return InSlices(validator, size)
    raise NoAnswer("no body")


def _fields(said: Any) -> Fields:
    fields = tuple((str(name), str(value)) for name, value in said)
    if any(set(name + value) & {"\r", "\n", "\0"} for name, value in fields):
        raise NoAnswer("no fields")
    return fields
