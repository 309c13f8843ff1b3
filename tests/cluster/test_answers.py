"""Whom a node believes that answers for another, and what silence costs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from proxy.cluster.answers import HEAD, QUIET_FOR, Answers
from proxy.cluster.members import Difference, Member, View
from proxy.cluster.membership import Membership
from proxy.cluster.peers import PROOF, PeerLimits, Peers
from proxy.cluster.signing import Asker, Signer
from proxy.config.cluster import ClusterSection, Peer, name_of
from proxy.core.clock import ManualClock, SystemClock
from proxy.core.errors import AskAnother, PeerFailed
from proxy.core.tasks import TaskSet
from proxy.hub.web_asking import AnswerQuestion

SECRET: Final = b"a secret of thirty-two bytes, and more"
OTHER_SECRET: Final = b"another secret of thirty-two bytes or so"
SAID, BODY = b"a head", b"and its body"
ASKED = AnswerQuestion("http://origin", "/a")
NO = b'{"error": "the answer is for one client alone"}'


class Unseen:
    def view_changed(self, view: View, change: Difference) -> None:
        pass

    def clock_ahead(self, seconds: float) -> None:
        pass


@dataclass
class Heard:
    results: list[str] = field(default_factory=list)
    received: int = 0

    def peer_read(self, result: str) -> None:
        self.results.append(result)

    def peer_bytes(self, count: int) -> None:
        self.received += count


@dataclass(frozen=True)
class Given:
    """What is said; `None` for a part is nothing of it. `sent` are the bytes of the body that come before the end,
    `stays`: before nothing more does."""

    status: int = 200
    said: str | None = base64.b64encode(SAID).decode()
    signed: bytes = SAID
    secret: bytes | None = SECRET
    to: str | None = None
    """The number of another request."""
    body: bytes = BODY
    sent: int = len(BODY)
    stays: bool = False

    def head(self, once: str) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Said", f"Content-Length: {len(self.body)}"]
        if self.said is not None:
            lines.append(f"{HEAD}: {self.said}")
        if self.secret is not None:
            asker = Asker("us", 1, self.to or once)
            proof = Signer(self.secret, "n0", SystemClock()).prove(asker, self.status, self.signed)
            lines.append(f"{PROOF}: {proof}")
        return "\r\n".join([*lines, "", ""]).encode()


REFUSAL = Given(421, None, NO, body=NO, sent=len(NO))


class Fellow:
    """Another node, as far as it is here: an address where `given` is said, or nothing."""

    def __init__(self, given: Given | None) -> None:
        self.given = given
        self.asked = 0
        self._tasks = TaskSet("fellow")

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[str]:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with self._tasks:
            yield f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
            self._server.close()

    async def falls(self) -> None:
        """Nobody listens there any more."""
        self._server.close()
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start(self._answer(reader, writer), "connection")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked += 1
            if self.given is None:
                await asyncio.Event().wait()
                return
            writer.write(self.given.head(asked.partition("once=")[2][:32]) + self.given.body[: self.given.sent])
            await writer.drain()
            if self.given.stays:
                await asyncio.Event().wait()
        finally:
            writer.close()


@dataclass
class Us:
    """A node that asks `fellow`."""

    fellow: Fellow
    peer: str
    answers: Answers
    membership: Membership
    clock: ManualClock
    heard: Heard

    async def ask(self) -> tuple[bytes, bytes]:
        """The head that is told, and the body."""
        answer = await self.answers.ask(self.peer, ASKED)
        try:
            async with aclosing(answer.pieces()) as pieces:
                return answer.said, b"".join([piece async for piece in pieces])
        finally:
            await answer.aclose()


@asynccontextmanager
async def asking(given: Given | None) -> AsyncIterator[Us]:
    fellow, clock, heard = Fellow(given), ManualClock(), Heard()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fellow.standing())
        section = ClusterSection(
            node="us", advertise="http://us:1", secret_file=Path("/nowhere"), peers=(Peer(url=url),)
        )
        us = Member("us", "http://us:1", 1)
        opened = Membership.open(section, us=us, line=None, clock=SystemClock(), observer=Unseen())
        membership = await stack.enter_async_context(opened)
        limits = PeerLimits(connect_timeout=1.0, progress_timeout=0.2)
        peers = await stack.enter_async_context(Peers.open(Signer(SECRET, "us", SystemClock()), limits, heard))
        yield Us(fellow, name_of(url), Answers(membership, peers, clock), membership, clock, heard)


async def test_what_a_member_has_signed_is_believed() -> None:
    async with asking(Given()) as us:
        assert await us.ask() == (SAID, BODY)
        assert us.heard.results == ["ok"]
        assert us.heard.received == len(BODY)
        assert us.membership.unreached == frozenset()


@pytest.mark.parametrize(
    "given",
    [
        Given(secret=None),
        Given(secret=OTHER_SECRET),
        Given(signed=b"another head"),
        Given(to="0" * 32),
        Given(said=None),
        Given(said="no base64"),
        Given(206),
        Given(421, None, NO, secret=None, body=NO, sent=len(NO)),
        Given(421, None, NO, secret=OTHER_SECRET, body=NO, sent=len(NO)),
        Given(403, None, NO, to="0" * 32, body=NO, sent=len(NO)),
        Given(500, None, b"", body=b"x" * 1_000_000, sent=1_000_000),
    ],
    ids=[
        "unsigned",
        "signed with another secret",
        "another head than was signed",
        "signed for another request",
        "no head",
        "a head that cannot be read",
        "a part",
        "an unsigned no",
        "a no signed with another secret",
        "a no to another request",
        "an endless no",
    ],
)
async def test_what_no_member_has_signed_is_a_failure_and_its_address_is_left_out(given: Given) -> None:
    async with asking(given) as us:
        with pytest.raises(PeerFailed):
            await us.ask()
        assert us.membership.unreached, "whoever is there is no node of ours"
        assert us.heard.results == ["failed"]
        assert us.heard.received == 0


async def test_a_signed_no_is_no_fault() -> None:
    async with asking(REFUSAL) as us:
        for _ in range(2):
            with pytest.raises(AskAnother, match="for one client alone"):
                await us.ask()
        assert us.fellow.asked == 2
        assert us.heard.results == ["elsewhere"] * 2
        assert us.membership.unreached == frozenset()


async def test_who_is_silent_is_waited_for_once_and_then_left_in_peace_for_a_while() -> None:
    async with asking(None) as us:
        with pytest.raises(AskAnother, match="in time"):
            await us.ask()
        us.clock.advance(QUIET_FOR - 0.1)
        with pytest.raises(AskAnother, match="a moment ago"):
            await us.ask()
        assert us.fellow.asked == 1
        assert us.membership.unreached == frozenset(), "it may wait for the origin, as we would"
        us.fellow.given = Given()
        us.clock.advance(0.2)
        assert await us.ask() == (SAID, BODY)


@pytest.mark.parametrize("stays", [True, False], ids=["stops", "is cut"])
async def test_a_body_that_does_not_go_on_is_a_failure(stays: bool) -> None:
    async with asking(Given(sent=5, stays=stays)) as us:
        with pytest.raises(PeerFailed, match="did not give all"):
            await us.ask()
        assert us.heard.results == ["failed"]


async def test_one_that_has_left_the_fleet_is_not_asked() -> None:
    async with asking(Given()) as us:
        with pytest.raises(AskAnother, match="has left"):
            await us.answers.ask("nobody", ASKED)
        assert us.fellow.asked == 0


async def test_nobody_listening_is_a_failure() -> None:
    async with asking(Given()) as us:
        await us.fellow.falls()
        with pytest.raises(PeerFailed, match="gave no answer"):
            await us.ask()
        assert us.membership.unreached
