"""What to ask the origin for when a client asks for a part of something that is not known yet. Pure.

The client's range is widened to whole chunks, so that what comes can be kept and found again by others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.core.byterange import parse_content_range
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span
from proxy.rfc9111.fields import Fields, joined, values

_FIRST: Final = re.compile(r"bytes=[ \t]*(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))[ \t]*(?:,.*)?", re.I)


@dataclass(frozen=True, slots=True)
class Window:
    """A range to ask for: from `start` to `stop` (None: to the end), or the last `suffix` bytes."""

    start: int = 0
    stop: int | None = None
    suffix: int | None = None

    @property
    def field(self) -> str:
        if self.suffix is not None:
            return f"bytes=-{self.suffix}"
        return f"bytes={self.start}-{'' if self.stop is None else self.stop - 1}"


def window(range_field: str | None) -> Window | None:
    """The window of the first range of the field; None where there is none, or none that can be read."""
    match = None if range_field is None else _FIRST.fullmatch(range_field.strip(" \t"))
    if match is None:
        return None
    first, last, suffix = (None if text is None else int(text) for text in match.groups())
    if first is None:
        assert suffix is not None, "a range has a first position or a suffix length"
        return Window(suffix=suffix + CHUNK)
    if last is not None and last < first:
        return None
    return Window(first // CHUNK * CHUNK, None if last is None else (last // CHUNK + 1) * CHUNK)


@dataclass(frozen=True, slots=True)
class Part:
    """A 206 that is what it was asked to be: `span` of the `size` bytes that the strong `validator` stands for."""

    span: Span
    size: int
    validator: str


def part_of(asked: Window, fields: Fields, length: int | None) -> Part | None:
    """Judge a 206 (DESIGN D5b); None for one that cannot be kept: mangled, encoded, without a strong validator."""
    stated = values(fields, "content-range")
    told = parse_content_range(stated[0]) if len(stated) == 1 else None
    validator = strong_validator(fields)
    if told is None or validator is None or joined(fields, "content-encoding") is not None:
        return None
    span, size = told
    if length is not None and length != len(span):
        return None
    start = asked.start if asked.suffix is None else max(0, size - asked.suffix)
    stop = size if asked.stop is None else min(asked.stop, size)
    return Part(span, size, validator) if (span.start, span.stop) == (start, stop) else None


def strong_validator(fields: Fields) -> str | None:
    """The opaque text of the one strong ETag; None when there is none that can vouch for bytes."""
    tags = set(values(fields, "etag"))
    tag = tags.pop() if len(tags) == 1 else ""
    fits = len(tag) > 2 and tag[0] == tag[-1] == '"' and '"' not in tag[1:-1] and tag.isascii() and len(tag) <= 514
    return tag[1:-1] if fits else None
