"""What an answer may be. Pure: an exchange, what is known of its target, the weather; out come complaints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

from tests.kit.files import Expected

from .documents import SAYS, Document
from .models import Model
from .readers import Ended, Exchange, spans_of
from .weather import Weather

SLACK = 2.5
"""Seconds that a copy may be older than its lifetime: a hot answer is given again for one; clocks are read twice."""
REF_TTL = 1.0
HUB = frozenset({"hub"})
WEB = frozenset({"web"})
NODE = frozenset({"node"})
DISK = frozenset({"disk"})
DROPS = frozenset({"drop"})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_LOCATION = re.compile(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", re.ASCII)
_SAID = re.compile(r"d(\d+) v(\d+)(?: (\S+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Purged:
    """A purge that was answered with yes: at a node, when it was sent and when answered; of which document."""

    node: int
    sent: float
    answered: float
    document: int
    soft: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """What the bytes are, by their tag."""

    content: bytes
    etag: str | None


class Judge:
    """Complains. `lied` are the offsets at which the Hub lied, ever; `together`: nodes of a fleet answer for one
    another, and hear of purges."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.lied: set[int] = set()
        self.flipped: dict[str, set[int]] = {}
        self.purged: list[Purged] = []

    # -- the Hub's -------------------------------------------------------------------------------------------------

    def file(self, told: Exchange, file: Expected) -> Iterator[str]:
        """An answer about a file at a commit."""
        if told.status in (200, 206, 304, 416, 412):
            yield from self._file_said(told, file)
        elif told.status:
            yield from self._error(told, HUB | NODE | DISK | DROPS)
        yield from self._ending(told, HUB | NODE | DISK | DROPS)

    def redirect(self, told: Exchange, model: Model) -> Iterator[str]:
        """An answer about a file on `main`."""
        if told.status != 307:
            if told.status:
                yield from self._error(told, HUB | NODE | DISK | DROPS)
            yield from self._ending(told, HUB | NODE | DISK | DROPS)
            return
        found = _LOCATION.fullmatch(told.headers.get("Location", ""))
        if found is None or found[2] not in model.files:
            yield f"redirected to what never was: {told.headers.get('Location')}"
            return
        ended = model.ended.get(found[2])
        is_old = ended is not None and ended + REF_TTL + SLACK < told.began
        if ended is not None and is_old and not self.weather.explain(HUB | NODE, ended, told.ended_at):
            yield f"main is a commit that ended {told.began - ended:.2f} s before"

    def _file_said(self, told: Exchange, file: Expected) -> Iterator[str]:
        if (etag := told.headers.get("ETag")) not in (None, f'"{file.etag}"'):
            yield f'ETag {etag}, not "{file.etag}"'
        content = file.blob.read(0, file.size)
        for complaint in _content_said(told, Truth(content, f'"{file.etag}"')):
            if not self._forgiven(told, file, complaint):
                yield complaint

    def _forgiven(self, told: Exchange, file: Expected, complaint: str) -> bool:
        """A wrong byte that the Hub lied about, in what never ended cleanly or says that nobody has proven it; or one
        that was flipped on the disk and not found yet."""
        found = re.fullmatch(r"byte (\d+) is wrong", complaint)
        if found is None:
            return False
        at = int(found[1])
        unproven = told.ended is not Ended.WHOLE or "unverified" in told.headers.get("Cache-Status", "")
        return (at in self.lied and unproven and file.linked) or at in self.flipped.get(file.sha256, ())

    # -- the generic origin's ---------------------------------------------------------------------------------------

    def document(self, told: Exchange, document: Document) -> Iterator[str]:
        about = frozenset({"change", "drop"})
        changed = self.weather.explain(about, told.began - 5, told.ended_at, f"d{document.number}")
        kinds = WEB | NODE | DISK
        if told.status in (200, 206, 304, 416, 412) or told.status == document.traits.status:
            yield from self._document_said(told, document)
        elif told.status and not (changed and told.status in (429, 502, 503)):
            yield from self._error(told, kinds)
        if not changed:
            yield from self._ending(told, kinds)
        elif told.ended is Ended.HUNG:
            yield "it hung"

    def _document_said(self, told: Exchange, document: Document) -> Iterator[str]:
        found = _SAID.fullmatch(told.headers.get(SAYS, ""))
        if found is None:
            if told.status not in (304, 416, 412):
                yield f"nobody says what it is: {told.headers.get(SAYS)!r}"
            return
        version, language = int(found[2]), found[3]
        if int(found[1]) != document.number:
            yield f"it is of d{found[1]}"
            return
        if document.traits.vary and language != told.fields.get(document.traits.vary, "none"):
            yield f"it is the variant {language}"
        if (etag := told.headers.get("ETag")) != document.etag(version):
            yield f"ETag {etag}, not {document.etag(version)}"
        yield from self._too_old(told, document, version)
        yield from _content_said(told, Truth(document.content(version), document.etag(version)), document.traits.status)

    def _too_old(self, told: Exchange, document: Document, version: int) -> Iterator[str]:
        ended = document.ended.get(version)
        if ended is None:
            return
        traits = document.traits
        lasts = traits.max_age + traits.serves_stale if traits.kept else 0.0
        if ended + lasts + SLACK < told.began:
            yield f"v{version} ended {told.began - ended:.2f} s before, and lasts {lasts:g}"
        for purged in self.purged:
            if purged.document != document.number or purged.node != told.node or purged.answered >= told.began:
                continue
            if ended < purged.sent and not (purged.soft and traits.serves_stale):
                yield f"v{version} ended {purged.sent - ended:.2f} s before it was purged at {purged.sent:.2f}"

    # -- both --------------------------------------------------------------------------------------------------------

    def _error(self, told: Exchange, kinds: frozenset[str]) -> Iterator[str]:
        if told.status not in (429, 502, 503, 504):
            yield f"status {told.status}: {bytes(told.body[:200])!r}"
        elif not self._explained(told, kinds):
            yield f"status {told.status} with no reason: {bytes(told.body[:200])!r}"

    def _ending(self, told: Exchange, kinds: frozenset[str]) -> Iterator[str]:
        match told.ended:
            case Ended.HUNG:
                yield "it hung"
            case Ended.BROKEN if not self._explained(told, kinds):
                yield "it broke off with no reason"
            case Ended.UNREACHED if not self._explained(told, NODE):
                yield "nobody listens"
            case _:
                pass

    def _explained(self, told: Exchange, kinds: frozenset[str]) -> bool:
        elsewhere = kinds - NODE
        return self.weather.explain(elsewhere, told.began, told.ended_at) or (
            bool(kinds & NODE) and self.weather.explain(NODE, told.began, told.ended_at, f"n{told.node}")
        )


def _content_said(told: Exchange, truth: Truth, status: int = 200) -> Iterator[str]:
    """Status, lengths and bytes agree with the truth and with what was asked for."""
    size = len(truth.content)
    asked = told.fields.get("Range")
    spans = spans_of(asked, size) if asked is not None and told.method == "GET" else None
    matched = truth.etag is not None and told.fields.get("If-None-Match") == truth.etag
    match told.status:
        case 304:
            if not matched and "If-Modified-Since" not in told.fields:
                yield "304 to what did not match"
        case 412:
            if told.fields.get("If-Match", truth.etag) == truth.etag:
                yield "412 to what matched"
        case 416:
            if spans != () or told.headers.get("Content-Range") != f"bytes */{size}":
                yield f"416 of {told.fields.get('Range')} with {told.headers.get('Content-Range')}"
        case 206 if spans is not None and len(spans) > 1 and "multipart" in told.headers.get("Content-Type", ""):
            yield from _several(told, spans, truth.content)
        case 206:
            yield from _one(told, spans, truth.content)
        case 200 | 404:
            if spans is not None and len(spans) == 1 and "If-Range" not in told.fields and told.status == 200 == status:
                yield "200 to a range request"
            yield from _bytes(told, 0, truth.content)


def _one(told: Exchange, spans: tuple[tuple[int, int], ...] | None, content: bytes) -> Iterator[str]:
    found = _CONTENT_RANGE.fullmatch(told.headers.get("Content-Range", ""))
    if found is None or spans is None or len(spans) < 1:
        yield f"206 to {told.fields.get('Range')} with Content-Range {told.headers.get('Content-Range')}"
        return
    start, last, size = map(int, found.groups())
    if len(spans) == 1 and ((start, last + 1) != spans[0] or size != len(content)):
        yield f"Content-Range {found[0]} for {told.fields.get('Range')} of {len(content)}"
        return
    yield from _bytes(told, start, content[start : last + 1])


def _bytes(told: Exchange, start: int, right: bytes) -> Iterator[str]:
    length = told.headers.get("Content-Length")
    if length is not None and int(length) != len(right):
        yield f"Content-Length {length}, not {len(right)}"
        return
    if told.method == "HEAD":
        return
    got = bytes(told.body)
    if got != right[: len(got)]:
        at = next(
            at for at, (one, other) in enumerate(zip(got, right + b"\0" * len(got), strict=False)) if one != other
        )
        yield f"byte {start + at} is wrong"
    if told.ended is Ended.WHOLE and len(got) != len(right):
        yield f"a clean end after {len(got)} of {len(right)} bytes"


def _several(told: Exchange, spans: Iterable[tuple[int, int]], content: bytes) -> Iterator[str]:
    if told.ended is not Ended.WHOLE:
        return
    kind = told.headers["Content-Type"].encode()
    parts = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + bytes(told.body))
    for part, (start, stop) in zip(parts.iter_parts(), spans, strict=False):
        if part["Content-Range"] != f"bytes {start}-{stop - 1}/{len(content)}":
            yield f"a part has Content-Range {part['Content-Range']}"
        elif _payload_of(told, part["Content-Range"], stop - start) != content[start:stop]:
            yield f"byte {start} is wrong"


def _payload_of(told: Exchange, content_range: str, length: int) -> bytes:
    """The bytes behind the head of the part: parsers of mail mend line ends."""
    body = bytes(told.body)
    at = body.index(b"\r\n\r\n", body.index(content_range.encode())) + 4
    return body[at : at + length]
