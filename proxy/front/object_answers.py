"""What is answered for an object by its digest: pure."""

from __future__ import annotations

from typing import Final

from proxy.core.byterange import Ignored, Unsatisfiable, unsatisfied_range, wanted
from proxy.core.conditional import Conditions, NotModified, PreconditionFailed, Validators, judge
from proxy.core.errors import OriginLied
from proxy.fetch.coordinator import LocatedObject, MovedTo

from .answers import Answer, FileBody, FilePart, Headers, Small
from .fields import AT_COMMIT

NOT_KEPT: Final = ("Cache-Control", "private, no-store")


def answer_object(
    located: LocatedObject, conditions: Conditions, range_field: str | None, method: str, *, whole: Headers = ()
) -> Answer:
    """200, 206, 304, 412 or 416 (RFC 9110 §13.2.2). The fields `whole` are on a 200 alone."""
    facts = located.facts
    headers: Headers = (
        ("ETag", f'"{facts.etag}"'),
        ("Docker-Content-Digest", f"sha256:{facts.etag}"),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", AT_COMMIT),
        ("Age", str(located.age)),
    )
    verdict = judge(conditions, Validators(frozenset({facts.etag})), method)
    if isinstance(verdict, NotModified):
        return Small(304, headers, cache=located.cache)
    if isinstance(verdict, PreconditionFailed):
        return Small(412, headers, cache=located.cache)
    part = wanted(range_field if verdict.range_holds else None, facts.size)
    if isinstance(part, Unsatisfiable):
        return Small(416, (*headers, ("Content-Range", unsatisfied_range(facts.size))), cache=located.cache)
    typed = (("Content-Type", "application/octet-stream"), ("X-Content-Type-Options", "nosniff"))
    more = whole if isinstance(part, Ignored) else ()
    return FilePart(FileBody(located), facts.size, (*headers, *typed, *more), part)


def moved_to(moved: MovedTo) -> Small:
    """The repo goes by another name: the same question there, relative, so that clients stay with us.

    Raises OriginLied when it leads to no place of the Hub's."""
    if moved.raw_target is None:
        raise OriginLied(
            "the origin redirects this to a place that is none of the Hub's, and clients are not led there"
        )
    return Small(307, (("Location", moved.raw_target), NOT_KEPT))
