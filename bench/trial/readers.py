"""The clients of one process: each reads the blob, whole or in pieces, and compares every byte.

    stdin   one order (JSON), and, when the others are ready too, a line that says go
    stdout  "ready", and then what became of each client (JSON)

A client whose answer breaks off goes on at that byte at the next node, as a client behind a balancer does.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Final

import uvloop

from bench.load.heads import Head, Malformed
from bench.load.verify import Checker, Content, WrongByte, content_of
from bench.load.wire import Broken, Connection, Exchange, Silent, Surroundings
from proxy.core.tasks import TaskSet

TRIES: Final = 8
"""Times that a client begins anew before it gives up."""
PAUSE: Final = 0.25
"""Seconds before it does."""
_SWEEP: Final = 0.25


@dataclass(frozen=True, slots=True)
class Order:
    """A client for each number in `at`, which is its node of `nodes` (host, port). `pieces`: the spans that each reads,
    in an order by chance; none: the whole. `hashed` of them compute the sha256 too. `patience` is in seconds of
    silence."""

    nodes: list[tuple[str, int]]
    at: list[int]
    target: str
    seed: str
    size: int
    sha256: str
    pieces: list[tuple[int, int]]
    hashed: int
    patience: float


@dataclass(slots=True)
class Result:
    """What became of one client: bytes that were right, seconds to the first and to the last, and what went wrong at
    which node."""

    node: int
    received: int = 0
    first_byte: float | None = None
    seconds: float | None = None
    sha256: str | None = None
    errors: list[tuple[int, str]] = field(default_factory=list)


class Refused(Exception):
    """An answer that is not the bytes asked for."""


class _Part:
    """Takes one answer: the rest of a span."""

    looks = True

    def __init__(
        self, checker: Checker, content: Content, span: tuple[int, int], digest: Any | None, etag: str
    ) -> None:
        self._checker = checker
        self._content = content
        self._etag = etag
        self._digest = digest
        self.at, self.stop = span
        self.checked = 0

    def begin(self, head: Head) -> None:
        length = head.fields.get("content-length")
        if head.status != 206 or length != str(self.stop - self.at) or head.fields.get("etag") != f'"{self._etag}"':
            raise Refused(f"status {head.status}, length {length}, {head.fields.get('x-error-message', '')}")

    def take(self, received: memoryview) -> None:
        wrong = self._checker.differs(self._content, self.at, received)
        if wrong is not None:
            raise WrongByte(f"byte {wrong} is wrong")
        if self._digest is not None:
            self._digest.update(received)
        self.at += len(received)
        self.checked += len(received)


class _Client:
    def __init__(
        self, order: Order, at: int, around: Surroundings, checker: Checker, *, hashes: bool, chance: Random
    ) -> None:
        self._order = order
        self._around = around
        self._checker = checker
        self._digest = hashlib.sha256() if hashes else None
        self._chance = chance
        self._at = at
        self.result = Result(at)

    async def run(self) -> None:
        began = self._around.now()
        spans = list(self._order.pieces) or [(0, self._order.size)]
        if self._order.pieces:
            self._chance.shuffle(spans)
        for span in spans:
            if not await self._read(span, began):
                return
        self.result.seconds = self._around.now() - began
        if self._digest is not None:
            self.result.sha256 = self._digest.hexdigest()

    async def _read(self, span: tuple[int, int], began: float) -> bool:
        """Whether all of it came, at however many tries."""
        at, stop = span
        for _ in range(TRIES):
            content = content_of(self._order.seed, self._order.size)
            part = _Part(self._checker, content, (at, stop), self._digest, self._order.sha256)
            try:
                await self._ask(part, began)
            except (Broken, Silent, Malformed, Refused, WrongByte, OSError, TimeoutError) as error:
                self.result.errors.append((self._at, f"{type(error).__name__}: {error} (at byte {part.at})"))
                self._at = (self._at + 1) % len(self._order.nodes)
                await asyncio.sleep(PAUSE)
            finally:
                self.result.received += part.checked
                at = part.at
            if at == stop:
                return True
        return False

    async def _ask(self, part: _Part, began: float) -> None:
        host, port = self._order.nodes[self._at]
        fields = f"Host: {host}:{port}\r\nUser-Agent: penstock-bench\r\nAccept-Encoding: identity\r\n"
        fields += f"Range: bytes={part.at}-{part.stop - 1}\r\n"
        connection = await Connection.open(self._around, (host, port))
        exchange = Exchange(self._around.now())
        try:
            await connection.ask(f"GET {self._order.target} HTTP/1.1\r\n{fields}\r\n".encode(), part, exchange)
        finally:
            connection.close()
            if self.result.first_byte is None and exchange.first_byte is not None:
                self.result.first_byte = exchange.first_byte - began


async def _run(order: Order) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    around, checker = Surroundings(loop, order.patience), Checker()
    clients = [
        _Client(order, at, around, checker, hashes=number < order.hashed, chance=Random(at * 1000 + number))
        for number, at in enumerate(order.at)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.readline)
    async with TaskSet("readers") as tasks:
        tasks.start(_sweep(around), "sweep")
        reading = [tasks.start(client.run(), f"client {n}") for n, client in enumerate(clients)]
        await asyncio.wait(reading)
    return [asdict(client.result) for client in clients]


async def _sweep(around: Surroundings) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        around.sweep()


def main() -> None:
    said = json.loads(sys.stdin.readline())
    order = Order(**{**said, "nodes": [tuple(node) for node in said["nodes"]]})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(_run(order)), sys.stdout)


if __name__ == "__main__":
    main()
