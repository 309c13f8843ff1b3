"""Clone and fetch by git itself (smart HTTP): passed on in both directions, nothing of a pack is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from proxy.core.errors import RequestRefused
from proxy.fetch.coordinator import Coordinator
from proxy.hub.targets import GitPack, GitRefs

from .answers import PackRelay, Small
from .bodies import body_pieces, read_body
from .limits import Limits
from .strictness import BodyTooLong
from .visit import Visit

_PROTOCOL: Final = re.compile(r"version=[0-9](?::[a-z0-9=:-]{1,64})?")
"""What a Git-Protocol field may say; anything else is left out, and git falls back to version 0."""
_REQUEST: Final = "application/x-git-upload-pack-request"
_CODINGS: Final = frozenset({"identity", "gzip"})
_BACK: Final = frozenset({"content-type", "location", "x-hf-warning"})


class GitRoutes:
    """GET `info/refs`, POST `git-upload-pack`."""

    def __init__(self, coordinator: Coordinator, limits: Limits) -> None:
        self._coordinator = coordinator
        self._limits = limits

    async def refs(self, target: GitRefs, visit: Visit) -> Small:
        found = await self._coordinator.git_refs(visit.caller, target, _protocol(visit))
        kept = tuple((name, text) for name, text in found.headers if name in _BACK)
        headers = (*kept, ("Cache-Control", "private, no-cache"), ("Age", str(found.age)))
        return Small(found.status, headers, found.body, cache=found.cache)

    async def pack(self, target: GitPack, visit: Visit) -> PackRelay:
        """The question goes on as it is, gzip and all: short ones whole, so that they can be sent twice."""
        if visit.field("Content-Type") != _REQUEST:
            raise RequestRefused(f"git asks here with Content-Type: {_REQUEST}")
        coding = (visit.field("Content-Encoding") or "identity").lower()
        if coding not in _CODINGS:
            raise RequestRefused("git compresses its questions with gzip or not at all")
        protocol = _protocol(visit)
        fields = [("Content-Type", _REQUEST), ("Accept", "application/x-git-upload-pack-result")]
        fields += [("Git-Protocol", protocol)] if protocol else []
        fields += [("Content-Encoding", coding)] if coding != "identity" else []
        announced = visit.request.content_length
        if announced is not None and announced <= self._limits.body_bytes:
            body = await read_body(visit, self._limits, codings=_CODINGS)
            return PackRelay(target, tuple(fields), body, 0.0)
        return PackRelay(target, tuple(fields), _streamed(visit, self._limits), self._limits.git_body_timeout)


async def _streamed(visit: Visit, limits: Limits) -> AsyncGenerator[bytes, None]:
    """A long body as it comes, within its own limits of size and time. Raises BodyTooLong, BodyTooSlow, RequestRefused,
    ClientGone."""
    most, taken = limits.git_body_bytes, 0
    if (visit.request.content_length or 0) > most:
        raise BodyTooLong(f"the question is longer than {most} bytes")
    deadline = asyncio.get_running_loop().time() + limits.git_body_timeout
    late = f"the question was not complete within {limits.git_body_timeout:g} s"
    async with aclosing(body_pieces(visit, lambda: asyncio.timeout_at(deadline), late)) as pieces:
        async for piece in pieces:
            taken += len(piece)
            if taken > most:
                raise BodyTooLong(f"the question is longer than {most} bytes")
            yield piece


def _protocol(visit: Visit) -> str:
    said = visit.field("Git-Protocol") or ""
    return said if _PROTOCOL.fullmatch(said) else ""
