"""Connections: how many, how long, how slowly, and how they end."""

from __future__ import annotations

import asyncio
import os

from proxy.core.sizes import KIB, MIB
from proxy.front.limits import Limits
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import PATIENCE, serving, until

HEAD = b"GET /-/livez HTTP/1.1\r\nHost: m\r\n\r\n"


async def test_head_may_come_in_single_bytes(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        for at in range(len(HEAD)):
            await client.write(HEAD[at : at + 1])
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200


async def test_slow_head_is_answered_408_and_the_connection_ends(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(header_timeout=0.2)) as node, node.client() as client:
        await client.write(HEAD[:-2])
        farewell = await client.ended()
        assert farewell.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nX-Request-Id: " in farewell
        assert node.books.refused == ["header_timeout"]


async def test_dripping_head_does_not_win_time(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(header_timeout=0.3)) as node, node.client() as client:
        for at in range(len(HEAD) - 1):
            if client.reader.at_eof() or node.books.refused:
                break
            await client.write(HEAD[at : at + 1])
            await asyncio.sleep(0.05)
        assert (await client.ended()).startswith(b"HTTP/1.1 408 ")


async def test_connection_that_never_speaks_is_closed_without_a_word(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(header_timeout=0.2)) as node, node.client() as client:
        assert await client.ended() == b""


async def test_idle_connection_is_closed_after_the_keepalive_timeout(coordinator: FakeCoordinator) -> None:
    limits = Limits(header_timeout=5.0, keepalive_timeout=0.2)
    async with serving(coordinator, limits) as node, node.client() as client:
        await client.write(HEAD)
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


async def test_idle_time_between_requests_is_no_slow_head(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(header_timeout=0.2)) as node, node.client() as client:
        for _ in range(2):
            await client.write(HEAD)
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.4)  # longer than a head may take
        assert node.books.refused == []


async def test_part_of_a_pipelined_head_has_its_deadline_too(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(header_timeout=0.2)) as node, node.client() as client:
        await client.write(HEAD + HEAD[:10])
        assert (await client.answer()).status == 200
        assert (await client.ended()).startswith(b"HTTP/1.1 408 ")


async def test_long_head_is_answered_431(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(header_bytes=KIB)) as node, node.client() as client:
        await client.write(b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * KIB)
        assert (await client.ended()).startswith(b"HTTP/1.1 431 ")
        assert node.books.refused == ["header_size"]


async def test_long_head_behind_a_body_under_way_cuts_it_instead_of_writing_into_it(
    coordinator: FakeCoordinator,
) -> None:
    coordinator.add("a.bin", os.urandom(2 * MIB))
    coordinator.step, coordinator.stall_after = MIB, MIB
    async with serving(coordinator, Limits(header_bytes=KIB)) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        await client.head()
        await client.reader.readexactly(MIB)
        await asyncio.wait_for(coordinator.stalled.wait(), PATIENCE)
        await client.write(b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * KIB)
        assert await client.ended() == b""
        assert (await node.books.settled()).aborted


async def test_connections_beyond_the_limit_are_closed_at_once(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(connections=2)) as node, node.client() as first, node.client():
        await until(lambda: len(node.gate) == 2)
        async with node.client() as third:
            assert await third.ended() == b""
        assert node.books.refused == ["limit"]
        await first.write(HEAD)
        assert (await first.answer()).status == 200


async def test_one_client_s_connections_are_limited_and_counted_down(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(connections_per_client=1)) as node:
        async with node.client():
            await until(lambda: len(node.gate) == 1)
            async with node.client() as second:
                assert await second.ended() == b""
        await until(lambda: not len(node.gate))
        assert (await node.ask("/-/livez")).status == 200
        assert node.books.refused == ["client_limit"]


async def test_drain_lets_a_body_end_and_closes_what_is_idle(coordinator: FakeCoordinator) -> None:
    content = os.urandom(24 * MIB)
    coordinator.add("a.bin", content)
    limits = Limits(send_buffer=64 * KIB)
    async with (
        serving(coordinator, limits) as node,
        node.client() as idle,
        node.client(receive_buffer=16 * KIB) as busy,
    ):
        await idle.write(HEAD)
        await idle.answer()
        await busy.send(at_commit("a.bin"))
        head = await busy.head()
        drained = asyncio.get_running_loop().create_task(node.gate.drain())
        assert await idle.ended() == b""
        assert not drained.done()
        body = await busy.reader.readexactly(int(head.headers["content-length"]))
        assert body == content
        assert await busy.ended() == b""
        await asyncio.wait_for(drained, PATIENCE)


async def test_answer_given_while_draining_asks_the_client_to_go(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(MIB))
    async with serving(coordinator) as node, node.client() as client:
        await until(lambda: len(node.gate) == 1)
        node.gate._draining = True
        await client.send(at_commit("a.bin"))
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended() == b""


async def test_drain_does_not_lose_a_request_whose_handler_has_not_begun(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        await until(lambda: len(node.gate) == 1)
        (connection,) = node.gate._connections.values()
        connection.data_received(HEAD)
        drained = asyncio.get_running_loop().create_task(node.gate.drain())
        assert (await client.answer()).status == 200
        await asyncio.wait_for(drained, PATIENCE)


async def test_drain_does_not_cut_a_body_whose_head_came_in_one_piece_with_a_post(coordinator: FakeCoordinator) -> None:
    """Behind the head of a POST the gate cannot tell where the next head begins; the body that follows is busy too."""
    content = os.urandom(24 * MIB)
    coordinator.add("a.bin", content)
    post = b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: m\r\nContent-Length: 7\r\n\r\npaths=a"
    get = f"GET {at_commit('a.bin')} HTTP/1.1\r\nHost: m\r\n\r\n".encode()
    async with serving(coordinator, Limits(send_buffer=64 * KIB)) as node, node.client(receive_buffer=16 * KIB) as busy:
        await busy.write(post + get)
        assert (await busy.answer()).status == 200
        head = await busy.head()
        drained = asyncio.get_running_loop().create_task(node.gate.drain())
        assert await busy.reader.readexactly(int(head.headers["content-length"])) == content
        await asyncio.wait_for(drained, PATIENCE)


async def test_head_split_behind_a_post_does_not_end_the_watch(coordinator: FakeCoordinator) -> None:
    """Its first half is taken for the body, so its second half looks like the head of no GET."""
    post = b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: m\r\nContent-Length: 7\r\n\r\npaths=a"
    async with serving(coordinator, Limits(header_timeout=0.3)) as node, node.client() as client:
        await client.write(post + HEAD[:20])
        assert (await client.answer()).status == 200
        await client.write(HEAD[20:])
        assert (await client.answer()).status == 200
        await client.write(HEAD[:20])
        assert (await client.ended()).startswith(b"HTTP/1.1 408 ")


async def test_abort_ends_a_drain(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(2 * MIB))
    coordinator.stall_after = 0
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        await asyncio.wait_for(coordinator.stalled.wait(), PATIENCE)
        drained = asyncio.get_running_loop().create_task(node.gate.drain())
        await asyncio.sleep(0)
        assert not drained.done()
        node.gate.abort()
        await asyncio.wait_for(drained, PATIENCE)
