"""Conditional requests (RFC 9110 §13): whether a request that a file could answer is to be answered.

The file has one or more strong ETags (a linked file of the Hub has a tag of its own and one of its pointer) and perhaps
a date. A date that cannot be read counts as not sent. A tag list that cannot be read matches nothing, which always errs
towards sending the whole file, or refusing; so does an If-Range that is not exactly a strong tag or the file's date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

_ETAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_GAP: Final = re.compile(r"[ \t,]*")
_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class EntityTag:
    """An ETag: the opaque text without quotes."""

    opaque: str
    weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.opaque}"'


@dataclass(frozen=True, slots=True)
class Validators:
    """What identifies this state of a file: strong tags (opaque texts), seconds since 1970, and tags that are weak."""

    etags: frozenset[str]
    modified: int | None = None
    weak: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conditions:
    """The fields of a request that make it conditional, as sent (repeated list fields joined with commas); None for
    absent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None
    if_range: str | None = None


@dataclass(frozen=True, slots=True)
class Proceed:
    """Answer it; its Range field, if any, counts only when `range_holds`."""

    range_holds: bool


@dataclass(frozen=True, slots=True)
class NotModified:
    """304: the client has it."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """412: it is not what the client takes it for."""


Judgement = Proceed | NotModified | PreconditionFailed


def judge(conditions: Conditions, file: Validators, method: str) -> Judgement:
    """The order of RFC 9110 §13.2.2, for GET and HEAD of a file that exists.

    A Range field counts for GET only (§14.2): HEAD answers as if it had not been sent.
    """
    assert method in ("GET", "HEAD"), f"conditions of {method} are not judged here"
    if conditions.if_match is not None:
        if not _matches_strongly(conditions.if_match, file):
            return PreconditionFailed()
    elif _modified_since(conditions.if_unmodified_since, file) is True:
        return PreconditionFailed()
    if _client_has_it(conditions, file):
        return NotModified()
    return Proceed(range_holds=method == "GET" and _range_holds(conditions.if_range, file))


def parse_etag(text: str) -> EntityTag | None:
    """One ETag field; None when it is not a quoted tag."""
    match = _ETAG.fullmatch(text.strip(" \t"))
    return match and EntityTag(match[2], weak=match[1] is not None)


def parse_date(text: str) -> int | None:
    """Seconds since 1970 of an HTTP date in the form that may be generated (§5.6.7); None for any other."""
    match = _DATE.fullmatch(text.strip(" \t"))
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        moment = datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp())


def format_date(seconds: int) -> str:
    """The HTTP date of `seconds` since 1970."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def _client_has_it(conditions: Conditions, file: Validators) -> bool:
    if conditions.if_none_match is not None:
        return _matches_weakly(conditions.if_none_match, file)
    return _modified_since(conditions.if_modified_since, file) is False


def _matches_strongly(field: str, file: Validators) -> bool:
    if field.strip(" \t") == "*":
        return True
    tags = _tags(field)
    return any(not tag.weak and tag.opaque in file.etags for tag in tags)


def _matches_weakly(field: str, file: Validators) -> bool:
    if field.strip(" \t") == "*":
        return True
    return any(tag.opaque in file.etags | file.weak for tag in _tags(field))


def _modified_since(field: str | None, file: Validators) -> bool | None:
    """Whether the file is newer than the date in `field`; None when there is nothing to compare."""
    date = None if field is None else parse_date(field)
    return None if date is None or file.modified is None else file.modified > date


def _range_holds(field: str | None, file: Validators) -> bool:
    """If-Range (§13.1.5): a strong tag that is the file's, or exactly its date. Any doubt gives the whole file."""
    if field is None:
        return True
    tag = parse_etag(field)
    if tag is not None:
        return not tag.weak and tag.opaque in file.etags
    date = parse_date(field)
    return date is not None and date == file.modified


def _tags(field: str) -> list[EntityTag]:
    """The tags of a list field, up to the first thing that is none: garbage makes no match, and spoils none before."""
    tags = []
    at = _skip(field, 0)
    while match := _ETAG.match(field, at):
        tags.append(EntityTag(match[2], weak=match[1] is not None))
        at = _skip(field, match.end())
    return tags


def _skip(field: str, at: int) -> int:
    gap = _GAP.match(field, at)
    assert gap is not None, "an empty gap matches anywhere"
    return gap.end()
