"""HTTP dates in all three forms that have to be understood (RFC 9110 §5.6.7)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME: Final = r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)"
_FIX: Final = re.compile(
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<d>\d\d) (?P<b>[A-Z][a-z]{{2}}) (?P<y>\d{{4}}) {_TIME} GMT"
)
_RFC850: Final = re.compile(
    rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<d>\d\d)-(?P<b>[A-Z][a-z]{{2}})-(?P<y>\d\d) {_TIME} GMT"
)
_ASCTIME: Final = re.compile(
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<b>[A-Z][a-z]{{2}}) (?P<d>[ \d]\d) {_TIME} (?P<y>\d{{4}})"
)


def seconds_of(text: str | None, now: float) -> float | None:
    """Seconds since 1970; None for what is no date. `now` settles the century of a two-digit year."""
    if text is None or not text.isascii():
        return None
    match = _FIX.fullmatch(text) or _RFC850.fullmatch(text) or _ASCTIME.fullmatch(text)
    if match is None or match["b"] not in _MONTHS:
        return None
    year = int(match["y"])
    if year < 100:
        this_year = datetime.fromtimestamp(now, UTC).year
        year += this_year // 100 * 100
        year -= 100 if year > this_year + 50 else 0
    try:
        moment = datetime(
            year,
            _MONTHS.index(match["b"]) + 1,
            int(match["d"]),
            int(match["h"]),
            int(match["m"]),
            int(match["s"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp()
