"""The raw request target: split once, decoded once, anything that could be read in two ways refused.

Everything later works on the decoded segments; only calls that are passed on keep the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from proxy.core.errors import MalformedTarget

SEGMENT_BYTES: Final = 255
"""Longest decoded path segment, in bytes of UTF-8: what file systems, and git clients on them, can hold."""

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNSENDABLE: Final = re.compile(r"[\x00-\x20\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VISIBLE: Final = "".join(chr(code) for code in range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class RawTarget:
    """A request target that can be read in one way only.

    `text` is what may be sent on: visible ASCII, one leading slash. `segments` are decoded; a `/` in one of them
    was a `%2F`. `query` is undecoded, without the question mark.
    """

    text: str
    segments: tuple[str, ...]
    query: str

    @classmethod
    def read(cls, raw: str) -> RawTarget:
        """Raises MalformedTarget, saying what and why."""
        _refuse_unsendable(raw)
        path, mark, query = raw.partition("?")
        path = "/" + path.lstrip("/")  # HF_ENDPOINT with a slash at its end makes `//datasets/…`
        segments = tuple(decode_segment(piece) for piece in path[1:].split("/")) if path != "/" else ()
        return cls(_as_ascii(path + mark + query), segments, _as_ascii(query))


def decode_segment(piece: str) -> str:
    """The text that one undecoded path segment spells. Raises MalformedTarget."""
    text = decode(piece)
    check_segment(text)
    return text


def check_segment(text: str) -> None:
    """Whether the decoded `text` can be a path segment (or several, at slashes). Raises MalformedTarget."""
    for part in text.split("/"):
        if not part:
            raise MalformedTarget("a path segment is empty; write one slash between two names and none at the end")
        if part in (".", ".."):
            raise MalformedTarget(f"a path segment is {part!r}; paths here do not climb")
        if len(part.encode()) > SEGMENT_BYTES:
            raise MalformedTarget(f"a path segment is longer than {SEGMENT_BYTES} bytes")
    if "\\" in text:
        raise MalformedTarget("a path segment holds a backslash, which some systems read as a slash")
    if _CONTROL.search(text):
        raise MalformedTarget("a path segment holds a control character")


def decode(piece: str) -> str:
    """Percent-decode `piece`, a part of a checked raw target, once, as strict UTF-8 without control characters.

    Raises MalformedTarget."""
    if piece.isascii() and "%" not in piece:
        return piece
    try:
        text = unquote_to_bytes(_bytes(piece)).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedTarget("the target is not UTF-8 once decoded") from None
    if _CONTROL.search(text):
        raise MalformedTarget("the target holds a control character")
    return text


def _refuse_unsendable(raw: str) -> None:
    if not raw.startswith("/"):
        raise MalformedTarget("the target is no path; send the origin form, like /org/name/resolve/main/config.json")
    if _UNSENDABLE.search(raw):
        raise MalformedTarget("the target holds a space or a control character; percent-encode it")
    if "#" in raw:
        raise MalformedTarget("the target holds a '#'; percent-encode it as %23")
    if _BAD_ESCAPE.search(raw):
        raise MalformedTarget("a '%' in the target is not followed by two hexadecimal digits; write it as %25")


def _bytes(text: str) -> bytes:
    """The bytes that came over the wire: servers hand undecodable ones over as lone surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MalformedTarget("the target is not UTF-8") from None


def _as_ascii(text: str) -> str:
    return text if text.isascii() else quote_from_bytes(_bytes(text), safe=_VISIBLE)
