"""Reading from another node of the fleet: one signed request, one answer that is exactly what was asked for.

An answer is believed when a member has signed its head, and used when it is that range, of that length, with that
validator. Everything else is one of three things for the caller:

    PeerFailed            it is broken, or hangs: ask the next, and this one not for a while
    AskAnother            nothing is wrong with it, but it has not got the bytes now (PeerLeaving: nor later)
    OriginRefused, …Busy  what the origin told it, which it would tell us too
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
from yarl import URL

from proxy.core.blob import BlobKey
from proxy.core.connections import in_short, watchful_socket
from proxy.core.errors import (
    AskAnother,
    OriginBusy,
    OriginRefused,
    PeerFailed,
    PeerRefused,
    PeerSlow,
    PenstockError,
)
from proxy.core.manifest import LARGEST
from proxy.core.sizes import KIB
from proxy.core.spans import Span
from proxy.core.turns import Turns
from proxy.hub.peering import PeerQuestion, Question
from proxy.telemetry import tracing

from .members import Member
from .signing import Asker, Asking, Signer
from .told import result_of, told

PATH: Final = "/-/peer/v1/blobs/"
MANIFESTS: Final = "/-/peer/v1/manifests/"
ANSWERS: Final = "/-/peer/v1/answers"
HELD: Final = "/-/peer/v1/held/"
QUESTION: Final = "X-Penstock-Question"
PROOF: Final = "X-Penstock-Proof"
_FIELD_SIZE: Final = 16 * KIB
_LONGEST_REFUSAL: Final = 16 * KIB
HELD_WITHIN: Final = 2.0
"""Seconds for a node to say whether it has something."""
MANIFEST_WITHIN: Final = 30.0
"""Seconds for a manifest: the node that is asked may have to read the whole blob from its disk first."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Seconds to connect and of silence, and reads under way from one peer."""

    connect_timeout: float = 1.0
    progress_timeout: float = 5.0
    connections: int = 64


class PeerObserver(Protocol):
    """Who counts what is had from peers. Called on the loop; returns at once."""

    def peer_read(self, result: str) -> None:
        """A read from a peer ended; `result`: ok, failed, elsewhere, refused (by the origin, through it), left."""
        ...

    def peer_bytes(self, count: int) -> None:
        """`count` bytes came from a peer."""
        ...


def peer_path(key: BlobKey) -> str:
    """Where a node gives its peers the blob of that name."""
    return f"{PATH}{key}"


def manifest_path(key: BlobKey) -> str:
    """Where a node gives its peers the manifest of the blob of that name."""
    return f"{MANIFESTS}{key}"


def held_path(key: BlobKey) -> str:
    """Where a node tells its peers whether it has (a range of) the blob of that name."""
    return f"{HELD}{key}"


def range_field(span: Span) -> str:
    return f"bytes={span.start}-{span.stop - 1}"


def head_said(content_range: str, etag: str, length: int) -> bytes:
    """What of a head is signed."""
    return f"{content_range}\n{etag}\n{length}".encode()


class Peers:
    """The connections of one worker to the other nodes."""

    def __init__(
        self, signer: Signer, limits: PeerLimits, observer: PeerObserver, session: aiohttp.ClientSession
    ) -> None:
        self.signer = signer
        self.limits = limits
        self.observer = observer
        self._session = session
        self._turns = Turns(limits.connections)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, signer: Signer, limits: PeerLimits, observer: PeerObserver) -> AsyncIterator[Peers]:
        """Connections are made when needed and closed at the end."""
        # Not limited here: to wait for a connection of ours is no silence of the peer, and must not count as one.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, socket_factory=_socket)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            max_line_size=_FIELD_SIZE,
            max_field_size=_FIELD_SIZE,
        ) as session:
            yield cls(signer, limits, observer, session)

    async def read(
        self, member: Member, question: Question, span: Span, *, hops: int, patience: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of `span` (inside one slice) from `member`, exactly, in order, as they come there. Close it
        (`contextlib.aclosing`) when leaving early. `patience`: seconds of silence, the usual if None.

        Raises PeerFailed, AskAnother, OriginRefused, OriginBusy, AddressRefused; what came before that is right."""
        result = "left"
        try:
            async with contextlib.aclosing(self._read(member, question, span, hops, patience)) as pieces:
                async for piece in pieces:
                    self.observer.peer_bytes(len(piece))
                    yield piece
            result = "ok"
        except PenstockError as error:
            result = result_of(error)
            raise
        finally:
            self.observer.peer_read(result)

    async def has(self, member: Member, question: PeerQuestion, span: Span) -> bool:
        """Whether `member` has all of `span` (inside one slice) now. Raises PeerFailed, FoundWrong."""
        result = "failed"
        try:
            await self._hold(member, question, span)
            result = "ok"
            return True
        except (AskAnother, PeerRefused, OriginBusy, OriginRefused):
            result = "elsewhere"
            return False
        finally:
            self.observer.peer_read(result)

    async def _hold(self, member: Member, question: PeerQuestion, span: Span) -> None:
        """Return when `member` says that it has the span; raise what else it says."""
        asking = Asking("GET", held_path(question.name), range_field(span), self.signer.seal(question))
        try:
            async with (
                asyncio.timeout(HELD_WITHIN),
                self._turns.turn(member.url),
                contextlib.AsyncExitStack() as stack,
            ):
                answer, asker = await self.send(stack, member, asking, 1, HELD_WITHIN)
                said = await all_of(answer)
                if not self.signer.is_proof(answer.headers.get(PROOF, ""), asker, answer.status, said):
                    raise PeerFailed(f"an unsigned answer with status {answer.status}: another secret, or version?")
                if answer.status != 204:
                    raise told(answer.status, said)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PeerFailed(f"{member.name} did not say what it has: {in_short(error)}") from None

    async def manifest(self, member: Member, question: PeerQuestion) -> bytes:
        """The stamped manifest of the blob in `question`, from `member`. Raises PeerFailed, AskAnother,
        FoundWrong."""
        if self._turns.is_full(member.url):
            raise AskAnother(f"too many reads from {member.name} are under way to ask it for a manifest")
        try:
            asking = Asking("GET", manifest_path(question.name), "", self.signer.seal(question))
            async with (
                self._turns.turn(member.url),
                contextlib.AsyncExitStack() as stack,
                asyncio.timeout(MANIFEST_WITHIN),
            ):
                answer, asker = await self.send(stack, member, asking, 1, MANIFEST_WITHIN)
                said = await all_of(answer, LARGEST)
                if not self.signer.is_proof(answer.headers.get(PROOF, ""), asker, answer.status, said):
                    raise PeerFailed("a manifest that no node has signed")
                if answer.status != 200:
                    raise told(answer.status, said)
                return said
        except (PeerRefused, OriginBusy, OriginRefused) as refused:
            raise AskAnother(str(refused)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PeerFailed(f"{member.name} gave no manifest: {in_short(error)}") from None

    async def _read(
        self, member: Member, question: Question, span: Span, hops: int, patience: float | None
    ) -> AsyncGenerator[bytes, None]:
        silence = patience or self.limits.progress_timeout
        if question.stored_only and self._turns.is_full(member.url):
            raise AskAnother(f"too many reads from {member.name} are under way to ask it by the way")
        try:
            async with self._turns.turn(member.url), contextlib.AsyncExitStack() as stack:
                answer = await self._begun(stack, member, question, span, hops, silence)
                left = len(span)
                async for piece in answer.content.iter_any():
                    left -= len(piece)
                    if left < 0:
                        raise PeerFailed(f"{member.name} sent more than it was asked for")
                    yield piece
                if left:
                    raise PeerFailed(f"{member.name} ended {left} bytes early")
        except PeerRefused as refused:
            raise AskAnother(str(refused)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PeerFailed(f"{member.name} did not give the bytes: {in_short(error)}") from None

    async def _begun(
        self,
        stack: contextlib.AsyncExitStack,
        member: Member,
        question: Question,
        span: Span,
        hops: int,
        silence: float,
    ) -> aiohttp.ClientResponse:
        """Its answer, found to be the span. What is asked by the way has to be answered at once."""
        limit = self.limits.connect_timeout + (0.0 if question.stored_only else silence)
        try:
            async with asyncio.timeout(limit):
                answer, asker = await self._ask(stack, member, question, span, hops, silence)
                await self._judge(answer, asker, question, span)
                return answer
        except TimeoutError:
            if not question.stored_only:
                raise
            raise PeerSlow(f"{member.name} did not say at once whether it has the bytes") from None

    async def _ask(
        self,
        stack: contextlib.AsyncExitStack,
        member: Member,
        question: Question,
        span: Span,
        hops: int,
        silence: float,
    ) -> tuple[aiohttp.ClientResponse, Asker]:
        sealed = self.signer.seal(question)
        asking = Asking("GET", peer_path(question.name), range_field(span), sealed)
        return await self.send(stack, member, asking, hops, silence)

    async def send(
        self, stack: contextlib.AsyncExitStack, member: Member, asking: Asking, hops: int, silence: float
    ) -> tuple[aiohttp.ClientResponse, Asker]:
        """One request; the head of its answer, which `stack` holds. Raises what aiohttp raises."""
        field, asker = self.signer.sign(asking, hops=hops)
        headers = {"Authorization": field, QUESTION: asking.question}
        if asking.range:
            headers["Range"] = asking.range
        trace = stack.enter_context(
            tracing.asking("peer", {"penstock.peer": member.name, "http.request.method": "GET"})
        )
        if trace is not None:
            headers |= trace.fields(outside=False)
        timeout = aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=self.limits.connect_timeout, sock_read=silence
        )
        sent = self._session.get(
            URL(member.url + asking.path, encoded=True), headers=headers, allow_redirects=False, timeout=timeout
        )
        return await stack.enter_async_context(sent), asker

    async def _judge(self, answer: aiohttp.ClientResponse, asker: Asker, question: Question, span: Span) -> None:
        """Return when the body is the span; raise what else it is."""
        headers = answer.headers
        proof = headers.get(PROOF, "")
        if answer.status != 206:
            said = await all_of(answer)
            if not self.signer.is_proof(proof, asker, answer.status, said):
                raise PeerFailed(f"an unsigned answer with status {answer.status}: another secret, clock, or node?")
            raise told(answer.status, said)
        content_range, length = f"bytes {span.start}-{span.stop - 1}/{question.size}", len(span)
        etag = f'"{question.validator}"'
        if not self.signer.is_proof(proof, asker, 206, head_said(content_range, etag, length)):
            raise PeerFailed("an answer that no node has signed, or that is not what was asked for")
        given = (headers.get("Content-Range"), headers.get("ETag"), answer.content_length)
        if given != (content_range, etag, length) or "Content-Encoding" in headers:
            raise PeerFailed(f"an answer that is not what was asked for: {given}")


async def all_of(answer: aiohttp.ClientResponse, limit: int = _LONGEST_REFUSAL) -> bytes:
    """A short body. Raises PeerFailed, and what aiohttp raises."""
    taken = bytearray()
    async for piece in answer.content.iter_any():
        taken += piece
        if len(taken) > limit:
            raise PeerFailed(f"an endless answer with status {answer.status}")
    return bytes(taken)


def _socket(address_info: Any) -> socket.socket:
    """A socket that notices a peer that is gone."""
    return watchful_socket(address_info, idle=5, interval=2)
