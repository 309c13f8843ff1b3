"""The client that all servers get, and every row that needs no other program, on a mirror of our own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bench.peers import origin as origins
from bench.peers import rows, servers
from bench.peers.asking import Client, Many, NotMeasurable, Unexpected, told_by_wrk
from bench.peers.origin import Origin
from bench.peers.rows import Bench
from bench.peers.servers import Installed, NotInstalled, Running, Upstream, tree

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = Installed(Path("/nowhere"), Path("/nowhere"))
SIZE = 24 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Origin]:
    async with origins.serving(tmp_path_factory.mktemp("origin"), SIZE, None) as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("peers") / "penstock"
    async with servers.running(servers.PENSTOCK, NOWHERE, origin.upstream, folder, None) as serving:
        yield serving
        pids = tree(serving.pid)
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")], "it has ended with all its processes"


async def bench(origin: Origin, running: Running | None) -> Bench:
    host, _, port = origin.upstream.cdn.rpartition(":")
    address = running.address if running is not None else (host, int(port))
    return Bench(running, origin, await origins.files(origin), Client(address), NOWHERE, None, 10, 1, 0.6)


async def test_a_cold_file_comes_from_the_origin_and_a_warm_one_does_not(origin: Origin, mirror: Running) -> None:
    at = await bench(origin, mirror)
    cold = await rows.cold_whole(at)
    assert 0 < cold["cold_whole_first"] < cold["cold_whole_wall"]
    _, before = await origin.sent()
    assert await rows.right_bytes(at) == {}
    warm = await rows.warm_whole(at) | await rows.warm_ranges(at)
    assert all(number > 0 for number in warm.values())
    _, after = await origin.sent()
    assert after == before


async def test_the_end_of_a_large_file_costs_that_end(origin: Origin, mirror: Running) -> None:
    found = await rows.cold_tail(await bench(origin, mirror))
    assert found["cold_tail_origin"] < 4


async def test_heads_are_counted(origin: Origin, mirror: Running) -> None:
    found = await rows.small_head(await bench(origin, mirror))
    assert found["small_head_wall"] > 1


async def test_memory_of_slow_readers_is_looked_at_while_they_read(origin: Origin, mirror: Running) -> None:
    at = await bench(origin, mirror)
    await at.client.ask(at.asked("whole"))
    assert (await rows.slow_readers(at))["slow_memory"] < 4 << 20


async def test_readers_who_get_nothing_have_no_memory_to_be_told(origin: Origin) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        running = Running(servers.OLAH, address, "0", os.getpid(), Path("/nowhere"), 0.0)
        given = (running, origin, await origins.files(origin), Client(address), NOWHERE, None, 10, 1, 0.6)
        with pytest.raises(NotMeasurable, match="0 of 10 had a byte"):
            await rows.slow_readers(Bench(*given))


async def test_a_generic_origin_is_asked_once(origin: Origin, mirror: Running) -> None:
    at = await bench(origin, mirror)
    first, again = await at.client.ask(*[at.asked("generic")] * 2)
    status = [dict(one.head.fields)["cache-status"] for one in (first, again) if one.head is not None]
    assert "stored" in status[0]
    assert "hit" in status[1]


async def test_who_knows_the_hub_alone_is_not_asked_for_anything_else(origin: Origin) -> None:
    running = Running(servers.OLAH, ("127.0.0.1", 1), "0", os.getpid(), Path("/nowhere"), 0.0)
    with pytest.raises(NotMeasurable, match="the Hub alone"):
        await rows.generic_get(await bench(origin, running))


async def test_the_origin_itself_can_be_asked(origin: Origin) -> None:
    assert (await rows.cold_whole(await bench(origin, None)))["cold_whole_wall"] > 0


async def test_wrong_bytes_are_noticed(origin: Origin) -> None:
    at = await bench(origin, None)
    with pytest.raises(Unexpected, match="wrong bytes"):
        await at.client.ask(at.asked("whole"), hashed="0" * 64)


async def test_an_error_is_no_figure(origin: Origin, mirror: Running) -> None:
    client = Client(mirror.address)
    with pytest.raises(Unexpected, match="status 401"):
        await client.ask(rows.Asked("/acme/nothing/resolve/main/x", 5))


@pytest.mark.parametrize("server", [one for one in servers.SERVERS if one is not servers.PENSTOCK])
async def test_a_peer_that_is_not_installed_is_named(server: servers.Server, tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match="make bench-peers"):
        server.recipe(NOWHERE, Upstream("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"), "127.0.0.1:4", tmp_path)


@pytest.mark.parametrize(
    ("said", "many"),
    [
        ("  5230 requests in 2.00s, 5.1MB read\nRequests/sec: 2613", Many(5230, 2.0)),
        ("  12 requests in 1.50m, 5.1MB read", Many(12, 90.0)),
        ("  12 requests in 900.10ms, 5.1MB read", Many(12, 0.9001)),
    ],
)
async def test_wrk_is_understood(said: str, many: Many) -> None:
    assert told_by_wrk(said) == many


@pytest.mark.parametrize(
    "said", ["unable to connect to 127.0.0.1", "", "5 requests in 1s\n  Non-2xx or 3xx responses: 4"]
)
async def test_what_wrk_complains_of_is_a_failure(said: str) -> None:
    with pytest.raises(Unexpected):
        told_by_wrk(said)
