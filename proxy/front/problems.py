"""Every error a client can see: exception type -> status, headers, body. The one table (I10).

Two planes differ, because clients do (HUB-PROTOCOL §3). On a *file*, huggingface_hub gives up at once on any 5xx and
retries a 429 up to five times, honouring Retry-After: what another try may mend is 429 there. On the *API* it retries
nothing, and falls back to what it has on a 5xx. Hub routes answer in the Hub's words (`{"error": …}`, X-Error-Code,
X-Error-Message), others as application/problem+json (RFC 9457).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import orjson

from proxy.core import errors
from proxy.hub.paths import NotMirrored, UnknownTarget
from proxy.hub.peering import ADDRESS_REFUSED
from proxy.hub.problems import INVALID_CREDENTIALS, Code

from . import strictness

Headers = tuple[tuple[str, str], ...]


class Side(Enum):
    """Where an error shows."""

    FILES = auto()
    API = auto()
    GIT = auto()
    """Git, which shows its user plain text, and sends credentials when it is asked for Basic ones."""
    LFS = auto()
    """git-lfs, which shows its user a JSON `message`."""
    OCI = auto()
    """Clients of the registry, which look for `errors`, and for the Bearer challenge of the host they asked."""
    PEER = auto()
    """Another node of the fleet, which is told all it needs to repeat the error in its own words."""
    ELSEWHERE = auto()


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a client sees it. `code` is the X-Error-Code; `close` ends the connection after it."""

    status: int
    message: str
    code: str | None = None
    headers: Headers = ()
    close: bool = False
    refused: bool = False
    """Whether it is the origin's own no."""


Row = Callable[[errors.PenstockError, Side], Problem]

BASIC: Final = 'Basic realm="Hugging Face: any user name, a token as password", charset="UTF-8"'

_OCI_CODES: Final = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 429: "TOOMANYREQUESTS"}

_AGAIN: Final = 5
"""Seconds after which another try may find the origin back: long enough not to hammer, within a client's retries."""


def problem(error: BaseException, side: Side) -> Problem:
    """What `error` looks like on `side`. Anything that is none of ours is a 500 without a word about it."""
    for kind in type(error).__mro__:
        if kind in TABLE and isinstance(error, errors.PenstockError):
            return TABLE[kind](error, side)
    return Problem(500, "something went wrong here; the request id finds it in the log")


def body(found: Problem, side: Side, request_id: str, base_url: str | None = None) -> tuple[Headers, bytes]:
    """The answer's own fields and its body. `base_url` is how the client reaches us."""
    if side is Side.PEER:
        return (("Content-Type", "application/json"),), orjson.dumps(
            {
                "error": found.message,
                "refused": found.refused,
                "code": found.code,
                "commit": next((text for name, text in found.headers if name == "X-Repo-Commit"), None),
                "headers": [field for field in found.headers if field[0] != "X-Repo-Commit"],
                "retry_after": next((int(text) for name, text in found.headers if name == "Retry-After"), None),
            }
        )
    if side is Side.ELSEWHERE:
        return (("Content-Type", "application/problem+json"), *found.headers), orjson.dumps(
            {
                "type": "about:blank",
                "title": _phrase(found.status),
                "status": found.status,
                "detail": found.message,
                "instance": f"urn:request:{request_id}",
            }
        )
    named: Headers = (("X-Error-Message", _one_line(found.message)),)
    if found.code is not None:
        named = (("X-Error-Code", found.code), *named)
    if side is Side.GIT:
        fields = (("Content-Type", "text/plain; charset=utf-8"), *named, *_asking_for(BASIC, found))
        return fields, f"{found.message}\n".encode()
    if side is Side.LFS:
        fields = (("Content-Type", "application/vnd.git-lfs+json"), *named, *_asking_for(BASIC, found))
        return fields, orjson.dumps({"message": found.message, "request_id": request_id})
    if side is Side.OCI:
        realm = f'Bearer realm="{base_url or ""}/v2/token",service="penstock"'
        fields = (("Content-Type", "application/json"), *named, *_asking_for(realm, found))
        told = {"code": _OCI_CODES.get(found.status, "UNKNOWN"), "message": found.message}
        return fields, orjson.dumps({"errors": [told], "error": found.message})
    return (("Content-Type", "application/json"), *named, *found.headers), orjson.dumps({"error": found.message})


def _asking_for(challenge: str, found: Problem) -> Headers:
    """The problem's own fields; a 401 asks with our own challenge: git comes back with its token for a Basic one alone,
    ollama goes to a realm of the host it asked alone."""
    if found.status != 401:
        return found.headers
    others = (field for field in found.headers if field[0].lower() != "www-authenticate")
    return (*others, ("WWW-Authenticate", challenge))


# --- the rows -----------------------------------------------------------------------------------------------------


def _fixed(status: int, *, close: bool = False) -> Row:
    return lambda error, side: Problem(status, str(error), close=close)


def _retry(error: errors.PenstockError, seconds: int) -> Problem:
    return Problem(429, str(error), headers=(("Retry-After", str(seconds)),))


def _retried(api: int, seconds: int = _AGAIN) -> Row:
    """429 with Retry-After on a file, where it makes the client try again; the honest 5xx `api` elsewhere."""

    def row(error: errors.PenstockError, side: Side) -> Problem:
        if side is Side.FILES:
            return _retry(error, seconds)
        return Problem(api, str(error), headers=(("Retry-After", str(seconds)),))

    return row


def _refused_address(error: errors.PenstockError, side: Side) -> Problem:
    """As any origin that is away; but another node of the fleet is told that it need not try."""
    found = _retried(502)(error, side)
    return replace(found, code=ADDRESS_REFUSED) if side is Side.PEER else found


def _waiting(error: errors.PenstockError, side: Side) -> Problem:
    """The origin's (or our own) request to wait: the client may know better how long it can."""
    assert isinstance(error, errors.OriginBusy | errors.Overloaded)
    return _retry(error, error.retry_after)


def _refused(error: errors.PenstockError, side: Side) -> Problem:
    """The origin's no. A status that is no refusal would be ours to explain, so it is a 502."""
    assert isinstance(error, errors.OriginRefused)
    if not 400 <= error.status < 500:
        return Problem(502, f"the origin answered {error.status}, which is no answer to this")
    commit = () if error.commit is None else (("X-Repo-Commit", error.commit),)
    code = error.code or _missing_code(error, side)
    return Problem(error.status, error.message, code, (*commit, *error.headers), refused=True)


def _missing_code(error: errors.OriginRefused, side: Side) -> str | None:
    """Clients read a bare 401 from a mirror as a broken network, and a bare 404 of a file as no Hub at all: a code is
    added where it can have but one meaning."""
    if error.status == 401 and error.message != INVALID_CREDENTIALS:
        return Code.REPO.value
    if error.status == 404 and side is Side.FILES:
        return Code.ENTRY.value
    return None


def _method_refused(error: errors.PenstockError, side: Side) -> Problem:
    assert isinstance(error, strictness.MethodRefused)
    return Problem(405, str(error), headers=(("Allow", ", ".join(error.allow)),), close=True)


TABLE: Final[dict[type[BaseException], Row]] = {
    # a path that can be read in two ways is refused like a broken frame; one that means nothing is merely not there
    errors.MalformedTarget: _fixed(400, close=True),
    UnknownTarget: _fixed(404),
    # the body of what was asked may be long, and was not read
    errors.NoSuchOrigin: _fixed(404, close=True),
    NotMirrored: _fixed(403),
    errors.RequestRefused: _fixed(400, close=True),
    strictness.MethodRefused: _method_refused,
    strictness.BodyTooLong: _fixed(413, close=True),
    strictness.BodyTooSlow: _fixed(408, close=True),
    strictness.ExpectationFailed: _fixed(417, close=True),
    # the body of the write was not read, and may be long
    errors.WritesRefused: _fixed(403, close=True),
    # clients of Xet and git-lfs ask for a new address on 403, and give up on 404
    errors.TicketExpired: _fixed(403),
    errors.TicketForged: _fixed(404),
    errors.TicketRefused: _fixed(404),
    errors.OriginRefused: _refused,
    errors.OriginBusy: _waiting,
    errors.SlowDown: _waiting,
    errors.OriginUnreachable: _retried(502),
    errors.AddressRefused: _refused_address,
    errors.PlainRefused: _refused_address,
    errors.OriginAway: _retried(502),
    # for the operator to mend; a client that tries again gets the same
    errors.XetNeeded: _fixed(502),
    # a lie is not mended by asking again at once, and the client should say so to its user: 502 on both planes
    errors.OriginLied: _fixed(502),
    errors.SourceChanged: _fixed(502),
    errors.RangeMangled: _fixed(502),
    # ... but wrong bytes were dropped, and the next fill may be right
    errors.DigestMismatch: _retried(502, 1),
    # RFC 9111 §5.2.1.7
    errors.NotKept: _fixed(504),
    # a range waited for the end of it; asked for as a whole it is passed on
    errors.SpoolFull: _fixed(502),
    # the next try finds another disk, or a relay
    errors.NoDisk: _retried(503, 1),
    errors.DiskFailed: _retried(503, 1),
    errors.BlobDropped: _retried(503, 1),
    errors.StoreError: _retried(503, 1),
    # whoever is no node of the fleet learns that there is one, and no more
    errors.PeerRefused: _fixed(403, close=True),
    errors.AskAnother: _fixed(421),
    errors.PeerLeaving: _fixed(410),
    errors.FoundWrong: _fixed(409),
    # a read ends at the origin, whose error is the answer; these rows are for what nobody thought of
    errors.PeerFailed: _retried(502, 1),
    errors.PeerSlow: _retried(502, 1),
    errors.PeerError: _retried(502, 1),
    errors.Stalled: _retried(504, 1),
    errors.Overloaded: _waiting,
    errors.RedisAway: _retried(503, 1),
    # no request can cause these; a row so that one that does is not taken for something else
    errors.ConfigError: _fixed(500),
    errors.PenstockError: _fixed(500),
}

_CONTROL: Final = re.compile(r"[^\x20-\x7e]+")


def _one_line(text: str) -> str:
    """Fit for a header field: printable ASCII, at most 500 characters."""
    return _CONTROL.sub(" ", text)[:500]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
