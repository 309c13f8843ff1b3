"""The "CAS" of a Hub with Xet storage: it says which chunks a file is made of, and delivers them (HUB-PROTOCOL §4.1).

GET  /v2/reconstructions/{hash}   terms and where to fetch them, for the range asked; needs an access token
GET  /v1/reconstructions/{hash}   the same in the older form
GET  /xorbs/{name}?…              bytes of a xorb: the address is signed for one range of it, and knows no token
POST /v1/telemetry                swallowed
"""

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, urlencode

from . import ranges
from .content import Blob
from .messages import Answer, Asked, Headers, Kind, Part, json_answer
from .repo import Commit, LfsFile, Repo, RepoKind
from .world import World
from .xorbs import Term, XorbBlob, terms_of

TOKEN_LIFETIME = 900.0
ADDRESS_LIFETIME = 3600.0
_XORBS = "/xorbs/"
Json = dict[str, object]


class Refused(Exception):
    """A token or an address that does not open anything (any more)."""


class Cas:
    """Signs and reads access tokens and xorb addresses. `token_seconds` may be changed at any time."""

    def __init__(self, clock: Callable[[], float], secret: bytes = b"synthetic cas") -> None:
        self._clock = clock
        self._secret = secret
        self._token_epoch = self._address_epoch = 0
        self._xorbs: dict[str, XorbBlob] = {}
        self.token_seconds = TOKEN_LIFETIME

    def token(self, repo: Repo, commit: Commit) -> tuple[str, int]:
        """An access token for the files of a repo at a commit, and until when it works (Unix seconds)."""
        until = int(self._clock() + self.token_seconds)
        said = f"{repo.kind}:{repo.id}:{commit.id}:{until}:{self._token_epoch}"
        return f"xet_{said}:{self._signature(said)}", until

    def expire_tokens(self) -> None:
        """Every token minted so far stops working, whatever was said of its end."""
        self._token_epoch += 1

    def expire_addresses(self) -> None:
        """Every xorb address minted so far stops working."""
        self._address_epoch += 1

    def opened(self, world: World, authorization: str) -> Commit:
        """The commit whose files a token opens. Raises Refused."""
        said, _, signature = authorization.removeprefix("Bearer xet_").rpartition(":")
        if not hmac.compare_digest(signature.encode(), self._signature(said).encode()):
            raise Refused("this is no access token of ours")
        kind, repo_id, commit, until, epoch = said.split(":")
        if self._clock() >= float(until) or int(epoch) < self._token_epoch:
            raise Refused("the access token has expired")
        repo = world.find(RepoKind(kind), repo_id)
        if repo is None or commit not in repo.commits:
            raise Refused("what the access token was for is gone")
        return repo.commits[commit]

    def address(self, base: str, xorb: XorbBlob, start: int, stop: int) -> str:
        """Where the bytes [start, stop) of a xorb can be fetched, for a while."""
        self._xorbs[xorb.name] = xorb
        signed = {
            "X-Xet-Signed-Range": f"bytes={start}-{stop - 1}",
            "Expires": f"{self._clock() + ADDRESS_LIFETIME:.0f}",
            "Epoch": str(self._address_epoch),
        }
        signature = self._signature(f"{xorb.name}?{urlencode(signed)}")
        return f"{base}{_XORBS}{xorb.name}?{urlencode({**signed, 'Signature': signature}, quote_via=quote)}"

    def xorb(self, raw_path: str) -> tuple[XorbBlob, str]:
        """The xorb behind an address, and the range it is signed for. Raises Refused."""
        path, _, query = raw_path.partition("?")
        name, signed = path.removeprefix(_XORBS), dict(parse_qsl(query))
        signature = signed.pop("Signature", "")
        if not hmac.compare_digest(signature.encode(), self._signature(f"{name}?{urlencode(signed)}").encode()):
            raise Refused("SignatureDoesNotMatch")
        if self._clock() >= float(signed["Expires"]) or int(signed["Epoch"]) < self._address_epoch:
            raise Refused("Request has expired")
        return self._xorbs[name], signed["X-Xet-Signed-Range"]

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def kind_of(asked: Asked) -> Kind:
    if asked.path.startswith(_XORBS):
        return Kind.XORB
    return Kind.TELEMETRY if asked.path == "/v1/telemetry" else Kind.CAS


def answer(cas: Cas, world: World, base: str, asked: Asked) -> Answer:
    """The CAS' answer; `base` is its own address."""
    if kind_of(asked) is Kind.TELEMETRY:
        return json_answer({})
    if asked.method not in {"GET", "HEAD"}:
        return _refusal(405, "this CAS takes nothing")
    if kind_of(asked) is Kind.XORB:
        return _delivered(cas, asked)
    version, _, file_hash = asked.path.lstrip("/").partition("/reconstructions/")
    if version not in {"v1", "v2"}:
        return _refusal(404, "there is no such page")
    try:
        commit = cas.opened(world, asked.headers.get("authorization", ""))
    except Refused as refused:
        return _refusal(401, str(refused))
    found = (one.blob for one in commit.files.values() if isinstance(one, LfsFile) and one.xet_hash == file_hash)
    blob = next(found, None)
    return _refusal(404, "no file has this hash") if blob is None else _told(cas, base, asked, blob, version)


def _told(cas: Cas, base: str, asked: Asked, blob: Blob, version: str) -> Answer:
    try:
        part = ranges.wanted(asked.headers.get("range"), blob.size)
    except ranges.Unsatisfiable:
        return _refusal(416, "the range is past the end of the file", {"content-range": f"bytes */{blob.size}"})
    start, stop = (part.start, part.stop) if part else (0, blob.size)
    terms = terms_of(blob, start, stop) if stop > start else []
    told: Json = {
        "offset_into_first_range": start - terms[0].start if terms else 0,
        "terms": [_term(term) for term in terms],
    }
    where = _xorbs(cas, base, terms) if version == "v2" else _fetch_info(cas, base, terms)
    return json_answer({**told, **where})


def _term(term: Term) -> Json:
    chunks = {"start": term.first, "end": term.stop}
    return {"hash": term.xorb.name, "unpacked_length": term.length, "range": chunks}


def _xorbs(cas: Cas, base: str, terms: list[Term]) -> Json:
    def place(term: Term) -> Json:
        start, stop = term.places
        chunks, held = {"start": term.first, "end": term.stop}, {"start": start, "end": stop - 1}
        return {
            "url": cas.address(base, term.xorb, start, stop),
            "ranges": [{"chunks": chunks, "bytes": held}],
        }

    return {"xorbs": {term.xorb.name: [place(term)] for term in terms}}


def _fetch_info(cas: Cas, base: str, terms: list[Term]) -> Json:
    def place(term: Term) -> Json:
        start, stop = term.places
        return {
            "range": {"start": term.first, "end": term.stop},
            "url": cas.address(base, term.xorb, start, stop),
            "url_range": {"start": start, "end": stop - 1},
        }

    return {"fetch_info": {term.xorb.name: [place(term)] for term in terms}}


def _delivered(cas: Cas, asked: Asked) -> Answer:
    if "authorization" in asked.headers:
        return _refusal(400, "Only one auth mechanism allowed; use the query or the header")
    try:
        xorb, signed = cas.xorb(asked.raw_path)
    except Refused as refused:
        return _refusal(403, str(refused))
    part = ranges.wanted(asked.headers.get("range"), xorb.size)
    if part is None or f"bytes={part.start}-{part.stop - 1}" != signed:
        return _refusal(403, f"the address is signed for {signed} alone")
    sized = {
        "content-type": "application/octet-stream",
        "content-range": f"bytes {part.start}-{part.stop - 1}/{xorb.size}",
        "content-length": str(part.stop - part.start),
    }
    return Answer(206, sized, Part(xorb, part.start, part.stop))


def _refusal(status: int, message: str, headers: Headers | None = None) -> Answer:
    return json_answer({"error": message}, status=status, headers=headers)
