"""Generic origins: a request's way from its head to an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final, assert_never
from urllib.parse import unquote_to_bytes

from proxy.core.changes import Noted
from proxy.core.errors import MalformedTarget, NoSuchOrigin
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource, MemoryPiece, Piece
from proxy.fetch.web.answers import Kept, Passed, Told, WebReply, WebRequest
from proxy.fetch.web.places import is_at_mounts, prefix_of
from proxy.fetch.web.ports import WebAnswer
from proxy.rfc9111.fields import is_text, joined, lowered
from proxy.rfc9111.relaying import PSEUDONYM, response_fields, served_fields, unsteered

from .answers import FilePart, Flow, Small
from .bodies import body_pieces
from .conditions import conditions_of
from .hot import TheirDate
from .interim import InterimAnswers
from .labels import WEB
from .limits import Limits
from .mounts import Mount
from .plainhead import is_settled_by_key
from .strictness import READS
from .visit import Visit
from .web_answers import Again, answer_kept, needs_size, stored_without_content

OURS: Final = "/-/"
"""What the targets of the mirror itself begin with; no origin has any of them."""
_TRIES: Final = 3
"""How often an answer is looked for whose body turns out to be gone."""
_UNSENDABLE: Final = re.compile(r"[\x00-\x20\x7f\\#]")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_PARTING: Final = re.compile(rb"[/\\]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

_Answer = Small | FilePart | Flow


class WebRoutes:
    """All targets of generic origins."""

    def __init__(self, mounts: tuple[Mount, ...], limits: Limits) -> None:
        self._mounts = {mount.prefix: mount for mount in mounts}
        self._limits = limits

    def is_for(self, raw_target: str) -> bool:
        """Whether the target is one of a generic origin's, or would be if there were that one."""
        if raw_target.startswith(OURS):
            return False
        return is_at_mounts(raw_target, self._mounts) or prefix_of(raw_target, self._mounts) is not None

    def noted(self, raw_target: str) -> Noted | None:
        """Holds until another answer to the target is kept, or none any more; None for a target of none."""
        prefix = prefix_of(raw_target, self._mounts)
        return None if prefix is None else self._mounts[prefix].cache.noted(raw_target[len(prefix) :])

    async def answer(self, raw_target: str, visit: Visit) -> _Answer:
        """Raises MalformedTarget, NoSuchOrigin and what the cache raises."""
        visit.route = WEB
        target = checked(raw_target)
        prefix = prefix_of(target, self._mounts)
        if prefix is None:
            raise NoSuchOrigin("no origin of that name is mounted here; the targets of one begin with /o/NAME/")
        if not all(map(is_text, visit.request.headers.values())):
            raise MalformedTarget("a field of the request is no UTF-8; its origin could be told another text")
        mount = self._mounts[prefix]
        version, interim = visit.request.version, InterimAnswers(visit)
        fields = lowered(visit.request.headers.items())
        request = WebRequest(
            visit.method,
            target[len(prefix) :],
            unsteered(fields) if visit.method in READS else fields,
            f"{version.major}.{version.minor}",
            visit.request.headers.get("Host", ""),
            interim=interim,
        )
        if visit.method not in READS:
            body = self._body(visit) if visit.request.body_exists else None
            return mount.seen(self._replied(await mount.cache.pass_on(request, body), None, visit, None))
        try:
            return await self._read(mount, request, visit)
        finally:
            interim.end()

    async def _read(self, mount: Mount, request: WebRequest, visit: Visit, *, tries: int = _TRIES) -> _Answer:
        reply = await mount.cache.answer(request)

        async def again() -> _Answer:
            # What was kept is gone, or of a version that the origin has no more. Once again may not be enough:
            #   1. it is stale, and is served while it is confirmed   2. its body was evicted: it is forgotten
            #   3. we wait for who confirms it, at whatever worker or node   4. it holds, and its body is still gone
            assert isinstance(reply, Kept), "only what is kept can have changed"
            await mount.cache.forget(request, reply)
            return await self._read(mount, request, visit, tries=tries - 1)

        size = await self._size(reply, request)
        return mount.seen(self._replied(reply, size, visit, again if tries > 1 else None))

    async def _size(self, reply: WebReply, request: WebRequest) -> int | None:
        if not isinstance(reply, Kept):
            return None
        if reply.body.size is None and needs_size(reply.stored, request.field("range"), request.method):
            return await reply.body.completed()
        return reply.body.size

    def _replied(self, reply: WebReply, size: int | None, visit: Visit, again: Again) -> _Answer:
        visit.hit = _hit(reply, visit.now)
        match reply:
            case Kept():
                visit.cache, visit.cache_status = reply.outcome, _status(reply.stored.fields, reply.told)
                if size is None:
                    return _unsized(reply)
                return answer_kept(reply, size, conditions_of(visit), visit.field("Range"), visit.method, again)
            case Passed(answer, told):
                visit.cache, visit.cache_status = CacheOutcome.BYPASS, _status(answer.fields, told)
                return _passed(answer, visit.method)
            case Told(status, told_fields, body, told):
                visit.cache, visit.cache_status = CacheOutcome.COALESCED, _status(told_fields, told)
                return Small(status, response_fields(told_fields), body, cache=visit.cache)
            case _:
                assert_never(reply)

    def _body(self, visit: Visit) -> AsyncGenerator[bytes, None]:
        """The request's body as it comes. Raises BodyTooSlow, RequestRefused, ClientGone."""
        seconds = self._limits.body_timeout
        return body_pieces(visit, lambda: asyncio.timeout(seconds), f"no byte of the body came for {seconds:g} s")


def checked(raw: str) -> str:
    """The target as it may go to an origin: visible ASCII that no two parties read in two ways. Raises
    MalformedTarget."""
    text = raw if raw.isascii() else _quoted(raw)
    if _UNSENDABLE.search(text):
        raise MalformedTarget("the target holds what has to be percent-encoded")
    path = text.partition("?")[0]
    if _BAD_ESCAPE.search(path):
        raise MalformedTarget("a '%' in the target is not followed by two hexadecimal digits; write it as %25")
    for segment in path.split("/"):
        _refuse_ambiguous(unquote_to_bytes(segment))
    return text


def _refuse_ambiguous(segment: bytes) -> None:
    """Raises MalformedTarget for a segment that one server takes for a name and another for a way (DESIGN D12b)."""
    if _CONTROL.search(segment):
        raise MalformedTarget("the path holds a control character")
    # What stands behind ; is a parameter of the segment to some; an encoded slash or backslash parts it for others.
    if any(part.partition(b";")[0] in (b".", b"..") for part in _PARTING.split(segment)):
        raise MalformedTarget("a path segment is a dot, or two; paths here do not climb")
    try:
        segment.decode()
    except UnicodeDecodeError:
        raise MalformedTarget("the path is no UTF-8") from None


def _quoted(raw: str) -> str:
    encoded = raw.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in encoded)


def _unsized(kept: Kept) -> Flow:
    fields = served_fields(kept.stored, kept.age, confirmed=kept.confirmed)

    @asynccontextmanager
    async def begin() -> AsyncIterator[AsyncIterator[Piece]]:
        async with kept.body.open(None) as reading:
            yield reading.pieces()

    return Flow(kept.stored.status, fields, None, begin, has_body=not stored_without_content(kept.stored))


def _passed(answer: WebAnswer, method: str) -> Flow:
    @asynccontextmanager
    async def begin() -> AsyncIterator[AsyncIterator[Piece]]:
        try:
            async with aclosing(_pieces(answer)) as pieces:
                yield pieces
        finally:
            await answer.aclose()

    has_body = method != "HEAD" and answer.status not in (204, 304)
    length = None if answer.status in (204, 304) else answer.length
    return Flow(answer.status, response_fields(answer.fields), length, begin, has_body=has_body)


async def _pieces(answer: WebAnswer) -> AsyncGenerator[Piece, None]:
    async with aclosing(answer.pieces()) as pieces:
        async for content in pieces:
            yield MemoryPiece(content, ByteSource.RELAY)


def _hit(reply: WebReply, now: float) -> TheirDate | None:
    """What the fast lane has to know of an answer to give it again: of one that is kept and fresh, whoever asks."""
    if not isinstance(reply, Kept) or reply.outcome is not CacheOutcome.HIT or "detail" in reply.told:
        return None
    if not is_settled_by_key(reply.stored.varies_on):
        return None
    before_ttl = _status(reply.stored.fields, reply.told.rpartition("=")[0])
    return TheirDate(reply.age, reply.fresh_for, now, f"{before_ttl}=")


def _status(fields: tuple[tuple[str, str], ...], told: str) -> str:
    before = joined(fields, "cache-status")
    ours = f"{PSEUDONYM}; {told}"
    return ours if before is None else f"{before}, {ours}"
