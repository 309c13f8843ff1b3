"""An HTTP server made of bytes: it says what a test tells it to, right or wrong, and notes what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from proxy.config.origins import OriginSection
from proxy.core.blob import BlobKey
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock, SystemClock
from proxy.core.spans import Span
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, RepoKind, Revision
from proxy.origin.client import OriginClient
from proxy.origin.source import HubSource

CONTENT = Random(7).randbytes(10_000)
COMMIT = "c" * 40
SHA256 = "5" * 64
TARGET = FileTarget(RepoId(RepoKind.MODEL, "acme/tiny"), Revision(COMMIT), "weights.bin")
FACTS = FileFacts(SHA256, len(CONTENT), True, BlobKey.sha256(SHA256))


@dataclass(frozen=True)
class Asked:
    """One request. Header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def span(self) -> Span | None:
        if "range" not in self.headers:
            return None
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        return Span(int(first), int(last) + 1)


@dataclass(frozen=True)
class Said:
    """Bytes to send, once `when` is set; then keep the connection, close it, or be silent until the other leaves."""

    content: bytes
    then: str = "keep"
    when: asyncio.Event | None = None


Script = Callable[[Asked], Said]


@dataclass
class Liar:
    """A listening liar. `script` may be replaced at any time."""

    script: Script
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    open_connections: int = 0
    all_closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, script: Script) -> AsyncIterator[Liar]:
        liar = cls(script)
        server = await asyncio.start_server(liar._converse, "127.0.0.1", 0)
        liar.port = server.sockets[0].getsockname()[1]
        try:
            yield liar
        finally:
            server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        self.all_closed.clear()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        self.open_connections -= 1
        if not self.open_connections:
            self.all_closed.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, target, headers, body)
        self.asked.append(asked)
        said = self.script(asked)
        if said.when is not None:
            await said.when.wait()
        writer.write(said.content)
        await writer.drain()
        if said.then == "silence":
            await reader.read()  # until the other side hangs up
        return said.then == "keep"


def answer(status: str, fields: Sequence[tuple[str, str]] = (), body: bytes = b"", *, then: str = "keep") -> Said:
    """A proper answer; Content-Length is that of the body unless the fields say how long it is."""
    names = {name.lower() for name, _ in fields}
    if not names & {"content-length", "transfer-encoding"}:
        fields = (*fields, ("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return Said(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body, then)


def chunked(body: bytes, *, size: int = 1500) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def redirect(location: str, status: str = "302 Found", fields: Sequence[tuple[str, str]] = ()) -> Said:
    return answer(status, (("Location", location), *fields))


def ranged(span: Span, *fields: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Content-Range", f"bytes {span.start}-{span.stop - 1}/{len(CONTENT)}"), ("ETag", '"v1"'), *fields)


def honest_store(asked: Asked) -> Said:
    """A store that does what it should."""
    span = asked.span
    assert span is not None
    return answer("206 Partial Content", ranged(span), CONTENT[span.start : span.stop])


def hub_before(store: Liar) -> Script:
    """A Hub that sends everybody to `store`, each time to another presigned address."""
    serial = iter(range(10**9))

    def script(asked: Asked) -> Said:
        linked = (("X-Repo-Commit", COMMIT), ("X-Linked-Etag", f'"{SHA256}"'), ("X-Linked-Size", str(len(CONTENT))))
        return redirect(f"{store.url}/blob?X-Amz-Signature=s3cr3t%2F{next(serial)}", fields=linked)

    return script


def config(hub: Liar, *places: str, **knobs: object) -> OriginSection:
    values = {"url": hub.url, "redirect_hosts": places, "read_timeout": 5, "retries": 3} | knobs
    return OriginSection.model_validate(values)


async def no_pause(seconds: float) -> None:
    """Time is not what these tests are about."""


@contextlib.asynccontextmanager
async def client_of(section: OriginSection, clock: Clock | None = None, **rest: object) -> AsyncIterator[OriginClient]:
    options = {"pause": no_pause, "proxies": {}, "chance": Random(1)} | rest
    async with OriginClient.open(section, clock=clock or SystemClock(), **options) as client:  # type: ignore[arg-type]
        yield client


@dataclass
class Stage:
    """A Hub, a store and a client between them."""

    hub: Liar
    store: Liar
    client: OriginClient

    def source(self, facts: FileFacts = FACTS, caller: Caller = ANONYMOUS) -> HubSource:
        return self.client.source(TARGET, facts, caller)


@contextlib.asynccontextmanager
async def stage(script: Script = honest_store, clock: Clock | None = None, **knobs: object) -> AsyncIterator[Stage]:
    async with (
        Liar.open(script) as store,
        Liar.open(hub_before(store)) as hub,
        client_of(config(hub, store.place, **knobs), clock) as client,
    ):
        yield Stage(hub, store, client)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a socket
            await asyncio.sleep(0.002)


async def gather(source: HubSource, span: Span, got: bytearray) -> None:
    """Read into `got`, so that a test sees what came before an error."""
    async with contextlib.aclosing(source.read(span)) as pieces:
        async for piece in pieces:
            got += piece


async def taken(source: HubSource, span: Span) -> bytes:
    """All that a read gives."""
    got = bytearray()
    await gather(source, span, got)
    return bytes(got)
