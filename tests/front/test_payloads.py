"""The table of bad requests on a raw socket: each is refused, or harmless for the reason that the table gives; none
makes a 500, none hangs, and what stands behind it is never read as part of it or it as two."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from proxy.front.limits import Limits
from tests.front.fakes import FakeCoordinator
from tests.front.node import serving, until
from tests.kit.payloads import BEHIND, KINDS, REFUSED, Payload, Plane, payloads, surprises
from tests.kit.rawasking import statuses_heard, statuses_of

UPLOAD = b"Content-Type: application/x-git-upload-pack-request\r\n"
HUB = Plane(b"/-/livez", b"/acme/tiny/git-upload-pack", UPLOAD, b"/acme/tiny/resolve/main/")
BODIES = {b"hello", b"5\r\nhello\r\n0\r\n\r\n"}
"""What may be taken for a body: five letters, or, where the framing is a length of fifteen, what looks like a chunk."""
LIMITS = Limits(git_body_timeout=0.5)


def rows(kind: str) -> list[Payload]:
    return [row for row in payloads(HUB) if row.kind == kind]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_request_is_refused_whole(coordinator: FakeCoordinator, kind: str) -> None:
    async with serving(coordinator, LIMITS) as node:
        said = await asyncio.gather(*(statuses_of(*node.address, row.raw + BEHIND) for row in rows(kind)))
    assert surprises(rows(kind), said) == {}
    assert {call[-1] for call in coordinator.calls if call[0] == "git_pack"} <= BODIES
    assert len(coordinator.calls) <= sum(row.answers != REFUSED for row in rows(kind))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_request_is_refused_however_it_is_cut(coordinator: FakeCoordinator, kind: str) -> None:
    """The same in small pieces, when its head has been read, and perhaps its body waited for, before the bad byte."""
    async with serving(coordinator, LIMITS) as node:
        said = await asyncio.gather(*(statuses_of(*node.address, row.raw + BEHIND, pieces=200) for row in rows(kind)))
    # A refusal may be lost on its way when what comes behind it meets a closed connection.
    heard = [(row, answers) for row, answers in zip(rows(kind), said, strict=True) if answers]
    assert surprises([row for row, _ in heard], [answers for _, answers in heard]) == {}
    assert {call[-1] for call in coordinator.calls if call[0] == "git_pack"} <= BODIES


async def test_a_body_that_breaks_while_it_is_waited_for_is_refused_at_once(coordinator: FakeCoordinator) -> None:
    table = [row for row in rows("chunk") if (400,) in row.answers]
    async with serving(coordinator) as node, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(node.client()) for _ in table]
        for row, client in zip(table, clients, strict=True):
            await client.write(row.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        await until(lambda: len(coordinator.callers) == len(table))  # every handler waits for its body
        for row, client in zip(table, clients, strict=True):
            await client.write(row.raw.partition(b"\r\n\r\n")[2] + BEHIND)
        async with asyncio.timeout(LIMITS.body_timeout / 2):
            said = await asyncio.gather(*(statuses_heard(client.reader) for client in clients))
    assert surprises(table, said) == {}


async def test_a_trailer_is_no_field_of_the_next_request(coordinator: FakeCoordinator) -> None:
    head = b"POST /acme/tiny/git-upload-pack HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n" + UPLOAD + b"\r\n"
    async with serving(coordinator) as node, node.client() as client:
        await client.write(head + b"5\r\nhello\r\n0\r\nX-Request-Id: planted\r\n\r\n" + BEHIND)
        said = await client.ended()
    assert b"\r\nConnection: close\r\n" in said
    assert b"planted" not in said


def test_the_table_is_as_long_as_it_should_be() -> None:
    table = list(payloads(HUB))
    assert len(table) >= 124
    assert len({(row.kind, row.name) for row in table}) == len(table)
