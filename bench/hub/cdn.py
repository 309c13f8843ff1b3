"""The "CDN" behind 302 answers: a presigned object store that knows no user, and refuses one who shows a token."""

import hashlib
from dataclasses import dataclass

from . import ranges
from .content import Blob
from .messages import Answer, Asked, Part, whole_answer
from .site import Refused, Signer

_MULTIPART = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PlainLimit:
    """Objects of more than `above` bytes are refused with `status`, whole and in ranges: Xet alone gives them."""

    above: int
    status: int = 403


def answer(signer: Signer, asked: Asked, limit: PlainLimit | None = None) -> Answer:
    """GET or HEAD of a presigned address, with an optional single range."""
    if asked.method not in {"GET", "HEAD"}:
        return _refusal(403, "AccessDenied", "The address is signed for GET")
    if "authorization" in asked.headers:
        return _refusal(400, "InvalidArgument", "Only one auth mechanism allowed; use the query or the header")
    try:
        blob = signer.open(asked.raw_path)
    except Refused as refused:
        return _refusal(403, "AccessDenied", str(refused))
    if limit is not None and blob.size > limit.above:
        return _refusal(limit.status, "EntityTooLarge", "The object is too large to be delivered this way")
    return _delivered(asked, blob)


def etag(blob: Blob) -> str:
    """Strong, quoted, and like a store's own: not the sha256, and with a part count for large objects."""
    digest = hashlib.md5(b"cdn:" + blob.sha256.encode(), usedforsecurity=False).hexdigest()
    parts = -(-blob.size // _MULTIPART)
    return f'"{digest}-{parts}"' if parts > 1 else f'"{digest}"'


def _delivered(asked: Asked, blob: Blob) -> Answer:
    tag = etag(blob)
    headers = {
        "etag": tag,
        "accept-ranges": "bytes",
        "content-type": "application/octet-stream",
        "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "cache-control": "public, max-age=31536000",
        "x-cache": "Miss from synthetic",
    }
    if "if-match" in asked.headers and not ranges.lists_tag(asked.headers["if-match"], tag):
        return _refusal(412, "PreconditionFailed", "At least one of the preconditions you specified did not hold")
    if ranges.lists_tag(asked.headers.get("if-none-match"), tag):
        return Answer(304, headers)
    if asked.headers.get("if-range", tag) != tag:
        asked = asked.without_header("range")
    try:
        part = ranges.wanted(asked.headers.get("range"), blob.size)
    except ranges.Unsatisfiable:
        refusal = _refusal(416, "InvalidRange", "The requested range is not satisfiable")
        return refusal.with_headers({"content-range": f"bytes */{blob.size}"})
    if part is None:
        return Answer(200, {**headers, "content-length": str(blob.size)}, Part(blob, 0, blob.size))
    sized = {
        "content-range": f"bytes {part.start}-{part.stop - 1}/{blob.size}",
        "content-length": str(part.stop - part.start),
    }
    return Answer(206, {**headers, **sized}, Part(blob, part.start, part.stop))


def _refusal(status: int, code: str, message: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return whole_answer(text.encode(), "application/xml", status=status)
