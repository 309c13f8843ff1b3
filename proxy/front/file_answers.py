"""What is answered for a located file: pure."""

from __future__ import annotations

from dataclasses import replace

from proxy.core.byterange import Ignored, Multi, Single, Unsatisfiable, unsatisfied_range, wanted
from proxy.core.conditional import Conditions, NotModified, PreconditionFailed, Proceed, Validators, judge
from proxy.fetch.coordinator import CacheOutcome, Located
from proxy.hub.facts import FileFacts
from proxy.hub.lfs import pointer, pointer_facts
from proxy.hub.names import FileTarget
from proxy.hub.paths import render
from proxy.hub.targets import RawFile, ResolveFile

from .answers import Answer, FileBody, FilePart, Headers, PointerText, Small
from .fields import file_fields, redirect_fields


def moved(asked: ResolveFile | RawFile, target: FileTarget) -> Small:
    """The repo goes by another name: the same file there, relative, so that clients stay with us."""
    return Small(307, (("Location", render(type(asked)(target))), ("Cache-Control", "no-store")))


def answer_file(
    asked: ResolveFile | RawFile,
    located: Located,
    conditions: Conditions,
    range_field: str | None,
    method: str,
    hints: Headers = (),
) -> Answer:
    """At a commit 200, 206, 304, 412 or 416 (RFC 9110 §13.2.2; HEAD ignores Range); else a 307 to the commit.

    The redirect is relative and tells all about the file: some generations of clients read the first hop only, some
    the last (HUB-PROTOCOL §2.2). `hints` are what it says besides: where to find it by Xet.
    """
    facts = _facts_as_served(asked, located)
    age = ("Age", str(located.age))
    if not asked.file.revision.is_commit:
        return Small(307, (*redirect_fields(asked, located.commit, facts), *hints, age), cache=located.cache)
    headers = (*file_fields(located.target, facts), *hints, age)
    match judge(conditions, Validators(frozenset({facts.etag})), method):
        case NotModified():
            return Small(304, _without_type(headers), cache=located.cache)
        case PreconditionFailed():
            return Small(412, _without_type(headers), cache=located.cache)
        case Proceed(range_holds):
            body = PointerText(pointer(located.facts)) if facts is not located.facts else FileBody(located)
            return _answer_range(body, facts.size, headers, range_field if range_holds else None, located.cache)


def without_size(answer: Answer, above: int) -> Answer:
    """The answer to a HEAD of a file without any word of its size, if that is more than `above` and clients are not
    told to fetch it by Xet (for which they need the size)."""
    if not isinstance(answer, Small | FilePart):
        return answer
    told = dict(answer.headers)
    if "X-Xet-Hash" in told or int(told.get("X-Linked-Size", "0")) <= above:
        return answer
    headers = tuple(field for field in answer.headers if field[0] != "X-Linked-Size")
    if isinstance(answer, Small):
        return replace(answer, headers=headers)
    return replace(answer, headers=headers, sized=False)


def _facts_as_served(asked: ResolveFile | RawFile, located: Located) -> FileFacts:
    """`raw` shows what git holds: for a linked file its pointer."""
    if isinstance(asked, RawFile) and located.facts.linked:
        return pointer_facts(located.facts)
    return located.facts


def _answer_range(
    body: FileBody | PointerText, size: int, headers: Headers, range_field: str | None, cache: CacheOutcome
) -> Answer:
    match wanted(range_field, size):
        case Unsatisfiable():
            return Small(416, (*_without_type(headers), ("Content-Range", unsatisfied_range(size))), cache=cache)
        case Single() | Multi() as part:
            return FilePart(body, size, headers, part)
        case Ignored() as all_of_it:
            if not size and range_field is not None:
                # huggingface.js and hf-hub look for a Content-Range, and a 416 makes them fail (HUB-PROTOCOL §5.4)
                headers = (*headers, ("Content-Range", unsatisfied_range(0)))
            return FilePart(body, size, headers, all_of_it)


def _without_type(headers: Headers) -> Headers:
    """For answers without the file's bytes."""
    return tuple((name, text) for name, text in headers if name not in ("Content-Type", "Content-Disposition"))
