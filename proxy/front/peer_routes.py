"""`GET /-/peer/v1/blobs/{key}`, `…/manifests/{key}`, `…/held/{key}`: what the other nodes of the fleet ask for.

Whoever cannot sign as a member is told so, and nothing else: neither what is here nor what would have been wrong.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, assert_never

from proxy.cluster.answers import HEAD, LONGEST_HEAD
from proxy.cluster.peers import (
    ANSWERS,
    HELD,
    MANIFESTS,
    PATH,
    PROOF,
    QUESTION,
    head_said,
    held_path,
    manifest_path,
    peer_path,
    range_field,
)
from proxy.cluster.signing import Asker, Asking, Signer
from proxy.core.byterange import Ignored, Single, content_range, wanted
from proxy.core.caller import ANONYMOUS, bearer
from proxy.core.errors import AskAnother, PeerRefused
from proxy.core.sizes import SLICE
from proxy.fetch.coordinator import Coordinator
from proxy.fetch.reading import Piece
from proxy.fetch.web.answers import Held
from proxy.fetch.web.in_fleet import WebLending
from proxy.fetch.web.owner import Owner
from proxy.hub.peering import PeerQuestion, Question
from proxy.hub.web_asking import AnswerQuestion
from proxy.hub.web_peering import WebQuestion

from .answers import Answer, FilePart, Flow, HeldBody, PeerBody, Small
from .problems import Side, body, problem
from .visit import Visit

HOPS: Final = 2
"""Most nodes a question may come through: from the one that was asked first to a slice's owner, to a lease's holder."""


class PeerRoutes:
    """Answers members of the fleet. `key` makes callers of tokens, as the application's own does."""

    def __init__(
        self,
        coordinator: Coordinator,
        signer: Signer,
        key: bytes,
        lending: WebLending | None = None,
        owner: Owner | None = None,
    ) -> None:
        """`lending` reads of generic origins, `owner` asks them."""
        self._owner = owner
        self._lending = lending
        self._coordinator = coordinator
        self._signer = signer
        self._key = key

    async def answer(self, raw_target: str, visit: Visit) -> Answer:
        """What a member asked for. Raises PeerRefused, AskAnother, StoreError."""
        sealed = visit.field(QUESTION) or ""
        asking = Asking(visit.method, raw_target, visit.field("Range") or "", sealed)
        asker = visit.asker = self._signer.check(visit.field("Authorization"), asking)
        visit.route, visit.side = "peer", Side.PEER
        question = self._signer.open(sealed)
        if not 1 <= asker.hops <= HOPS:
            raise PeerRefused("this is no question for a peer")
        if isinstance(question, AnswerQuestion):
            return await self._answer(question, asker)
        if isinstance(question, WebQuestion):
            return self._bytes(question, asking, asker)
        visit.caller = ANONYMOUS if question.token is None else bearer(question.token, self._key)
        if raw_target == manifest_path(question.name) and not asking.range:
            visit.route = "manifest"
            return await self._manifest(question, asker)
        if asking.path == held_path(question.name):
            return await self._held(question, asking, asker)
        return self._bytes(question, asking, asker)

    async def _answer(self, question: AnswerQuestion, asker: Asker) -> Answer:
        """Raises AskAnother, and what the cache raises."""
        if self._owner is None:
            raise AskAnother("this node has no generic origin")
        lent = await self._owner.answer(question)
        said = base64.b64encode(lent.said).decode()
        if len(said) > LONGEST_HEAD:
            raise AskAnother("the head of the answer is too long to be told")
        headers = (
            ("Content-Type", "application/octet-stream"),
            (HEAD, said),
            (PROOF, self._signer.prove(asker, 200, lent.said)),
        )
        body = lent.body
        if isinstance(body, bytes) or body.size == 0:
            return Small(200, headers, body if isinstance(body, bytes) else b"")
        if body.size is None:
            return Flow(200, headers, None, lambda: _all_of(body))

        owner, kept = self._owner, lent.kept

        async def again() -> Answer:
            # it was evicted
            if kept is not None:
                await owner.forget(question, kept)
            return await self._answer(question, asker)

        return FilePart(HeldBody(body, again), body.size, headers, Ignored())

    async def _manifest(self, question: PeerQuestion, asker: Asker) -> Small:
        content = await self._coordinator.manifest_for_peer(question)
        proof = self._signer.prove(asker, 200, content)
        return Small(200, (("Content-Type", "application/octet-stream"), (PROOF, proof)), content)

    async def _held(self, question: PeerQuestion, asking: Asking, asker: Asker) -> Small:
        """All of the range is here. Raises AskAnother when it is not; nothing is fetched."""
        span = _one_range(question, asking).span
        async with self._coordinator.read_for_peer(ANONYMOUS, question.anew(stored_only=True), span, asker.hops):
            return Small(204, ((PROOF, self._signer.prove(asker, 204, b"")),))

    def _bytes(self, question: Question, asking: Asking, asker: Asker) -> FilePart:
        part, size = _one_range(question, asking), question.size
        span = part.span
        if asking.path != peer_path(question.name):
            raise PeerRefused("this is no question for a peer")
        etag = f'"{question.validator}"'
        said = head_said(content_range(span, size), etag, len(span))
        headers = (("ETag", etag), (PROOF, self._signer.prove(asker, 206, said)))
        return FilePart(self._body(question, asker.hops), size, headers, part)

    def _body(self, question: Question, hops: int) -> PeerBody | HeldBody:
        """Raises AskAnother."""
        match question:
            case PeerQuestion():
                return PeerBody(question, hops)
            case WebQuestion():
                if self._lending is None:
                    raise AskAnother("this node has no generic origin")
                return HeldBody(self._lending.held(question, hops))
            case _:
                assert_never(question)

    def refusal(self, error: Exception, visit: Visit) -> Small:
        """What goes wrong on a member's request, in words that it can repeat to its own client."""
        assert visit.asker is not None, "only a member is told what is wrong"
        found = problem(error, Side.PEER)
        headers, content = body(found, Side.PEER, visit.request_id)
        proof = self._signer.prove(visit.asker, found.status, content)
        return Small(
            found.status, (*headers, (PROOF, proof), ("Cache-Control", "no-store")), content, close=found.close
        )


def _one_range(question: Question, asking: Asking) -> Single:
    """The range of one slice that is asked about. Raises PeerRefused."""
    part = wanted(asking.range, question.size)
    if not isinstance(part, Single) or asking.range != range_field(part.span):
        raise PeerRefused("a peer asks for one range")
    if len(part.span.units(SLICE)) != 1:
        raise PeerRefused("this is no question for a peer")
    return part


@asynccontextmanager
async def _all_of(body: Held) -> AsyncIterator[AsyncIterator[Piece]]:
    async with body.open(None) as reading:
        yield reading.pieces()


def is_for_peers(raw_target: str) -> bool:
    return raw_target.startswith((PATH, MANIFESTS, ANSWERS, HELD))
