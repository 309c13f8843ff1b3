"""The door of the origin: what a file is, where its bytes come from, and small calls answered whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final, Self, assert_never

from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.config.origins import OriginSection
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import MalformedTarget, OriginLied, OriginUnreachable
from proxy.core.rights import Plane
from proxy.core.sizes import MIB
from proxy.hub import lfs_batch, paths
from proxy.hub.facts import FileFacts, FoundFile, Moved, OriginReply
from proxy.hub.lfs_batch import LfsPointer
from proxy.hub.names import Counter, FileTarget, ObjectTarget
from proxy.hub.rawtarget import RawTarget
from proxy.hub.targets import LfsBatch, OciBlob, ResolveFile, XetToken

from .answers import LookAt, read_file_head, refuse_circle
from .budget import Budget
from .credentials import own_token
from .head import Head
from .hubline import HubLine
from .incoming import Answer
from .objects import LfsSource, RegistrySource
from .observer import OriginObserver, Unobserved
from .redirects import RedirectRules
from .source import HubSource, Ways
from .transport import Lane, Transport
from .upload import Upload
from .xet_source import PlainElseXet, PlainRefusals, XetSource, XetWays
from .xet_streams import XetStreams

LARGEST_REPLY: Final = 32 * MIB
HEAD_HOPS: Final = 5
_CALL_SILENCES: Final = 6
"""A call's body must be here within so many read timeouts."""
_HOP_BY_HOP: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "set-cookie", "set-cookie2"),
    }
)
"""Fields of one connection, and cookies, which belong to a browser's session and to nobody behind a mirror."""
Source = HubSource | PlainElseXet


class OriginClient:
    """The configured origin, for one worker."""

    def __init__(self, config: OriginSection, ways: Ways, xet: XetWays) -> None:
        self._own = None if config.token_file is None else own_token(config.token_file)
        self._config = config
        self._ways = ways
        self._xet = xet
        self._base = config.url.rstrip("/")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        config: OriginSection,
        *,
        clock: Clock,
        observer: OriginObserver | None = None,
        chance: Random | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        proxies: Mapping[str, str] | None = None,
        resolver: AbstractResolver | None = None,
        xet_folder: Path | None = None,
    ) -> AsyncIterator[Self]:
        """Connections are made when needed and closed at the end. Raises ConfigError.

        `xet_folder` is for what hf_xet writes beside what it fetches; without one it is not used. `chance` is for
        jitter; `proxies` (by scheme) replaces those of the environment; `pause` and `resolver` replace sleeping and
        DNS."""
        observer = observer or Unobserved()
        chance = chance or Random()
        rules = RedirectRules.of(config)
        opened = Transport.open(
            config,
            clock=clock,
            observer=observer,
            allow_private=config.allow_private,
            proxies=proxies,
            resolver=resolver,
        )
        async with opened as transport:
            line = HubLine(transport, clock=clock, chance=chance, observer=observer)
            ways = Ways(line, transport, rules, config.retries, chance, clock.wall, pause)
            streams = XetStreams(config, xet_folder, observer)
            yield cls(config, ways, XetWays(ways, streams, PlainRefusals(clock), resolver))

    @property
    def budget(self) -> Budget:
        """What each account may still ask."""
        return self._ways.line.budget

    async def head_file(self, target: FileTarget, caller: Caller, *, can_wait: bool = False) -> FoundFile | Moved:
        """HEAD of the very file with the caller's own token, redirects followed only within the origin.

        `can_wait`: not worth one of the last requests that the origin allows; OriginBusy then.

        Raises OriginRefused, OriginAway, OriginLied."""
        url, commit = self._file_url(target), None
        for _ in range(HEAD_HOPS + 1):
            async with self._ways.line.ask("HEAD", url, caller, Plane.FILES, can_wait=can_wait) as answer:
                read = read_file_head(answer.head, url, target, self._ways.rules, commit)
            if not isinstance(read, LookAt):
                return read
            url, commit = read.url, read.commit
        raise OriginLied(f"the origin redirects a file more than {HEAD_HOPS} times")

    async def call(
        self,
        method: str,
        raw_target: str,
        caller: Caller,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
        can_wait: bool = False,
    ) -> OriginReply:
        """One request to the origin itself, answered whole (at most 32 MiB), redirects not followed.

        Of `headers` only Accept and Content-Type are sent. Any status but 408, 429 and 5xx is returned.
        Raises MalformedTarget, OriginAway, OriginLied (too large, encoded, endless, in circles)."""
        url = self._url(RawTarget.read(raw_target).text)
        asked = self._ways.line.ask(method, url, caller, Plane.API, fields=headers, body=body, can_wait=can_wait)
        try:
            async with asked as answer, asyncio.timeout(_CALL_SILENCES * self._config.read_timeout):
                _refuse_misleading(answer.head, url)
                content = await answer.whole(LARGEST_REPLY)
        except TimeoutError:
            raise OriginUnreachable("the origin did not finish its answer in time") from None
        return OriginReply(answer.head.status, _passed_on(answer.head), content)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        raw_target: str,
        caller: Caller,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | AsyncIterable[bytes] | None = None,
        patience: float = 0.0,
    ) -> AsyncIterator[Streamed]:
        """One request to the origin itself, whose answer is read while it comes; as `call` otherwise.

        A `body` that is still to come may take `patience` seconds; what it raises is raised here."""
        sent = body if body is None or isinstance(body, bytes) else Upload(body)
        url = self._url(RawTarget.read(raw_target).text)
        asked = self._ways.line.ask(
            method,
            url,
            caller,
            Plane.API,
            fields=headers,
            body=sent,
            lane=Lane.STREAM,
            patience=patience,
        )
        async with asked as answer:
            _refuse_misleading(answer.head, url)
            yield Streamed(answer)

    def source(self, target: FileTarget, facts: FileFacts, caller: Caller, *, lend: bool = False) -> Source:
        """The bytes of a file at a commit, fetched with the caller's token. Asks nothing yet.

        `lend`: the caller has none and was proven to be allowed; the mirror's own, if it has one, may be used."""
        assert target.revision.is_commit, "a source is of a file at a commit"
        lent = self._lent(caller, lend=lend)
        url = self._file_url(target)
        if facts.xet is None:
            return HubSource(self._ways, url, facts, caller, lent)
        plain = HubSource(self._ways, url, facts, caller, lent, else_xet=self._xet.streams.at_hand)
        tokens = self._url(paths.render(XetToken(target.repo, target.revision)))
        return PlainElseXet(plain, XetSource(self._xet, tokens, facts, caller, lent), self._xet.refusals, facts)

    def object_source(self, target: ObjectTarget, facts: FileFacts, caller: Caller, *, lend: bool = False) -> HubSource:
        """The bytes of an object by its digest, fetched with the caller's token; `lend` as for files. Asks nothing
        yet."""
        lent = self._lent(caller, lend=lend)
        match target.counter:
            case Counter.LFS:
                url = self._url(paths.render(LfsBatch(target.repo)))
                question = lfs_batch.question((LfsPointer(target.sha256, facts.size),))
                return LfsSource(self._ways, url, facts, caller, lent, question=question)
            case Counter.REGISTRY:
                url = self._url(paths.render(OciBlob(target.repo, target.sha256)))
                return RegistrySource(self._ways, url, facts, caller, lent)
            case _:
                assert_never(target.counter)

    def _lent(self, caller: Caller, *, lend: bool) -> Caller | None:
        return self._own if lend and caller.is_anonymous else None

    def _file_url(self, target: FileTarget) -> URL:
        return self._url(paths.render(ResolveFile(target)))

    def _url(self, raw_target: str) -> URL:
        if not raw_target.startswith("/"):
            raise MalformedTarget("the target is no path")
        return URL(self._base + raw_target, encoded=True)


class Streamed:
    """An answer of the origin that is read while it lasts (`fetch.ports.OriginStream`)."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.head.status
        self.headers = _passed_on(answer.head)
        self._answer = answer

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises OriginUnreachable when it is cut, OriginLied when its end cannot be told."""
        if not self._answer.is_delimited:
            raise OriginLied("the origin's answer says neither how long it is nor where it ends")
        return self._answer.pieces()


def _refuse_misleading(head: Head, asked: URL) -> None:
    """Raises OriginLied for an answer of the API that nobody could use as it is."""
    if head.is_encoded:
        raise OriginLied("the origin encoded its answer, which we asked it not to do")
    refuse_circle(head, asked)


def _passed_on(head: Head) -> tuple[tuple[str, str], ...]:
    """The fields of an answer that are meant for who asked."""
    named = {name.strip().lower() for name in (head.first("connection") or "").split(",")}
    return tuple((name, value) for name, value in head.fields if name not in _HOP_BY_HOP and name not in named)
