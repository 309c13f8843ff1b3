"""A data port on loopback, and a client that speaks raw HTTP/1.1 to it: what is sent is what is written here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from proxy.fetch.reading import ByteSource
from proxy.front.application import make_data_server
from proxy.front.cold import ColdReader
from proxy.front.gate import Gate
from proxy.front.limits import Limits
from proxy.front.listener import Listener, listen
from proxy.front.observer import Exchange, SilentObserver
from tests.front.fakes import FakeCoordinator

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


@dataclass
class Books(SilentObserver):
    """Keeps every account."""

    exchanges: list[Exchange] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sent: Counter[ByteSource] = field(default_factory=Counter)
    open: int = 0
    in_flight: int = 0
    leaks: int = 0
    summed: int = 0
    """Requests booked in sums."""
    at_once: int = 0
    """Requests that the fast lane has answered."""

    logs = True

    def logged(self, exchange: Exchange) -> None:
        self.at_once += 1
        self.exchanges.append(exchange)

    def repeated(self, like: Exchange, count: int, seconds: float) -> None:
        self.summed += count
        for source, size in like.sent:
            self.sent[source] += count * size

    def leaked(self) -> None:
        self.leaks += 1

    def connection_opened(self) -> None:
        self.open += 1

    def connection_closed(self) -> None:
        self.open -= 1

    def connection_refused(self, reason: str) -> None:
        self.refused.append(reason)

    def request_began(self) -> None:
        self.in_flight += 1

    def bytes_sent(self, route: str, source: ByteSource, count: int) -> None:
        self.sent[source] += count

    def request_ended(self, exchange: Exchange) -> None:
        self.in_flight -= 1
        self.exchanges.append(exchange)

    async def settled(self) -> Exchange:
        """The last account, once no request is under way."""
        await until(lambda: self.exchanges and not self.in_flight)
        return self.exchanges[-1]


@dataclass
class Node:
    """A data port under test."""

    gate: Gate
    address: tuple[str, int]
    books: Books
    listener: Listener
    tls: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def client(self, *, receive_buffer: int | None = None) -> AsyncIterator[Client]:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        name = "localhost" if self.tls else None
        reader, writer = await asyncio.open_connection(sock=sock, ssl=self.tls, server_hostname=name)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(self, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        async with self.client() as client:
            await client.send(target, *fields, method=method, body=body)
            return await client.answer(method)


@dataclass
class Answer:
    """An answer as it came: names lower-case, repeated fields joined."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """One connection to the node."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def send(self, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: mirror.test:8080", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def head(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, text = line.partition(":")
            key = name.lower()
            headers[key] = f"{headers[key]}, {text.strip()}" if key in headers else text.strip()
        return Answer(int(first.split(" ")[1]), headers, b"")

    async def answer(self, method: str = "GET") -> Answer:
        """A whole answer. Raises asyncio.IncompleteReadError when the connection breaks inside it."""
        answer = await self.head()
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        async with asyncio.timeout(PATIENCE):
            if answer.headers.get("transfer-encoding") == "chunked":
                answer.body = b"".join([chunk async for chunk in self._chunks()])
            else:
                answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        return answer

    async def _chunks(self) -> AsyncIterator[bytes]:
        while length := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(length)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def ended(self) -> bytes:
        """What came before the connection ended (cleanly or not)."""
        rest = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    rest += piece
        return rest


@contextlib.asynccontextmanager
async def serving(
    coordinator: FakeCoordinator,
    limits: Limits | None = None,
    *,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    **options: object,
) -> AsyncIterator[Node]:
    """A data port on a free port of loopback; `tls` is the server's and the client's context."""
    books = Books()
    cold = ColdReader(threads=2, patience=PATIENCE)
    gate = make_data_server(coordinator, limits or Limits(), cold, observer=books, **options)  # type: ignore[arg-type]
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    listener = await listen(gate, sock, tls=tls[0] if tls else None)
    try:
        yield Node(gate, sock.getsockname(), books, listener, tls[1] if tls else None)
    finally:
        listener.close()
        gate.abort()
        await until(lambda: not len(gate) and not books.in_flight)
        cold.close()


async def until(condition: object, *, patience: float = PATIENCE) -> None:
    """Wait until `condition()` is true. Raises TimeoutError after `patience` seconds."""
    assert callable(condition)
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - a look now and then, at anything
            await asyncio.sleep(0.005)
