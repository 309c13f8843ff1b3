"""Files through real sockets: one connection, whole bodies, heads and redirects."""

from __future__ import annotations

import os

import pytest

from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource
from proxy.front.sending import AT_ONCE
from tests.front.fakes import COMMIT, FakeCoordinator, at_commit
from tests.front.node import serving


async def test_bodies_follow_each_other_on_one_connection(coordinator: FakeCoordinator) -> None:
    first, second = os.urandom(3_000_001), os.urandom(70_000)
    coordinator.add("a.bin", first)
    coordinator.add("b.bin", second)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        assert (await client.answer()).body == first
        await client.send(at_commit("b.bin"))
        assert (await client.answer()).body == second
        await client.send(at_commit("a.bin"))
        assert (await client.answer()).body == first


async def test_pipelined_requests_are_answered_in_order(coordinator: FakeCoordinator) -> None:
    bodies = [os.urandom(size) for size in (1_500_000, 10, 0, 900_000)]
    for index, body in enumerate(bodies):
        coordinator.add(f"{index}.bin", body)
    heads = b"".join(f"GET {at_commit(f'{n}.bin')} HTTP/1.1\r\nHost: m\r\n\r\n".encode() for n in range(len(bodies)))
    async with serving(coordinator) as node, node.client() as client:
        await client.write(heads)
        assert [(await client.answer()).body for _ in bodies] == bodies


async def test_head_has_the_fields_of_get_and_no_body(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(5000))
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"), "X-Request-Id: same", method="HEAD")
        head = await client.answer("HEAD")
        await client.send(at_commit("a.bin"), "X-Request-Id: same")
        whole = await client.answer()
    assert head.status == 200
    head.headers.pop("date"), whole.headers.pop("date")
    assert head.headers == whole.headers
    assert [call[0] for call in coordinator.calls] == ["locate", "locate", "read"]


async def test_mutable_revision_is_a_relative_redirect_that_tells_all(coordinator: FakeCoordinator) -> None:
    facts = coordinator.add("sub dir/ü#.bin", b"x" * 100)
    async with serving(coordinator) as node:
        answer = await node.ask("/acme/tiny/resolve/main/sub%20dir/%C3%BC%23.bin")
    assert answer.status == 307
    assert answer.headers["location"] == at_commit("sub%20dir/%C3%BC%23.bin")
    assert answer.headers["x-repo-commit"] == COMMIT
    assert answer.headers["etag"] == answer.headers["x-linked-etag"] == f'"{facts.etag}"'
    assert answer.headers["x-linked-size"] == "100"
    assert answer.headers["age"] == "7"


async def test_renamed_repo_is_a_relative_redirect(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask("/acme/old-name/resolve/main/a.bin", method="HEAD")
        assert answer.status == 307
        assert answer.headers["location"] == "/acme/tiny/resolve/main/a.bin"


async def test_account_adds_up_to_the_bytes_of_the_reading(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(2_000_000))
    coordinator.cache = CacheOutcome.MISS
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"), "Range: bytes=10-1500009", "User-Agent: test/1")
        account = await node.books.settled()
    assert answer.headers["cache-status"] == "penstock; fwd=miss; stored"
    assert dict(account.sent) == node.books.sent == coordinator.given == {ByteSource.FILL: 1_500_000}
    assert (account.code, account.size, account.range) == (206, 1_500_000, "bytes=10-1500009")
    assert (account.route, account.cache, account.user_agent) == ("resolve", CacheOutcome.MISS, "test/1")
    assert not account.aborted
    assert account.first_byte_seconds is not None
    assert account.first_byte_seconds <= account.seconds


async def test_sane_request_id_is_kept_and_a_wild_one_replaced(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        kept = await node.ask("/-/livez", "X-Request-Id: abc-1")
        replaced = await node.ask("/-/livez", "X-Request-Id: a b; drop")
    assert kept.headers["x-request-id"] == "abc-1"
    assert len(replaced.headers["x-request-id"]) == 32


@pytest.mark.parametrize("size", [1, AT_ONCE, AT_ONCE + 1])
@pytest.mark.parametrize("in_memory", [False, True])
async def test_short_and_long_bodies_have_the_same_fields(
    coordinator: FakeCoordinator, size: int, in_memory: bool
) -> None:
    content = os.urandom(size)
    coordinator.add("a.json", content)
    coordinator.in_memory = in_memory
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.json"), "X-Request-Id: same", method="HEAD")
        head = await client.answer("HEAD")
        await client.send(at_commit("a.json"), "X-Request-Id: same")
        answer = await client.answer()
        account = await node.books.settled()
    assert answer.body == content
    assert {**head.headers, "date": ""} == {**answer.headers, "date": ""}
    assert dict(account.sent) == {ByteSource.DISK: size}
