"""Is this answer the range we asked for? Exactly, or not at all (DESIGN D5b, RELIABILITY §3.3). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.core.errors import OriginLied, RangeMangled, SourceChanged
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span, whole

from .head import Head

SKIPPED: Final = 8 * MIB
"""Most bytes we read over when an origin sends the whole in place of a range."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_UNSATISFIED: Final = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Body:
    """How to read an accepted body: pass over `skip` bytes, take the span; `ends_there`: nothing may follow."""

    skip: int
    ends_there: bool


def judge_transfer(head: Head, wanted: Span, size: int, pinned: str | None) -> Body:
    """How to read the body of this 200, 206 or 416, answered to a request for `wanted` of a file of `size` bytes.

    `pinned` is the ETag field, as it came, of earlier answers from this host; None when there was none yet.
    On a file of one chunk, proven before any of it goes out, the tag may have become weak.
    Raises SourceChanged when it is of another generation, RangeMangled when it is not that range."""
    if head.status == 416:
        raise _unsatisfied(head, size)
    tag = _etag(head)
    if pinned is not None and tag != pinned and not (size <= CHUNK and tag == f"W/{pinned}"):
        raise SourceChanged("the file at the origin changed while it was being read: its ETag is another one")
    if head.is_encoded:
        raise RangeMangled("the origin encoded the body, which we asked it not to do")
    if (head.first("content-type") or "").lower().startswith("multipart/"):
        raise RangeMangled("the origin answered with several ranges where one was asked for")
    if head.status == 206:
        return _partial(head, wanted, size)
    if head.status == 200:
        return _entire(head, wanted, size)
    raise RangeMangled(f"the origin answered a range request with status {head.status}")


def guard(pinned: str | None) -> str | None:
    """What to send as If-Range: the pinned tag when it is a strong one."""
    return pinned if pinned is not None and pinned.startswith('"') else None


def _partial(head: Head, wanted: Span, size: int) -> Body:
    match = _CONTENT_RANGE.fullmatch(_mangled_if_twice(head, "content-range") or "")
    if match is None:
        raise RangeMangled("the origin's 206 has no readable Content-Range")
    first, last, complete = (int(group) for group in match.groups())
    if complete != size:
        raise SourceChanged(f"the file at the origin has {complete} bytes, not {size}")
    if (first, last) != (wanted.start, wanted.stop - 1):
        raise RangeMangled(f"the origin sent bytes {first}-{last}, not {wanted.start}-{wanted.stop - 1}")
    length = head.length()
    if length is not None and length != len(wanted):
        raise RangeMangled(f"the origin's 206 has {length} bytes for a range of {len(wanted)}")
    return Body(0, ends_there=True)


def _entire(head: Head, wanted: Span, size: int) -> Body:
    """A 200 in place of a 206: an origin without ranges."""
    length = head.length()
    if length is not None and length != size:
        raise SourceChanged(f"the file at the origin has {length} bytes, not {size}")
    if wanted != whole(size) and wanted.start > SKIPPED:
        raise RangeMangled("the origin sent the whole file where a range far into it was asked for")
    return Body(wanted.start, ends_there=wanted.stop == size)


def _unsatisfied(head: Head, size: int) -> OriginLied:
    match = _UNSATISFIED.fullmatch(head.first("content-range") or "")
    if match and int(match[1]) != size:
        return SourceChanged(f"the file at the origin has {match[1]} bytes, not {size}")
    return RangeMangled("the origin refuses a range that lies inside the file")


def _etag(head: Head) -> str | None:
    return _mangled_if_twice(head, "etag")


def _mangled_if_twice(head: Head, name: str) -> str | None:
    try:
        return head.one(name)
    except OriginLied as error:
        raise RangeMangled(str(error)) from None
