"""Bodies on the wire: whole, slow, cut and broken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp import web

from proxy.core.errors import BlobDropped, DiskFailed
from proxy.core.sizes import KIB, MIB
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource, FilePiece
from proxy.front import cold, delivery
from proxy.front.backlog import Backlog
from proxy.front.limits import Limits
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import PATIENCE, Client, serving, until

TLS = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def twenty() -> bytes:
    return os.urandom(20 * MIB + 12345)


async def _hash_body(client: Client, length: int) -> str:
    digest = sha256()
    async with asyncio.timeout(PATIENCE):
        while length:
            piece = await client.reader.read(min(length, 256 * KIB))
            assert piece, f"{length} bytes are missing"
            digest.update(piece)
            length -= len(piece)
    return digest.hexdigest()


async def test_twenty_mebibytes_arrive_unharmed(coordinator: FakeCoordinator, twenty: bytes) -> None:
    coordinator.add("a.bin", twenty)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        assert int((await client.head()).headers["content-length"]) == len(twenty)
        assert await _hash_body(client, len(twenty)) == sha256(twenty).hexdigest()
        await client.send("/-/livez")
        assert (await client.answer()).status == 200
    assert node.books.sent[ByteSource.DISK] == len(twenty)


async def test_twenty_mebibytes_arrive_unharmed_over_tls(coordinator: FakeCoordinator, twenty: bytes, tls: TLS) -> None:
    coordinator.add("a.bin", twenty)
    async with serving(coordinator, tls=tls) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        await client.head()
        assert await _hash_body(client, len(twenty)) == sha256(twenty).hexdigest()
        await client.send("/-/livez")
        assert (await client.answer()).status == 200
    assert node.books.sent[ByteSource.DISK] == len(twenty)


async def test_bodies_from_memory_arrive_unharmed(coordinator: FakeCoordinator) -> None:
    content = os.urandom(3 * MIB + 1)
    coordinator.add("a.bin", content)
    coordinator.in_memory = True
    async with serving(coordinator) as node:
        assert (await node.ask(at_commit("a.bin"))).body == content


async def test_cold_pages_are_read_by_the_disk_s_threads(
    coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that cannot tell what is in memory counts as cold throughout."""
    content = os.urandom(5 * MIB + 3)
    coordinator.add("a.bin", content)
    monkeypatch.setattr(delivery, "resident", lambda *_: False)
    faulted: list[int] = []
    fault_in = cold._fault_in
    monkeypatch.setattr(cold, "_fault_in", lambda fd, at, length: (faulted.append(at), fault_in(fd, at, length)))
    async with serving(coordinator) as node:
        assert (await node.ask(at_commit("a.bin"))).body == content
    assert faulted, "the file was sent without a look by a thread"


async def test_slow_reader_gets_all_and_holds_no_memory(coordinator: FakeCoordinator, twenty: bytes) -> None:
    coordinator.add("a.bin", twenty)
    async with serving(coordinator, Limits(send_buffer=64 * KIB)) as node, node.client(receive_buffer=32 * KIB) as slow:
        await slow.send(at_commit("a.bin"))
        await slow.head()
        before = -1
        while (sent := node.books.sent[ByteSource.DISK]) != before:  # until the kernel takes no more
            before = sent
            await asyncio.sleep(0.05)
        (connection,) = node.gate._connections.values()
        assert connection.transport.get_write_buffer_size() == 0
        assert before < 2 * MIB, "more than the kernel's buffers went ahead of the reader"
        assert await _hash_body(slow, len(twenty)) == sha256(twenty).hexdigest()


@pytest.mark.parametrize(("holds", "again"), [(float("inf"), False), (-1.0, True)], ids=["at once", "after a wait"])
async def test_pages_left_by_a_call_are_looked_at_again_only_after_a_wait(
    coordinator: FakeCoordinator, twenty: bytes, monkeypatch: pytest.MonkeyPatch, holds: float, again: bool
) -> None:
    """What was in memory a moment ago is there still, and for a slow reader perhaps no more."""
    coordinator.add("a.bin", twenty)
    looked: list[int] = []
    monkeypatch.setattr(delivery, "_MEMORY_HOLDS", holds)
    monkeypatch.setattr(delivery, "resident", lambda fd, at, length: looked.append(length) or True)
    async with serving(coordinator, Limits(send_buffer=64 * KIB)) as node, node.client(receive_buffer=32 * KIB) as slow:
        await slow.send(at_commit("a.bin"))
        await slow.head()
        assert await _hash_body(slow, len(twenty)) == sha256(twenty).hexdigest()
    assert (sum(looked) > len(twenty)) is again
    assert sum(looked) >= len(twenty), "bytes were sent that nobody had looked at"


async def test_client_that_takes_nothing_is_let_go(coordinator: FakeCoordinator, twenty: bytes) -> None:
    coordinator.add("a.bin", twenty)
    limits = Limits(send_buffer=64 * KIB, send_timeout=0.3)
    async with serving(coordinator, limits) as node, node.client(receive_buffer=16 * KIB) as client:
        await client.send(at_commit("a.bin"))
        account = await node.books.settled()
        await asyncio.wait_for(coordinator.left.wait(), PATIENCE)
    assert account.aborted
    assert account.failure in ("ClientStalled", "ClientGone")  # the kernel's own user timeout may be first
    assert account.body_bytes < account.size


async def test_client_that_takes_nothing_over_tls_is_let_go(
    coordinator: FakeCoordinator, twenty: bytes, tls: TLS
) -> None:
    coordinator.add("a.bin", twenty)
    limits = Limits(send_buffer=64 * KIB, send_timeout=0.3)
    async with serving(coordinator, limits, tls=tls) as node, node.client(receive_buffer=16 * KIB) as client:
        await client.send(at_commit("a.bin"))
        await client.head()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        account = await node.books.settled()
    assert account.aborted


async def test_client_that_leaves_closes_the_iterator(coordinator: FakeCoordinator, twenty: bytes) -> None:
    coordinator.add("a.bin", twenty)
    async with serving(coordinator) as node:
        async with node.client(receive_buffer=16 * KIB) as client:
            await client.send(at_commit("a.bin"))
            await client.head()
        await asyncio.wait_for(coordinator.closed.wait(), PATIENCE)
        await asyncio.wait_for(coordinator.left.wait(), PATIENCE)
        account = await node.books.settled()
    assert account.aborted
    assert account.code == 200


async def test_client_that_leaves_while_a_piece_is_awaited_closes_the_iterator(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(4 * MIB))
    coordinator.step, coordinator.stall_after = MIB, 2 * MIB
    async with serving(coordinator) as node:
        async with node.client() as client:
            await client.send(at_commit("a.bin"))
            await client.head()
            await client.reader.readexactly(2 * MIB)
            await asyncio.wait_for(coordinator.stalled.wait(), PATIENCE)
        await asyncio.wait_for(coordinator.closed.wait(), PATIENCE)
        account = await node.books.settled()
    assert (account.failure, account.aborted) == ("ClientGone", True)
    assert account.body_bytes == 2 * MIB


async def test_client_that_leaves_while_a_disk_is_read_leaves_nothing_open(
    coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch, twenty: bytes
) -> None:
    """What is left open of a connection leaves its client waiting, besides."""
    coordinator.add("a.bin", twenty)
    reading, disk_answers = threading.Event(), threading.Event()
    monkeypatch.setattr(delivery, "resident", lambda *_: False)
    monkeypatch.setattr(cold, "_fault_in", lambda *_: (reading.set(), disk_answers.wait(PATIENCE)))
    async with serving(coordinator) as node:
        await node.ask("/-/livez")
        await until(lambda: not len(node.gate))
        before = len(os.listdir("/proc/self/fd"))
        async with node.client() as client:
            await client.send(at_commit("a.bin"))
            await until(reading.is_set)
            client.writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                assert len(await client.reader.read()) < MIB, "and then the end"
        account = await node.books.settled()
        disk_answers.set()
        await until(lambda: not len(node.gate))
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert (account.failure, account.aborted) == ("ClientGone", True)


async def test_client_that_leaves_before_the_first_piece_ends_the_wait(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(4 * MIB))
    coordinator.stall_after = 0
    async with serving(coordinator) as node:
        async with node.client() as client:
            await client.send(at_commit("a.bin"))
            await asyncio.wait_for(coordinator.stalled.wait(), PATIENCE)
        await asyncio.wait_for(coordinator.left.wait(), PATIENCE)
        account = await node.books.settled()
    assert (account.code, account.aborted, account.first_byte_seconds) == (499, True, None)


async def test_error_before_the_first_piece_is_an_answer(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(MIB))
    coordinator.fail_after = (0, DiskFailed("disk a failed"))
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"))
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("error", [BlobDropped("dropped"), RuntimeError("a bug")])
async def test_error_in_the_middle_breaks_the_connection(coordinator: FakeCoordinator, error: Exception) -> None:
    coordinator.add("a.bin", os.urandom(4 * MIB))
    coordinator.step, coordinator.fail_after = MIB, (2 * MIB, error)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        await client.head()
        rest = await client.ended()
        account = await node.books.settled()
    assert len(rest) <= 2 * MIB
    assert (account.code, account.aborted, account.failure) == (200, True, type(error).__name__)


async def test_reading_that_ends_early_breaks_the_connection(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(4 * MIB))
    coordinator.step, coordinator.end_after = MIB, 3 * MIB
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        await client.head()
        assert len(await client.ended()) <= 3 * MIB
        account = await node.books.settled()
    assert (account.aborted, account.failure) == (True, "ShortBody")


async def test_file_shorter_than_its_piece_breaks_the_connection(coordinator: FakeCoordinator) -> None:
    facts = coordinator.add("a.bin", os.urandom(2 * MIB))
    os.truncate(coordinator.folder / facts.etag, MIB)
    async with serving(coordinator) as node, node.client() as client:
        await client.send(at_commit("a.bin"))
        await client.head()
        assert len(await client.ended()) <= MIB
        assert (await node.books.settled()).failure == "DiskFailed"


async def test_no_descriptor_is_left_behind(coordinator: FakeCoordinator, twenty: bytes) -> None:
    coordinator.add("a.bin", twenty)
    async with serving(coordinator) as node:
        await node.ask("/-/livez")
        await until(lambda: not len(node.gate))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            async with node.client(receive_buffer=16 * KIB) as client:
                await client.send(at_commit("a.bin"))
                await client.head()
            await node.books.settled()
        await until(lambda: not len(node.gate))
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_unverified_part_says_so(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(MIB))
    coordinator.verified, coordinator.cache = False, CacheOutcome.COALESCED
    async with serving(coordinator) as node:
        part = await node.ask(at_commit("a.bin"), "Range: bytes=5-9")
        whole = await node.ask(at_commit("a.bin"))
    assert part.headers["cache-status"] == "penstock; fwd=miss; collapsed; detail=unverified"
    assert whole.headers["cache-status"] == "penstock; fwd=miss; collapsed"


async def _read_slowly(client: Client, length: int) -> bytes:
    """In small steps, so that the node's buffers are full all the while."""
    body = bytearray()
    async with asyncio.timeout(PATIENCE):
        while len(body) < length:
            body += await client.reader.read(min(length - len(body), 3000))
            await asyncio.sleep(0)
    return bytes(body)


async def test_heads_and_bodies_keep_their_order_when_the_buffers_are_full(coordinator: FakeCoordinator) -> None:
    """A head that waits in the transport's buffer must not be overtaken by the file behind it."""
    sizes = [30_000, 40_000] * 12
    for index, size in enumerate(sizes):
        coordinator.add(f"{index}.bin", os.urandom(8) * (size // 8))
    ask = "".join(f"GET {at_commit(f'{n}.bin')} HTTP/1.1\r\nHost: m\r\n\r\n" for n in range(len(sizes)))
    limits = Limits(send_buffer=4 * KIB)
    async with serving(coordinator, limits) as node, node.client(receive_buffer=4 * KIB) as client:
        await client.write(ask.encode())
        for index, size in enumerate(sizes):
            head = await client.head()
            body = await _read_slowly(client, int(head.headers["content-length"]))
            assert len(body) == size
            assert f'"{sha256(body).hexdigest()}"' == head.headers["etag"], f"body {index} is not what was stored"


async def test_descriptor_of_an_ended_body_is_watched_no_more(coordinator: FakeCoordinator) -> None:
    """Its number is the next connection's."""
    content = os.urandom(2 * MIB)
    coordinator.add("a.bin", content)
    async with serving(coordinator, Limits(send_buffer=16 * KIB)) as node, contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            client = await stack.enter_async_context(node.client(receive_buffer=8 * KIB))
            await client.send(at_commit("a.bin"))
            await client.head()
            assert await _hash_body(client, len(content)) == sha256(content).hexdigest()


class _FullBuffer:
    """A connection whose transport holds bytes until `empty` is set."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.backlog = Backlog(256 * KIB)
        self.empty = asyncio.Event()
        self.asked = asyncio.Event()

    async def flushed(self, patience: float) -> None:
        self.asked.set()
        await self.empty.wait()


async def test_no_byte_of_a_file_leaves_before_the_transport_is_empty(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    connection = _FullBuffer(transport)
    booked: list[tuple[ByteSource, int]] = []
    reader = cold.ColdReader(threads=1, patience=PATIENCE)
    with (
        (tmp_path / "f").open("rb") as file,
        delivery.Delivery(connection, reader, PATIENCE, lambda *entry: booked.append(entry)) as body,  # type: ignore[arg-type]
    ):
        piece = FilePiece(file.fileno(), 0, 1000, "a", ByteSource.DISK)
        sending = asyncio.create_task(body.send_piece(piece, web.StreamResponse()))
        await asyncio.wait_for(connection.asked.wait(), PATIENCE)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        connection.empty.set()
        await asyncio.wait_for(sending, PATIENCE)
    assert theirs.recv(2000) == b"x" * 1000
    assert booked == [(ByteSource.DISK, 1000)]
    transport.close()
    theirs.close()
    reader.close()
