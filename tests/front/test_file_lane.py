"""The fast lane for large files: from their open blobs, and what happens when that is not so simple."""

from __future__ import annotations

import asyncio
import os

import pytest

from proxy.core.changes import Changes
from proxy.core.clock import ManualClock
from proxy.core.sizes import KIB, MIB
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource
from proxy.front.hot import HOLD
from proxy.front.limits import Limits
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import until
from tests.front.test_fastlane import with_lane

TARGET = at_commit("model.bin")
LARGE = 24 * MIB
"""More than the kernel takes of an answer to somebody who reads none of it."""


def filled(coordinator: FakeCoordinator, size: int = 3 * MIB) -> bytes:
    content = os.urandom(size)
    coordinator.add("model.bin", content)
    return content


async def all_let_go(coordinator: FakeCoordinator) -> None:
    await until(lambda: coordinator.lent and not any(held.holders for held in coordinator.lent))


async def test_ranges_and_wholes_come_from_the_open_blob(coordinator: FakeCoordinator) -> None:
    content, clock = filled(coordinator), ManualClock()
    async with with_lane(coordinator, clock=clock) as node, node.client() as client:
        for first, last in ((0, 9), (5, 40_000), (100, 2 * MIB), (MIB - 1, MIB), (3 * MIB - 1, 9 * MIB)):
            await client.send(TARGET, f"Range: bytes={first}-{last}")
            answer = await client.answer()
            stop = min(last + 1, len(content))
            assert (answer.status, answer.headers["content-range"]) == (206, f"bytes {first}-{stop - 1}/{len(content)}")
            assert answer.body == content[first:stop]
        for _ in range(3):
            await client.send(TARGET)
            assert (await client.answer()).body == content
        await node.books.settled()
        assert len(coordinator.readers) == 2  # one for a range, one for the whole
        assert sum(node.books.sent.values()) == sum(one.body_bytes for one in node.books.exchanges)
        assert {one.cache for one in node.books.exchanges} == {CacheOutcome.HIT}
    await all_let_go(coordinator)


async def test_the_account_says_what_was_asked_and_by_whom(coordinator: FakeCoordinator) -> None:
    filled(coordinator)
    async with with_lane(coordinator, clock=ManualClock()) as node:
        await node.ask(TARGET, "Range: bytes=0-1", "User-Agent: first")
        await node.ask(TARGET, "Range: bytes=-70000", "User-Agent: second", "X-Request-Id: mine")
        last = await node.books.settled()
        assert len(coordinator.readers) == 1
        assert (last.range, last.user_agent, last.request_id) == ("bytes=-70000", "second", "mine")
        assert (last.code, last.size, last.sent) == (206, 70_000, ((ByteSource.DISK, 70_000),))
        assert (last.aborted, last.path) == (False, "model.bin")


@pytest.mark.parametrize("end", ["time", "change"])
async def test_a_blob_is_let_go_with_its_copy(coordinator: FakeCoordinator, end: str) -> None:
    filled(coordinator)
    clock, changes = ManualClock(), Changes()
    async with with_lane(coordinator, clock=clock, changes=changes) as node:
        await node.ask(TARGET, "Range: bytes=0-1")
        assert coordinator.lent[0].holders == 1
        if end == "time":
            clock.advance(HOLD)
        else:
            changes.happened()
        coordinator.lends = False
        await node.ask(TARGET, "Range: bytes=0-1")
        assert len(coordinator.readers) == 2
        assert coordinator.lent[0].holders == 0


async def test_nobody_has_to_come_for_a_blob_to_be_let_go(coordinator: FakeCoordinator) -> None:
    filled(coordinator)
    async with with_lane(coordinator, fresh_for=0.1) as node:
        await node.ask(TARGET, "Range: bytes=0-1")
        await all_let_go(coordinator)


async def test_a_blob_that_is_not_whole_any_more_is_the_full_lanes(coordinator: FakeCoordinator) -> None:
    filled(coordinator)
    async with with_lane(coordinator, clock=ManualClock()) as node:
        await node.ask(TARGET, "Range: bytes=0-1")
        coordinator.lent[0].is_plain = False
        assert (await node.ask(TARGET, "Range: bytes=0-1")).status == 206
        assert len(coordinator.readers) == 2


async def test_what_is_asked_behind_a_body_is_answered_behind_it(coordinator: FakeCoordinator) -> None:
    content = filled(coordinator, LARGE)
    async with with_lane(coordinator, clock=ManualClock()) as node, node.client(receive_buffer=64 * KIB) as client:
        await client.send(TARGET)
        await client.answer()
        await client.send(TARGET)
        await until(lambda: sum(node.books.sent.values()) > LARGE)
        await client.send(TARGET, "Range: bytes=0-3")
        await client.send(TARGET, "Range: bytes=4-7", method="HEAD")
        assert (await client.answer()).body == content
        assert (await client.answer()).body == content[:4]
        assert (await client.answer("HEAD")).status == 200


async def test_a_client_that_leaves_midway_ends_the_body_and_lets_the_blob_go(coordinator: FakeCoordinator) -> None:
    filled(coordinator, LARGE)
    async with with_lane(coordinator) as node:
        await node.ask(TARGET)
        async with node.client(receive_buffer=64 * KIB) as client:
            await client.send(TARGET)
            await client.head()
            client.writer.transport.abort()
        last = await node.books.settled()
        assert last.aborted
        assert last.body_bytes < last.size == LARGE
        assert len(coordinator.readers) == 1
        await all_let_go(coordinator)


async def test_a_client_that_takes_nothing_is_let_go(coordinator: FakeCoordinator) -> None:
    filled(coordinator, LARGE)
    async with with_lane(coordinator, Limits(send_timeout=0.3), clock=ManualClock()) as node:
        await node.ask(TARGET)
        async with node.client(receive_buffer=64 * KIB) as client:
            await client.send(TARGET)
            await until(lambda: len(node.books.exchanges) == 2)
        last = node.books.exchanges[-1]
        assert last.aborted
        assert last.failure in ("ClientStalled", "ClientGone")  # the kernel's own timer may be the first to ring


async def test_a_body_whose_blob_is_dropped_is_cut(coordinator: FakeCoordinator) -> None:
    filled(coordinator, LARGE)
    async with with_lane(coordinator, clock=ManualClock()) as node, node.client(receive_buffer=64 * KIB) as client:
        await node.ask(TARGET)
        await client.send(TARGET)
        await client.head()
        coordinator.lent[0].dropped = True
        assert len(await client.ended()) < LARGE
        assert (await node.books.settled()).failure == "BlobDropped"
        assert len(coordinator.readers) == 1


async def test_a_body_goes_on_by_the_full_lanes_way_when_its_blob_is_not_whole_any_more(
    coordinator: FakeCoordinator,
) -> None:
    content = filled(coordinator, LARGE)
    async with with_lane(coordinator, clock=ManualClock()) as node, node.client(receive_buffer=64 * KIB) as client:
        await node.ask(TARGET)
        await client.send(TARGET, "Range: bytes=10-")
        await client.answer()
        await client.send(TARGET, "Range: bytes=7-")
        await client.head()
        for held in coordinator.lent:
            held.is_plain = False
        assert await client.reader.readexactly(LARGE - 7) == content[7:]
        last = await node.books.settled()
        assert (last.aborted, last.body_bytes) == (False, LARGE - 7)
        *_, (_, _, span) = (call for call in coordinator.calls if call[0] == "read")
        assert 7 < span.start < span.stop == LARGE  # type: ignore[attr-defined]


async def test_a_drain_waits_for_a_body_and_closes_behind_it(coordinator: FakeCoordinator) -> None:
    content = filled(coordinator, LARGE)
    async with with_lane(coordinator, clock=ManualClock()) as node, node.client(receive_buffer=64 * KIB) as client:
        await node.ask(TARGET)
        await client.send(TARGET)
        await client.head()
        drained = asyncio.get_running_loop().create_task(node.gate.drain())
        await asyncio.sleep(0)
        assert await client.ended() == content
        await drained
    assert len(coordinator.readers) == 1


@pytest.mark.parametrize("fact", ["unverified", "miss", "closed", "xet"])
async def test_what_is_not_all_here_proven_and_for_everybody_goes_the_long_way(
    coordinator: FakeCoordinator, fact: str
) -> None:
    filled(coordinator)
    if fact == "unverified":
        coordinator.verified = False
    elif fact == "miss":
        coordinator.cache = CacheOutcome.MISS
    elif fact == "closed":
        coordinator.is_open = False
    else:
        coordinator.add("model.bin", b"x" * 3 * MIB, xet="a" * 64)
    async with with_lane(coordinator, clock=ManualClock()) as node:
        for _ in range(3):
            await node.ask(TARGET, "Range: bytes=0-1")
        assert len(coordinator.readers) == (1 if fact == "xet" else 3)
    if coordinator.lent:
        await all_let_go(coordinator)


async def test_more_files_than_may_be_open_are_not(coordinator: FakeCoordinator) -> None:
    content = os.urandom(2 * MIB)
    for number in range(140):
        coordinator.add(f"{number}.bin", content + bytes([number]))
    async with with_lane(coordinator, clock=ManualClock()) as node, node.client() as client:
        for number in range(140):
            await client.send(at_commit(f"{number}.bin"), "Range: bytes=-1")
            assert (await client.answer()).body == bytes([number])
            assert sum(held.holders for held in coordinator.lent) <= 128
    await all_let_go(coordinator)
