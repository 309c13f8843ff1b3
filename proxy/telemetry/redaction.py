"""What must not be written: tokens, passwords in addresses, signed queries; and what must not be written raw."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_SECRETS: Final = (
    # A Hub token wherever it stands, also percent-encoded neighbours: hf_ and at least eight letters or digits.
    (re.compile(r"\b(hf_|api_org_)[A-Za-z0-9]{8,}"), r"\1***"),
    (re.compile(r"(?i)\b(bearer|basic|token)(\s+|%20|\+)[A-Za-z0-9._~+/=-]{6,}"), r"\1 ***"),
    # https://user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s\"'@]+@"), r"\1***@"),
    # Presigned URLs: of S3, CloudFront, GCS, Azure and our synthetic CDN.
    (
        re.compile(
            r"(?i)([?&](?:x-amz-[a-z0-9-]+|x-goog-[a-z0-9-]+|signature|sig|policy|key-pair-id|token|access_token"
            r"|awsaccesskeyid|expires|se|sp|sv|skoid)=)[^&\s\"'<>]*"
        ),
        r"\1***",
    ),
)
_HARMLESS: Final = re.compile(r"[A-Za-z0-9./:-]*")
"""Texts that none of the patterns above finds anything in, and without anything that is not printable."""
_OFTEN: Final = 256
"""Characters of a text that is worth remembering."""
_CONTROLS: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def redacted(text: str) -> str:
    """`text` without secrets. What looks like one is replaced by `***`."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def printable(text: str) -> str:
    """`text` with control characters, line separators, bidirectional overrides and lone surrogates escaped."""
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def clean(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, printable and without secrets; a cut is marked by `…`."""
    if len(text) <= limit and _HARMLESS.fullmatch(text):
        return text
    return _cleaned(text, limit) if len(text) <= _OFTEN else _cleaned.__wrapped__(text, limit)


@lru_cache(maxsize=4096)
def _cleaned(text: str, limit: int) -> str:
    """What a log says, it says again and again: names, paths, programs."""
    # Redact before cutting: half a token would not be recognised.
    whole = redacted(printable(text[: limit * 4]))
    return whole if len(whole) <= limit else f"{whole[:limit]}…"
