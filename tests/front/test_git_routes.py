"""Git's questions: how they may be framed, how long they may be, and what of them goes on."""

from __future__ import annotations

import gzip

import pytest

from proxy.core.caller import Caller
from proxy.front.limits import Limits
from tests.front.fakes import FakeCoordinator
from tests.front.node import serving

PACK = "/acme/tiny.git/git-upload-pack"
ASKING = "Content-Type: application/x-git-upload-pack-request"
SMALL = Limits(body_bytes=1000, git_body_bytes=5000, git_body_timeout=0.3)


def question(coordinator: FakeCoordinator) -> tuple[object, ...]:
    (call,) = (call for call in coordinator.calls if call[0] == "git_pack")
    return call


async def test_a_short_question_goes_on_whole(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, SMALL) as node:
        answer = await node.ask(PACK, ASKING, "Git-Protocol: version=2", method="POST", body=b"0000")
    assert (answer.status, answer.body) == (200, b"0000")
    assert answer.headers["content-type"] == "application/x-git-upload-pack-result"
    _, _, fields, body = question(coordinator)
    assert ("Git-Protocol", "version=2") in fields
    assert body == b"0000"


async def test_a_compressed_question_goes_on_as_it_is(coordinator: FakeCoordinator) -> None:
    body = gzip.compress(b"want " * 100)
    async with serving(coordinator, SMALL) as node:
        answer = await node.ask(PACK, ASKING, "Content-Encoding: gzip", method="POST", body=body)
    assert answer.body == body
    assert ("Content-Encoding", "gzip") in question(coordinator)[2]


async def test_a_long_question_is_passed_on_as_it_comes(coordinator: FakeCoordinator) -> None:
    body = b"x" * 4321
    async with serving(coordinator, SMALL) as node:
        answer = await node.ask(PACK, ASKING, method="POST", body=body)
    assert answer.body == body


async def test_a_question_in_chunks_is_passed_on(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, SMALL) as node, node.client() as client:
        await client.send(PACK, ASKING, "Transfer-Encoding: chunked", method="POST")
        await client.write(b"4\r\n0000\r\n0\r\n\r\n")
        answer = await client.answer("POST")
    assert (answer.status, answer.body) == (200, b"0000")


@pytest.mark.parametrize(
    "framing, body",
    [("Content-Length: 6000", b"x" * 6000), ("Transfer-Encoding: chunked", b"1770\r\n" + b"x" * 6000)],
)
async def test_a_question_beyond_the_limit_is_413(coordinator: FakeCoordinator, framing: str, body: bytes) -> None:
    async with serving(coordinator, SMALL) as node, node.client() as client:
        await client.send(PACK, ASKING, framing, method="POST")
        await client.write(body)
        answer = await client.answer("POST")
    assert answer.status == 413


async def test_a_question_that_does_not_end_is_408(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, SMALL) as node, node.client() as client:
        await client.send(PACK, ASKING, "Content-Length: 4000", method="POST")
        answer = await client.answer("POST")
    assert answer.status == 408


@pytest.mark.parametrize("wrong", ["Content-Type: text/plain", f"{ASKING}\r\nContent-Encoding: br"])
async def test_what_git_does_not_send_is_refused(coordinator: FakeCoordinator, wrong: str) -> None:
    async with serving(coordinator, SMALL) as node:
        assert (await node.ask(PACK, wrong, method="POST", body=b"0000")).status == 400
    assert not coordinator.calls


async def test_a_protocol_nobody_speaks_is_left_out(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        for said in ("version=2", "version=2\tx", "hello"):
            await node.ask("/acme/tiny/info/refs?service=git-upload-pack", f"Git-Protocol: {said}")
    assert [call[2] for call in coordinator.calls] == ["version=2", "", ""]


async def test_the_password_of_a_basic_pair_is_the_token(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        await node.ask("/acme/tiny/info/refs?service=git-upload-pack", "Authorization: Basic c29tZWJvZHk6aGZfYW5u")
    (caller,) = coordinator.callers
    assert isinstance(caller, Caller)
    assert caller.token is not None
    assert caller.token.reveal() == "hf_ann"


async def test_a_push_is_refused_in_words_git_shows(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask("/acme/tiny.git/info/refs?service=git-receive-pack")
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"read-only" in answer.body
