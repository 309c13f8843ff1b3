"""HTTP on raw sockets, against a peer that says exactly what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from bench.load.heads import Head, Malformed
from bench.load.metronome import Metronome
from bench.load.pool import Entrances, Pool
from bench.load.wire import Broken, Connection, Enough, Exchange, Pace, Silent, Surroundings
from proxy.core.tasks import TaskSet
from tests.kit.waiting import until

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = bytes(range(256)) * 4096


@dataclass
class Taken:
    """Keeps what comes; wants no more after `enough`."""

    looks: bool = True
    enough: int | None = None
    body: bytearray = field(default_factory=bytearray)
    count: int = 0

    def begin(self, head: Head) -> None:
        pass

    def take(self, received: memoryview) -> None:
        self.count += len(received)
        if self.looks:
            self.body += received
        if self.enough is not None and self.count >= self.enough:
            raise Enough


@contextlib.asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[tuple[str, int]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await peer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


def saying(*answers: bytes) -> Peer:
    """Answers each request with the next of these, and closes after the last."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return peer


def ok(body: bytes = BODY) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def asked(peer: Peer, taken: Taken, patience: float = 10.0, pace: Pace | None = None) -> Exchange:
    around = Surroundings(asyncio.get_running_loop(), patience)
    exchange = Exchange(around.loop.time())
    async with listening(peer) as address, TaskSet("test") as tasks:
        tasks.start(_sweeping(around), "sweep")
        connection = await Connection.open(around, address)
        try:
            await connection.ask(b"GET / HTTP/1.1\r\n\r\n", taken, exchange, pace=pace)
        finally:
            connection.close()
    return exchange


async def _sweeping(around: Surroundings) -> None:
    while True:
        await asyncio.sleep(0.01)
        around.sweep()


async def test_a_body_is_given_as_it_came() -> None:
    taken = Taken()
    exchange = await asked(saying(ok()), taken)
    assert taken.body == BODY
    assert exchange.received == len(BODY)
    assert not exchange.is_cut
    assert exchange.first_byte is not None


async def test_a_body_nobody_looks_at_is_counted() -> None:
    taken = Taken(looks=False)
    exchange = await asked(saying(ok()), taken)
    assert taken.count == exchange.received == len(BODY)


async def test_a_body_in_chunks_is_put_together() -> None:
    taken = Taken()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    await asked(saying(chunked), taken)
    assert taken.body == b"hello!"


async def test_a_slow_reader_gets_all_of_it_no_faster_than_its_pace() -> None:
    taken = Taken()
    exchange = await asked(saying(ok()), taken, pace=Pace(rate=8e6, step=256 * 1024))
    assert taken.body == BODY
    assert exchange.ended is not None
    assert exchange.ended - exchange.sent >= 0.9 * len(BODY) / 8e6


async def test_who_has_enough_leaves() -> None:
    taken = Taken(enough=1000)
    with pytest.raises(Enough):
        await asked(saying(ok()), taken)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Broken),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Broken),
        (ok()[:-1], Broken),
        (ok(b"abc") + b"more", Malformed),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Malformed),
        (b"HTTP/1.1 200 OK\r\n\r\n", Malformed),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, Malformed),
    ],
)
async def test_an_answer_that_is_none_is_an_error(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await asked(saying(answer), Taken())


async def test_a_peer_that_falls_silent_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ok()[:5000])
        await reader.read()

    with pytest.raises(Silent):
        await asked(silent, Taken(), patience=0.05)


async def test_a_connection_is_used_again_until_the_peer_closes_it() -> None:
    around = Surroundings(asyncio.get_running_loop(), 10.0)
    async with listening(saying(ok(b"one"), ok(b"two"))) as address:
        pool = Pool(Entrances(around, [address], 0), most_idle=4)
        first = await pool.get()
        bodies = []
        for _ in range(2):
            taken = Taken()
            connection = await pool.get() if not first.usable or bodies else first
            await connection.ask(b"GET / HTTP/1.1\r\n\r\n", taken, Exchange(around.loop.time()))
            bodies.append(bytes(taken.body))
            pool.put(connection)
            assert connection is first
        assert bodies == [b"one", b"two"]
        await until(lambda: not first.usable, "the idle connection is seen to be closed")
        assert await pool.get() is not first
        pool.close()


async def test_a_client_that_is_cancelled_leaves_nothing_open() -> None:
    around = Surroundings(asyncio.get_running_loop(), 10.0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as address, TaskSet("test") as tasks:
        connection = await Connection.open(around, address)
        exchange = Exchange(around.loop.time())
        asking = tasks.start(connection.ask(b"GET / HTTP/1.1\r\n\r\n", Taken(), exchange), "ask")
        await until(lambda: connection in around.waiting, "the request is under way")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert exchange.is_cut
        assert not connection.usable
        assert not around.waiting


async def test_a_metronome_does_not_ring_early() -> None:
    loop = asyncio.get_running_loop()
    metronome = Metronome(loop)
    try:
        for delay in (0.0, 0.0003, 0.005):
            due = loop.time() + delay
            await metronome.until(due)
            assert loop.time() >= due
    finally:
        metronome.close()
