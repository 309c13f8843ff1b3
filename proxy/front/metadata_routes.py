"""The Hub's API: listings that are kept, calls that are passed on, and what a mirror does not serve."""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import replace
from functools import partial
from typing import Final

import xxhash

from proxy.core.conditional import Conditions, NotModified, Validators, judge
from proxy.core.errors import RequestRefused
from proxy.core.sizes import KIB
from proxy.fetch.coordinator import Coordinator, Metadata
from proxy.hub import parquet
from proxy.hub.links import Link, format_links, parse_links
from proxy.hub.listings import read_paths_asked
from proxy.hub.paths import render
from proxy.hub.targets import AuthCheck, Commits, OtherApi, PathsInfo, Refs, RepoInfo, Tree, WhoAmI

from .answers import Headers, Small
from .bodies import read_body
from .fields import passed_on
from .limits import Limits
from .visit import Visit

COMPRESS_FROM: Final = KIB
"""Shorter answers are sent as they are."""

_INLINE: Final = 64 * KIB
"""Longer answers are hashed, compressed or rewritten by a thread: that takes longer than the loop may be held up."""

_GZIP: Final = re.compile(
    r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?=,|$)", re.IGNORECASE
)
_NEVER_BACK: Final = frozenset({"link", "etag", "content-length", "content-encoding", "age", "cache-control", "vary"})


class MetadataRoutes:
    """GET, HEAD and one POST under `/api/`."""

    def __init__(self, coordinator: Coordinator, limits: Limits, external_url: str | None) -> None:
        self._coordinator = coordinator
        self._limits = limits
        self._external_url = external_url

    async def listing(self, target: RepoInfo | Tree | Refs | Commits, visit: Visit) -> Small:
        found = await self._coordinator.metadata(visit.caller, target, None)
        return await self._kept(found, visit)

    async def paths_info(self, target: PathsInfo, visit: Visit) -> Small:
        asked = read_paths_asked(visit.field("Content-Type"), await read_body(visit, self._limits))
        found = await self._coordinator.metadata(visit.caller, target, asked.body)
        return await self._kept(found, visit)

    async def pass_through(self, target: AuthCheck | WhoAmI | OtherApi, visit: Visit) -> Small:
        """An answer as the origin gave it, whatever its status; never kept by anybody. A HEAD is asked as a GET: its
        Content-Length is that of the body, and we frame answers ourselves."""
        found = await self._coordinator.pass_through(visit.caller, "GET", render(target), passed_on(visit.fields), None)
        base_url = visit.base_url(self._external_url)
        headers = (*_passed_back(found, base_url), ("Cache-Control", "private, no-store"))
        content = found.body
        if found.status == 200 and isinstance(target, OtherApi) and parquet.is_asked(target):
            if base_url is None:
                raise RequestRefused("the files have no address: send a Host field, or set server.external_url")
            is_short = len(content) < _INLINE
            rewrite = partial(parquet.at_home, content, base_url)
            content = rewrite() if is_short else await asyncio.to_thread(rewrite)
        return Small(found.status, headers, content, cache=found.cache)

    async def _kept(self, found: Metadata, visit: Visit) -> Small:
        passed = _passed_back(found, visit.base_url(self._external_url))
        plain = accepts_gzip(visit.field("Accept-Encoding")) is False or len(found.body) < COMPRESS_FROM
        if len(found.body) < _INLINE:
            answer = represent(found, passed, compress=not plain)
        else:
            answer = await asyncio.to_thread(represent, found, passed, compress=not plain)
        return conditional(answer, visit.field("If-None-Match"), visit.method)


def represent(found: Metadata, passed: Headers, *, compress: bool) -> Small:
    """The answer with its strong ETag; compressed bytes are another representation, and have another tag."""
    tag = xxhash.xxh3_128_hexdigest(found.body)
    headers = (
        *passed,
        ("ETag", f'"{tag}-gz"' if compress else f'"{tag}"'),
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Accept-Encoding"),
        ("Age", str(found.age)),
    )
    if not compress:
        return Small(found.status, headers, found.body, cache=found.cache)
    content = gzip.compress(found.body, compresslevel=4, mtime=0)
    encoded = (*headers, ("Content-Encoding", "gzip"))
    return Small(found.status, encoded, content, cache=found.cache, plain=found.body)


def conditional(answer: Small, if_none_match: str | None, method: str) -> Small:
    """304 in its place when the client has it; a POST is no retrieval, and always answered."""
    if answer.status != 200 or method == "POST":
        return answer
    tag = next(text for name, text in answer.headers if name == "ETag").strip('"')
    judgement = judge(Conditions(if_none_match=if_none_match), Validators(frozenset({tag})), method)
    if not isinstance(judgement, NotModified):
        return answer
    kept = tuple(field for field in answer.headers if field[0].lower() not in ("content-type", "content-encoding"))
    return replace(answer, status=304, headers=kept, body=b"", plain=None)


def accepts_gzip(field: str | None) -> bool:
    """Whether Accept-Encoding `field` takes gzip (RFC 9110 §12.5.3); no field takes none from us."""
    return field is not None and _GZIP.search(field) is not None


def _passed_back(found: Metadata, base_url: str | None) -> Headers:
    """The origin's fields that are left, and the next page at our own, absolute, address: clients refuse a relative
    one, and would follow the origin's with their token."""
    kept = tuple((name, text) for name, text in found.headers if name not in _NEVER_BACK)
    links = [link for text in _values(found, "link") for link in parse_links(text) if "next" not in link.rels]
    if found.next_target is not None:
        if base_url is None:
            raise RequestRefused("the next page has no address: send a Host field, or set server.external_url")
        links.append(Link(base_url + found.next_target, ("next",)))
    return (*kept, ("Link", format_links(tuple(links)))) if links else kept


def _values(found: Metadata, name: str) -> list[str]:
    return [text for key, text in found.headers if key == name]
