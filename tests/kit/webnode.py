"""A node before a generic origin, in this process: quick to start, on real sockets and a real disk."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from proxy.config.load import load
from proxy.service.assembly import assemble
from proxy.service.node import Node
from proxy.telemetry.accesslog import AccessLog
from proxy.telemetry.exposition import metrics_of_process, page_of
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.telemetry import Telemetry

from .asking import Answer, ask
from .scrape import Page


@dataclass(frozen=True)
class WebNode:
    """Where it is. Its targets are those of the origin. `inside` is the node itself, as its processes know it."""

    url: str
    inside: Node
    metrics: Metrics

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def page(self) -> Page:
        """Its metrics, as they are now."""
        return Page.parse(page_of(self.metrics).decode())

    async def operate(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """What an operation of the admin port tells. Raises AssertionError when it says no."""
        reply = await self.inside.operate(verb, arguments)
        assert reply.status == 200, reply
        return reply.body

    async def get(self, target: str, method: str = "GET", body: bytes | None = None, **fields: str) -> Answer:
        """One request on a connection of its own; `if_none_match=…` is If-None-Match."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return await ask(self.url, method, target, headers, body)

    @contextlib.asynccontextmanager
    async def reading(self, target: str, **fields: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose body is still to be read."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), auto_decompress=False) as session,
            session.get(self.url + target, headers=headers, allow_redirects=False) as answer,
        ):
            yield answer


@contextlib.asynccontextmanager
async def web_node(folder: Path, origin: str, *, worker: int = 0, **settings: Any) -> AsyncIterator[WebNode]:
    """`settings` are knobs with `__` for the dot; `worker` numbers those that share a folder."""
    knobs = {
        "origin__url": origin,
        "origin__kind": "http",
        "origin__read_timeout": "20s",
        "store__disks": [f"{folder / 'disk'}=256MiB"],
        "store__free_floor": "1MiB",
        "store__state": str(folder / "state"),
        **settings,
    }
    flags = {name.replace("__", "."): ("a test", value) for name, value in knobs.items()}
    config = load(environment={}, flags=flags).config
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        metrics = metrics_of_process()
        telemetry = Telemetry(metrics, AccessLog(None))
        async with assemble(config, worker, listening, telemetry) as inside:
            yield WebNode(f"http://127.0.0.1:{listening.getsockname()[1]}", inside, metrics)
