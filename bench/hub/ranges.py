"""Single byte ranges and conditions as the Hub and its CDN treat them. Written apart from the proxy's, to be its
oracle.
"""

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The half-open part [start, stop) of a representation."""

    start: int
    stop: int


class Unsatisfiable(Exception):
    """Answer 416 with `Content-Range: bytes */size`."""


def wanted(header: str | None, size: int) -> Wanted | None:
    """The one range asked for; None when the whole is to be sent (no range, malformed, several, or nothing to cut)."""
    match = _SINGLE.fullmatch(header.strip()) if header else None
    if match is None or size == 0 or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        if int(last) == 0:
            raise Unsatisfiable
        return Wanted(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return Wanted(int(first), min(size, int(last) + 1) if last else size)


def lists_tag(header: str | None, *etags: str) -> bool:
    """Whether an `If-None-Match` or `If-Match` list names one of the tags; quotes and `W/` do not matter."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    return any(_bare(part) in {_bare(etag) for etag in etags} for part in header.split(","))


def _bare(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')
