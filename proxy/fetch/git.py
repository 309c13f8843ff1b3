"""Git's own protocol, passed on: packs are made by the origin and kept nowhere.

Whether the caller may is decided by the origin, with the caller's own token, each time. Only the overture of a repo
that everybody may clone is kept, and only for moments: a fleet that starts at once knocks once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Final

from proxy.core.bounded import BoundedDict
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginLied, SourceChanged
from proxy.core.sizes import KIB
from proxy.core.tasks import TaskSet
from proxy.hub import paths
from proxy.hub.headers import here, passed_back
from proxy.hub.names import RepoId
from proxy.hub.problems import refusal_of
from proxy.hub.targets import GitPack, GitRefs

from .coordinator import CacheOutcome, Metadata, Streaming
from .ports import Origin, OriginStream
from .rights import Freshness
from .shared import SharedCalls

REFS_TTL: Final = 10.0
"""Seconds: who has just pushed should not fetch what was before."""
KEPT: Final = 256
LARGEST_KEPT: Final = 256 * KIB
"""Together at most 64 MiB; in version 2 of the protocol an overture has 200 bytes, however many refs there are."""
LARGEST_REFUSAL: Final = 64 * KIB

_PROTOCOLS: Final = ("", "version=0", "version=1", "version=2")
_Key = tuple[RepoId, str]


class GitPassage:
    """Overtures (`info/refs`) and packs."""

    def __init__(self, origin: Origin, tasks: TaskSet, clock: Clock, freshness: Freshness) -> None:
        self._origin = origin
        self._clock = clock
        self._freshness = freshness
        self._calls: SharedCalls[Metadata] = SharedCalls(tasks)
        self._kept: BoundedDict[_Key, tuple[Metadata, float]] = BoundedDict(entries=KEPT)

    async def refs(self, caller: Caller, target: GitRefs, protocol: str) -> Metadata:
        """The overture in that version of the protocol. Raises OriginRefused, OriginAway, OriginLied."""
        key = (target.repo, protocol)
        if (known := self._known(key)) is not None:
            return known
        name = ("git", caller.identity, *key)
        joined = self._calls.is_under_way(name)
        answer = await self._calls.run(name, lambda: self._ask(caller, target, protocol), f"git {target.repo}")
        return replace(answer, cache=CacheOutcome.COALESCED) if joined else answer

    @asynccontextmanager
    async def pack(
        self,
        caller: Caller,
        target: GitPack,
        headers: tuple[tuple[str, str], ...],
        body: bytes | AsyncIterable[bytes],
        patience: float,
    ) -> AsyncIterator[Streaming]:
        """The origin's answer, read while it comes. Raises OriginRefused before any of it."""
        async with AsyncExitStack() as stack:
            stream = await stack.enter_async_context(self._asked(caller, target, headers, body, patience))
            if (renamed := _renamed(stream)) is not None:
                # Git was shown the overture of a moment ago, and follows no redirect of what comes after it.
                self._forget(target.repo)
                await _whole(stream)
                await stack.aclose()
                if not isinstance(body, bytes):
                    raise SourceChanged(f"the repo has just become {renamed.repo}; ask again")
                stream = await stack.enter_async_context(self._asked(caller, renamed, headers, body, patience))
            if stream.status >= 300:
                raise refusal_of(stream.status, stream.headers, await _whole(stream))
            yield _Passed(stream)

    def _asked(
        self,
        caller: Caller,
        target: GitPack,
        headers: tuple[tuple[str, str], ...],
        body: bytes | AsyncIterable[bytes],
        patience: float,
    ) -> AbstractAsyncContextManager[OriginStream]:
        return self._origin.stream("POST", paths.render(target), caller, headers=headers, body=body, patience=patience)

    def _forget(self, repo: RepoId) -> None:
        for protocol in _PROTOCOLS:
            self._kept.discard((repo, protocol))

    def _known(self, key: _Key) -> Metadata | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        answer, since = kept
        age = self._clock.monotonic() - since
        if age >= min(REFS_TTL, self._freshness.ref_ttl):
            self._kept.discard(key)
            return None
        return replace(answer, cache=CacheOutcome.HIT, age=int(age))

    async def _ask(self, caller: Caller, target: GitRefs, protocol: str) -> Metadata:
        fields = (("Git-Protocol", protocol),) if protocol else ()
        reply = await self._origin.call("GET", paths.render(target), caller, headers=fields)
        if reply.status >= 400:
            raise refusal_of(reply.status, reply.headers, reply.body)
        if reply.status >= 300 and here(reply.header("location") or "") is None:
            raise OriginLied("the origin redirects git to a place that is none of the Hub's, and it is not led there")
        answer = Metadata(reply.status, passed_back(reply.headers), reply.body, None, CacheOutcome.MISS, 0)
        if caller.is_anonymous and reply.status == 200 and len(reply.body) <= LARGEST_KEPT:
            self._kept.put((target.repo, protocol), (answer, self._clock.monotonic()))
        return answer


class _Passed:
    """What may be passed on of an answer to git."""

    def __init__(self, stream: OriginStream) -> None:
        self.status = stream.status
        self.headers = passed_back(stream.headers)
        self._stream = stream

    def pieces(self) -> AsyncGenerator[bytes, None]:
        return self._stream.pieces()


def _renamed(stream: OriginStream) -> GitPack | None:
    """The same question to the repo's other name, if that is where the origin sends us."""
    if stream.status not in (301, 302, 307, 308):
        return None
    location = next((value for name, value in stream.headers if name == "location"), "")
    where = here(location)
    target = None if where is None else paths.parse(where, "POST")
    return target if isinstance(target, GitPack) else None


async def _whole(stream: OriginStream) -> bytes:
    """The words of a refusal."""
    words = bytearray()
    async with aclosing(stream.pieces()) as pieces:
        async for piece in pieces:
            words += piece
            if len(words) > LARGEST_REFUSAL:
                raise OriginLied("the origin's refusal is longer than any refusal")
    return bytes(words)
