"""What a node gives the others, and what they make of it: real requests on both sides."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from proxy.cluster.members import Member
from proxy.cluster.peers import PROOF, QUESTION, PeerLimits, Peers, head_said, manifest_path, peer_path, range_field
from proxy.cluster.signing import Asker, Asking, Signer
from proxy.core.clock import SystemClock
from proxy.core.errors import (
    AddressRefused,
    AskAnother,
    DiskFailed,
    FoundWrong,
    NoDisk,
    OriginBusy,
    OriginRefused,
    OriginUnreachable,
    PeerError,
    PeerFailed,
    PeerLeaving,
    PenstockError,
    PlainRefused,
)
from proxy.core.secret import Secret
from proxy.core.sizes import MIB, SLICE
from proxy.core.spans import Span, whole
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.hub.peering import PeerQuestion
from tests.front.fakes import FakeCoordinator
from tests.front.node import Node, serving

SECRET = b"a secret of thirty-two bytes, and more"
CONTENT = bytes(range(256)) * 8192  # 2 MiB
PATH = "model.safetensors"


@dataclass
class Heard:
    """What was counted."""

    results: list[str] = field(default_factory=list)
    received: int = 0

    def peer_read(self, result: str) -> None:
        self.results.append(result)

    def peer_bytes(self, count: int) -> None:
        self.received += count


def question(size: int = len(CONTENT), token: str | None = "hf_alice") -> PeerQuestion:
    facts = FileFacts(hashlib.sha256(CONTENT).hexdigest(), size, linked=True, key=None)
    target = FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision("c" * 40), PATH)
    return PeerQuestion(target, facts, None if token is None else Secret(token))


def signer(node: str = "n1", secret: bytes = SECRET) -> Signer:
    return Signer(secret, node, SystemClock())


@asynccontextmanager
async def owner(coordinator: FakeCoordinator) -> AsyncIterator[Node]:
    coordinator.add(PATH, CONTENT)
    async with serving(coordinator, signer=signer("n0")) as node:
        yield node


@dataclass
class Asked:
    """One who reads from `node`."""

    node: Node
    heard: Heard = field(default_factory=Heard)

    async def read(
        self,
        span: Span,
        asked: PeerQuestion | None = None,
        *,
        hops: int = 1,
        secret: bytes = SECRET,
        silence: float = 5.0,
    ) -> bytes:
        host, port = self.node.address
        member = Member("n0", f"http://{host}:{port}", 1)
        limits = PeerLimits(progress_timeout=silence)
        async with (
            Peers.open(signer(secret=secret), limits, self.heard) as peers,
            aclosing(peers.read(member, asked or question(), span, hops=hops)) as pieces,
        ):
            return b"".join([piece async for piece in pieces])

    async def has(self, span: Span, *, secret: bytes = SECRET) -> bool:
        host, port = self.node.address
        async with Peers.open(signer(secret=secret), PeerLimits(), self.heard) as peers:
            return await peers.has(Member("n0", f"http://{host}:{port}", 1), question(token=None), span)


async def test_a_member_gets_the_bytes_it_asks_for(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        asked = Asked(node)
        assert await asked.read(Span(1000, 1_500_000)) == CONTENT[1000:1_500_000]
        assert await asked.read(whole(len(CONTENT))) == CONTENT
        exchange = await node.books.settled()
    assert (exchange.route, exchange.code, exchange.peer) == ("peer", 206, "n1")
    assert asked.heard.results == ["ok", "ok"]
    assert asked.heard.received == node.books.sent.total()
    assert [caller.token for caller in coordinator.readers] == [Secret("hf_alice")] * 2


async def test_the_peer_reads_in_the_name_of_the_caller_and_knows_the_hops(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        await Asked(node).read(Span(0, 10), question(token=None), hops=2)
    assert coordinator.readers[-1].is_anonymous
    assert ("read_for_peer", question(token=None), 2) in coordinator.calls


async def test_a_peer_says_what_it_has_and_fetches_nothing_for_that(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        asked = Asked(node)
        assert await asked.has(whole(len(CONTENT)))
        assert ("read_for_peer", question(token=None).anew(stored_only=True), 1) in coordinator.calls
        coordinator.fail_entering = AskAnother("not here")
        assert not await asked.has(whole(len(CONTENT)))
        coordinator.fail_entering = NoDisk("out")
        with pytest.raises(PeerFailed):
            await asked.has(Span(0, 10))
        with pytest.raises(PeerFailed):
            await asked.has(Span(0, 10), secret=b"another secret of thirty-two bytes or so")
    assert (asked.heard.received, coordinator.given.total()) == (0, 0), "nothing of it is read"
    assert asked.heard.results == ["ok", "elsewhere", "failed", "failed"]
    with pytest.raises(PeerFailed):
        await asked.has(Span(0, 10))  # nobody listens any more


async def test_who_does_not_know_the_secret_learns_nothing(coordinator: FakeCoordinator) -> None:
    """Present or absent, well or badly asked: the same answer, and nobody is asked for anything."""
    async with owner(coordinator) as node:
        with pytest.raises(PeerFailed):
            await Asked(node).read(Span(0, 10), secret=b"another secret of thirty-two bytes or so")
        absent = peer_path(question().name).replace("sha256:", "sha256:00")
        answers = [
            await node.ask(peer_path(question().name), "Range: bytes=0-9"),
            await node.ask(absent, "Range: bytes=0-9", "Authorization: Bearer hf_alice"),
            await node.ask("/-/peer/v1/blobs/", method="HEAD"),
            await node.ask("/-/peer/v1/blobs/x", "Authorization: Penstock-Peer node=n1", f"{QUESTION}: x"),
        ]
    assert {answer.status for answer in answers} == {403}
    assert len({answer.body.partition(b"urn:request")[0] for answer in answers if answer.body}) == 1
    assert coordinator.calls == []


async def test_a_request_that_was_overheard_cannot_be_repeated(coordinator: FakeCoordinator) -> None:
    span, signing = Span(0, 10), signer()
    asking = Asking("GET", peer_path(question().name), range_field(span), signing.seal(question()))
    fields = (f"Authorization: {signing.sign(asking, hops=1)[0]}", f"Range: {asking.range}")
    async with owner(coordinator) as node:
        first = await node.ask(asking.path, *fields, f"{QUESTION}: {asking.question}")
        again = await node.ask(asking.path, *fields, f"{QUESTION}: {asking.question}")
    assert (first.status, again.status) == (206, 403)
    assert first.body == CONTENT[:10]
    assert PROOF.lower() not in again.headers


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (AskAnother("elsewhere"), AskAnother),
        (PeerLeaving("leaving"), PeerLeaving),
        (OriginUnreachable("away"), AskAnother),
        (AddressRefused("404"), AddressRefused),
        (PlainRefused("403"), AddressRefused),
        (NoDisk("full"), PeerFailed),
        (OriginBusy("slowly", 17), OriginBusy),
        (ZeroDivisionError(), PeerFailed),
    ],
)
async def test_what_goes_wrong_there_is_told_here(
    coordinator: FakeCoordinator, said: Exception, heard: type[PenstockError]
) -> None:
    async with owner(coordinator) as node:
        coordinator.fail_entering = said
        with pytest.raises(heard) as caught:
            await Asked(node).read(Span(0, 10))
    if isinstance(caught.value, OriginBusy):
        assert caught.value.retry_after == 17


async def test_the_origins_no_is_passed_on_word_for_word(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        coordinator.fail_entering = OriginRefused(
            403, "ask for access first", code="GatedRepo", commit="c" * 40, headers=(("www-authenticate", "Bearer"),)
        )
        with pytest.raises(OriginRefused) as caught:
            await Asked(node).read(Span(0, 10))
    told = caught.value
    assert (told.status, told.message, told.code, told.commit) == (403, "ask for access first", "GatedRepo", "c" * 40)
    assert told.headers == (("www-authenticate", "Bearer"),)


async def test_a_body_that_breaks_off_there_fails_here_after_its_bytes(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        coordinator.fail_after = (MIB, OriginUnreachable("cut"))
        coordinator.step = MIB // 4
        asked = Asked(node)
        with pytest.raises(PeerFailed):
            await asked.read(whole(len(CONTENT)))
    assert asked.heard.received <= MIB
    assert asked.heard.results == ["failed"]


async def test_a_peer_that_falls_silent_is_left(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        coordinator.stall_after = MIB
        coordinator.step = MIB // 4
        with pytest.raises(PeerFailed):
            await Asked(node).read(whole(len(CONTENT)), silence=0.2)


@pytest.mark.parametrize("span", [Span(SLICE - 10, SLICE + 10), Span(0, 2 * SLICE)])
async def test_one_question_is_about_one_slice(coordinator: FakeCoordinator, span: Span) -> None:
    async with owner(coordinator) as node:
        with pytest.raises(PeerFailed):
            await Asked(node).read(span, question(3 * SLICE))
    assert coordinator.calls == []


async def test_a_question_goes_through_two_nodes_at_most(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        for hops in (0, 3):
            with pytest.raises(PeerFailed):
                await Asked(node).read(Span(0, 10), hops=hops)
    assert coordinator.calls == []


async def test_without_a_fleet_there_is_no_peer_plane(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(peer_path(question().name))
    assert answer.status == 404


@asynccontextmanager
async def liar(head: str, body: bytes = b"") -> AsyncIterator[Member]:
    """Somebody at a peer's address who answers what he likes."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    async with server:
        yield Member("n0", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1)


@pytest.mark.parametrize(
    "head",
    [
        'HTTP/1.1 206 OK\nContent-Length: 10\nContent-Range: bytes 0-9/2097152\nETag: "{etag}"',
        "HTTP/1.1 404 Not Found\nContent-Length: 2",
        "HTTP/1.1 403 Forbidden\nContent-Length: 0",
        "HTTP/1.1 302 Found\nLocation: http://127.0.0.1:1/\nContent-Length: 0",
        "HTTP/1.1 200 OK\nContent-Length: 2097152",
        "no HTTP at all",
    ],
)
async def test_nobody_speaks_for_a_member_without_the_secret(head: str) -> None:
    limits = PeerLimits(progress_timeout=2.0)
    async with (
        liar(head.format(etag=question().facts.etag), b"0123456789") as member,
        Peers.open(signer(), limits, Heard()) as peers,
    ):
        with pytest.raises(PeerFailed):
            _ = [piece async for piece in peers.read(member, question(), Span(0, 10), hops=1)]


@dataclass(frozen=True)
class Given:
    """What a member that knows the secret, and has a bug, gives for the first ten bytes."""

    start: int = 0
    stop: int = 10
    size: int = len(CONTENT)
    etag: str = hashlib.sha256(CONTENT).hexdigest()
    announced: int = 10
    sent: int = 10
    fields: str = ""


@asynccontextmanager
async def member_that_gives(given: Given) -> AsyncIterator[Member]:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        once = asked.partition("once=")[2][:32]
        content_range, etag = f"bytes {given.start}-{given.stop - 1}/{given.size}", f'"{given.etag}"'
        proof = signer("n0").prove(Asker("n1", 1, once), 206, head_said(content_range, etag, given.announced))
        head = (
            f"HTTP/1.1 206 Partial Content\r\nContent-Range: {content_range}\r\nETag: {etag}\r\n"
            f"Content-Length: {given.announced}\r\n{PROOF}: {proof}\r\n{given.fields}\r\n"
        )
        writer.write(head.encode() + CONTENT[: given.sent])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    async with server:
        yield Member("n0", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1)


async def given_by(given: Given) -> bytes:
    async with (
        member_that_gives(given) as member,
        Peers.open(signer(), PeerLimits(progress_timeout=2.0), Heard()) as peers,
        aclosing(peers.read(member, question(), Span(0, 10), hops=1)) as pieces,
    ):
        return b"".join([piece async for piece in pieces])


async def test_a_member_that_gives_what_was_asked_for_is_believed() -> None:
    assert await given_by(Given()) == CONTENT[:10]


@pytest.mark.parametrize(
    "given",
    [
        Given(start=1, stop=11),
        Given(stop=9, announced=9),
        Given(stop=11, announced=11, sent=11),
        Given(announced=11, sent=11),
        Given(size=len(CONTENT) + 1),
        Given(etag="another"),
        Given(sent=9),
        Given(fields="Content-Encoding: gzip\r\n"),
    ],
    ids=str,
)
async def test_a_member_that_gives_something_else_has_failed(given: Given) -> None:
    """Another range, length, size or validator, more or less than announced: nothing of it counts as the span."""
    with pytest.raises(PeerFailed):
        await given_by(given)


async def test_nobody_listening_is_a_failure_at_once() -> None:
    member = Member("n0", "http://127.0.0.1:1", 1)
    async with Peers.open(signer(), PeerLimits(), heard := Heard()) as peers:
        with pytest.raises(PeerFailed, match="n0"):
            _ = [piece async for piece in peers.read(member, question(), Span(0, 10), hops=1)]
    assert heard.results == ["failed"]


async def test_who_leaves_early_is_counted_as_such(coordinator: FakeCoordinator) -> None:
    async with owner(coordinator) as node:
        member = Member("n0", "http://{}:{}".format(*node.address), 1)
        async with (
            Peers.open(signer(), PeerLimits(), heard := Heard()) as peers,
            aclosing(peers.read(member, question(), whole(len(CONTENT)), hops=1)) as pieces,
        ):
            await anext(pieces)
    assert heard.results == ["left"]


async def test_a_question_too_long_to_ask_goes_to_nobody(coordinator: FakeCoordinator) -> None:
    asked = question()
    assert isinstance(asked.target, FileTarget)
    long = replace(asked, target=replace(asked.target, path="x" * 20_000))
    async with owner(coordinator) as node:
        with pytest.raises(AskAnother):
            await Asked(node).read(Span(0, 10), long)


async def test_whoever_waits_for_a_read_of_its_own_to_end_does_not_blame_the_peer(coordinator: FakeCoordinator) -> None:
    """One read at once from this peer, and the one under way takes longer than the peer may be silent."""
    async with owner(coordinator) as node:
        host, port = node.address
        member = Member("n0", f"http://{host}:{port}", 1)
        heard = Heard()
        async with Peers.open(signer(), PeerLimits(progress_timeout=0.3, connections=1), heard) as peers:
            first = peers.read(member, question(), whole(len(CONTENT)), hops=1)
            async with asyncio.TaskGroup() as group, aclosing(first):
                received = len(await anext(first))
                second = group.create_task(_read_all(peers, member, question()))
                with pytest.raises(AskAnother):  # who asks by the way does not queue
                    await _read_all(peers, member, question().anew(stored_only=True))
                await asyncio.sleep(0.6)  # twice as long as the peer may be silent
                assert not second.done()
                received += sum([len(piece) async for piece in first])
            assert received == len(CONTENT)
            assert second.result() == CONTENT
    assert sorted(heard.results) == ["elsewhere", "ok", "ok"]


async def _read_all(peers: Peers, member: Member, asked: PeerQuestion) -> bytes:
    async with aclosing(peers.read(member, asked, whole(len(CONTENT)), hops=1)) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_a_manifest_is_given_to_members_alone(coordinator: FakeCoordinator) -> None:
    coordinator.manifest = b"stamped"
    async with owner(coordinator) as node:
        member = Member("n0", "http://{}:{}".format(*node.address), 1)
        async with Peers.open(signer(), PeerLimits(), Heard()) as peers:
            assert await peers.manifest(member, question()) == b"stamped"
            assert coordinator.calls == [("manifest", question())]
        answer = await node.ask(manifest_path(question().name))
    assert answer.status == 403


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (AskAnother("not proven yet"), AskAnother),
        (FoundWrong("wrong at the origin"), FoundWrong),
        (OriginBusy("in a moment", 3), AskAnother),
        (DiskFailed("the disk is gone"), PeerFailed),
    ],
)
async def test_why_there_is_no_manifest_arrives(
    coordinator: FakeCoordinator, error: PenstockError, heard: type[PeerError]
) -> None:
    coordinator.fail_entering = error
    async with owner(coordinator) as node:
        member = Member("n0", "http://{}:{}".format(*node.address), 1)
        async with Peers.open(signer(), PeerLimits(), Heard()) as peers:
            with pytest.raises(heard, match=str(error)):
                await peers.manifest(member, question())


async def test_a_manifest_that_nobody_signed_is_none() -> None:
    async with (
        liar("HTTP/1.1 200 OK\nContent-Length: 14", b"stamped, or so") as member,
        Peers.open(signer(), PeerLimits(), Heard()) as peers,
    ):
        with pytest.raises(PeerFailed):
            await peers.manifest(member, question())


async def test_what_was_signed_for_bytes_is_not_good_for_a_manifest(coordinator: FakeCoordinator) -> None:
    """Overheard on the wire, and sent to the other address with the same fields."""
    signing = signer()
    asking = Asking("GET", peer_path(question().name), range_field(Span(0, 10)), signing.seal(question()))
    field = signing.sign(asking, hops=1)[0]
    async with owner(coordinator) as node:
        answer = await node.ask(
            manifest_path(question().name), f"Authorization: {field}", f"{QUESTION}: {asking.question}"
        )
    assert (answer.status, coordinator.calls) == (403, [])
