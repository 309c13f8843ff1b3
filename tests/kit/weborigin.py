"""A scripted HTTP origin on a real socket: says just what a test wants, and remembers what it was asked.

`site.at(path, reply)` sets what a path answers: a `Reply` (a value), a `Document` (bytes that know ranges and
conditions), or any coroutine function of (`Asked`, `Wire`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate

from proxy.core.byterange import Ignored, Single, content_range, unsatisfied_range, wanted
from proxy.core.tasks import TaskSet

Fields = dict[str, str]
STEP = 64 * 1024


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    lines: tuple[tuple[str, str], ...]
    body: bytes
    number: int
    """How often its path was asked before, by whatever method."""

    def __getitem__(self, name: str) -> str | None:
        found = [value for key, value in self.lines if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Wire:
    """The way back to who asked."""

    def __init__(self, writer: asyncio.StreamWriter, site: WebSite, method: str) -> None:
        self._writer = writer
        self._site = site
        self.method = method

    async def head(self, status: int, fields: Fields) -> None:
        text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"HTTP/1.1 {status} Said\r\n{text}\r\n".encode("latin-1"))
        await self._writer.drain()

    async def raw(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def body(self, content: bytes, *, rate: float | None = None, chunked: bool = False) -> None:
        """`rate` in bytes per second."""
        step = STEP if rate is None else max(1, min(STEP, int(rate / 50)))
        for at in range(0, len(content), step):
            piece = content[at : at + step]
            self._site.sent += len(piece)
            await self.raw(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if rate is not None:
                await asyncio.sleep(len(piece) / rate)

    async def reply(self, status: int, fields: Fields, content: bytes = b"") -> None:
        """A whole small answer."""
        sized = {} if status in (204, 304) else {"Content-Length": str(len(content))}
        await self.head(status, {**sized, **fields})
        if self.method != "HEAD":
            await self.body(content)

    def cut(self) -> None:
        """End the connection, in the middle of whatever."""
        self._writer.transport.abort()


Answering = Callable[[Asked, Wire], Awaitable[None]]


@dataclass(frozen=True)
class Reply:
    """The same to every request."""

    status: int = 200
    fields: Fields = field(default_factory=dict)
    content: bytes = b"ok"

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        await wire.reply(self.status, {"Date": formatdate(usegmt=True), **self.fields}, self.content)


@dataclass
class Document:
    """Bytes under a validator, with ranges and conditions; fields may be changed while it is served."""

    content: bytes
    fields: Fields = field(default_factory=lambda: {"Cache-Control": "max-age=60"})
    etag: str | None = '"v1"'
    rate: float | None = None
    ranges: bool = True
    chunked: bool = False
    cut_first_at: int | None = None
    """The first answer with a body ends after so many bytes."""
    confirms: bool = True
    _bodies: int = 0

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        own = {"Date": formatdate(usegmt=True), **({} if self.etag is None else {"ETag": self.etag}), **self.fields}
        if self.confirms and self.etag is not None and asked["If-None-Match"] == self.etag:
            await wire.head(304, own)
            return
        part = wanted(asked["Range"], len(self.content)) if self.ranges and asked.method == "GET" else Ignored()
        if asked["If-Range"] not in (None, self.etag):
            part = Ignored()
        match part:
            case Single(span):
                status, content = 206, self.content[span.start : span.stop]
                own["Content-Range"] = content_range(span, len(self.content))
            case Ignored():
                status, content = 200, self.content
            case _:
                await wire.reply(416, {**own, "Content-Range": unsatisfied_range(len(self.content))})
                return
        own |= {"Transfer-Encoding": "chunked"} if self.chunked else {"Content-Length": str(len(content))}
        await wire.head(status, own)
        if asked.method == "HEAD":
            return
        self._bodies += 1
        if self.cut_first_at is not None and self._bodies == 1:
            await wire.body(content[: self.cut_first_at], rate=self.rate, chunked=self.chunked)
            wire.cut()
            return
        await wire.body(content, rate=self.rate, chunked=self.chunked)
        if self.chunked:
            await wire.raw(b"0\r\n\r\n")


class WebSite:
    """The origin. `asked` are all requests in order, `sent` counts the bytes of bodies."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.sent = 0
        self.port = 0
        self._at: dict[str, Answering] = {}
        self._tasks = TaskSet("web site")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[WebSite]:
        site = cls()
        server = await asyncio.start_server(site._connected, "127.0.0.1", 0)
        site.port = server.sockets[0].getsockname()[1]
        try:
            yield site
        finally:
            server.close()
            await site._tasks.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def at(self, path: str, answering: Answering) -> None:
        self._at[path] = answering

    def requests(self, path: str, method: str | None = None) -> list[Asked]:
        """What was asked of `path`."""
        return [one for one in self.asked if one.path == path and method in (None, one.method)]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start(self._serve(reader, writer), "connection")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while not writer.is_closing():
                    await self._one(reader, writer)
            finally:
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        lines = tuple((line.partition(":")[0], line.partition(":")[2].strip()) for line in head[1:] if line)
        fields = {name.lower(): value for name, value in lines}
        if fields.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, fields)
        path = target.partition("?")[0]
        asked = Asked(method, target, lines, body, len(self.requests(path)))
        self.asked.append(asked)
        answering = self._at.get(path, Reply(404, {}, b"nothing here"))
        await answering(asked, Wire(writer, self, method))


async def _body(reader: asyncio.StreamReader, fields: Fields) -> bytes:
    if fields.get("transfer-encoding") == "chunked":
        content = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            content += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return content
    return await reader.readexactly(int(fields.get("content-length", "0")))
