"""Byte ranges of HTTP (RFC 9110 §14): the one place where ends are inclusive.

A Range field is judged against the length of the file, and becomes spans. What the RFC lets a server decide is decided
so: at most 16 ascending ranges that share no byte are answered, near ones joined; anything else gets the whole file.
A range cannot be refused for being odd: 416 is for ranges that are well formed and lie outside the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .spans import Span, coalesce, total

MOST_RANGES: Final = 16
"""More ranges than this in one request are answered with the whole file (RFC 9110 §17.15)."""

NEAR: Final = 128
"""Ranges fewer bytes apart than this are joined: the head of a part costs as much."""

_LONGEST_FIELD: Final = 1024
_BOUNDARY: Final = re.compile(r"[A-Za-z0-9]{1,70}", re.ASCII)
_NUMBER: Final = r"[0-9]{1,18}"
_RANGE: Final = re.compile(rf"({_NUMBER})-({_NUMBER})?|-({_NUMBER})", re.ASCII)
_CONTENT_RANGE: Final = re.compile(rf"bytes ({_NUMBER})-({_NUMBER})/({_NUMBER})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ignored:
    """No Range field, or one that we do not answer: the whole file, 200."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No byte of the file is meant: 416 with `Content-Range: bytes */size`."""


@dataclass(frozen=True, slots=True)
class Single:
    """206 with one, not empty, span."""

    span: Span


@dataclass(frozen=True, slots=True)
class Multi:
    """206 with multipart/byteranges: two to 16 spans, ascending, at least `NEAR` bytes apart."""

    spans: tuple[Span, ...]


RangeWanted = Ignored | Unsatisfiable | Single | Multi


def wanted(field: str | None, size: int) -> RangeWanted:
    """What the Range `field` asks of a file of `size` bytes (>= 0).

    An empty file has no byte to be outside of: every range of it is ignored, since a 416 makes clients fail.
    """
    specs = None if field is None or size == 0 else _specs(field)
    if specs is None:
        return Ignored()
    spans = [span for spec in specs if (span := _span(spec, size))]
    if not spans:
        return Unsatisfiable()
    if any(after.start < before.stop for before, after in pairwise(spans)):
        return Ignored()
    joined = coalesce(spans, gap=NEAR - 1)
    return Single(joined[0]) if len(joined) == 1 else Multi(joined)


def range_field(span: Span) -> str:
    """The Range field that asks for the bytes of `span`, which is not empty."""
    assert span, "an empty span cannot be spelt as a range"
    return f"bytes={span.start}-{span.stop - 1}"


def content_range(span: Span, size: int) -> str:
    """The Content-Range field of a 206 with `span`, not empty, of `size` bytes."""
    assert span, "an empty span cannot be spelt as a range"
    assert span.stop <= size, f"{span} is outside of {size} bytes"
    return f"bytes {span.start}-{span.stop - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """The Content-Range field of a 416 (and of the 200 of an empty file)."""
    return f"bytes */{size}"


def parse_content_range(field: str) -> tuple[Span, int] | None:
    """Span and complete length that a Content-Range field states; None for any other form (unknown length, 416 form,
    reversed, outside). Strict: an origin that cannot spell it is not believed."""
    match = _CONTENT_RANGE.fullmatch(field)
    if match is None:
        return None
    first, last, size = (int(number) for number in match.groups())
    return (Span(first, last + 1), size) if first <= last < size else None


# --- multipart/byteranges (RFC 9110 §14.6) ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One range of a multipart body: send `head`, then the bytes of `span`."""

    head: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/byteranges body, laid out before its first byte is sent: `parts` in order, then `tail`."""

    parts: tuple[Part, ...]
    tail: bytes
    content_type: str

    @property
    def length(self) -> int:
        """Bytes of the whole body: its Content-Length."""
        return sum(len(part.head) for part in self.parts) + total(part.span for part in self.parts) + len(self.tail)


def multipart(spans: tuple[Span, ...], size: int, content_type: str, boundary: str) -> Multipart:
    """The layout of `spans` of a file of `size` bytes and type `content_type`.

    `boundary` (1 to 70 of A-Z a-z 0-9) must not occur in the file at a line's start: take it at random.
    """
    assert _BOUNDARY.fullmatch(boundary), f"no boundary: {boundary!r}"
    heads = _part_heads(spans, size, content_type, boundary)
    parts = tuple(Part(head, span) for head, span in zip(heads, spans, strict=True))
    return Multipart(parts, f"\r\n--{boundary}--\r\n".encode(), f"multipart/byteranges; boundary={boundary}")


def _part_heads(spans: tuple[Span, ...], size: int, content_type: str, boundary: str) -> Iterator[bytes]:
    for index, span in enumerate(spans):
        line_end = "\r\n" if index else ""
        fields = f"Content-Type: {content_type}\r\nContent-Range: {content_range(span, size)}\r\n\r\n"
        yield f"{line_end}--{boundary}\r\n{fields}".encode()


# --- reading a Range field ----------------------------------------------------------------------------------------

_Spec = tuple[int | None, int | None]
"""First and inclusive last position; (None, n) is the last n bytes, (n, None) is open."""


def _specs(field: str) -> list[_Spec] | None:
    unit, equals, ranges = field.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes" or len(field) > _LONGEST_FIELD:
        return None
    pieces = [piece for text in ranges.split(",") if (piece := text.strip(" \t"))]
    specs = [_spec(piece) for piece in pieces]
    known = [spec for spec in specs if spec is not None]
    return known if 0 < len(specs) == len(known) <= MOST_RANGES else None


def _spec(text: str) -> _Spec | None:
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last, suffix = (None if number is None else int(number) for number in match.groups())
    if first is None:
        return (None, suffix)
    return None if last is not None and last < first else (first, last)


def _span(spec: _Spec, size: int) -> Span:
    """The bytes of the file that `spec` means; empty when there are none."""
    first, last = spec
    if first is None:
        assert last is not None, "a range has a first position or a suffix length"
        return Span(max(0, size - last), size)
    if first >= size:
        return Span(size, size)
    return Span(first, size if last is None else min(last + 1, size))
