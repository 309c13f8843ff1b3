"""The client that all servers get: bodies are thrown away inside the kernel, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from bench.load.heads import Head, Malformed
from bench.load.wire import Broken, Connection, Exchange, Pace, Silent, Surroundings
from bench.rush import Refused

CONNECTIONS = 16
"""For small requests."""
SILENCE = 600.0
"""Seconds without a byte after which a client would give up; rows have their own, shorter limits."""
_WRK = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m)")
_WRK_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Unexpected(Exception):
    """An answer that is not what was asked for."""


class NotMeasurable(Unexpected):
    """There is no figure to be had of this server, for a reason of its own."""


FAILURES = (Unexpected, Refused, Broken, Silent, Malformed, OSError, TimeoutError)
"""All that asking may raise."""


class Sink:
    """Takes a body of known length; looks at it only to hash it."""

    def __init__(self, *, hashed: bool = False) -> None:
        self.digest = hashlib.sha256() if hashed else None

    @property
    def looks(self) -> bool:
        return self.digest is not None

    def begin(self, head: Head) -> None:
        if head.status not in (200, 206):
            raise Unexpected(f"status {head.status}")

    def take(self, received: memoryview) -> None:
        if self.digest is not None:
            self.digest.update(received)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `span` is half-open; None asks for the whole."""

    path: str
    size: int
    span: tuple[int, int] | None = None
    method: str = "GET"

    def text(self, host: str) -> bytes:
        wanted = f"Range: bytes={self.span[0]}-{self.span[1] - 1}\r\n" if self.span is not None else ""
        return f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\n{wanted}\r\n".encode()

    @property
    def expected(self) -> int:
        """Body bytes."""
        if self.method == "HEAD":
            return 0
        return self.size if self.span is None else self.span[1] - self.span[0]


@dataclass(frozen=True, slots=True)
class Many:
    """How many small requests were answered in how long."""

    requests: int
    seconds: float


class Client:
    """Asks one address."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._around = Surroundings(asyncio.get_running_loop(), SILENCE)

    async def ask(
        self, *wanted: Asked, hashed: str | None = None, pace: Pace | None = None, buffer: int | None = None
    ) -> list[Exchange]:
        """One after another on one connection. Raises Unexpected for a wrong length or digest."""
        exchanges: list[Exchange] = []
        await self.ask_into(exchanges, *wanted, hashed=hashed, pace=pace, buffer=buffer)
        return exchanges

    async def ask_into(
        self,
        exchanges: list[Exchange],
        *wanted: Asked,
        hashed: str | None = None,
        pace: Pace | None = None,
        buffer: int | None = None,
    ) -> None:
        """As `ask`, with each exchange in `exchanges` from its beginning."""
        connection = await Connection.open(self._around, self._address, receive_buffer=buffer)
        try:
            for asked in wanted:
                exchanges.append(Exchange(self._around.now()))
                await self._one(connection, asked, exchanges[-1], hashed, pace)
        finally:
            connection.close()

    async def herd(self, asked: Asked, count: int) -> list[Exchange]:
        """`count` clients at once, a connection each."""
        each = await asyncio.gather(*(self.ask(asked) for _ in range(count)))
        return [exchanges[0] for exchanges in each]

    async def _one(
        self, connection: Connection, asked: Asked, exchange: Exchange, hashed: str | None, pace: Pace | None
    ) -> None:
        sink = Sink(hashed=hashed is not None)
        text = asked.text("{}:{}".format(*self._address))
        await connection.ask(text, sink, exchange, to_head=asked.method == "HEAD", pace=pace)
        if exchange.received != asked.expected:
            raise Unexpected(f"{exchange.received} bytes of {asked.expected}")
        if sink.digest is not None and sink.digest.hexdigest() != hashed:
            raise Unexpected("wrong bytes")


async def many(wrk: Path, libraries: dict[str, str], url: str, *, seconds: int, core: int | None) -> Many:
    """GETs from CONNECTIONS as fast as wrk on one core can send them. Raises Unexpected for any failed one."""
    held = ["taskset", "-c", str(core)] if core is not None else []
    command = [*held, str(wrk), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", url]
    process = await asyncio.create_subprocess_exec(
        *command, env=libraries, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said = (await process.communicate())[0].decode()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return told_by_wrk(said)


def told_by_wrk(said: str) -> Many:
    """Raises Unexpected if it says that something failed, or nothing that we know."""
    if bad := _WRK_BAD.search(said):
        raise Unexpected(f"{bad[1]} answers were errors")
    found = _WRK.search(said)
    if found is None or "unable to connect" in said:
        raise Unexpected(f"wrk said {said[-200:]!r}")
    return Many(int(found[1]), float(found[2]) * _SECONDS[found[3]])
